"""What serves, how, and what was last found out about it: one row a model.

>>> from lifecycle.config import Config
>>> [row.name for row in status(Config())]  # doctest: +SKIP
['churn', 'flights']
"""

from collections.abc import Sequence
from typing import Any

from lifecycle.approvals import requests
from lifecycle.config import Config
from lifecycle.errors import LedgerError, ModelNotFound
from lifecycle.records import Entry, ModelRef, ModelVersion, Status
from lifecycle.records.rollouts import HELD
from lifecycle.rollout.events import told
from lifecycle.rollout.state import open_rollout
from lifecycle.stores import artifacts, registry
from lifecycle.stores.checks import CHAMPION, OUTCOME, SCOPE
from lifecycle.stores.tracking import answers, connect
from lifecycle.triggers import open_flag


def status(config: Config, name: str | None = None) -> tuple[Status, ...]:
    """One row for a model, or for all that are registered.

    Raises:
        ModelNotFound: no such model; names the nearest.
        RegistryUnavailable: no answer in time.
    """
    client = connect(config)
    wanted = (name,) if name else registry.names(client)
    return tuple(_row(config, client, item) for item in wanted)


def _row(config: Config, client: Any, name: str) -> Status:
    try:
        versions, entries, warnings = registry.survey(client, name)
    except LedgerError as error:  # one broken ledger does not hide the other models
        return Status(name, None, 0, warnings=(str(error),))
    serving = None
    if versions:
        try:
            serving = registry.find(
                client, ModelRef(name, alias="champion"), order=config.stages.order
            )
        except ModelNotFound as error:
            missing = "no version of" in error.what  # nothing was promoted: that is no warning
            warnings = warnings if missing else (*warnings, str(error))
    return Status(
        name,
        serving,
        len(versions),
        compiled=_compiled(serving),
        last_check=_last_check(client, name, calling=open_flag(entries, serving) is not None),
        warnings=warnings,
        requests=requests(entries, name, config.approvals),
        rollout=_rollout(entries, config.stages.order),
    )


def _rollout(entries: Sequence[Entry], order: Sequence[str]) -> str:
    """The open rollout in one line."""
    found = open_rollout(entries, order)
    if found is None:
        return ""
    versions = ", ".join(str(arm.version) for arm in found.spec.arms[1:])
    steps = f"step {found.step + 1} of {len(found.spec.steps)}" if found.spec.steps else ""
    share = told(found.shares) if sum(found.shares[1:]) else ""
    held = f"held: {found.reason}" if found.status == HELD else ""
    parts = [item for item in (steps, share, held) if item]
    return ", ".join([f"{found.spec.strategy} of version {versions}", *parts])


def _compiled(version: ModelVersion | None) -> str:
    """Yes and how, or why the version that serves is not compiled."""
    if version is None:
        return ""
    said = version.tags.get(artifacts.COMPILED, "")
    if said.startswith("sha256:"):
        how = version.tags.get(artifacts.COMPILED_HOW, "")
        return f"yes: {how}" if how else "yes"
    return said or "no: not trained here; `lifecycle adopt` tries"


def _last_check(client: Any, name: str, *, calling: bool) -> str:
    """When the model was last checked against live data, what came out, and what it calls for."""
    with answers(name):
        experiment = client.get_experiment_by_name(f"{name}/monitoring")
        if experiment is None or experiment.lifecycle_stage != "active":
            return ""
        runs = client.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.`{SCOPE}` = '{CHAMPION}' AND attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    if not runs:
        return ""
    outcome = runs[0].data.tags.get(OUTCOME, "")
    return registry.moment(runs[0].info.start_time) + _said(outcome, calling)


def _said(outcome: str, calling: bool) -> str:
    said = [outcome] if outcome else []
    said += ["calls for retraining"] if calling else []
    return f": {', '.join(said)}" if said else ""
