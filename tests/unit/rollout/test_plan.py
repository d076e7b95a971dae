import pytest

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
