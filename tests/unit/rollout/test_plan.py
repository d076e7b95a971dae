from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Plan
from lifecycle.rollout.plan import checked, only


def test_one_version_answers_everything():
    plan = only("churn", 7)
    assert plan == Plan("churn", (Arm("champion", 7, 1.0),))
    assert checked(plan) is plan


def test_a_version_can_stand_in_another_arm():
    assert only("churn", 7, arm="staging").arms[0].name == "staging"


def test_shares_that_add_up_are_accepted_in_spite_of_rounding():
    arms = tuple(Arm(f"arm{index}", index, 0.1) for index in range(10))
    assert checked(Plan("churn", arms)).arms == arms


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ((), "no arms"),
        ((Arm("champion", 1, 0.5), Arm("champion", 2, 0.5)), "named twice"),
        ((Arm("champion", 1, 0.5), Arm("challenger", 2, 0.4)), "add up to 0.9"),
        ((Arm("champion", 1, 1.5), Arm("challenger", 2, -0.5)), "share 1.5"),
        ((Arm("champion", 1, float("nan")),), "share nan"),
    ],
)
def test_invalid_plans_say_what_is_wrong(arms, message):
    with pytest.raises(ConfigError, match=message) as caught:
        checked(Plan("churn", arms))
    assert caught.value.where == "churn"
    assert caught.value.fix


@given(cuts=st.lists(st.floats(0, 1), max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_division_of_everything_is_a_plan(cuts):
    edges = [0.0, *sorted(cuts), 1.0]
    shares = [high - low for low, high in pairwise(edges)]
    arms = tuple(Arm(f"arm{index}", index, share) for index, share in enumerate(shares))
    assert checked(Plan("churn", arms)).arms == arms


@given(shares=st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_what_does_not_add_up_is_refused_and_nothing_else(shares):
    arms = tuple(Arm(f"arm{index}", index, share) for index, share in enumerate(shares))
    if abs(sum(shares) - 1.0) > 1e-8:
        with pytest.raises(ConfigError, match="the shares add up to"):
            checked(Plan("churn", arms))
    elif abs(sum(shares) - 1.0) < 1e-10:
        assert checked(Plan("churn", arms)).arms == arms


@pytest.mark.parametrize(
    ("arms", "message", "fix"),
    [
        ((), "no arms", "name at least one version"),
        ((Arm("a", 1, 0.5),), "add up to 0.5", "make them add up to 1"),
        ((Arm("a", 1, 0.999999),), "add up to 0.999999", "make them add up to 1"),
        ((Arm("a", 1, -1e-12), Arm("b", 2, 1.0)), "'a' has the share -1e-12", "between 0 and 1"),
        ((Arm("a", 1, float("inf")),), "'a' has the share inf", "between 0 and 1"),
        ((Arm("a", 1, 1.0000001),), "'a' has the share 1.0000001", "between 0 and 1"),
        ((Arm("", 1, 0.5), Arm("", 2, 0.5)), "arm '' is named twice", "give each arm a name"),
    ],
)
def test_the_first_mistake_is_named_with_its_step(arms, message, fix):
    with pytest.raises(ConfigError) as caught:
        checked(Plan("churn", arms))
    assert message in caught.value.what
    assert fix in caught.value.fix


def test_a_version_may_stand_in_two_arms_to_compare_it_with_itself():
    arms = (Arm("champion", 7, 0.5), Arm("same", 7, 0.5))
    assert checked(Plan("churn", arms)).arms == arms
