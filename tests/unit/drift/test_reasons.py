"""What a finding says: the column, what it did, the figures, and how sure it is."""

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.counting import build_profile
from lifecycle.drift.findings import Finding, Pair, column_findings
from lifecycle.drift.reasons import Facts, chance, figure, plural, quantile, reason, share

ROWS = 1_000


def facts(before, after):
    reference = build_profile(pl.DataFrame({"x": before}))
    live_rows = pl.DataFrame({"x": after})
    live = build_profile(live_rows, like=reference)
    pair = Pair(reference.columns["x"], live.columns["x"], None)
    found = column_findings(pair.reference, pair.live, seconds=None)
    return Facts(pair, live_rows["x"], found)


def told(known, test, design_effect=1.0):
    main = next(item for item in known.findings if item.test == test)
    flagged = [item for item in known.findings if item.p_value < 1e-6 and item.matters]
    return reason(known, main, flagged, design_effect)


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).normal(50.0, 10.0, ROWS)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234, "1,234 rows")]
)
def test_counts_have_their_noun(value, text):
    assert plural(value, "row") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 %"), (0.0004, "0.04 %"), (0.0213, "2.1 %"), (0.1, "10 %"), (1.0, "100 %")],
)
def test_shares_have_two_digits_where_they_are_small(value, text):
    assert share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "p = 0.04"), (1e-6, "p = 1e-06"), (9e-7, "p < 1e-6"), (0.0, "p < 1e-6")],
)
def test_chances_end_somewhere(value, text):
    assert chance(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (999.94, "999.9"), (1234.5, "1,234"), (-2e6, "-2,000,000"), (0.0, "0")],
)
def test_figures_have_four_digits(value, text):
    assert figure(value) == text


def test_quantiles_of_a_profile_are_those_of_the_rows(normal):
    column = build_profile(pl.DataFrame({"x": normal})).columns["x"]
    for part in (0.25, 0.5, 0.75):
        assert quantile(column, part) == pytest.approx(np.quantile(normal, part), abs=1.0)
    assert quantile(column, 0.0) <= quantile(column, 0.5) <= quantile(column, 1.0)
    assert quantile(column, 1.0) == normal.max()


@pytest.mark.parametrize(("by", "word"), [(8.0, "higher"), (-8.0, "lower")])
def test_a_shift_is_told_with_both_medians(normal, by, word):
    text = told(facts(normal, normal + by), "location")
    before, after = np.median(normal), np.median(normal + by)
    assert text.startswith(f"x is {word}: median {figure(after)} instead of ")
    assert float(text.split("instead of ")[1].split(",")[0]) == pytest.approx(before, abs=0.5)
    assert text.endswith(("p < 1e-6; also out of range", "p < 1e-6"))


def test_a_shift_that_keeps_the_median_says_so():
    before = np.repeat([0.0, 1.0, 2.0], [100, 800, 100])
    after = np.repeat([0.0, 1.0, 2.0], [10, 600, 390])
    assert "x is higher: with the same median, effect " in told(facts(before, after), "location")


@pytest.mark.parametrize(("factor", "word"), [(3.0, "more"), (0.3, "less")])
def test_a_spread_is_told_with_the_middle_halves(normal, factor, word):
    text = told(facts(normal, 50 + (normal - 50) * factor), "scale")
    assert text.startswith(f"x is {word} spread out: middle half ")
    after = [float(item) for item in text.split("half ")[1].split(" instead")[0].split(" to ")]
    before = [float(item) for item in text.split("instead of ")[1].split(",")[0].split(" to ")]
    ratio = (after[1] - after[0]) / (before[1] - before[0])
    assert ratio == pytest.approx(factor, rel=0.1)


def test_missing_values_are_told_as_shares(normal):
    gaps = [None if place % 4 == 0 else item for place, item in enumerate(normal)]
    text = told(facts(normal, gaps), "missing")
    assert text == "x is missing in 25 % of rows instead of 0 %, p < 1e-6"


def test_new_levels_are_named_three_at_most():
    before = ["a", "b"] * 500
    after = ["a"] * 600 + ["q"] * 150 + ["r"] * 120 + ["s"] * 90 + ["t"] * 40
    text = told(facts(before, after), "new level")
    assert "values the reference never had in 40 % of rows: 'q', 'r', 's', …" in text
    assert "'t'" not in text
    few = told(facts(before, ["a"] * 900 + ["q"] * 100), "new level")
    assert "in 10 % of rows: 'q'," in few


def test_levels_tell_the_one_that_moved_most():
    before = ["a"] * 500 + ["b"] * 300 + ["c"] * 200
    after = ["a"] * 490 + ["b"] * 10 + ["c"] * 500
    text = told(facts(before, after), "shape")
    assert text.startswith("x is 'c' in 50 % of rows instead of 20 %, p < 1e-6")


@pytest.mark.parametrize(("far", "side"), [(500.0, "above"), (-500.0, "below")])
def test_out_of_range_tells_the_side_and_how_far(normal, far, side):
    after = normal.copy()
    after[:100] = far
    text = told(facts(normal, after), "out of range")
    extreme = normal.max() if side == "above" else normal.min()
    assert f"10 % of rows {side} {figure(extreme)}" in text
    assert f"as far as {figure(far)}" in text


def test_rows_that_come_in_runs_are_told(normal):
    text = told(facts(normal, normal + 8.0), "location", design_effect=12.4)
    assert "p < 1e-6 after counting 12 rows in a run as one" in text
    assert "in a run" not in told(facts(normal, normal + 8.0), "location", design_effect=1.4)


def test_other_alarms_are_added_when_they_are_of_another_kind(normal):
    after = [None if place % 3 == 0 else item + 9 for place, item in enumerate(normal)]
    text = told(facts(normal, after), "location")
    assert "; also " in text
    assert "missing" in text.split("; also ")[1]
    assert "shape" not in text


def test_an_effect_of_a_test_that_did_not_apply_is_none(normal):
    known = Facts(facts(normal, normal).pair, pl.Series("x", normal), (Finding("scale", 1.0, 0.5),))
    assert known.effect("scale") == 0.5
    assert known.effect("location") == 0.0
    assert known.name == "x"
