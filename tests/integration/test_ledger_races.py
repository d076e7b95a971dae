"""Many write one ledger at once, on each kind of registry, and some are killed: nothing is lost."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "ledger"))

import places

BENCH = str(Path(places.__file__).parent)
RACE = f"import sys; sys.path.append({BENCH!r}); import races; sys.exit(races.main())"


@pytest.fixture
def race(run_forked, template_database, tmp_path):
    """Let processes race on a registry of a kind; gives what was left."""

    def run(kind, *, writers, turns, kills=0):
        why = places.without_postgres() if kind == "postgres" else ""
        if why:
            pytest.skip(why)
        with places.place(kind, tmp_path, template=template_database) as uri:
            done = run_forked(
                RACE, uri, "--writers", writers, "--turns", turns, "--kills", kills, timeout=1200
            )
        assert done.stdout, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["broken"] == {}, found
        assert found["failed"] == [], done.stderr[-3000:]
        # some may have ended just before they were to be killed
        assert min(1, kills) <= found["killed"] <= kills
        return found

    return run


def test_a_few_writers_of_whom_one_is_killed(race):
    found = race("sqlite", writers=3, turns=4, kills=1)
    assert 12 <= found["entries"] <= 16
    assert found["decisions"] >= found["entries"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", places.NAMES)
def test_eight_processes_make_fifty_moves_each(race, kind):
    found = race(kind, writers=8, turns=50)
    assert found["entries"] == 400
    assert found["decisions"] > 400, "there was a race: some had to decide again"


@pytest.mark.slow
@pytest.mark.parametrize("kind", places.NAMES)
def test_writers_that_are_killed_at_random_lose_and_double_nothing(race, kind):
    found = race(kind, writers=4, turns=12, kills=6)
    assert 48 <= found["entries"] <= 48 + 6 * 12
