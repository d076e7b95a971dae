"""The rules of the drift bench: they compute what their definitions say, and can say each word."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from lifecycle.errors import ConfigError

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "drift"))

from evidently_rule import evidently, scorer, wasserstein
from rules import RULES, alibi, answers, kolmogorov_smirnov, nannyml, ours, rule, split

VALUES = st.lists(st.integers(-5, 5).map(float) | st.floats(-1e3, 1e3), min_size=2, max_size=40)


def normal(rows: int, *, seed: int, shift: float = 0.0, columns: int = 6) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({f"x{at}": rng.normal(size=rows) + shift for at in range(columns)})
    return frame.with_columns(c=pl.Series(rng.choice(["a", "b", "c"], rows)))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_alarms_when_all_columns_moved_and_not_on_the_same_rows(name):
    reference = normal(3000, seed=0)
    judge = rule(name)(reference, None)
    moved = answers(name, judge(normal(500, seed=1, shift=3.0)))
    same = answers(name, judge(reference.sample(500, seed=2)))
    assert set(moved.values()) == {"alarm"}
    assert "quiet" in same.values()
    assert all(label.startswith(name) for label in moved)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_does_not_change_by_being_asked(name):
    judge = rule(name)(normal(2000, seed=0), None)
    window = normal(300, seed=1)
    first = judge(window)
    judge(normal(150, seed=2, shift=2.0))
    assert judge(window) == first


def test_ours_says_when_it_cannot_tell():
    judge = ours(normal(2000, seed=0), None)
    assert judge(normal(10, seed=1)) == "unsure"


def test_ours_takes_times_from_the_named_column():
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.normal(size=2200)) / 10
    frame = pl.DataFrame({"x": steps}).with_columns(
        ts=pl.Series((np.arange(2200) * 900_000_000).astype("datetime64[us]"))
    )
    window = frame[2100:]
    assert ours(frame[:2000], "ts")(window) != "alarm"
    assert ours(frame[:2000].drop("ts"), None)(window.drop("ts")) == "alarm"


def test_names_resolve_to_rules_and_unknown_ones_say_which_there_are():
    assert rule("rules:nannyml") is rule("nannyml")
    with pytest.raises(ConfigError, match=r"unknown rule 'our'.*'ours'"):
        rule("our")


def test_a_word_that_is_no_answer_is_an_error():
    assert answers("mine", "quiet") == {"mine": "quiet"}
    assert answers("mine", {"a": "alarm", "b": "unsure"}) == {"a": "alarm", "b": "unsure"}
    with pytest.raises(ValueError, match="mine answered 'drift'"):
        answers("mine", "drift")


def test_columns_are_split_by_type_and_the_time_is_none_of_them():
    frame = normal(5, seed=0, columns=2).with_columns(ts=pl.lit("2026-01-01").str.to_datetime())
    assert split(frame, "ts") == (["x0", "x1"], ["c"])


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_the_fast_wasserstein_distance_is_scipys(one, two):
    one, two = np.sort(one), np.sort(two)
    sums = np.concatenate(([0.0], np.cumsum(one)))
    expected = stats.wasserstein_distance(one, two)
    assert wasserstein(one, sums, two) == pytest.approx(expected, abs=1e-9, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_the_fast_kolmogorov_smirnov_distance_is_scipys(one, two):
    expected = stats.ks_2samp(one, two, method="asymp").statistic
    assert kolmogorov_smirnov(np.sort(one), np.sort(two)) == pytest.approx(expected, abs=1e-12)


def test_evidently_drifts_with_half_of_the_columns():
    reference = normal(1500, seed=0, columns=5)
    window = reference.sample(1200, seed=1)
    judge = evidently(reference, None)
    two = window.with_columns(pl.col("x0", "x1") + 1)
    assert judge(window) == {"evidently": "quiet", "evidently, any column": "quiet"}
    assert judge(two) == {"evidently": "quiet", "evidently, any column": "alarm"}
    three = window.with_columns(pl.col("x0", "x1", "x2") + 1)  # of six
    assert judge(three) == {"evidently": "alarm", "evidently, any column": "alarm"}


def test_evidently_scores_a_short_reference_by_p_value_and_a_long_one_by_distance():
    rng = np.random.default_rng(0)
    window = pl.DataFrame({"x": rng.normal(size=100)})
    for rows in (1000, 1001):
        values = rng.normal(size=rows)
        score, drifted = scorer(pl.DataFrame({"x": values}), None)(window)["x"]
        p_value = stats.ks_2samp(values, window["x"]).pvalue
        distance = stats.wasserstein_distance(values, window["x"]) / values.std()
        expected = (p_value, p_value <= 0.05) if rows == 1000 else (distance, distance >= 0.1)
        assert (score, drifted) == (pytest.approx(expected[0], abs=1e-12), expected[1])


def test_evidently_leaves_out_null_and_infinite_values_and_columns_without_any():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    reference = pl.DataFrame({"x": values * 200, "y": values * 200})
    odd = pl.DataFrame({"x": [*values, None, float("inf"), float("nan")], "y": [None] * 9})
    found = scorer(reference, None)(odd)
    assert found["x"] == (pytest.approx(0.0, abs=1e-12), False)
    assert np.isnan(found["y"][0])
    assert not found["y"][1]


def test_alibi_is_bonferroni_at_its_own_level_and_at_one_percent():
    rng = np.random.default_rng(5)
    said = set()
    reference = normal(2000, seed=1, columns=4)
    judge = alibi(reference, None)
    for shift in np.linspace(0.0, 0.3, 25):
        window = normal(400, seed=int(rng.integers(1e6)), columns=4, shift=shift)
        p_values = [
            stats.ks_2samp(reference[name], window[name], method="asymp").pvalue
            for name in ("x0", "x1", "x2", "x3")
        ]
        counts = [
            [int((side["c"] == level).sum()) for level in "abc"] for side in (reference, window)
        ]
        p_values.append(stats.chi2_contingency(counts).pvalue)
        expected = tuple("alarm" if min(p_values) < at / 5 else "quiet" for at in (0.05, 0.01))
        assert tuple(judge(window).values()) == expected
        said.add(expected)
    assert len(said) == 3  # quiet, alarm at 5 % only, alarm at both


def test_alibi_does_not_see_a_column_with_nulls():
    reference = normal(2000, seed=0, columns=2)
    window = normal(300, seed=1, columns=2).with_columns(pl.col("x0") + 5)
    holes = window.with_columns(x0=pl.when(pl.col("c") == "a").then(None).otherwise("x0"))
    assert alibi(reference, None)(window)["alibi at 5 %"] == "alarm"
    assert alibi(reference, None)(holes)["alibi at 5 %"] == "quiet"


def test_nannyml_holds_a_window_against_the_references_own_chunks():
    rng = np.random.default_rng(2)
    values = rng.gamma(2.0, size=3000)
    edges = np.histogram_bin_edges(values, bins="doane")
    whole = np.histogram(values, edges)[0] / 3000

    def distance(part: np.ndarray) -> float:
        shares = np.histogram(part, edges)[0] / len(part)
        beyond = 1 - shares.sum()
        return float(jensenshannon([*whole, 0.0], [*shares, beyond], base=2))

    chunks = [distance(values[start : start + 400]) for start in range(0, 3000, 400)]
    limit = np.mean(chunks) + 3 * np.std(chunks)
    judge = nannyml(pl.DataFrame({"x": values}), None)
    said = set()
    for shift in np.linspace(0.0, 0.6, 20):
        window = rng.gamma(2.0, size=400) + shift
        expected = "alarm" if distance(window) > limit else "quiet"
        assert judge(pl.DataFrame({"x": window})) == expected
        said.add(expected)
    assert said == {"alarm", "quiet"}


def test_nannyml_counts_few_values_and_levels_one_by_one_and_new_ones_together():
    rng = np.random.default_rng(0)
    reference = pl.DataFrame(
        {"few": rng.integers(0, 4, 2000).astype(float), "level": rng.choice(["a", "b"], 2000)}
    )
    judge = nannyml(reference, None)
    window = reference[:200]  # one of ten chunks never is 3 sd from their mean
    assert judge(window) == "quiet"
    assert judge(window.with_columns(few=pl.col("few") + 0.5)) == "alarm"
    assert judge(window.with_columns(level=pl.lit("z"))) == "alarm"


def test_nannyml_has_no_threshold_when_one_chunk_is_all_there_is():
    reference = normal(500, seed=0)
    judge = nannyml(reference, None)
    assert judge(normal(500, seed=1)) == "alarm"
    assert judge(reference) == "quiet"


def test_nannyml_leaves_nulls_out():
    values = np.random.default_rng(0).normal(size=2000)
    holes = pl.DataFrame({"x": values}).with_columns(
        x=pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise("x")
    )
    judge = nannyml(pl.DataFrame({"x": values}), None)
    assert judge(holes[:600]) == "quiet"
    assert judge(pl.DataFrame({"x": [None] * 600}, schema={"x": pl.Float64})) == "quiet"
