"""One alpha for all gates: an equal candidate is refused by any of them that seldom at most.

>>> found = shares(["floor", "champion", "slices"], 0.05)
>>> {name: round(alpha, 4) for name, alpha in found.items()}
{'champion': 0.03, 'slices': 0.02}

Each gate that refuses by chance gets a part of `[gates] alpha`, and the parts sum to it: by
Bonferroni's inequality all of them together refuse an equal candidate no more often than alpha,
however their answers go together. A gate that does not run leaves its part to the others.
"""

from collections.abc import Iterable

# what a gate's alpha weighs: the champion's counts most, its power decides what is let through
WEIGHTS = {"champion": 3.0, "slices": 2.0, "calibration": 1.0, "fairness": 1.0}


def shares(names: Iterable[str], alpha: float) -> dict[str, float]:
    """The part of alpha of each statistical gate among those that run.

    >>> shares(["champion", "latency"], 0.05)
    {'champion': 0.05}

    Args:
        names: the gates that run; those that are not in WEIGHTS decide nothing by chance, or
            far more seldom than one in a thousand, and get no part.
        alpha: of all of them together.
    """
    known = [name for name in dict.fromkeys(names) if name in WEIGHTS]
    whole = sum(WEIGHTS[name] for name in known)
    return {name: alpha * (WEIGHTS[name] / whole) for name in known}
