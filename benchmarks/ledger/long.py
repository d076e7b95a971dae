"""A ledger of many entries, made quickly: a whole chain as our own writers would write it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from mlflow.entities import Param
from races import configured

from lifecycle.records import Entry
from lifecycle.stores import registry
from lifecycle.stores.entries import CONTINUE, sha256
from lifecycle.stores.ledger import PER_RUN, Ledger, draft, dumps
from lifecycle.stores.tracking import connect

NAME = "long"
AT_ONCE = 100  # parameters in one call to MLflow


def make(uri: str, entries: int) -> None:
    """A model with two versions that take turns in production, so many times."""
    client = connect(configured(uri, NAME))
    client.create_registered_model(NAME)
    for number in (1, 2):
        client.create_model_version(NAME, f"s3://nowhere/{number}")
    ledger = Ledger(client, NAME)
    ledger.append(lambda _: draft(kind="flag", reason="the first"))
    experiment = client.get_experiment_by_name(ledger.experiment).experiment_id
    run = str(client.search_runs([experiment])[0].info.run_id)
    first = ledger.entries()[0]
    waiting: list[Param] = []
    for entry, text in _chained(first, entries, lambda: ledger._new_run(experiment)):
        waiting.append(Param(f"t/{entry.seq:06d}", text))
        if len(waiting) == AT_ONCE or entry.kind == CONTINUE:
            client.log_batch(run, params=waiting)
            waiting = []
        if entry.kind == CONTINUE:
            run = str(entry.extra["run"])
    if waiting:
        client.log_batch(run, params=waiting)
    registry.project(client, NAME)


def _chained(first: Entry, entries: int, new_run: Callable[[], str]) -> Iterator[tuple[Entry, str]]:
    """Entries with their texts, each behind the one before."""
    prev, held, turn = first.digest, 1, 0
    for seq in range(2, entries + 1):
        if held == PER_RUN:
            wanted, held = draft(kind=CONTINUE, extra={"run": new_run()}), -1
        else:
            wanted, turn = _move(turn), turn + 1
        entry = replace(wanted, seq=seq, prev=prev)
        text = dumps(entry)
        prev, held = sha256(text), held + 1
        yield entry, text


def _move(turn: int) -> Entry:
    coming, going = (1, 2) if turn % 2 else (2, 1)
    return draft(
        kind="stage",
        version=coming,
        source="archived" if turn > 1 else "none",
        to="production",
        reason=f"gates passed, the figures of week {turn} are good enough",
        extra={
            "source": f"s3://nowhere/{coming}",
            "replaced": going if turn else None,
            "replaced_to": "archived",
        },
    )
