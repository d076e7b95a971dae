"""MLflow's registry seen through the ledger: find, list, register, and keep the aliases in line.

>>> str(parse("models:/churn/7"))
'churn/7'

The ledger is the truth about stages. Aliases and tags are its projection, for plain MLflow and for
people. A projection that a killed process left unfinished is finished by whoever notices it; an
alias that somebody set by hand is not followed, and shown by `status`, `history` and `doctor`.
"""

import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelNotFound, RegistryError, TransitionRefused
from lifecycle.named import nearest
from lifecycle.records import Entry, ModelRef, ModelVersion
from lifecycle.stages import MOVES, ORDER, Standing, standing
from lifecycle.stores import contents, recorded
from lifecycle.stores.aliases import (
    CHALLENGER,
    PROJECTED,
    STAGE,
    UNSPOKEN,
    Listing,
    Model,
    follow,
    followed,
    ours,
    warnings,
)
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = [
    "CHALLENGER", "PROJECTED", "STAGE", "UNSPOKEN", "Listing", "Ref", "alias_warnings",
    "as_in_mlflow", "check_ready", "find", "heal", "look", "meant", "moment", "names", "parse",
    "project", "register", "survey", "unborn", "version_of", "versions",
]  # fmt: skip

PAGE = 200
CLASH = ("duplicate key", "unique constraint", "deadlock", "serialize", "locked")
MOST_CLASHES = 20  # writes that met another's, until that is the answer
Ref = str | ModelRef | ModelVersion


def parse(ref: Ref) -> ModelRef:
    """A reference from whatever a verb was given.

    >>> parse("churn").alias
    'champion'
    """
    if isinstance(ref, ModelVersion):
        return ModelRef(ref.name, ref.version)
    return ref if isinstance(ref, ModelRef) else ModelRef.parse(ref)


def find(client: "MlflowClient", ref: Ref, *, order: Sequence[str] = ORDER) -> ModelVersion:
    """The version that a reference means.

    Champion, previous and staging are what the ledger says once it has brought a version to
    production; an alias that lags behind is repaired in passing. A model without such an entry is
    plain MLflow's, and its aliases are followed. One reading of the ledger. A version that nothing
    has moved is in the first stage of `order`, here and in all that gives a version.

    Raises:
        ModelNotFound: no such model, version or alias; names the nearest that exist.
        LedgerError: the ledger is broken or deleted.
        RegistryUnavailable: no answer in time.
    """
    wanted = parse(ref)
    model = look(client, wanted.name, order=order)
    number = wanted.version
    return version_of(
        client, model, meant(client, model, wanted.alias) if number is None else number
    )


def look(client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER) -> Model:
    """A model and its ledger from one reading; aliases that lag behind are mended in passing."""
    model = _model(client, name, order=order)
    if model.lagging:
        with contextlib.suppress(RegistryError):  # one who may only read still gets an answer
            project(client, name, order=order)
    return model


def versions(
    client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER
) -> tuple[ModelVersion, ...]:
    """All versions of a model, oldest first.

    Raises:
        ModelNotFound: no such model; names the nearest.
    """
    model = _model(client, name, order=order)
    return tuple(_record(found, model) for found in _search(client, name))


def as_in_mlflow(client: "MlflowClient", name: str) -> Listing:
    """A model as MLflow alone has it, without a look at the ledger; what `verify` compares.

    Raises:
        ModelNotFound: no such model; names the nearest.
    """
    try:
        with answers(name):
            found = client.get_registered_model(name)
    except ModelNotFound as error:
        raise _unknown(client, name) from error
    aliases = {str(alias): int(version) for alias, version in found.aliases.items()}
    model = Model(name, aliases, dict(found.tags), (), Standing(), "", {})
    listed = tuple(_record(item, model) for item in _search(client, name))
    return Listing(listed, followed(model.tags))


def check_ready(client: "MlflowClient", version: ModelVersion) -> None:
    """Refuse a version whose registration MLflow did not finish.

    Raises:
        TransitionRefused: it failed, or is still under way; has MLflow's own reason.
    """
    with answers(version.ref):
        found = client.get_model_version(version.name, str(version.version))
    if found.status != "READY":
        why = f": {found.status_message}" if found.status_message else ""
        raise TransitionRefused(
            f"MLflow says {found.status} of this version's registration{why}",
            where=version.ref,
            fix="register the model again and promote that version",
        )


def names(client: "MlflowClient") -> tuple[str, ...]:
    """The names of all registered models, sorted."""
    with answers("registered models"):
        found = _pages(lambda token: client.search_registered_models(page_token=token))
        return tuple(sorted(str(item.name) for item in found))


def register(
    client: "MlflowClient",
    name: str,
    *,
    model_uri: str,
    tags: Mapping[str, str],
    order: Sequence[str] = ORDER,
) -> ModelVersion:
    """Make a version of a logged model, with its tags at once, and enter it in the ledger.

    When the process is killed between the two, `heal` writes the entry later.

    Args:
        client: what `connect` gave.
        name: the model; made when there is none.
        model_uri: MLflow's address of the logged model (`models:/m-…`, `runs:/…`).
        tags: of the version: digest, spec_run, compiled.
        order: the stages.

    Raises:
        RegistryError: MLflow refused; RegistryUnavailable: no answer in time.
    """
    import mlflow

    with answers(name), quiet():
        made = mlflow.register_model(model_uri, name, tags=dict(tags))
        recorded.vouch(client, name, int(made.version), tags)
    heal(client, name, order=order)
    return find(client, ModelRef(name, int(made.version)), order=order)


def heal(client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER) -> tuple[int, ...]:
    """Enter the versions of ours that have no entry: their registration was interrupted.

    Returns:
        The versions that were entered.
    """
    entered = []
    for found in _unborn(client, name):
        entry = draft(
            kind="register",
            version=int(found.version),
            to=order[0],
            extra={
                **recorded.kept(found.source, found.tags),
                "stored": contents.digests(client, found.tags[recorded.SPEC_RUN]),
            },
        )
        written = Ledger(client, name).append(partial(_unless_born, found, entry))
        if written is not None:
            entered.append(int(found.version))
    return tuple(entered)


def unborn(client: "MlflowClient", name: str) -> tuple[int, ...]:
    """The versions of ours that the ledger does not know, which `heal` would enter."""
    return tuple(int(found.version) for found in _unborn(client, name))


def project(client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER) -> None:
    """Bring aliases and tags in line with the ledger.

    Writes in this order, so that a process killed after any prefix leaves every reader with a
    version that was or is decided upon, and the next one finishes it:

    1. the ledger entry (before this function): aliases still show the state before it;
    2. previous, taken from the outgoing champion: both name it, champion still serves;
    3. champion: plain MLflow now sees the new version;
    4. staging, challenger, shadow: until then they only name what has moved on;
    5. the tags `lifecycle.stage` of versions and `lifecycle.rollout`;
    6. `lifecycle.projected`, the number of the last entry: until then a reader does it all again.

    Every step writes what differs only. When the ledger has grown meanwhile it begins again, so
    that a slow writer does not leave an older state behind.

    Raises:
        RegistryError: MLflow refused a write.
    """
    clashes = 0
    while True:
        model = _model(client, name, order=order)
        last = model.entries[-1].seq if model.entries else 0
        if not model.changed:
            return
        try:
            follow(client, model, _search(client, name))
        except RegistryError as error:
            # two wrote the same tag at once; or a server that guards the ledger refused what has
            # been overtaken
            clashes += any(sign in str(error).lower() for sign in CLASH)
            overtaken = len(Ledger(client, name).entries()) != last
            if not overtaken and not 0 < clashes <= MOST_CLASHES:
                raise
            time.sleep(random.uniform(0, 0.05 * min(clashes, 4)))  # noqa: S311 - spread
            continue
        if len(Ledger(client, name).entries()) == last:
            return


def alias_warnings(client: "MlflowClient", name: str) -> tuple[str, ...]:
    """What MLflow's aliases say that the ledger does not; empty when they agree.

    Raises:
        ModelNotFound: no such model.
    """
    return warnings(_model(client, name))


def survey(
    client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER
) -> tuple[tuple[ModelVersion, ...], tuple[Entry, ...], tuple[str, ...]]:
    """Versions, ledger entries and warnings of one model, from one reading of each."""
    model = _model(client, name, order=order)
    found = tuple(_record(item, model) for item in _search(client, name))
    return found, model.entries, warnings(model)


def moment(milliseconds: int) -> str:
    """MLflow's time as ISO 8601.

    >>> moment(0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _model(client: "MlflowClient", name: str, *, order: Sequence[str] = ORDER) -> Model:
    try:
        with answers(name):
            found = client.get_registered_model(name)
            entries = Ledger(client, name).entries()
    except ModelNotFound as error:
        raise _unknown(client, name) from error
    aliases = {str(alias): int(version) for alias, version in found.aliases.items()}
    now = standing(entries, order)
    births, tags = recorded.births(entries), dict(found.tags)
    return Model(name, aliases, tags, entries, now, order[0], births, order)


def _unknown(client: "MlflowClient", name: str) -> ModelNotFound:
    return ModelNotFound(
        f"there is no model {name!r}; {nearest(name, names(client))}",
        where=name,
        fix="lifecycle train, or register it with MLflow",
    )


def meant(client: "MlflowClient", model: Model, alias: str | None) -> int:
    """The version that an alias means: the ledger's where it speaks, else MLflow's."""
    alias = alias or "champion"
    spoken = alias in model.expected and ours(model, alias)
    version = model.expected[alias] if spoken else model.aliases.get(alias)
    if version is not None:
        return version
    if alias == "champion":
        first = min((item.version for item in versions(client, model.name)), default=1)
        raise ModelNotFound(
            f"no version of {model.name!r} is in production",
            where=f"{model.name}@champion",
            fix=f"name a version, as in {model.name}/{first}, or promote one",
        )
    known = {key for key, value in model.expected.items() if value} | set(model.aliases)
    raise ModelNotFound(
        f"{model.name!r} has no alias {alias!r}; {nearest(alias, known)}",
        where=f"{model.name}@{alias}",
    )


def version_of(client: "MlflowClient", model: Model, number: int) -> ModelVersion:
    """A version by its number."""
    try:
        with answers(f"{model.name}/{number}"):
            found = client.get_model_version(model.name, str(number))
    except ModelNotFound as error:
        existing = [str(item.version) for item in _search(client, model.name)]
        listed = ", ".join(existing[-10:]) or "none"
        fix = "name one of them"
        if number == model.now.production:
            fix = "it was deleted although it serves: lifecycle rollback, or promote another"
        raise ModelNotFound(
            f"{model.name!r} has no version {number}; existing: {listed}",
            where=f"{model.name}/{number}",
            fix=fix,
        ) from error
    return _record(found, model)


def _record(found: Any, model: Model) -> ModelVersion:
    number, theirs = int(found.version), dict(model.aliases)
    tags = recorded.tags(found.tags, found.source or "", model.births.get(number))
    for alias, version in model.expected.items():
        if ours(model, alias):
            theirs.pop(alias, None)
            if version is not None:
                theirs[alias] = version
    return ModelVersion(
        name=model.name,
        version=number,
        run_id=found.run_id or "",
        source=found.source or "",
        digest=tags.get(recorded.DIGEST, ""),
        stage=model.now.stages.get(number, model.first),
        aliases=tuple(sorted(alias for alias, version in theirs.items() if version == number)),
        created=moment(found.creation_timestamp),
        tags=tags,
    )


def _search(client: "MlflowClient", name: str) -> list[Any]:
    """MLflow's versions of a model, oldest first; aliases are empty in these."""
    quote = '"' if "'" in name else "'"
    condition = f"name={quote}{name}{quote}"
    with answers(name):
        search = partial(client.search_model_versions, condition, max_results=PAGE)
        found = _pages(lambda token: search(page_token=token))
        return sorted(found, key=lambda item: int(item.version))


def _pages(ask: Any) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _unborn(client: "MlflowClient", name: str) -> list[Any]:
    ours = [item for item in _search(client, name) if recorded.SPEC_RUN in item.tags]
    if not ours:
        return []
    entries = Ledger(client, name).entries()
    return [item for item in ours if not _born(entries, item)]


def _born(entries: Sequence[Entry], found: Any) -> bool:
    """Whether the ledger knows this very version; a number may be given twice after a deletion."""
    known = [
        entry
        for entry in entries
        if entry.kind in ("register", "adopt", *MOVES) and entry.version == int(found.version)
    ]
    sources = [entry.extra["source"] for entry in known if "source" in entry.extra]
    return bool(known) and (not sources or sources[-1] == found.source)


def _unless_born(found: Any, entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    return None if _born(entries, found) else entry
