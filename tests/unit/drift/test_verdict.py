"""What moved is found and told; what did not stays quiet, also when rows come in runs."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from scipy.signal import lfilter

from lifecycle.drift import build_profile, compare_frames
from lifecycle.records import Outcome

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC


def made(rows, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "x": base,
            "y": 0.8 * base + 0.6 * rng.normal(size=rows),
            "count": rng.poisson(3, rows),
            "plan": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]),
            "flag": rng.random(rows) < 0.4,
        }
    )


@pytest.fixture(scope="module")
def reference():
    return build_profile(made(5_000, 0))


def some(frame, share, seed=9):
    return pl.Series(np.random.default_rng(seed).random(frame.height) < share)


CHANGES = {
    "location": (lambda f: f.with_columns(pl.col("x") + 0.6), "x", "x is higher: median "),
    "lower": (lambda f: f.with_columns(pl.col("x") - 0.6), "x", "x is lower: median "),
    "spread": (lambda f: f.with_columns(pl.col("x") * 2), "x", "x is more spread out"),
    "narrow": (lambda f: f.with_columns(pl.col("x") / 3), "x", "x is less spread out"),
    "stuck": (lambda f: f.with_columns(x=pl.lit(0.01)), "x", "x is "),
    "unit": (lambda f: f.with_columns(pl.col("x") * 1000), "x", "x is "),
    "missing": (
        lambda f: f.with_columns(x=pl.when(some(f, 0.3)).then(None).otherwise("x")),
        "x",
        "x is missing in ",
    ),
    "all null": (
        lambda f: f.with_columns(x=pl.lit(None, dtype=pl.Float64)),
        "x",
        "x is missing in 100 % of rows instead of 0 %",
    ),
    "all null, no type": (
        lambda f: f.with_columns(plan=pl.lit(None)),
        "plan",
        "plan is missing in 100 %",
    ),
    "range": (
        lambda f: f.with_columns(x=pl.when(some(f, 0.05)).then(50.0).otherwise("x")),
        "x",
        "x is out of range: ",
    ),
    "new level": (
        lambda f: f.with_columns(plan=pl.when(some(f, 0.05)).then(pl.lit("z")).otherwise("plan")),
        "plan",
        "plan has values the reference never had in ",
    ),
    "levels": (
        lambda f: f.with_columns(plan=pl.when(some(f, 0.3)).then(pl.lit("c")).otherwise("plan")),
        "plan",
        "plan is 'c' in ",
    ),
    "boolean": (lambda f: f.with_columns(~pl.col("flag")), "flag", "flag is '"),
    "correlation": (
        lambda f: f.with_columns(x=f["x"].shuffle(seed=1)),
        "x",
        "x and y are correlated ",
    ),
    "gone": (lambda f: f.drop("x"), "x", "x is missing from the live data"),
    "added": (lambda f: f.with_columns(z=1), "z", "z is new"),
    "type": (lambda f: f.with_columns(pl.col("x").cast(pl.String)), "x", "x is of type String"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_and_told(reference, change):
    alter, name, told = CHANGES[change]
    report = compare_frames(reference, alter(made(1_000, 1)))
    assert report.drifted
    assert report.exit_code == 2
    assert report.columns[name].drifted
    assert report.columns[name].reason.startswith(told)
    assert report.columns[name].reason in report.reasons
    assert next(iter(report.columns.values())).drifted


def test_only_what_changed_is_named(reference):
    report = compare_frames(reference, made(1_000, 1).with_columns(pl.col("count") + 2))
    assert [name for name, column in report.columns.items() if column.drifted] == ["count"]


def test_no_change_passes_with_scores(reference):
    report = compare_frames(reference, made(1_000, 2))
    assert report.outcome is Outcome.PASS
    assert report.exit_code == 0
    assert report.reasons == ()
    assert all(column.score is not None for column in report.columns.values())


def test_false_alarms_on_independent_rows_are_rare(reference):
    alarms = sum(compare_frames(reference, made(300, seed)).drifted for seed in range(100, 160))
    assert alarms <= 4


def test_a_tiny_shift_of_many_rows_is_no_alarm():
    rng = np.random.default_rng(0)
    sides = [pl.DataFrame({"x": rng.normal(size=300_000) + shift}) for shift in (0.0, 0.02)]
    report = compare_frames(*sides)
    assert report.columns["x"].p_value < 1e-3
    assert not report.drifted


def runs(rows, seed, shift=0.0):
    noise = np.random.default_rng(seed).normal(size=(rows + 300, 4)) * np.sqrt(1 - 0.81)
    values = lfilter([1.0], [1.0, -0.9], noise, axis=0)[300:] + shift
    step = dt.timedelta(minutes=15)
    times = pl.datetime_range(START, START + step * (rows - 1), step, eager=True)
    return pl.DataFrame({"ts": times, **{f"x{n}": values[:, n] for n in range(4)}})


def test_rows_in_runs_do_not_cry_wolf_but_are_heard():
    frame = runs(30_000, 0)
    profile = build_profile(frame[:6_000], time="ts")
    windows = [frame[start : start + 700] for start in range(7_000, 29_000, 700)]
    reports = [compare_frames(profile, window) for window in windows]
    assert sum(report.drifted for report in reports) <= 2
    assert all(report.columns["x0"].design_effect > 5 for report in reports)
    naive = [compare_frames(profile.__class__(**{**profile.__dict__, "window": None}), window)
             for window in windows[:10]]  # fmt: skip
    assert sum(report.drifted for report in naive) >= 8
    shifted = compare_frames(profile, windows[0].with_columns(pl.col("x0") + 2.5))
    assert shifted.drifted
    assert "rows in a run as one" in shifted.columns["x0"].reason


def test_a_window_inside_one_run_cannot_tell():
    profile = build_profile(runs(4_000, 0), time="ts")
    report = compare_frames(profile, runs(31, 5).with_columns(pl.col("ts") + dt.timedelta(days=90)))
    assert report.outcome is Outcome.UNSURE
    assert report.exit_code == 3
    assert "too short to tell" in report.reasons[0]


def test_rows_of_the_same_period_share_its_runs():
    frame = runs(4_000, 0)
    picked = pl.Series(np.random.default_rng(0).random(4_000) < 0.5)
    report = compare_frames(frame.filter(picked), frame.filter(~picked), time="ts")
    assert report.outcome is Outcome.PASS
    assert report.columns["x0"].design_effect == 1.0


@pytest.mark.parametrize("rows", [0, 1, 5, 29])
def test_few_rows_are_not_enough_evidence(reference, rows):
    report = compare_frames(reference, made(rows, 3))
    assert report.outcome is Outcome.UNSURE
    assert "30 are needed" in report.reasons[0]


def test_an_alarm_comes_before_not_enough_evidence(reference):
    report = compare_frames(reference, made(20, 3).with_columns(pl.col("x") * 1000 + 900))
    assert report.drifted
    assert report.columns["x"].test == "out of range"


def test_an_empty_reference_is_not_enough():
    frame = pl.DataFrame({"x": pl.Series([], dtype=pl.Float64)})
    assert compare_frames(frame, pl.DataFrame({"x": [1.0] * 50})).outcome is Outcome.UNSURE


def test_what_is_not_compared_by_value_is_named():
    odd = pl.DataFrame({"when": [START] * 40, "list": [[1]] * 40, "none": [None] * 40})
    report = compare_frames(odd, odd)
    assert set(report.not_monitored) == {"when", "list", "none"}
    assert report.outcome is Outcome.UNSURE


def test_the_report_is_plain_json(reference):
    import json

    tree = compare_frames(reference, made(100, 1)).to_dict()
    assert json.loads(json.dumps(tree))["outcome"] == "pass"


def test_ignored_columns_are_not_looked_at(reference):
    live = made(200, 1).with_columns(pl.col("x") + 5, extra=1)
    report = compare_frames(reference, live, ignore=["x", "y", "extra"])
    assert report.outcome is Outcome.PASS
    assert set(report.columns) == {"count", "plan", "flag"}
