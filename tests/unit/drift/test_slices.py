"""Groups with too large a loss: none without reason, a small one that is bad, always."""

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.slices import worst_slices
from lifecycle.records import Outcome


def draw(rng, rows, kind="exponential"):
    """Rows with a level that is always hard, a level of 5 %, and losses."""
    frame = pl.DataFrame(
        {
            **{f"x{number}": rng.normal(size=rows) for number in range(6)},
            "hour": rng.integers(0, 5, rows),
            "carrier": rng.choice(list("abcdefgh"), rows),
            "rare": rng.choice(["EV", "other"], rows, p=[0.05, 0.95]),
            "late": rng.random(rows) < 0.5,
        }
    )
    hard = np.where(frame["carrier"].to_numpy() == "a", 2.0, 1.0)
    losses = {
        "exponential": lambda: rng.exponential(size=rows) * hard,
        "right or wrong": lambda: (rng.random(rows) < 0.1 * hard).astype(float),
        "heavy": lambda: np.exp(rng.normal(size=rows) * 1.3) * hard,
    }[kind]()
    return frame, losses


def look(seed, *, rows=1000, held=1000, kind="exponential", bad=0.0, everywhere=1.0, **options):
    rng = np.random.default_rng(seed)
    before, losses_before = draw(rng, held, kind)
    frame, losses = draw(rng, rows, kind)
    losses = losses * everywhere
    losses[(frame["rare"] == "EV").to_numpy()] += bad
    return worst_slices(frame, losses, before, losses_before, metric="mae", **options)


def alarm(found):
    return any(item.outcome is Outcome.FAIL for item in found)


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"rows": 300, "held": 300},
        {"rows": 3000, "held": 800},
        {"kind": "right or wrong"},
        {"kind": "heavy", "rows": 400, "held": 2000},
        {"everywhere": 1.5},
    ],
)
def test_unchanged_losses_raise_no_alarm(case):
    assert np.mean([alarm(look(seed, **case)) for seed in range(60)]) <= 0.03


@pytest.mark.parametrize(
    "case",
    [
        {"bad": 2.0},
        {"bad": 2.0, "rows": 3000, "held": 3000},
        {"bad": 3.0, "everywhere": 1.5},
        {"bad": 1.5, "kind": "right or wrong"},
    ],
)
def test_a_slice_of_one_row_in_twenty_is_found_first(case):
    found = [look(seed, **case) for seed in range(15)]
    assert sum(item[0].where == "rare = 'EV'" and alarm(item) for item in found) >= 14


def test_a_slice_says_its_figures():
    worst = look(0, bad=2.0)[0]
    assert worst.labelled == worst.rows > 30
    assert worst.low < worst.value < worst.high
    assert worst.value > worst.rest
    assert worst.value > worst.expected
    assert not worst.named
    assert f"mae {worst.value:.3g} on {worst.labelled} labelled rows" in worst.reason
    assert "on the hold-out's" in worst.reason


def test_a_level_that_was_always_hard_is_no_news():
    found = look(0, rows=5000, held=5000, named=["carrier"])
    hard = next(item for item in found if item.where == "carrier = 'a'")
    assert hard.outcome is Outcome.PASS
    assert hard.value == pytest.approx(2.0, rel=0.15)
    assert hard.expected == pytest.approx(2.0, rel=0.15)


def test_a_new_level_is_held_against_the_rest():
    rng = np.random.default_rng(0)
    before, losses_before = draw(rng, 1000)
    frame, losses = draw(rng, 1000)
    new = np.arange(1000) < 60
    frame = frame.with_columns(
        carrier=pl.when(pl.Series(new)).then(pl.lit("zz")).otherwise("carrier")
    )
    losses[new] += 2.0
    worst = worst_slices(frame, losses, before, losses_before, metric="mae")[0]
    assert (worst.where, worst.outcome, worst.expected) == ("carrier = 'zz'", Outcome.FAIL, None)
    assert "none in the hold-out" in worst.reason


def test_a_pair_is_found_where_neither_of_its_sides_is_bad_alone():
    rng = np.random.default_rng(0)
    before, losses_before = draw(rng, 6000)
    frame, losses = draw(rng, 6000)
    both = ((frame["carrier"] == "b") & (frame["hour"] == 3)).to_numpy()
    losses[both] += 3.0
    found = [
        item
        for item in worst_slices(frame, losses, before, losses_before, metric="mae")
        if item.outcome is Outcome.FAIL
    ]
    assert any(
        {"carrier = 'b'", "hour = 3"} == set(item.where.split(" and ")) for item in found
    ) or {
        "carrier = 'b'",
        "hour = 3",
    } <= {item.where for item in found}


def test_a_bad_pair_is_not_told_beside_its_bad_side():
    found = look(0, rows=3000, held=3000, bad=2.0)
    assert not any(" and " in item.where and "EV" in item.where for item in found)


def test_bins_of_numbers_and_their_gaps_are_groups():
    rng = np.random.default_rng(0)
    before, losses_before = draw(rng, 2000)
    frame, losses = draw(rng, 900)
    high = frame["x0"].to_numpy() > 0.9
    assert worst_slices(frame, losses + 2.0 * high, before, losses_before, metric="mae")[
        0
    ].where.startswith("x0 >= 0.8")
    gaps = frame.with_columns(x1=pl.when(pl.Series(np.arange(900) % 9 > 0)).then("x1"))
    missing = np.arange(900) % 9 == 0
    worst = worst_slices(gaps, losses + 2.0 * missing, before, losses_before, metric="mae")[0]
    assert worst.where == "x1 is missing"


def test_named_columns_are_shown_whatever_they_say():
    found = look(0, named=["late", "rare"])
    named = {item.where: item for item in found if item.named}
    assert set(named) == {"late = true", "late = false", "rare = 'EV'", "rare = 'other'"}
    assert all(item.outcome is Outcome.PASS for item in named.values())


def test_a_named_slice_with_few_rows_cannot_be_judged():
    found = look(0, rows=200, named=["rare"])
    few = next(item for item in found if item.where == "rare = 'EV'")
    assert few.outcome is Outcome.UNSURE
    assert few.value is None
    assert "too few to judge" in few.reason


def test_where_nothing_is_worse_the_nearest_are_shown():
    found = look(0)
    assert len(found) == 3
    assert not alarm(found)


def test_rows_without_label_are_counted_and_not_judged():
    rng = np.random.default_rng(0)
    before, losses_before = draw(rng, 1000)
    frame, losses = draw(rng, 1000)
    losses[::2] = np.nan
    found = worst_slices(frame, losses, before, losses_before, metric="mae", named=["late"])
    shown = [item for item in found if item.named]
    assert sum(item.rows for item in shown) == 1000
    assert sum(item.labelled for item in shown) == 500


@pytest.mark.parametrize(("rows", "held"), [(20, 1000), (1000, 20)])
def test_few_rows_show_nothing(rows, held):
    assert look(0, rows=rows, held=held) == ()


def test_columns_that_are_no_groups_are_passed_over():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": [f"c{number}" for number in range(200)],
            "list": [[1]] * 200,
            "null": pl.Series([None] * 200, dtype=pl.Float64),
            "x": rng.normal(size=200),
        }
    )
    losses = rng.exponential(size=200)
    found = worst_slices(frame, losses, frame.drop("x"), losses, metric="mae")
    assert not alarm(found)
    assert not any(item.where.startswith(("id", "list", "x")) for item in found)


def test_a_group_of_nearly_all_rows_has_no_rest_to_be_held_against():
    rng = np.random.default_rng(4)
    rows = pl.DataFrame({"precip": [0.1] * 795 + [None] * 5})
    losses = rng.random((2, 800))
    losses[0] += 0.3
    shown = worst_slices(rows, losses[0], rows, losses[1], metric="mae", named=("precip",))
    assert {item.outcome for item in shown} == {Outcome.UNSURE}
