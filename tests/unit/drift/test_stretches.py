"""Stretches of time: labels that go together count once in every verdict on labels."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.calibration import calibration
from lifecycle.drift.estimated import Promised, estimate
from lifecycle.drift.performance import performance
from lifecycle.drift.slices import worst_slices
from lifecycle.drift.stretches import STRETCHES, freedom, inflation, time_blocks
from lifecycle.models import metrics
from lifecycle.records import ModelSpec, Outcome

ROWS, DAYS = 2_000, 20
START = datetime.fromisoformat("2026-01-01")
CLASSES = (0, 1)


def times(rows=ROWS, days=DAYS):
    step = timedelta(days=days) / rows
    return pl.Series([START + step * row for row in range(rows)])


def days_of_delay(rng, rows=ROWS):
    """Scores and labels of rows that share their day's luck."""
    score = rng.uniform(0.1, 0.5, rows)
    day = rng.normal(scale=1.0, size=DAYS)[np.arange(rows) * DAYS // rows]
    share = 1 / (1 + np.exp(-(np.log(score / (1 - score)) + day)))
    return score, (rng.random(rows) < share).astype(int)


def test_stretches_are_of_equal_time():
    blocks = time_blocks(times())
    assert np.bincount(blocks).tolist() == [ROWS // STRETCHES] * STRETCHES
    assert freedom(blocks) == STRETCHES - 1


@pytest.mark.parametrize(
    "given",
    [None, pl.Series([], dtype=pl.Datetime), pl.Series([START] * 5), pl.Series([START, None])],
    ids=["none", "empty", "all the same", "null"],
)
def test_rows_without_a_course_of_time_are_independent(given):
    assert time_blocks(given) is None


def test_independent_rows_are_hardly_inflated():
    rng = np.random.default_rng(0)
    found = [inflation(rng.normal(size=ROWS), time_blocks(times())) for _ in range(50)]
    assert np.mean(found) < 1.2


def test_a_shared_day_is_seen():
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=STRETCHES), 100) + rng.normal(size=ROWS)
    assert inflation(values, time_blocks(times())) > 4


def alarms(test, *, blocked, windows=60):
    """Of windows in which nothing changed, the share that each test calls changed."""
    blocks = time_blocks(times()) if blocked else None
    found = 0
    for seed in range(windows):
        rng = np.random.default_rng([seed, 7])
        found += test(days_of_delay(rng), days_of_delay(rng), blocks)
    return found / windows


def harmed(before, after, blocks):
    kept = {"classes": CLASSES, "blocks": blocks}
    then = metrics.evaluate("log_loss", before[1], None, before[0], **kept)
    spec = ModelSpec(1, "binary", (), classes=CLASSES, primary_metric="log_loss", metrics=(then,))
    seen = performance(after[1], np.zeros(ROWS, int), after[0], spec=spec, blocks=blocks)
    return seen.harmed


def miscalibrated(before, after, blocks):
    return calibration(*before, *after, blocks=(blocks, blocks)).outcome is Outcome.FAIL


def broken(before, after, blocks):
    spec = ModelSpec(1, "binary", (), classes=CLASSES, primary_metric="accuracy")
    table = [np.column_stack((1 - side[0], side[0])) for side in (before, after)]
    model = Promised.fit(table[0], before[1], spec=spec)
    answers = np.zeros(ROWS, int)
    said = estimate(model, answers, table[1], after[1].tolist(), spec=spec, blocks=blocks)
    return said.holds is False


def worse_somewhere(before, after, blocks):
    rng = np.random.default_rng(3)
    rows = pl.DataFrame({"week": np.arange(ROWS) * 4 // ROWS, "x": rng.random(ROWS)})
    losses = [np.abs(label - score) for score, label in (after, before)]
    found = worst_slices(rows, losses[0], rows, losses[1], metric="mae", blocks=(blocks, blocks))
    return any(item.outcome is Outcome.FAIL for item in found)


@pytest.mark.parametrize("test", [harmed, miscalibrated, broken, worse_somewhere])
def test_days_in_common_are_no_change(test):
    assert alarms(test, blocked=True) <= 0.05
    assert alarms(test, blocked=False) >= 0.15, "the case is hard for tests of independent rows"


def test_a_group_of_one_or_two_days_says_nothing_of_others():
    """Sundays of a fortnight are two days; a bad one is no bad group."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 11])
        weekday = (np.arange(ROWS) * DAYS // ROWS) % 10
        rows = pl.DataFrame({"weekday": weekday, "x": rng.random(ROWS)})
        losses = [
            rng.gamma(2.0, size=ROWS) * rng.gamma(4.0, size=DAYS)[np.arange(ROWS) * DAYS // ROWS]
            for _ in range(2)
        ]
        blocks = (time_blocks(times()),) * 2
        worst = worst_slices(rows, losses[0], rows, losses[1], metric="mae", blocks=blocks)
        found += any(item.outcome is Outcome.FAIL for item in worst)
    assert found <= 3


def test_a_group_of_one_stretch_has_no_interval():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"last": np.arange(ROWS) >= ROWS - 100})
    losses = rng.random((2, ROWS))
    blocks = (time_blocks(times()),) * 2
    shown = worst_slices(rows, losses[0], rows, losses[1], metric="mae", blocks=blocks)
    alone = next(item for item in shown if item.where == "last = true")
    assert (alone.low, alone.high, alone.outcome) == (None, None, Outcome.PASS)


def test_a_real_loss_is_found_through_shared_days():
    rng = np.random.default_rng(5)
    before, after = days_of_delay(rng), days_of_delay(rng)
    upside_down = (1 - after[0], after[1])
    assert harmed(before, upside_down, time_blocks(times()))
