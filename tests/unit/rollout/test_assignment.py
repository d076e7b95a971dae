import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ModelNotFound
from lifecycle.records import Arm, Plan
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
    assert override(plan_of(0.1), 2).name == "arm0"
    with pytest.raises(ModelNotFound, match=r"version 9 is not served \(churn\).*one of: 7"):
        override(only("churn", 7), 9)
