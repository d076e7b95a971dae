"""What a plan of arms is, and which plans are valid.

>>> only("churn", 7).arms
(Arm(name='champion', version=7, share=1.0),)
"""

from math import isclose, isfinite

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Plan

CHAMPION = "champion"


def only(model: str, version: int, *, arm: str = CHAMPION) -> Plan:
    """The plan in which one version answers everything.

    >>> only("churn", 7).arms[0].share
    1.0

    Args:
        model: the registered model's name.
        version: the version that answers.
        arm: the arm's name, as it stands in the prediction log.
    """
    return Plan(model, (Arm(arm, version, 1.0),))


def checked(plan: Plan) -> Plan:
    """The plan itself when it is valid.

    The first arm takes what the others leave, so the shares must add up to 1.

    >>> checked(Plan("churn", (Arm("champion", 7, 0.9), Arm("challenger", 8, 0.1)))).step
    0

    Raises:
        ConfigError: no arms, an arm named twice, a share outside 0 … 1, or a sum other than 1.
    """
    names = [arm.name for arm in plan.arms]
    if not names:
        raise ConfigError("the plan has no arms", where=plan.model, fix="name at least one version")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"arm {name!r} is named twice", where=plan.model, fix="give each arm a name"
            )
    for arm in plan.arms:
        if not (isfinite(arm.share) and 0.0 <= arm.share <= 1.0):
            raise ConfigError(
                f"arm {arm.name!r} has the share {arm.share}",
                where=plan.model,
                fix="write a share between 0 and 1",
            )
    total = sum(arm.share for arm in plan.arms)
    if not isclose(total, 1.0, abs_tol=1e-9):
        raise ConfigError(
            f"the shares add up to {total:g}", where=plan.model, fix="make them add up to 1"
        )
    return plan
