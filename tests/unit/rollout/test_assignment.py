import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ModelNotFound
from lifecycle.records import Arm, Plan, Rollout, RolloutSpec
from lifecycle.rollout import state
from lifecycle.rollout.assignment import assign, override, place
from lifecycle.rollout.plan import checked, only


def plan_of(*shares, salt="r1"):
    rest = 1.0 - sum(shares)
    others = tuple(Arm(f"arm{index}", index + 2, share) for index, share in enumerate(shares))
    return checked(Plan("churn", (Arm("champion", 1, rest), *others), salt=salt))


shares = st.lists(st.floats(0, 0.3), min_size=1, max_size=3)


@given(key=st.text(), shares=shares, draw=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_a_key_is_sticky_and_no_draw_changes_it(key, shares, draw):
    plan = plan_of(*shares)
    assert assign(plan, key) == assign(plan, key, draw=draw)


@given(key=st.text(), shares=shares, rises=st.lists(st.floats(0, 0.03), min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_rising_share_never_moves_a_user_back(key, shares, rises):
    before = assign(plan_of(*shares), key)
    risen = [share + rise for share, rise in zip(shares, rises, strict=False)]
    after = assign(plan_of(*risen), key)
    if before.name != "champion":
        assert after.name != "champion"


@given(key=st.text(), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_two_arms_are_nested(key, low, high):
    low, high = min(low, high), max(low, high)
    if assign(plan_of(low), key).name == "arm0":
        assert assign(plan_of(high), key).name == "arm0"


def test_shares_are_kept_on_many_keys():
    plan = plan_of(0.05, 0.2)
    names = [assign(plan, f"customer-{index}").name for index in range(20_000)]
    assert names.count("arm0") / 20_000 == pytest.approx(0.05, abs=0.006)
    assert names.count("arm1") / 20_000 == pytest.approx(0.2, abs=0.011)


def test_another_salt_takes_other_people():
    keys = [f"customer-{index}" for index in range(2_000)]
    first = {key for key in keys if assign(plan_of(0.1), key).name == "arm0"}
    second = {key for key in keys if assign(plan_of(0.1, salt="r2"), key).name == "arm0"}
    assert len(first & second) < 0.3 * len(first)


def test_without_a_key_the_draw_decides():
    plan = plan_of(0.25)
    assert assign(plan, None, draw=0.24).name == "arm0"
    assert assign(plan, None, draw=0.25).name == "champion"


def test_a_share_of_nothing_and_of_everything():
    assert assign(plan_of(0.0), None, draw=0.0).name == "champion"
    assert assign(plan_of(1.0), None, draw=0.9999).name == "arm0"


@given(salt=st.text(), key=st.text())
@settings(max_examples=60, deadline=None)
def test_a_place_lies_in_the_half_open_unit_interval(salt, key):
    assert 0.0 <= place(salt, key) < 1.0


def test_a_lone_surrogate_in_a_key_is_a_key():
    assert 0.0 <= place("r1", "\ud800") < 1.0


def test_a_version_can_be_asked_for():
    assert override(plan_of(0.1), 2) == Arm("asked", 2, 0.0)
    with pytest.raises(ModelNotFound, match=r"version 9 is not served \(churn\).*one of: 7"):
        override(only("churn", 7), 9)


@pytest.mark.parametrize(
    ("salt", "key", "expected"),
    [
        ("r1", "customer-12", 0.9312951740391672),
        ("r2", "customer-12", 0.06251555257148911),
        ("r1", "顧客", 0.6635536916255564),
        ("", "", 0.24800023490342427),
    ],
)
def test_a_release_moves_nobody(salt, key, expected):
    assert place(salt, key) == expected


@given(shares=shares, draw=st.floats(0, 1, exclude_max=True))
@settings(max_examples=100, deadline=None)
def test_without_a_key_arms_lie_one_behind_the_other(shares, draw):
    plan = plan_of(*shares)
    edges = [sum(shares[: index + 1]) for index in range(len(shares))]
    expected = next((f"arm{index}" for index, edge in enumerate(edges) if draw < edge), "champion")
    assert assign(plan, None, draw=draw).name == expected


def test_three_arms_meet_at_their_edges():
    plan = plan_of(0.25, 0.5)
    below = 0.25 - 2**-54
    found = [assign(plan, None, draw=at).name for at in (0.0, below, 0.25, 0.7499, 0.75, 0.9999)]
    assert found == ["arm0", "arm0", "arm1", "arm1", "champion", "champion"]


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_one_arm_answers_everybody_whatever_the_draw(draw):
    for key in (None, "", "customer-12", "k" * 100_000):
        assert assign(only("churn", 7), key, draw=draw).version == 7


def test_an_arm_without_a_share_meets_nobody_and_can_be_asked_for():
    plan = plan_of(0.0, 0.0)
    assert {assign(plan, f"c{index}").name for index in range(2000)} == {"champion"}
    assert override(plan, 3) == Arm("asked", 3, 0.0)


def test_a_smaller_share_only_gives_people_back_to_the_champion():
    keys = [f"customer-{index}" for index in range(3000)]
    before = {key: assign(plan_of(0.3), key).name for key in keys}
    after = {key: assign(plan_of(0.1), key).name for key in keys}
    moved = {(before[key], after[key]) for key in keys if before[key] != after[key]}
    assert moved == {("arm0", "champion")}


@pytest.mark.parametrize("version", [0, -1, 10**12])
def test_a_version_that_does_not_serve_names_those_that_do(version):
    with pytest.raises(ModelNotFound) as caught:
        override(plan_of(0.1, 0.2), version)
    assert caught.value.fix == "ask for one of: 1, 2, 3"
    assert caught.value.where == "churn"


def test_who_asks_for_the_champion_counts_for_no_arm_either():
    assert override(plan_of(0.1), 1) == Arm("asked", 1, 0.0)
    assert override(only("churn", 7), 7).name == "asked"


def rollout(steps, hold_back, salt="r1"):
    pair = (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0))
    spec = RolloutSpec("churn", "canary", pair, steps, hold_back=hold_back, salt=salt)
    return [
        state.plan_of(Rollout(spec, 1, step=step, shares=state.shares_at(spec, step)))
        for step in range(len(steps))
    ]


RISING = st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True).map(sorted)


@given(percents=RISING, hold_back=st.floats(0, 0.5), key=st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_who_has_met_the_challenger_keeps_it_through_all_steps(percents, hold_back, key):
    steps = tuple(item / 100 for item in percents if item / 100 < 1.0 - hold_back)
    plans = rollout((*steps, 1.0), hold_back)
    met = [assign(plan, key).name == "challenger" for plan in plans]
    assert met == sorted(met)


def test_the_hold_back_is_kept_from_the_challenger_at_every_step():
    plans = rollout((0.01, 0.05, 0.25, 0.5, 1.0), 0.05)
    keys = [f"customer-{index}" for index in range(20_000)]
    kept = [key for key in keys if assign(plans[-1], key).name == "champion"]
    assert len(kept) / len(keys) == pytest.approx(0.05, abs=0.006)
    assert {assign(plan, key).name for plan in plans for key in kept} == {"champion"}


@given(percents=RISING)
@settings(max_examples=10, deadline=None)
def test_each_step_realises_its_share(percents):
    plans = rollout(tuple(item / 100 for item in percents), 0.0)
    keys = [f"k{index}" for index in range(2500)]
    for plan, percent in zip(plans, percents, strict=True):
        met = sum(assign(plan, key).name == "challenger" for key in keys)
        assert met / len(keys) == pytest.approx(percent / 100, abs=0.05)


@given(first=st.text(max_size=8), second=st.text(max_size=8))
@settings(max_examples=15, deadline=None)
def test_salts_are_independent(first, second):
    if first == second:
        return
    keys = [f"k{index}" for index in range(1500)]
    one, two = (rollout((0.5, 1.0), 0.0, salt)[0] for salt in (first, second))
    both = sum(assign(one, key).name == assign(two, key).name for key in keys)
    assert both / len(keys) == pytest.approx(0.5, abs=0.08)
