"""Counts of real logs raise few false alarms: sticky keys of unequal rates, moving shares.

Each rollout is written as a log, counted and weighed as a controller would do it at four looks. At
alpha 0.05, of 40 harmless rollouts more than 6 are alarms with a probability under 1 % (binomial).
"""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from lifecycle.records import Arm, Outcome, Rollout, RolloutSpec
from lifecycle.rollout.assignment import place
from lifecycle.rollout.guards import parse
from lifecycle.rollout.numbers import contrasts
from lifecycle.rollout.weighing import imbalance, weigh
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.log import PredictionLog
from lifecycle.stores.rows import COLUMNS
from lifecycle.stores.tallies import counted
from lifecycle.workflows.counting import measures

pytestmark = pytest.mark.slow
SECRET = b"k" * 32
BEGAN = 1_775_044_800_000_000
STEPS = (0.05, 0.25, 0.5, 0.95)
REQUESTS = 1500  # a step
RUNS, MOST = 40, 6
ARMS = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))


def rollout(step, *guards):
    spec = RolloutSpec("churn", "canary", ARMS, steps=STEPS, margins=(2.0,), guards=guards,
                       hold_back=0.05)  # fmt: skip
    return Rollout(
        spec, seq=1, step=step, started=datetime.fromtimestamp(BEGAN / 1e6, UTC).isoformat()
    )


def requests(rng, salt, *, keys, harm=1.0):
    """Frames of the log, one a step: few keys, some of which fail often; rates rise fourfold."""
    tempers = rng.gamma(0.3, 1.0, keys)
    places = np.array([place(salt, f"k{key}") for key in range(keys)])
    popular = rng.dirichlet(np.full(keys, 0.3))
    for step, share in enumerate(STEPS):
        key = rng.choice(keys, REQUESTS, p=popular)
        mine = places[key] < share
        at = BEGAN + ((step * REQUESTS + np.arange(REQUESTS)) * 20 * 1_000_000) + 1_000_000
        base = 0.01 * (1.0 + 3.0 * step / len(STEPS))
        failed = rng.random(REQUESTS) < np.minimum(base * tempers[key] / 0.3, 1.0) * np.where(
            mine, harm, 1.0
        )
        arms = np.where(mine, "challenger", "champion")
        tokens = [
            ids.issue(SECRET, model="churn", version=8 if one else 7, time=int(time), step=step,
                      arm="challenger" if one else "champion", key=f"k{name}")
            for one, time, name in zip(mine, at, key, strict=True)
        ]  # fmt: skip
        slow = np.exp(rng.normal(1.0 + tempers[key] / 3.0, 0.3))
        yield pl.DataFrame(
            {
                "prediction_id": tokens,
                "time": pl.Series(at).cast(pl.Datetime("us", "UTC")),
                "model": ["churn"] * REQUESTS,
                "arm": arms.tolist(),
                "version": np.where(mine, 8, 7),
                "step": np.full(REQUESTS, step),
                "key": [f"k{name}" for name in key],
                "latency_ms": slow * np.where(mine, harm, 1.0),
                "features": pl.DataFrame({"x": np.zeros(REQUESTS)}).to_struct(),
                "prediction": np.ones(REQUESTS, int),
                "score": np.full(REQUESTS, 0.5),
                "error": ["failed" if bad else None for bad in failed],
            }
        ).select(COLUMNS)


def alarmed(folder, frames, *guards, labels=None):
    """Whether any look finds harm, and whether any doubts the shares."""
    watched = [parse(text) for text in guards]
    harm = doubted = False
    for step, frame in enumerate(frames):
        PredictionLog(folder).write("churn", frame)
        if labels is not None:
            labels(folder, frame)
        now = rollout(step, *guards)
        found = counted([folder], now, measures(watched), contrasts=contrasts)
        evidence = weigh(now.spec, step, found.tallies, watched)
        harm |= any(item.outcome is Outcome.FAIL for item in evidence)
        doubted |= imbalance(now.spec, found.tallies).outcome is Outcome.FAIL
    return harm, doubted


def alarms(tmp_path, *guards, runs=RUNS, harm=1.0, labels=None, keys=150):
    found = []
    for run in range(runs):
        rng = np.random.default_rng(run)
        frames = requests(rng, f"salt {run}", keys=keys, harm=harm)
        own = None if labels is None else lambda folder, frame, rng=rng: labels(folder, frame, rng)
        found.append(alarmed(tmp_path / f"{run}", frames, *guards, labels=own))
    return sum(harm for harm, _ in found), sum(doubted for _, doubted in found)


def test_sticky_keys_of_unequal_rates_raise_few_false_alarms(tmp_path):
    harmful, doubted = alarms(tmp_path, "errors", "latency")
    assert harmful <= MOST
    assert doubted <= 1


def test_with_requests_as_units_the_same_rollouts_are_not_what_was_planned(tmp_path):
    """That the above is no easy exam: who comes often weighs as much as many."""

    def without_keys(rng, run):
        for frame in requests(rng, f"salt {run}", keys=150):
            yield frame.with_columns(key=pl.lit(None, dtype=pl.String))

    found = [
        alarmed(tmp_path / f"{run}", without_keys(np.random.default_rng(run), run), "errors")
        for run in range(12)
    ]
    assert sum(doubted for _, doubted in found) >= 6


def test_the_same_rollouts_with_thrice_the_errors_are_found(tmp_path):
    harmful, _ = alarms(tmp_path, "errors", "latency", runs=10, harm=3.0)
    assert harmful >= 8


def test_labels_that_come_later_in_one_arm_raise_few_false_alarms(tmp_path):
    def late(folder, frame, rng):
        """Labels of the champion at once, of the challenger only for the first half so far."""
        wrong = frame["error"].is_not_null().cast(pl.Int64)  # equal in both arms
        early = pl.Series(np.arange(len(frame)) < len(frame) // 2)
        told = (frame["arm"] == "champion") | early
        batch = frame.select("prediction_id", label=1 - wrong).filter(told)
        batch = batch.filter(pl.Series(rng.random(len(batch)) < 0.8))
        LabelStore(folder).add("churn", batch, SECRET)

    harmful, _ = alarms(tmp_path, "label_error", runs=24, labels=late)
    assert harmful <= 4
