"""How one check's chance of a false alarm is shared among its tests.

>>> held = limits(0.01, {"age": ("numeric", ("location", "scale"))})
>>> held["age", "location"] > held["age", "scale"]
True

Each kind of test has a part of alpha, shared alike by the columns it applies to, so that the chance
of any alarm is at most alpha whatever the tests have to do with each other (weighted Bonferroni).
Location has the largest part, because small shifts are what is hardest to find: a broken column
gives p-values that pass any limit.

Source: Genovese, Roeder & Wasserman (2006), doi:10.1093/biomet/93.3.509.
"""

from collections.abc import Mapping
from types import MappingProxyType

SHARES: Mapping[str, float] = MappingProxyType(
    {
        "location": 0.45,  # of numbers; the shares of levels
        "together": 0.10,  # the location of all numbers
        "scale": 0.18,
        "shape": 0.07,
        "correlation": 0.10,
        "missing": 0.03,
        "out of range": 0.04,
        "new level": 0.03,
    }
)


def limits(
    alpha: float, tested: Mapping[str, tuple[str, tuple[str, ...]]]
) -> dict[tuple[str, str], float]:
    """The limit of each p-value, by column and test.

    Args:
        alpha: chance of any alarm on unchanged data.
        tested: by column its kind and the tests that apply to it.
    """
    families = {
        (name, test): family(kind, test) for name, (kind, tests) in tested.items() for test in tests
    }
    sizes: dict[str, int] = {}
    for found in families.values():
        sizes[found] = sizes.get(found, 0) + 1
    if "missing" in sizes:  # whether it applies depends on the live rows
        sizes["missing"] = len(tested)
    return {key: alpha * SHARES[found] / sizes[found] for key, found in families.items()}


def family(kind: str, test: str) -> str:
    """What a test of a column of this kind counts as: the shares of levels are their location."""
    return "location" if test == "shape" and kind != "numeric" else test
