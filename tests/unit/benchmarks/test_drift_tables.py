"""What the drift bench measures: its streams and changes are what they say, its rates too."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "drift"))

from changes import CHANGES
from measuring import measure
from picture import draw_rates, panels, short
from rates import Rate, Row, gather
from report import cell, goals, percent, shown, table, verdict
from streams import STREAMS
from tables import TABLES, TITLES, UNCHANGED, Goal, Plan, Size, goal, plans

MOVED = {
    "stuck sensor": ["x7"],
    "unit x 1000, a column": ["x7"],
    "unit x 1000, 5 % of its rows": ["x7"],
    "new level, 5 %": ["c27"],
    "missing 0 to 30 %": ["x7"],
    "sd x 1.5": ["x7"],
    "correlation flipped": ["x1"],
    "one column 1 sd": ["x7"],
    "three columns 1 sd": ["x7", "x8", "x9"],
    "three columns 0.3 sd": ["x7", "x8", "x9"],
    "one column 0.3 sd": ["x7"],
    "one column 0.1 sd": ["x7"],
    "one column 0.02 sd": ["x7"],
}
PLAIN = Plan("independent", "independent", 400, (Size(60, 3, 2),))


@pytest.mark.parametrize("name", STREAMS)
def test_every_stream_makes_27_numbers_and_3_columns_of_levels(name):
    stream = STREAMS[name]
    frame = stream.frame(np.random.default_rng(0), 700, 50)
    types = [str(dtype) for column, dtype in frame.schema.items() if column != "ts"]
    assert (types.count("Float64"), types.count("String")) == (27, 3)
    assert 0.01 < frame["x3"].null_count() / 700 < 0.1
    assert frame.null_count().sum_horizontal()[0] == frame["x3"].null_count()
    assert ("ts" in frame.columns) == stream.timed
    assert frame.equals(stream.frame(np.random.default_rng(0), 700, 50))


def test_times_go_on_from_the_first_row():
    times = STREAMS["daily cycle, 1 min"].frame(np.random.default_rng(0), 3, 60)["ts"]
    assert [str(item) for item in times] == [f"2026-01-01 01:0{minute}:00" for minute in range(3)]


@pytest.mark.parametrize(("name", "lag"), [("AR(0.9)", 1), ("daily cycle + AR(0.9), 1 min", 15)])
def test_runs_have_the_correlation_of_their_name(name, lag):
    stream = STREAMS[name]
    rng = np.random.default_rng(0)
    values = stream.make(rng, 60_000, 0, stream.seconds)
    values = values - stream.make(np.random.default_rng(1), 60_000, 0, stream.seconds).mean(axis=0)
    if "cycle" in name:
        moment = np.arange(60_000) % 1440
        means = np.array([values[moment == at].mean(axis=0) for at in range(1440)])
        values = values - means[moment]
    found = [np.corrcoef(column[:-lag], column[lag:])[0, 1] for column in values.T]
    assert np.mean(found) == pytest.approx(0.9, abs=0.02)
    assert values.var() == pytest.approx(1.0, abs=0.06)


def test_a_run_starts_where_it_stays():
    make = STREAMS["AR(0.9)"].make
    first = [make(np.random.default_rng(at), 2, 0, 900.0)[0] for at in range(60)]
    assert np.var(first) == pytest.approx(1.0, abs=0.1)


def test_a_cycle_repeats_daily_and_the_weekly_one_has_two_low_days():
    rng = np.random.default_rng(0)
    values = STREAMS["daily cycle"].make(rng, 96 * 70, 0, 900.0)[:, 0]
    hours = values.reshape(70, 96).mean(axis=0)
    assert hours.max() - hours.min() == pytest.approx(2.0, abs=0.5)
    week = STREAMS["daily and weekly cycle"].make(rng, 96 * 70, 0, 900.0)
    days = week.mean(axis=1).reshape(10, 7, 96).mean(axis=(0, 2))
    assert days == pytest.approx([0, 0, 0, 0, 0, -1, -1], abs=0.05)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_moves_its_columns_and_no_other(name):
    frame = STREAMS["independent"].frame(np.random.default_rng(0), 2000)
    changed = CHANGES[name](frame, np.random.default_rng(1))
    assert (changed.columns, changed.height) == (frame.columns, 2000)
    moved = [item for item in frame.columns if not frame[item].equals(changed[item])]
    assert moved == MOVED[name]


@pytest.mark.parametrize(
    ("name", "share"),
    [("unit x 1000, 5 % of its rows", 0.05), ("new level, 5 %", 0.05), ("missing 0 to 30 %", 0.3)],
)
def test_a_share_of_rows_is_that_share(name, share):
    frame = STREAMS["independent"].frame(np.random.default_rng(0), 20_000)
    changed = CHANGES[name](frame, np.random.default_rng(1))
    column = MOVED[name][0]
    differ = frame[column].ne_missing(changed[column]).sum()
    assert differ / 20_000 == pytest.approx(share, rel=0.1)


def test_the_flipped_correlation_keeps_the_marginals():
    frame = STREAMS["independent"].frame(np.random.default_rng(0), 20_000)
    changed = CHANGES["correlation flipped"](frame, np.random.default_rng(1))
    before, after = (f.select(pl.corr("x0", "x1")).item() for f in (frame, changed))
    assert (before, after) == (pytest.approx(0.7, abs=0.02), pytest.approx(-0.7, abs=0.02))
    assert changed["x1"].mean() == pytest.approx(0, abs=0.02)


def test_plans_name_streams_and_changes_that_are_there():
    for name in TABLES:
        assert name in TITLES
        for plan in plans(name):
            assert plan.stream in STREAMS
            assert set(plan.changes) <= {UNCHANGED, *CHANGES}


@pytest.mark.parametrize(
    ("table_name", "stream", "rows", "change", "text"),
    [
        *[("independent", "independent", rows, UNCHANGED, "≤ 1.5 %") for rows in (200, 1_000_000)],
        *[("timed", "AR(0.9)", rows, UNCHANGED, "≤ 3 %") for rows in (36, 96, 200, 672)],
        ("timed", "daily cycle", 36, UNCHANGED, "≤ 3 %"),
        ("timed", "daily cycle + AR(0.9)", 672, UNCHANGED, "≤ 3 %"),
        *[
            ("changes", "independent", 200, name, "≥ 95 %")
            for name in (*list(MOVED)[:8], "three columns 0.3 sd")
        ],
        ("changes", "independent", 1_000, "one column 0.3 sd", "≥ 99 %"),
        ("changes", "independent", 10_000, "one column 0.1 sd", "≥ 99 %"),
        ("changes", "independent", 1_000_000, "one column 0.02 sd", "none"),
        ("changes", "independent", 1_000, "one column 0.1 sd", "None"),
        ("changes", "independent", 200, UNCHANGED, "≤ 1.5 %"),
        ("season", "daily cycle", 12, "three columns 1 sd", "≥ 80 %"),
        ("season", "daily cycle, 1 min", 180, "three columns 1 sd", "≥ 80 %"),
        ("season", "daily cycle, 1 min", 180, UNCHANGED, "≤ 3 %"),
        ("season", "daily cycle + AR(0.9)", 12, "three columns 1 sd", "None"),
    ],
)
def test_every_goal_is_held_against_a_row_that_is_measured(table_name, stream, rows, change, text):
    found = [
        str(goal(plan, rows, change))
        for plan in plans(table_name)
        if plan.stream == stream and change in plan.changes
        if rows in [size.rows for size in plan.sizes]
    ]
    assert found
    assert set(found) == {text}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(TABLES)), st.integers(1, 60), st.booleans())
def test_windows_are_as_many_as_asked_for_and_large_ones_never_more(name, windows, quick):
    usual = {plan.key: plan for plan in plans(name)}
    for plan in plans(name, quick=quick, windows=windows):
        before = {size.rows: size.per * size.draws for size in usual[plan.key].sizes}
        for size in plan.sizes:
            assert size.per * size.draws >= min(windows, before[size.rows])
            assert size.rows <= 10_000 or size.per * size.draws <= before[size.rows] + size.draws
            assert not quick or size.rows <= 10_000


def test_a_full_run_asks_ours_often_and_on_many_references():
    for plan in plans("independent"):
        for size in plan.sizes:
            assert size.rows > 1_000 or size.per * size.draws_of("ours") >= 1_000
            assert 1 <= size.draws_of("alibi") <= size.draws_of("ours")
    assert all(size.draws >= 40 for plan in plans("timed") for size in plan.sizes)


def test_intervals_are_wilsons_when_references_differ_by_chance_only():
    low, high = Rate([(50, 5, 0), (50, 5, 0)]).interval()  # Wilson for 10 of 100
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert Rate([(100, 0, 0)]).interval() == (0.0, pytest.approx(0.0370, abs=1e-4))
    assert Rate([(100, 100, 0)]).interval()[1] == pytest.approx(1.0)


def test_intervals_are_wider_when_a_reference_decides():
    alone = Rate([(100, 10, 0)]).interval()
    split = Rate([(10, 10, 0), *[(10, 0, 0)] * 9]).interval()
    assert split[1] - split[0] > 2 * (alone[1] - alone[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1)), min_size=1, max_size=8))
def test_an_interval_holds_its_rate(parts):
    rate = Rate([(asked, round(asked * share), 0) for asked, share in parts])
    low, high = rate.interval()
    assert 0 <= low <= rate.alarms + 1e-9
    assert rate.alarms - 1e-9 <= high <= 1


def test_a_job_depends_on_its_own_plan_only():
    wider = Plan("independent", "independent", 400, (Size(90, 1, 2), *PLAIN.sizes))
    one = measure(PLAIN, 1, ["alibi"])["counts"]
    two = measure(wider, 1, ["ours", "alibi"])["counts"]
    assert one
    assert {key: two[key] for key in one} == one
    assert measure(PLAIN, 1, ["alibi"])["counts"] == one
    assert {tuple(key.split("|")[:2]) for key in one} == {("60", UNCHANGED)}
    assert all(asked == 3 for asked, _, _ in one.values())


def test_a_rule_that_fails_is_named_and_leaves_the_others():
    job = measure(PLAIN, 0, ["os:getcwd", "nannyml"])
    assert list(job["errors"]) == ["0|os:getcwd"]
    assert "TypeError" in job["errors"]["0|os:getcwd"]
    [row] = gather(PLAIN, [job])
    assert (list(row.rates), list(row.errors)) == (["nannyml"], ["os:getcwd"])
    assert "Failed: os:getcwd: TypeError" in "\n".join(table("independent", [row]))


def test_changes_are_counted_by_window_and_change():
    changes = (UNCHANGED, "stuck sensor", "one column 0.02 sd")
    plan = Plan("changes", "independent", 3000, (Size(200, 2, 1), Size(12, 1, 1)), changes)
    rows = {(item.rows, item.change): item for item in gather(plan, [measure(plan, 0, ["ours"])])}
    assert len(rows) == 6
    assert rows[200, "stuck sensor"].rates["ours"].draws == [(2, 2, 0)]
    assert rows[200, "one column 0.02 sd"].rates["ours"].alarms < 1
    assert rows[12, UNCHANGED].rates["ours"].draws == [(1, 0, 1)]  # too few rows to tell
    assert "≥ 95 % reached" in verdict(rows[200, "stuck sensor"])


def row(alarms: int, windows: int, unsure: int = 0, change: str = UNCHANGED, **rates) -> Row:
    plan = Plan("changes" if change != UNCHANGED else "independent", "independent", 10_000, ())
    return Row(plan, 200, change, {"ours": Rate([(windows, alarms, unsure)]), **rates})


def test_a_goal_is_judged_from_the_figures():
    assert verdict(row(1, 100)) == "≤ 1.5 % reached"
    assert verdict(row(2, 100)) == "≤ 1.5 % **not reached** (may be chance)"
    assert verdict(row(20, 100)) == "≤ 1.5 % **not reached**"
    assert verdict(row(96, 100, change="stuck sensor")) == "≥ 95 % reached"
    assert verdict(row(10, 100, 90, change="stuck sensor")) == "≥ 95 % **not reached**"
    assert verdict(row(1, 100, change="one column 0.1 sd")) == ""
    assert Goal(0.0, most=True).reached(0.0)
    assert not Goal(0.0, most=True).reached(0.01)


def test_the_goals_show_the_row_that_is_furthest_from_each():
    text = "\n".join(goals([row(0, 100), row(3, 100), row(50, 100, change="sd x 1.5")]))
    assert "| false alarms, independent rows | ≤ 1.5 % | 1.5 % | 3.0 % [1.0, 8.5]" in text
    assert "**1 of 2**" in text
    assert "| found at 200 rows | ≥ 95 % | 50 % |" in text
    assert goals([]) == []


def test_cells_show_share_interval_doubt_and_fewer_windows():
    rate = Rate([(40, 1, 4)])
    assert cell(rate, 40) == "2.5 % [0.4, 13] ? 10 %"
    assert cell(rate, 100) == "2.5 % [0.4, 13] ? 10 % n = 40"
    lines = table("independent", [row(1, 100, slow=rate), row(0, 100)])
    assert lines[4].count("|") == lines[6].count("|") == lines[7].count("|")
    assert lines[4].startswith("| reference | window | windows | ours | slow |")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1.0, "100"), (0.99999, "100"), (0.015, "1.5"), (0.5, "50"), (0.956, "95.6")],
)
def test_percents_have_a_decimal_near_the_ends(share, text):
    assert percent(share) == text


def test_figures_and_sizes_are_short():
    assert [shown(item) for item in (0.12345, 1234.5, 20_000, "x")] == [
        *("0.123", "1,234", "20,000", "x")
    ]
    assert [short(rows) for rows in (96, 1_000, 1_000_000)] == ["96", "1k", "1M"]


def test_the_picture_shows_each_size_once_and_only_what_was_measured(tmp_path):
    plan = Plan("independent", "independent", 10_000, ())
    sizes = [Row(plan, rows, UNCHANGED, {"ours": Rate([(9, 1, 0)])}) for rows in (1_000, 200)]
    other = Row(Plan("changes", "independent", 10_000, ()), 200, UNCHANGED, sizes[0].rates)
    rows = {"independent": [*sizes, Row(plan, 9, UNCHANGED)], "changes": [other]}
    assert [[row.rows for row in found] for _, found in panels(rows)] == [[200, 1_000]]
    path = tmp_path / "rates.png"
    assert draw_rates(rows, path)
    assert path.read_bytes()[1:4] == b"PNG"
    assert not draw_rates({"independent": sizes[:1]}, path)
    assert not path.exists()  # an old picture would show another run
