"""The bench of rollouts: its streams and rules are what they say, and its quick run works."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "rollout"))

from arrivals import LOOK, LOOKS, counted, delayed, diurnal, drifting, incidents, steady, steps_of
from deciders import RULES, first, harm, judged, ours
from decisions import rolled_out
from event_tables import agreement
from latencies import drifting_level, heavy, lognormal, measured, sums, wild
from shown import Section, document, interval, rate_of, reached, requests_of, table
from stickiness import Visits, by_key, by_request, first_met, slow, visits

from lifecycle.rollout.numbers import contrast

BENCH = Path(__file__).parents[3] / "benchmarks" / "rollout"


def test_the_schedule_is_the_designs():
    step = steps_of(100)
    assert [int((step == at).sum()) for at in range(4)] == [20, 20, 20, 40]
    assert LOOKS * LOOK == 80_000


@pytest.mark.parametrize("base", [steady, drifting, diurnal, incidents])
def test_base_rates_are_rates(base):
    rate = base(np.random.default_rng(0), (50, LOOKS))
    assert rate.shape == (50, LOOKS)
    assert (rate > 0).all()
    assert (rate <= 0.3).all()


def test_counts_have_the_shares_and_rates_that_were_asked_for():
    seen = counted(np.random.default_rng(0), 200, LOOKS, steady, ratio=2.0, off=0.7)
    assert ((seen.units + seen.champion_units) == LOOK).all()
    assert seen.units[:, seen.step == 2].mean() / LOOK == pytest.approx(0.175, rel=0.02)
    assert seen.events.sum() / seen.units.sum() == pytest.approx(0.04, rel=0.03)
    assert seen.requests()[0, 0, -1] == 80_000


def test_late_labels_are_known_late():
    seen = counted(np.random.default_rng(1), 3, 30, steady)
    mine, theirs, _ = delayed(seen, 8, 2, blocks=True)
    assert mine.shape == (3, 30, 30)
    for look, block, known in ((9, 1, True), (9, 2, False), (29, 21, True), (29, 22, False)):
        # both arms' labels of a block are needed, the champion's take 8 looks
        expected = seen.champion_events[:, block] if known else 0
        assert (theirs[:, look, block] == expected).all()
    by_step, _, share = delayed(seen, 0, 0, blocks=False)
    assert (by_step[:, -1, 0] == seen.events[:, :20].sum(axis=1)).all()
    assert share[0, -1, 0] == seen.units[0, :20].sum() / 20_000


def test_every_rule_finds_a_disaster_and_ours_no_difference_where_there_is_none():
    disaster = counted(np.random.default_rng(2), 20, LOOKS, steady, ratio=40.0)
    for name, rule in RULES.items():
        assert (rule(disaster) < LOOKS).all(), name
    same = counted(np.random.default_rng(3), 200, LOOKS, drifting)
    assert (ours(same) < LOOKS).mean() < 0.05
    assert (ours(same, 10) < LOOKS).mean() <= (ours(same) < LOOKS).mean()
    assert harm(same).shape == (200, LOOKS)


def test_the_first_alarm_is_told():
    alarm = np.array([[False, True, True], [False, False, False], [True, False, False]])
    assert first(alarm).tolist() == [1, 3, 0]


def test_mann_whitney_looks_every_half_hour():
    values = np.ones((2, 60))
    values[0, 30:] = 9.0
    assert judged(values, np.ones((2, 60))).tolist() == [59, 60]


def test_evidence_is_weighs_own():
    assert agreement(1, 3) < 1e-9


def test_sums_are_the_contrast_of_the_guard():
    rng = np.random.default_rng(4)
    step = np.array([0, 0, 1])
    values, mine = rng.normal(size=(2, 3 * LOOK)), rng.random((2, 3 * LOOK)) < 0.2
    s, squares, expected, w = sums(values, mine, step)
    for look in range(3):
        end = (look + 1) * LOOK
        at = step[np.arange(end) // LOOK]
        share = np.array([mine[1, :end][at == which].mean() for which in np.unique(at)])[at]
        made = contrast(values[1, :end], mine[1, :end], share)
        assert s[1, look] == pytest.approx(made[0])
        assert (squares + 2 * expected)[1, look] / 3 == pytest.approx(made[1])
        assert w[1, look] == pytest.approx(made[2])


@pytest.mark.parametrize("draw", [lognormal, drifting_level, heavy, wild])
def test_every_kind_of_latency_is_judged_by_every_rule(draw):
    found = measured(np.random.default_rng(5), 11, 30, draw, slower=50.0)
    assert all(stops.shape == (11,) for stops in found.values())
    if draw is not wild:
        assert (found["ours"] < 30).all()


def test_a_key_is_a_unit_until_its_first_event():
    #                  key 0 fails at once, key 1 in the second step, key 2 never and is met late
    key = np.array([0, 0, 1] + [2] * 997 + [0] * 500 + [1] * 500)
    event = np.zeros(2000, bool)
    event[[0, 1, 1700]] = True
    place = np.full(3000, 0.9)
    place[1] = 0.02  # the champion's at 1 %, the challenger's at 5 %
    rollout = Visits(key, place, event, np.zeros(2000), np.array([0, 1]))
    seen = by_key(rollout)
    assert (seen.champion_units[0].tolist(), seen.champion_events[0].tolist()) == ([3, 0], [1, 0])
    assert (seen.units[0].tolist(), seen.events[0].tolist()) == ([0, 1], [0, 1])
    single = by_request(rollout)
    assert (single.champion_events[0].tolist(), single.events[0].tolist()) == ([2, 0], [0, 1])
    mine, rest = first_met(rollout)
    assert (mine[0].tolist(), rest[0].tolist()) == ([0, 0], [3, 0])


def test_keys_make_a_difference_to_the_mean():
    rollout = visits(np.random.default_rng(6), 40)
    assert rollout.key.size == 40_000
    assert not slow(rollout, 50.0)
    shifted = Visits(
        rollout.key, rollout.place, rollout.event, rollout.value + 2 * rollout.mine(), rollout.step
    )
    assert slow(shifted, 3.0, clustered=False)


def test_whole_rollouts_are_decided():
    bad = rolled_out(np.random.default_rng(7), rate=0.02, ratio=20.0, looks=30)
    assert (bad.action, bad.step) == ("rollback", 0)
    assert bad.exposed < 300
    none = rolled_out(np.random.default_rng(8), rate=0.02, ratio=1.0, looks=2)
    assert (none.action, none.requests) == ("wait", 2000)


def test_figures_are_shown_with_their_interval_and_their_goal():
    assert rate_of(np.zeros(100, bool)) == "0.0 % [0.0, 3.6]"
    low, high = interval(5, 100)
    assert low < 0.05 < high
    assert interval(7, 7)[1] == 1.0
    assert [requests_of(count) for count in (float("nan"), 900.0, 27_000.0)] == [
        "never", "900", "27k"
    ]  # fmt: skip
    assert reached(good=False, goal="≤ 5 %") == "≤ 5 % **missed**"
    section = Section("A", "about", ["x", "y"], [["1", "2"]])
    assert "| 1 | 2 |" in table(section)
    text = document([section], "python run.py", 1.0, "rates.png")
    assert "    python run.py" in text
    assert text.endswith("| 1 | 2 |\n")


@pytest.mark.slow
def test_the_quick_run_writes_all_tables(tmp_path):
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--output"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "RESULTS.md")],
        capture_output=True,
        text=True,
        env=environ,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert text == done.stdout.removesuffix("\n")
    assert "run.py --quick" in text
    for title in ("sticky keys", "Detection", "Shadow", "certificate", "Sample-ratio", "Whole"):
        assert title in text
    assert (tmp_path / "rates.png").stat().st_size > 10_000
