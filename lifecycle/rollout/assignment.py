"""Which arm of a plan answers: sticky by key, and growing shares keep who they have.

>>> from lifecycle.records import Arm, Plan
>>> plan = Plan("churn", (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)), salt="r1")
>>> assign(plan, "customer-12").name == assign(plan, "customer-12").name
True

A key's place in 0 … 1 is a keyed hash of salt and key. The arms after the first lie one behind
the other from 0 upwards and the first takes the rest, so a key that has left the first arm does
not come back to it while shares rise. Another rollout has another salt and so other people.
"""

from hashlib import blake2b

from lifecycle.errors import ModelNotFound
from lifecycle.records import Arm, Plan

ASKED = "asked"  # the arm of a version that a request asks for by itself


def place(salt: str, key: str) -> float:
    """Where a key lies, evenly spread over 0 (included) to 1 (excluded).

    >>> 0.0 <= place("r1", "customer-12") < 1.0
    True
    """
    digest = blake2b(f"{salt}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits are what a double holds exactly: the result never rounds up to 1
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def assign(plan: Plan, key: str | None, *, draw: float = 0.0) -> Arm:
    """The arm that answers.

    Args:
        plan: a checked plan.
        key: the routing key; the same key always falls to the same arm of the same plan.
        draw: a random number in [0, 1) that decides when there is no key.
    """
    arms = plan.arms
    if len(arms) == 1:
        return arms[0]
    position = draw if key is None else place(plan.salt, key)
    edge = 0.0
    for arm in arms[1:]:
        edge += arm.share
        if position < edge:
            return arm
    return arms[0]


def override(plan: Plan, version: int) -> Arm:
    """The version that a request asks for by itself; such an answer counts for no arm.

    >>> from lifecycle.rollout.plan import only
    >>> override(only("churn", 7), 7)
    Arm(name='asked', version=7, share=0.0)

    Raises:
        ModelNotFound: the plan has no such version; names those that it has.
    """
    if any(arm.version == version for arm in plan.arms):
        return Arm(ASKED, version, 0.0)
    served = ", ".join(str(arm.version) for arm in plan.arms)
    raise ModelNotFound(
        f"version {version} is not served", where=plan.model, fix=f"ask for one of: {served}"
    )
