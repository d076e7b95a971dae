"""Counts of many numbers in few cells without sorting them: most are told by a grid of equal steps.

>>> grid = Grid.of((0.0, 1.0, 2.0))
>>> grid.index(np.array([-1.0, 0.5, 1.0, 7.0])).tolist()  # how many edges are below each
[0, 1, 1, 3]

Rounding does not matter: the step of a value never falls where the value rises. So a value whose
step holds no edge lies between the same two edges as the whole step, and only values whose step
holds one are compared with edges.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STEPS = 16_384
PIECE = 32_768  # values at once: they stay in the processor's cache
KEPT = 64  # grids of as many columns


@dataclass(frozen=True)
class Grid:
    """Edges, and what each step tells of them.

    Attributes:
        edges: ascending, shape (k,).
        start: where the first step starts.
        scale: steps in a unit; 0 where the edges' range is too narrow or too wide for steps.
        steps: of each edge, shape (k,).
        close: whether a step holds an edge, by step.
        below: how many edges are in earlier steps, by step.
    """

    edges: Floats
    start: float
    scale: float
    steps: Integers
    close: npt.NDArray[np.bool_]
    below: Integers

    @classmethod
    @lru_cache(maxsize=KEPT)
    def of(cls, edges: tuple[float, ...]) -> "Grid":
        """A grid over the edges' range, with one step more on both sides."""
        cuts = np.array(edges)
        with np.errstate(over="ignore"):
            spread = float(cuts[-1] - cuts[0])
        usable = STEPS * np.finfo(float).tiny < spread < np.finfo(float).max / 4
        scale = STEPS / spread if usable else 0.0
        start = float(cuts[0] - spread / STEPS) if usable else 0.0
        steps = _steps(cuts, start, scale, np.empty(cuts.size))
        held = np.bincount(steps, minlength=STEPS + 3)
        return cls(cuts, start, scale, steps, held > 0, np.cumsum(held) - held)

    def index(self, values: Floats) -> Integers:
        """How many edges are below each value, shape (n,); NaN counts as above all."""
        known = np.where(np.isnan(values), np.inf, values)
        with np.errstate(over="ignore"):
            steps = _steps(known, self.start, self.scale, np.empty(values.size))
        found = self.below[steps]
        close = np.flatnonzero(self.close[steps])
        found[close] = np.searchsorted(self.edges, known[close])
        return found

    def upto(self, pieces: Iterable[Floats]) -> tuple[Integers, Integers]:
        """How many values are at most each edge, and how many of them equal it; shapes (k,).

        Args:
            pieces: finite values, each of at most `PIECE`.
        """
        space = np.empty(PIECE)
        table, near = np.zeros(self.close.size, dtype=np.int64), []
        with np.errstate(over="ignore"):
            for piece in pieces:
                steps = _steps(piece, self.start, self.scale, space[: piece.size])
                table += np.bincount(steps, minlength=table.size)
                near.append(piece[self.close[steps]])
        table[self.close] = 0
        before = (np.cumsum(table) - table)[self.steps]
        compared = np.sort(np.concatenate(near)) if near else space[:0]
        ends = np.searchsorted(compared, self.edges, side="right")
        return before + ends, ends - np.searchsorted(compared, self.edges)


def _steps(values: Floats, start: float, scale: float, space: Floats) -> Integers:
    """The step of each value; those outside all steps are in the first or last."""
    if not scale:
        return np.zeros(values.size, dtype=np.int64)
    np.subtract(values, start, out=space)
    np.multiply(space, scale, out=space)
    np.clip(space, 0, STEPS + 2, out=space)
    return space.astype(np.int64)
