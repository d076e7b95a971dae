"""Many processes move versions of one model at once, and some are killed: what is left?

    python benchmarks/ledger/races.py sqlite:////tmp/x/mlflow.db --writers 8 --turns 50 --kills 0

A move is a decision upon the ledger that brings a version to production, and the aliases after it.
Each writer has two versions that it brings there by turns. What it is about to write it notes in a
file of its own first, and what it was told that is written afterwards: so an entry that was lost,
or written twice, shows. Prints one JSON object; exits with 1 when something does not hold.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# once, before the writers are forked
import mlflow.store.model_registry.rest_store
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.rest_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

from lifecycle.config import Config
from lifecycle.errors import RegistryError, RegistryUnavailable
from lifecycle.records import Entry
from lifecycle.stages import PRODUCTION, standing
from lifecycle.stores import registry
from lifecycle.stores.entries import CONTINUE
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "races"
PAUSE = (0.05, 0.5)  # seconds between two kills
FOLLOW = 5  # every so many moves a writer brings the aliases in line
WAIT = 30  # seconds that a call may take while all others write, too


def configured(uri: str, name: str = NAME) -> Config:
    """The model that the writers move."""
    return Config().with_values(name=name, tracking__uri=uri, tracking__timeout=WAIT)


def prepare(uri: str, versions: int, name: str = NAME) -> None:
    """A registered model with versions that have no files."""
    client = connect(configured(uri, name))
    client.create_registered_model(name)
    for number in range(versions):
        client.create_model_version(name, f"s3://nowhere/{number}")


def decide(entries: Sequence[Entry], *, mine: tuple[int, int], note: Callable[..., None]) -> Entry:
    """Bring that of my versions to production that is not there, upon what the ledger says now."""
    now = standing(entries)
    version = mine[1] if now.production == mine[0] else mine[0]
    entry = draft(
        kind="stage",
        version=version,
        source=now.stages.get(version, "none"),
        to=PRODUCTION,
        reason=f"saw {len(entries)}",
        extra={"replaced": now.production, "replaced_to": "archived", "saw": len(entries)},
    )
    note("about", entry.id)
    return entry


def write(uri: str, notes: Path, *, mine: tuple[int, int], turns: int, name: str = NAME) -> None:
    """Make so many moves; a registry that is too busy to answer is asked again."""
    client = connect(configured(uri, name))
    ledger = Ledger(client, name)
    with notes.open("a", encoding="utf-8") as file:

        def note(*words: object) -> None:
            file.write(" ".join(map(str, words)) + "\n")
            file.flush()

        for turn in range(turns):
            started = time.perf_counter()
            written = ledger.append(partial(decide, mine=mine, note=note))
            assert written is not None
            note("wrote", written.id, written.seq, time.perf_counter() - started)
            if turn % FOLLOW:
                continue  # the aliases are brought in line by whoever comes next
            try:
                registry.project(client, name)
            except RegistryUnavailable:
                note("unprojected", written.id)  # the next reader finishes it
            except RegistryError as error:
                if "locked" not in str(error):
                    raise
                note("unprojected", written.id)


def forked(work: Callable[[], None]) -> int:
    """Run something in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - it must not come back into the parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def race(uri: str, *, writers: int, turns: int, kills: int, seed: int = 0) -> dict[str, Any]:
    """Let the writers run, kill some, wait for all, and look at what is left."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        notes = [Path(scratch) / f"writer-{number}" for number in range(writers)]
        ready = forked(partial(prepare, uri, 2 * writers))
        assert os.waitpid(ready, 0)[1] == 0, "the registry cannot be prepared"
        started = time.perf_counter()

        def start(number: int) -> int:
            mine = (2 * number + 1, 2 * number + 2)
            return forked(partial(write, uri, notes[number], mine=mine, turns=turns))

        running = {start(number): number for number in range(writers)}
        failed: list[int] = []
        killed = 0
        while running:
            if killed < kills:
                time.sleep(chance.uniform(*PAUSE))
                pid = chance.choice(sorted(running))
                os.kill(pid, signal.SIGKILL)
            pid, status = os.waitpid(-1 if killed >= kills else pid, 0)
            number = running.pop(pid)
            if os.WIFSIGNALED(status):
                killed += 1
                running[start(number)] = number  # another one takes its place
            elif status:
                failed.append(number)
        seconds = time.perf_counter() - started
        lines = [line.split() for path in notes for line in path.read_text().splitlines()]
    found = left(uri, lines)
    return {**found, "seconds": seconds, "killed": killed, "failed": failed}


def left(uri: str, lines: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What the ledger and the aliases say after a race, and what of that does not hold."""
    client: MlflowClient = connect(configured(uri))
    about = {words[1] for words in lines if words[0] == "about"}
    wrote = {words[1]: int(words[2]) for words in lines if words[0] == "wrote"}
    took = sorted(float(words[3]) for words in lines if words[0] == "wrote")
    entries = Ledger(client, NAME).entries()  # raises when the chain does not hold
    moves = [entry for entry in entries if entry.kind != CONTINUE]
    ids = [entry.id for entry in moves]
    champion = registry.find(client, NAME).version  # finishes what a killed one left undone
    served = client.get_model_version_by_alias(NAME, "champion")
    broken = {
        "gaps": [item.seq for at, item in enumerate(entries, 1) if item.seq != at],
        "doubled": sorted({item for item in ids if ids.count(item) > 1}),
        "lost": sorted(set(wrote) - set(ids)),
        "moved": [item.seq for item in moves if wrote.get(item.id, item.seq) != item.seq],
        "unknown": sorted(set(ids) - about),
        "stale": [item.seq for item in moves if item.extra["saw"] != item.seq - 1],
        "two in production": [
            at for at in range(1, len(entries) + 1) if _serving(entries[:at]) != 1
        ],
        "aliases": [] if int(served.version) == champion == standing(entries).production else [1],
    }
    return {
        "entries": len(moves),
        "decisions": len(about),
        "unprojected": sum(words[0] == "unprojected" for words in lines),
        "p50_ms": 1000 * took[len(took) // 2] if took else None,
        "p95_ms": 1000 * took[int(0.95 * len(took))] if took else None,
        "broken": {key: value for key, value in broken.items() if value},
    }


def _serving(entries: Sequence[Entry]) -> int:
    return list(standing(entries).stages.values()).count(PRODUCTION)


def main(arguments: list[str] | None = None) -> int:
    """Race, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    found = race(
        given.uri, writers=given.writers, turns=given.turns, kills=given.kills, seed=given.seed
    )
    print(json.dumps(found))
    return 1 if found["broken"] or found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
