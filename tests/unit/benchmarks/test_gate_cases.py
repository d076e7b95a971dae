"""What the bench of the gates measures: its candidates are what they say, its tables too."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "gates"))

import broken
import cases
import rows

from lifecycle.gates import GateInput, run
from lifecycle.models.metrics import evaluate
from lifecycle.records import Outcome

# `run` is also the name of the drift bench's
SCRIPT = Path(cases.__file__).with_name("run.py")
spec = importlib.util.spec_from_file_location("gates_bench", SCRIPT)
assert spec is not None
assert spec.loader is not None
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


def area(given: GateInput, *, champion: bool = False, kept: np.ndarray | None = None) -> float:
    output = given.champion_output if champion else given.output
    assert output is not None
    assert output.scores is not None
    kept = np.ones(len(given.rows), dtype=bool) if kept is None else kept
    scores = output.scores[kept]
    return evaluate("roc_auc", given.truth[kept], None, scores, classes=(0, 1)).value


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_areas_prevalence_and_correlation_are_those_of_the_goals() -> None:
    given = cases.equal(rng(), 60_000, area=0.78, correlation=0.88)
    assert area(given) == pytest.approx(0.78, abs=0.006)
    assert area(given, champion=True) == pytest.approx(0.80, abs=0.006)
    assert given.truth.mean() == pytest.approx(0.3, abs=0.01)
    assert given.output is not None
    assert given.champion_output is not None
    odds = [
        np.log(item.scores[:, 1] / item.scores[:, 0])
        for item in (given.output, given.champion_output)
    ]
    negative = given.truth == 0
    assert np.corrcoef(*odds)[0, 1] >= 0.8
    assert np.corrcoef(*(item[negative] for item in odds))[0, 1] >= 0.79


@pytest.mark.parametrize("which", ["level", "tail", "pair"])
@pytest.mark.parametrize("alone", [True, False])
def test_bad_slice_is_5_percent_and_loses_010(which: str, alone: bool) -> None:
    given = cases.equal(rng(), 80_000, bad=which, bad_area=0.7, alone=alone)
    inside = cases.in_slice(which, given.rows)
    assert inside.mean() == pytest.approx(0.05, abs=0.003)
    assert area(given, kept=inside) == pytest.approx(0.70, abs=0.02)
    assert area(given, kept=~inside) == pytest.approx(0.80, abs=0.01)


def test_honest_scores_are_calibrated() -> None:
    given = cases.equal(rng(), 60_000)
    assert given.output is not None
    score = given.output.score
    for low in np.arange(0.0, 0.8, 0.2):
        here = (score >= low) & (score < low + 0.2)
        assert given.truth[here].mean() == pytest.approx(score[here].mean(), abs=0.03)


@pytest.mark.parametrize("make", [cases.grouped, cases.timed])
def test_errors_of_a_group_are_alike(make) -> None:
    given = make(rng(), 5000)
    one = cases.error(given.rows, 1, 0.5)
    group = given.rows.get("customer", given.rows.get("day"))
    means = np.array([one[group == key].mean() for key in group.unique()])
    assert 0.3 < means.var() < 0.75
    assert cases.error(given.rows, 1).std() == pytest.approx(1.0, abs=0.05)
    assert (make(rng(), 5000, known=False).spec.key or None) is None


def test_answers_follow_from_the_columns() -> None:
    given = cases.equal(rng(), 300, bad="pair", bad_area=0.7)
    some = given.rows.iloc[[5, 200]]
    inputs = {name: some[name].to_numpy() for name in given.spec.feature_names}
    assert given.output is not None
    assert given.output.scores is not None
    assert given.candidate.predict(inputs).scores == pytest.approx(given.output.scores[[5, 200]])


@pytest.mark.parametrize("how", broken.LEAKS)
def test_leaks_are_refused(how: str) -> None:
    results = run(["leakage"], broken.leaked(rng(), 1500, how))
    assert results[0].outcome is Outcome.FAIL


@pytest.mark.parametrize("wanted", [0.95, 0.98])
def test_honest_strong_feature_has_its_area(wanted: float) -> None:
    assert area(broken.strong(rng(), 20_000, wanted)) == pytest.approx(wanted, abs=0.005)


def test_shuffled_labels_are_those_of_the_holdout_or_not() -> None:
    everywhere = broken.shuffled(rng(), 4000, everywhere=True, champion=True)
    assert area(everywhere, champion=True) == pytest.approx(0.5, abs=0.04)
    training = broken.shuffled(rng(), 4000, everywhere=False, champion=True)
    assert area(training, champion=True) > 0.7


@pytest.mark.parametrize("how", broken.SKEWS)
def test_skewed_traffic_is_refused(how: str) -> None:
    results = run(["traffic"], broken.skewed(rng(), 2000, how))
    assert (Outcome.FAIL in {item.outcome for item in results}) is (how != "none")


def test_rows_have_names_of_their_own_and_run() -> None:
    assert len({row.name for row in rows.ROWS}) == len(rows.ROWS)
    small = replace(rows.ROWS[0], gates=("champion",))
    place = rows.ROWS.index(next(row for row in rows.ROWS if row.gates == ("leakage",)))
    key, result = bench.chunk(place, 0, 2)
    assert key == f"{rows.ROWS[place].name}|0"
    assert result["count"] == 2
    assert small.most == 0.05


def test_table_sums_chunks_and_says_what_is_missed() -> None:
    name = rows.ROWS[0].name
    done = {
        f"{name}|{first}": {"count": 50, "refused": hits, "unsure": 1, "gates": {"champion": hits}}
        for first, hits in ((0, 1), (50, 2))
    }
    line = bench.table(rows.EQUAL, done)[4]
    assert "| 100 | 3.0 % [0.6, 8.5] | 2.0 %" in line
    assert "champion 3" in line
    assert "≤ 5 % reached" in line
    assert bench.verdict(rows.ROWS[0], 0.06) == "≤ 5 % **missed**"


@pytest.mark.parametrize("hits", [0, 10])
def test_interval_of_none_and_all(hits: int) -> None:
    text = bench.share(hits, 10)
    assert text in {"0.0 % [0.0, 30.8]", "100.0 % [69.2, 100.0]"}
