"""Return to the version that was in production before.

>>> from lifecycle.config import Config
>>> rollback(Config(name="churn"), reason="wrong prices")  # doctest: +SKIP
ModelVersion(name='churn', version=2, ..., stage='production', ...)
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LifecycleError, TransitionRefused
from lifecycle.records import Entry, ModelRef, ModelVersion
from lifecycle.stages import PRODUCTION, standing
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect

RACES = 5


def rollback(config: Config, *, reason: str) -> ModelVersion:
    """Bring back what was in production before; what serves now goes to the last stage.

    The version must still exist with the files that were registered, and it is loaded here as a
    server will load it: what cannot be loaded is not returned to. Rolled back twice it goes two
    versions back, never to what was rolled back.

    Args:
        config: names the model.
        reason: goes into the ledger.

    Raises:
        ModelNotFound: no such model.
        TransitionRefused: there is none to return to, its files are not as they were, or no
            reason was given.
        RegistryUnavailable: no answer in time.
    """
    name, order = config.name, config.stages.order
    if not reason.strip():
        raise TransitionRefused("a rollback needs a reason", where=name, fix="say why: --reason")
    client = connect(config)
    ledger = Ledger(client, name)
    for _ in range(RACES):
        now = standing(ledger.entries(), order)
        if now.previous is None:
            registry.versions(client, name)  # says when there is no such model
            why = (
                f"no version before {name}/{now.production} is left to go back to"
                if now.production
                else "no version ever was in production"
            )
            raise TransitionRefused(
                f"there is nothing to return to: {why}",
                where=name,
                fix="promote another version; `lifecycle history` shows all moves",
            )
        back = _verified(config, client, name, now.previous)
        decide = partial(_decide, back=back, leaving=now.production, order=order, reason=reason)
        written = ledger.append(decide)
        if written is not None or standing(ledger.entries(), order).production == back.version:
            break
    registry.project(client, name, order=order)
    return registry.find(client, ModelRef(name, alias="champion"), order=order)


def _decide(
    entries: Sequence[Entry],
    *,
    back: ModelVersion,
    leaving: int | None,
    order: Sequence[str],
    reason: str,
) -> Entry | None:
    """The entry, unless somebody else has moved the champion since we looked."""
    now = standing(entries, order)
    if now.production != leaving or now.previous != back.version:
        return None
    return draft(
        kind="rollback",
        version=back.version,
        source=now.stages.get(back.version, order[0]),
        to=PRODUCTION,
        reason=reason,
        extra={"source": back.source, "replaced": leaving, "replaced_to": order[-1]},
    )


def _verified(config: Config, client: Any, name: str, number: int) -> ModelVersion:
    """The version, once it was loaded as a server would load it."""
    try:
        version = registry.find(client, ModelRef(name, number), order=config.stages.order)
        registry.check_ready(client, version)
        artifacts.verify(client, version, config)
        artifacts.load(client, version, config)
    except LifecycleError as error:
        if isinstance(error, ConnectionError):
            raise
        raise TransitionRefused(
            f"{name}/{number} was in production before, but cannot be returned to: {error.what}",
            where=error.where,
            fix="promote another version with force and a reason",
        ) from error
    return version
