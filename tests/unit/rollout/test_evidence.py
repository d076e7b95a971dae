"""Evidence of event counts: what it must never do, and that its level holds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lifecycle.rollout.evidence import (
    ABOVE,
    log_e,
    log_e_arrays,
    log_e_certificate,
    log_e_rate,
    log_e_rate_arrays,
    log_e_sample,
    log_e_sample_arrays,
    log_mean,
    ratio_interval,
)

COUNT = st.integers(0, 3000)
SHARE = st.floats(0.002, 0.998)
STEPS = st.lists(st.tuples(COUNT, COUNT, SHARE), min_size=1, max_size=5)
RATIO = st.sampled_from([0.2, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0])
SIDE = st.sampled_from(["above", "below", "both"])
LIMIT = math.log(20.0)
few = settings(max_examples=25, deadline=None)


def swapped(steps):
    return [(theirs, ours, 1.0 - share) for ours, theirs, share in steps]


def by_hand(steps, against, factors):
    """The mean of likelihood ratios as the formula has it, without logarithms."""
    total = 0.0
    for factor, weight in factors:
        r, product = against * factor, 1.0
        for k, l, p in steps:  # noqa: E741 - the formula's own name
            q, q0 = p * r / (p * r + 1 - p), p * against / (p * against + 1 - p)
            product *= (q / q0) ** k * ((1 - q) / (1 - q0)) ** l
        total += weight * product
    return math.log(total / sum(weight for _, weight in factors))


def test_it_is_the_mixture_of_binomial_likelihood_ratios():
    steps = [(3, 40, 0.05), (9, 20, 0.25)]
    assert log_e(steps, against=1.0, side="above") == pytest.approx(by_hand(steps, 1.0, ABOVE))
    both = [*ABOVE, *((1 / factor, weight) for factor, weight in ABOVE)]
    assert log_e(steps, against=2.0, side="both") == pytest.approx(by_hand(steps, 2.0, both))


@few
@given(STEPS, RATIO, SIDE)
def test_arms_that_change_places_change_the_side(steps, against, side):
    other = {"above": "below", "below": "above", "both": "both"}[side]
    mirrored = log_e(swapped(steps), against=1.0 / against, side=other)
    assert log_e(steps, against=against, side=side) == pytest.approx(mirrored, rel=1e-6, abs=1e-6)


@few
@given(STEPS, RATIO, st.integers(1, 50))
def test_more_events_of_the_challenger_are_more_evidence_of_harm(steps, against, more):
    (ours, theirs, share), rest = steps[0], steps[1:]
    worse = [(ours + more, theirs, share), *rest]
    assert log_e(worse, against=against, side="above") > log_e(steps, against=against, side="above")
    assert log_e(worse, against=against, side="below") < log_e(steps, against=against, side="below")


@few
@given(STEPS, RATIO, SIDE, st.integers(0, 3000))
def test_steps_of_the_same_share_may_be_told_as_one(steps, against, side, cut):
    ours, theirs, share = steps[0]
    parts = [(min(cut, ours), min(cut, theirs), share)]
    parts.append((ours - parts[0][0], theirs - parts[0][1], share))
    whole = log_e(steps, against=against, side=side)
    assert log_e([*parts, *steps[1:]], against=against, side=side) == pytest.approx(whole)


@few
@given(STEPS, RATIO, SIDE)
def test_the_order_of_steps_does_not_matter(steps, against, side):
    turned = log_e(steps[::-1], against=against, side=side)
    assert log_e(steps, against=against, side=side) == pytest.approx(turned)


@few
@given(STEPS, st.sampled_from([0.05, 0.005]))
def test_the_interval_holds_the_estimate_and_what_the_tests_leave(steps, alpha):
    estimate, low, high = ratio_interval(steps, alpha)
    if math.isnan(estimate):
        assert all(ours + theirs == 0 for ours, theirs, _ in steps)
        assert (low, high) == (0.0, math.inf)
        return
    assert low <= estimate <= high
    limit = math.log(1.0 / alpha)
    for inside in (low * 1.001, high / 1.001):
        if low < inside < high:
            assert log_e(steps, against=inside, side="both") < limit
    for outside in (low / 1.001, high * 1.001):
        if 0.0 < outside < math.inf:
            assert log_e(steps, against=outside, side="both") >= limit
    if low > 1.0:  # two sides need more: whoever lies outside is harmful by one side as well
        assert log_e(steps, against=1.0, side="above") >= limit


@few
@given(STEPS)
def test_a_wider_level_gives_a_narrower_interval(steps):
    _, low, high = ratio_interval(steps, 0.05)
    _, lower, higher = ratio_interval(steps, 0.01)
    assert lower <= low * 1.0001
    assert higher >= high / 1.0001


def test_intervals_become_as_narrow_as_the_counts_allow():
    widths = []
    for size in (100, 10_000, 1_000_000):
        estimate, low, high = ratio_interval([(size, size, 0.5)], 0.05)
        assert estimate == pytest.approx(1.0)
        widths.append(math.log(high / low))
    assert widths[0] > 3 * widths[1] > 3 * widths[2]
    assert widths[2] < 0.05


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [(0, 0, 0.0)],
        [(0, 0, 1.0)],
        [(0, 5, 0.0)],
        [(5, 0, 1.0)],
    ],
)
def test_nothing_to_compare_is_no_evidence(steps):
    for side in ("above", "below", "both"):
        assert log_e(steps, against=1.0, side=side) == pytest.approx(0.0, abs=1e-12)
    assert ratio_interval(steps, 0.05)[1:] == (0.0, math.inf)


@pytest.mark.parametrize("share", [1e-9, 0.5, 1.0 - 1e-9])
@pytest.mark.parametrize("counts", [(10**12, 0), (0, 10**12), (10**12, 10**12), (1, 10**15)])
def test_extreme_counts_stay_numbers(counts, share):
    steps = [(*counts, share)]
    for side in ("above", "below", "both"):
        for against in (1e-6, 1.0, 1e6):
            assert not math.isnan(log_e(steps, against=against, side=side))
    estimate, low, high = ratio_interval(steps, 0.05)
    assert low <= estimate <= high


def test_one_arm_without_events_gives_a_bound_on_one_side():
    estimate, low, high = ratio_interval([(0, 200, 0.5)], 0.05)
    assert (estimate, low) == (0.0, 0.0)
    assert 0.0 < high < 0.2
    estimate, low, high = ratio_interval([(200, 0, 0.5)], 0.05)
    assert (estimate, high) == (math.inf, math.inf)
    assert 5.0 < low < math.inf


def test_many_rollouts_at_once_are_each_as_alone():
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 60, (2, 4, 5, 3))
    share = rng.random((4, 5, 3))
    many = log_e_arrays(ours, theirs, share, against=1.5, side="below")
    assert many.shape == (4, 5)
    alone = list(zip(ours[2, 3], theirs[2, 3], share[2, 3], strict=True))
    assert many[2, 3] == pytest.approx(log_e(alone, against=1.5, side="below"))


def test_one_share_serves_all_rollouts():
    ours, theirs = np.arange(6).reshape(3, 2), np.ones((3, 2))
    one = log_e_arrays(ours, theirs, 0.5, against=1.0, side="above")
    all_of_them = log_e_arrays(ours, theirs, np.full((3, 2), 0.5), against=1.0, side="above")
    assert one == pytest.approx(all_of_them)


def first_alarms(rng, *, rollouts, rate, ratio, shares, per_look, looks, against, side):
    """The share of rollouts with an alarm at any look, at the realised shares."""
    ours, theirs, parts = [], [], []
    for share in shares:
        units = rng.binomial(per_look, share, (rollouts, looks))
        rest = per_look - units
        ours.append(rng.binomial(units, rate * ratio))
        theirs.append(rng.binomial(rest, rate))
        parts.append((units, rest))
    alarm = np.zeros(rollouts, bool)
    for step in range(len(shares)):
        for look in range(looks):
            table = []
            for at in range(step + 1):
                until = looks if at < step else look + 1
                sums = [item[:, :until].sum(axis=1) for item in (ours[at], theirs[at], *parts[at])]
                table.append((*sums[:2], sums[2] / (sums[2] + sums[3])))
            columns = [np.stack(item, axis=-1) for item in zip(*table, strict=True)]
            alarm |= log_e_arrays(*columns, against=against, side=side) >= LIMIT
    return alarm.mean()


@pytest.mark.parametrize("rate", [0.02, 0.4])
def test_identical_arms_raise_no_more_than_alpha_alarms(rate):
    rng = np.random.default_rng(1)
    found = first_alarms(
        rng,
        rollouts=1000,
        rate=rate,
        ratio=1.0,
        shares=(0.01, 0.1, 0.5),
        per_look=400,
        looks=8,
        against=1.0,
        side="above",
    )
    assert found < 0.05


def test_even_looks_at_a_handful_of_units_keep_the_level():
    rng = np.random.default_rng(2)
    # the first looks have no unit or one in the challenger's arm, so its share is poorly known
    found = first_alarms(
        rng,
        rollouts=2000,
        rate=0.3,
        ratio=1.0,
        shares=(0.02, 0.2),
        per_look=10,
        looks=12,
        against=1.0,
        side="above",
    )
    assert found < 0.05


@pytest.mark.parametrize(("margin", "rate"), [(2.0, 0.02), (1.25, 0.3)])
def test_no_more_than_alpha_certificates_at_the_margin(margin, rate):
    rng = np.random.default_rng(3)
    found = first_alarms(
        rng,
        rollouts=1000,
        rate=rate,
        ratio=margin,
        shares=(0.05, 0.5),
        per_look=500,
        looks=10,
        against=margin,
        side="below",
    )
    assert found < 0.05


def test_the_realised_share_is_safer_than_the_planned_one():
    """Arms that get a third less than planned would be rolled back for it."""
    rng = np.random.default_rng(4)
    units = rng.binomial(20_000, 0.15, 800)
    ours, theirs = rng.binomial(units, 0.02), rng.binomial(20_000 - units, 0.02)
    planned, realised = np.full(800, 0.1), units / 20_000
    alarms = [
        (log_e_arrays(ours[:, None], theirs[:, None], share[:, None], against=1.0, side="above")
         >= LIMIT).mean()
        for share in (planned, realised)
    ]  # fmt: skip
    assert alarms[0] > 0.3
    assert alarms[1] < 0.05


@pytest.mark.parametrize(("units", "challengers", "events"), [(50, 3, 6), (30, 15, 8), (12, 1, 4)])
def test_the_mean_evidence_given_the_margins_is_at_most_one(units, challengers, events):
    """The hypergeometric draw of identical arms, exactly: the share is estimated and yet valid."""
    draw = stats.hypergeom(units, challengers, events)
    for side in ("above", "both"):
        mean = sum(
            draw.pmf(k)
            * math.exp(log_e([(k, events - k, challengers / units)], against=1.0, side=side))
            for k in range(events + 1)
        )
        assert mean <= 1.0 + 1e-12


def test_a_rate_below_a_bound_is_proven_by_enough_units():
    assert log_e_rate(10, 0, below=0.01) < LIMIT < log_e_rate(600, 0, below=0.01)
    assert log_e_rate(600, 6, below=0.01) < 0.5
    assert log_e_rate(20_000, 60, below=0.01) > LIMIT


@few
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(1e-9, 1.0 - 1e-9))
def test_evidence_of_a_rate_is_a_number_and_falls_with_events(units, events, below):
    events = min(units, events)
    found = log_e_rate(units, events, below=below)
    assert not math.isnan(found)
    if events < units:
        assert log_e_rate(units, events + 1, below=below) <= found


@pytest.mark.parametrize("below", [0.0, 1.0, 2.0])
def test_a_bound_that_is_none_proves_nothing(below):
    assert log_e_rate(1000, 0, below=below) == 0.0


def test_at_the_bound_the_mean_evidence_is_one():
    units, below = 40, 0.1
    chance = stats.binom(units, below).pmf(np.arange(units + 1))
    mean = (chance * np.exp(log_e_rate_arrays(units, np.arange(units + 1), below=below))).sum()
    assert mean == pytest.approx(1.0)


def certificate(ours, theirs, share, units):
    return float(
        log_e_certificate(
            [ours],
            [theirs],
            [share],
            units=units,
            events=ours,
            margin=2.0,
            negligible=0.002,
        )
    )


def test_a_certificate_comes_from_the_ratio_or_from_a_rate_that_counts_as_none():
    assert certificate(20, 400, 0.05, 1000) > LIMIT  # equal arms
    assert certificate(0, 0, 0.05, 3000) > LIMIT  # no events at all
    assert certificate(0, 0, 0.05, 100) < LIMIT
    assert certificate(40, 400, 0.05, 1000) < 0.0  # at the margin


def test_a_certificate_is_not_given_for_twice_the_margin():
    assert certificate(80, 400, 0.05, 1000) < -5.0
    assert certificate(0, 0, 0.05, 0) <= 0.0


def test_both_ways_at_their_limits_keep_the_level():
    rng = np.random.default_rng(5)
    rollouts, looks, margin, negligible = 2000, 40, 2.0, 0.005
    units = rng.binomial(1000, 0.3, (rollouts, looks))
    ours = np.cumsum(rng.binomial(units, margin * negligible), axis=1)
    theirs = np.cumsum(rng.binomial(1000 - units, negligible), axis=1)
    total = np.cumsum(units, axis=1)
    share = total / (1000 * np.arange(1, looks + 1))
    found = log_e_certificate(
        ours[..., None],
        theirs[..., None],
        share[..., None],
        units=total,
        events=ours,
        margin=margin,
        negligible=negligible,
    )
    assert (found >= LIMIT).any(axis=1).mean() < 0.05


def test_requests_as_planned_raise_no_alarm_and_others_do():
    rng = np.random.default_rng(6)
    planned = np.array([0.01, 0.05, 0.25])
    size = 20_000
    limit = math.log(1000.0)
    for off, low, high in ((1.0, 0.0, 0.005), (1.3, 0.9, 1.0)):
        arm = rng.binomial(size, planned * off, (1000, 3))
        alarms = log_e_sample_arrays(arm, size - arm, planned) >= limit
        assert low <= alarms.mean() <= high


def test_an_arm_that_gets_all_or_nothing_says_nothing_of_chance():
    odd = log_e_sample([(0, 500, 0.0), (500, 0, 1.0), (3, 500, 0.0)])
    assert odd == pytest.approx(0.0, abs=1e-12)
    assert log_e_sample([]) == pytest.approx(0.0, abs=1e-12)


@few
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0.001, 0.999))
def test_the_sample_ratio_has_two_sides(arm, rest, planned):
    one = log_e_sample([(arm, rest, planned)])
    assert one == pytest.approx(log_e_sample([(rest, arm, 1.0 - planned)]), rel=1e-5, abs=1e-5)


def test_a_mean_of_logarithms_needs_no_exponentials():
    assert log_mean(np.array([1000.0, -np.inf]), [1.0, 1.0]) == pytest.approx(
        1000.0 - math.log(2.0)
    )
    assert log_mean(np.array([-np.inf, -np.inf]), [1.0, 3.0]) == -np.inf
    assert log_mean(np.array([[0.0, 1.0], [0.0, 1.0]]), [1.0, 3.0]) == pytest.approx([0.0, 1.0])
