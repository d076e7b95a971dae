"""What a preprocessor does to each number by itself, for numpy and for ONNX.

A scaler, an imputer or a binning is a chain of steps on one column. The chain is applied by numpy
while a model is compiled (a tree's thresholds are carried back through it) and written as ONNX
nodes where a model needs the result itself.

>>> chain = (Step("fill", (1.0,)), Step("minus", (1.0,)), Step("over", (2.0,)))
>>> applied(chain, np.array([5.0, np.nan])).tolist()
[2.0, 0.0]
>>> carried(chain, np.array([2.0])).tolist()  # (x - 1) / 2 <= 2 is x <= 5
[5.0]
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.models.graphs import Graph
from lifecycle.models.predicting import Array

LARGEST = np.finfo(np.float64).max


class Unsupported(Exception):
    """A part that cannot be compiled here; its message names the part."""


@dataclass(frozen=True)
class Step:
    """One operation on every number of a column.

    Attributes:
        kind: a key of NUMPY; each never decreases as its input grows.
        values: what it is done with.
    """

    kind: str
    values: tuple[float, ...] = ()


Chain = tuple[Step, ...]


def _raise(x: Array, power: float) -> Array:
    """(exp(x) ** power - 1) / power, and its limit for power 0."""
    found: Array = x if power == 0.0 else np.expm1(power * x) / power
    return found


def _power(x: Array, power: float) -> Array:
    """Yeo and Johnson's transformation (2000), as scipy computes it."""
    found = np.empty_like(x)
    positive = x >= 0
    up, down = x[positive], -x[~positive]
    other = 2.0 - power
    found[positive] = _raise(np.log1p(up), 0.0 if abs(power) < TINY else power)
    found[~positive] = -_raise(np.log1p(down), 0.0 if abs(other) <= TINY else other)
    return found


TINY = np.spacing(1.0)


def _box_cox(x: Array, values: Array) -> Array:
    """Box and Cox's transformation (1964); to the last bit as scikit-learn has it of scipy."""
    from scipy.special import boxcox

    return np.where(x > 0.0, boxcox(x, values[0]), -np.inf)


def _spread(x: Array, cuts: Array) -> Array:
    """Share of the quantiles below, between 0 and 1; the mean of both ends of a jump."""
    shares = np.linspace(0.0, 1.0, len(cuts))
    from_left = np.interp(x, cuts, shares)
    found: Array = 0.5 * (from_left - np.interp(-x, -cuts[::-1], -shares[::-1]))
    found[x >= cuts[-1]] = 1.0
    found[x <= cuts[0]] = 0.0
    return found


def _normal(x: Array, _: Array) -> Array:
    """Quantiles of the normal distribution, within those of 1e-7 and 1 - 1e-7."""
    from scipy.special import ndtri

    ends = ndtri(1e-7 - TINY), ndtri(1.0 - (1e-7 - TINY))
    found: Array = np.clip(ndtri(x), *ends)
    return found


NUMPY: Mapping[str, Callable[[Array, Array], Array]] = {
    "fill": lambda x, v: np.where(np.isnan(x), v[0], x),
    "missing": lambda x, _: np.isnan(x).astype(np.float64),
    "minus": lambda x, v: x - v[0],
    "over": lambda x, v: x / v[0],
    "times": lambda x, v: x * v[0],
    "plus": lambda x, v: x + v[0],
    "clip": lambda x, v: np.clip(x, v[0], v[1]),
    "single": lambda x, _: x.astype(np.float32).astype(np.float64),
    "bins": lambda x, v: np.searchsorted(v, x, side="right").astype(np.float64),
    "power": lambda x, v: _power(x, v[0]),
    "log1p": lambda x, _: np.where(x > -1.0, np.log1p(x), -np.inf),
    "log": _box_cox,
    "spread": _spread,
    "normal": _normal,
}


def applied(chain: Chain, x: Array) -> Array:
    """The chain's result for numbers x, of x's shape; NaN stays NaN unless a step takes it."""
    for step in chain:
        with np.errstate(all="ignore"):
            found = NUMPY[step.kind](x, np.asarray(step.values))
        keep = step.kind not in ("fill", "missing")
        x = np.where(np.isnan(x), np.nan, found) if keep else found
    return x


def carried(chain: Chain, cuts: Array) -> Array:
    """The largest number whose result is at or below each cut, to the last bit.

    Every step is monotone, so `applied(chain, x) <= cut` is `x <= carried(chain, cut)`: a tree
    behind a scaler becomes a tree in front of it. Found by halving, in the order of all doubles.

    Args:
        chain: steps on one column.
        cuts: thresholds on its result, shape (splits,).

    Returns:
        Thresholds on the number itself, shape (splits,); infinite where all or none are below.
    """
    if not chain:
        return cuts.astype(np.float64)
    unique, places = np.unique(cuts, return_inverse=True)
    low = np.full(len(unique), _rank(np.array([-LARGEST]))[0])
    high = np.full(len(unique), _rank(np.array([LARGEST]))[0])
    none = ~(applied(chain, np.full(len(unique), -LARGEST)) <= unique)
    every = applied(chain, np.full(len(unique), LARGEST)) <= unique
    for _ in range(64):  # low is at or below the cut, high above
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        below = applied(chain, _number(middle)) <= unique
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = np.where(every, np.inf, np.where(none, -np.inf, _number(low)))
    result: Array = found[places]
    return result


def _rank(x: Array) -> Array:
    """Doubles as integers in the same order."""
    bits = x.view(np.int64)
    found: Array = np.where(bits < 0, -(bits & np.int64(0x7FFFFFFFFFFFFFFF)), bits)
    return found


def _number(rank: Array) -> Array:
    size = np.abs(rank)
    found: Array = np.where(rank < 0, -size.view(np.float64), size.view(np.float64))
    return found


def write(graph: Graph, value: str, chains: Sequence[Chain]) -> str:
    """Write the chains of several columns; gives the name of the result.

    Args:
        graph: what is written to.
        value: the name of the numbers, shape (n, columns).
        chains: one a column.

    Raises:
        Unsupported: a step that ONNX has no operators for.
    """
    kinds = {tuple(step.kind for step in chain) for chain in chains}
    if len(kinds) > 1 or (len(chains) > 1 and set(*kinds) & set(ALONE)):
        places = range(len(chains))
        parts = [write(graph, graph.columns(value, [at]), [chains[at]]) for at in places]
        return graph.add("Concat", *parts, axis=1)
    for steps in zip(*chains, strict=True):
        kind = steps[0].kind
        if kind in ALONE:
            value = ALONE[kind](graph, value, np.asarray(steps[0].values))
        else:
            values = np.array([step.values for step in steps]).reshape(len(steps), -1)
            value = ONNX[kind](graph, value, [graph.constant(row[None, :]) for row in values.T])
    return value


def _clip(graph: Graph, x: str, v: Sequence[str]) -> str:
    return graph.add("Max", graph.add("Min", x, v[1]), v[0])


ONNX: Mapping[str, Callable[[Graph, str, Sequence[str]], str]] = {
    "fill": lambda g, x, v: g.add("Where", g.add("IsNaN", x), v[0], x),
    "missing": lambda g, x, _: g.cast(g.add("IsNaN", x), "DOUBLE"),
    "minus": lambda g, x, v: g.add("Sub", x, v[0]),
    "over": lambda g, x, v: g.add("Div", x, v[0]),
    "times": lambda g, x, v: g.add("Mul", x, v[0]),
    "plus": lambda g, x, v: g.add("Add", x, v[0]),
    "clip": _clip,
    "log1p": lambda g, x, _: g.add("Log", g.add("Add", x, g.constant(np.array([[1.0]])))),
    "single": lambda g, x, _: g.cast(g.cast(x, "FLOAT"), "DOUBLE"),
}


def _counted(graph: Graph, x: str, cuts: Array, operator: str) -> str:
    """How many cuts are at (GreaterOrEqual) or below x: (n, 1) of int64."""
    reached = graph.cast(graph.add(operator, x, graph.constant(cuts[None, :])), "INT64")
    return graph.add("ReduceSum", reached, graph.constant(np.array([1])), keepdims=1)


def interpolated(graph: Graph, x: str, knots: Array, heights: Array, *, right: bool = True) -> str:
    """Piecewise linear interpolation, constant beyond the ends.

    Args:
        graph: what is written to.
        x: the numbers, shape (n, 1).
        knots: where the pieces meet, not decreasing, shape (knots,), at least 2.
        heights: values at the knots.
        right: at a jump (two equal knots), the later piece.
    """
    count = _counted(graph, x, knots, "GreaterOrEqual" if right else "Greater")
    inner = graph.constant(np.array(1)), graph.constant(np.array(len(knots) - 1))
    piece = graph.add("Min", graph.add("Max", count, inner[0]), inner[1])
    wide = np.diff(knots)
    slopes = np.divide(np.diff(heights), wide, out=np.zeros(len(wide)), where=wide > 0)

    def of_piece(values: Array) -> str:
        return graph.add("Gather", graph.constant(np.concatenate([[0.0], values])), piece, axis=0)

    ends = [graph.constant(np.array([[end]])) for end in (knots[0], knots[-1])]
    inside = _clip(graph, x, ends)
    risen = graph.add("Mul", of_piece(slopes), graph.add("Sub", inside, of_piece(knots[:-1])))
    return graph.add("Add", risen, of_piece(heights[:-1]))


def _bins(graph: Graph, x: str, cuts: Array) -> str:
    return graph.cast(_counted(graph, x, cuts, "GreaterOrEqual"), "DOUBLE")


def _spread_nodes(graph: Graph, x: str, cuts: Array) -> str:
    shares = np.linspace(0.0, 1.0, len(cuts))
    both = [interpolated(graph, x, cuts, shares, right=right) for right in (True, False)]
    half = graph.constant(np.array([[0.5]]))
    middle = graph.add("Mul", half, graph.add("Add", *both))
    for operator, end, share in (("GreaterOrEqual", -1, 1.0), ("LessOrEqual", 0, 0.0)):
        beyond = graph.add(operator, x, graph.constant(cuts[[end]][None, :]))
        middle = graph.add("Where", beyond, graph.constant(np.array([[share]])), middle)
    return graph.add("Where", graph.add("IsNaN", x), x, middle)


def _raised(graph: Graph, x: str, power: float) -> str:
    """((1 + x) ** power - 1) / power for x of at least 0, and its limit for power 0."""
    one = graph.constant(np.array([[1.0]]))
    grown = graph.add("Log", graph.add("Add", x, one))
    if abs(power) <= TINY:
        return grown
    by = graph.constant(np.array([[power]]))
    raised = graph.add("Exp", graph.add("Mul", by, grown))
    return graph.add("Div", graph.add("Sub", raised, one), by)


def _power_nodes(graph: Graph, x: str, values: Array) -> str:
    zero = graph.constant(np.array([[0.0]]))
    up = _raised(graph, graph.add("Max", x, zero), values[0])
    down = _raised(graph, graph.add("Neg", graph.add("Min", x, zero)), 2.0 - values[0])
    positive = graph.add("GreaterOrEqual", x, zero)
    found = graph.add("Where", positive, up, graph.add("Neg", down))
    return graph.add("Where", graph.add("IsNaN", x), x, found)


def _log_nodes(graph: Graph, x: str, values: Array) -> str:
    return _raised(graph, graph.add("Sub", x, graph.constant(np.array([[1.0]]))), values[0])


def _no_normal(_: Graph, __: str, ___: Array) -> str:
    raise Unsupported("QuantileTransformer to a normal distribution, outside of trees")


ALONE: Mapping[str, Callable[[Graph, str, Array], str]] = {
    "bins": _bins,
    "spread": _spread_nodes,
    "power": _power_nodes,
    "log": _log_nodes,
    "normal": _no_normal,
}
