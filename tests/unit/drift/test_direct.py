"""A regression's error without labels: it follows inputs, and labels show where it cannot."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.direct import LEAST_ROWS, LossModel, loss_estimate
from lifecycle.records import Metric, ModelSpec, Outcome


def draw(rng, rows, *, moved=0.0, concept=0.0):
    """Errors that grow with x and are twice as large at level a."""
    x, z = rng.normal(size=rows) + moved, rng.normal(size=rows)
    level = rng.choice(["a", "b", "c"], rows)
    error = np.exp(0.4 * x) * np.where(level == "a", 2.0, 1.0) * rng.normal(size=rows)
    return pl.DataFrame({"x": x, "z": z, "level": level}), x + z, x + z + error + concept * x


def one(seed, name="rmse", *, held=1500, rows=1500, labelled=None, **change):
    rng = np.random.default_rng(seed)
    spec = ModelSpec(
        1, "regression", (), primary_metric=name,
        metrics=(Metric("rmse", 1.7, 1.6, 1.8, False), Metric("mae", 1.2, 1.1, 1.3, False)),
    )  # fmt: skip
    before, prediction_before, truth_before = draw(rng, held)
    frame, prediction, truth = draw(rng, rows, **change)
    model = LossModel.fit(before, prediction_before, truth_before, spec=spec)
    labels = truth.astype(object)
    if labelled is not None:
        labels[labelled:] = None
    return loss_estimate(model, frame, prediction, labels, spec=spec)


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_inputs_that_move_are_followed(name):
    found = [one(seed, name, moved=0.6) for seed in range(8)]
    errors = np.array([(item.difference_high - item.difference_low) / 3.92 for item in found])
    misses = np.array([item.difference for item in found]) / errors
    assert (np.abs(misses) < 4).all()
    assert abs(misses.mean()) < 1.2
    assert all(item.value > 1.1 * item.expected for item in found), "worse than the hold-out"
    assert sum(item.holds is False for item in found) <= 1


def test_a_target_that_changes_at_equal_inputs_breaks_the_assumption():
    found = [one(seed, "mae", concept=1.5) for seed in range(5)]
    assert sum(item.holds is False for item in found) >= 4
    assert all(item.realised > item.estimated for item in found)
    assert "inputs may move, within what the hold-out holds" in found[0].assumption


def test_r2_is_stood_in_for():
    found = one(0, "r2")
    assert (found.metric, found.method, found.expected) == ("rmse", "direct loss", 1.7)
    assert not found.higher_is_better


def test_the_same_rows_give_the_same_estimate():
    assert one(0).value == one(0).value


@pytest.mark.parametrize(("labelled", "reason"), [(0, "0 labelled"), (49, "49 labelled")])
def test_few_labels_do_not_judge_it(labelled, reason):
    found = one(0, labelled=labelled)
    assert found.value is not None
    assert found.holds is None
    assert reason in found.reason


def test_of_many_rows_a_part_is_estimated():
    found = one(0, "mae", rows=120_000)
    assert found.rows == 120_000
    assert found.labelled_rows == 40_000
    assert found.holds is True


def test_few_live_rows_are_not_estimated():
    assert one(0, rows=20).value is None


def test_a_small_hold_out_teaches_nothing():
    rng = np.random.default_rng(0)
    spec = ModelSpec(1, "regression", (), primary_metric="rmse")
    assert LossModel.fit(*draw(rng, LEAST_ROWS - 1), spec=spec) is None
    assert LossModel.fit(*draw(rng, LEAST_ROWS), spec=spec) is not None


def test_rows_of_any_kind_become_numbers():
    rng = np.random.default_rng(0)
    rows = 300
    first = dt.datetime.fromisoformat("2026-01-01")
    frame = pl.DataFrame(
        {
            "at": [first + dt.timedelta(hours=hour) for hour in range(rows)],
            "yes": rng.random(rows) < 0.5,
            "level": [None, "a", "b"] * 100,
            "whole": [1, None, 3] * 100,
            "infinite": [np.inf, np.nan, 1.0] * 100,
            "list": [[1.0]] * rows,
            "id": [f"c{row}" for row in range(rows)],
        }
    )
    spec = ModelSpec(1, "regression", (), primary_metric="mae")
    model = LossModel.fit(frame, np.zeros(rows), rng.normal(size=rows), spec=spec)
    live = frame.drop("whole").with_columns(level=pl.lit("new"))
    found = loss_estimate(model, live, np.zeros(rows), np.full(rows, None), spec=spec)
    assert found.value == pytest.approx(0.8, abs=0.15)
    assert found.outcome is Outcome.UNSURE
