"""How likely a difference of two means is by chance, also of few or skewed pieces.

>>> mean = Mean(0.3, Spread(row=1.0), rows=(10_000, 200), ends=(-1.7, 1.7))
>>> round(mean.p_value(), 6)  # z = 4.2
2.7e-05
>>> runs = Spread(row=1.0, live=0.05, freedom=40.0, seen=0.055)
>>> round(Mean(0.9, runs, rows=(10_000, 200), ends=(-1.0, 2.0)).p_value(), 6)
0.000809
"""

from dataclasses import dataclass

from lifecycle.drift.cells import Floats
from lifecycle.drift.runs import Spread
from lifecycle.drift.tails import bounded, two_sided

PIECE_FREEDOM = 4.0


@dataclass(frozen=True)
class Mean:
    """The difference of a score's mean between live rows and reference rows."""

    gap: float
    spread: Spread
    rows: tuple[float, float]  # reference, live
    ends: tuple[float, float]  # of one row's score, less its mean

    def p_value(self, *, few: bool = False) -> float:
        """Two-sided: t with the freedom that the variance was measured with.

        The mean of few pieces is skewed towards the farther end of its scores: that tail is the
        heavier one of a beta and a normal law.

        Args:
            few: whether the variance of few pieces itself depends on what they are.
        """
        m, n = self.rows
        spread = self.spread
        variance = spread.variance(n, m)
        if variance <= 0:
            return 1.0
        freedom = spread.tails(n, m)
        if few:
            freedom = min(freedom, few_pieces(spread, n))
        deviation = variance**0.5
        z = bounded(self.gap / deviation, deviation, *self.ends)
        return two_sided(z, freedom)


def few_pieces(spread: Spread, rows: float) -> float:
    """Freedom that a mean of few skewed pieces deserves, however well its variance is known."""
    return max(2.0, PIECE_FREEDOM * rows / spread.design_effect(rows))


def ends(scores: Floats, mean: float) -> tuple[float, float]:
    """How far the smallest and the largest score lie from their mean."""
    return float(scores.min()) - mean, float(scores.max()) - mean
