"""How likely a difference of two means is by chance, also of few or skewed pieces.

>>> mean = Mean(0.3, Spread(row=1.0), rows=(10_000, 200), skew=0.0)
>>> round(mean.p_value(), 6)  # z = 4.2
2.7e-05
>>> runs = Spread(row=1.0, live=0.05, freedom=40.0, seen=0.055)
>>> round(Mean(0.9, runs, rows=(10_000, 200), skew=0.6).p_value(), 6)
0.001305
"""

from dataclasses import dataclass

from lifecycle.drift.cells import Floats, Integers
from lifecycle.drift.runs import Spread
from lifecycle.drift.tails import skewed, two_sided

PIECE_FREEDOM = 4.0


@dataclass(frozen=True)
class Mean:
    """The difference of a score's mean between live rows and reference rows."""

    gap: float
    spread: Spread
    rows: tuple[float, float]  # reference, live
    skew: float  # of the score of one row

    def p_value(self, *, few: bool = False) -> float:
        """Two-sided: t with the freedom that the variance was measured with.

        The tail that the skewness of few pieces makes heavier is that of Pearson's type III.
        Runs are taken to be of geometric length, which makes skewness 1.5 times that of as many
        runs of equal length.

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
        skew = self._skew(n, spread.live) - self._skew(m, spread.reference)
        return two_sided(skewed(self.gap / variance**0.5, skew / variance**1.5), freedom)

    def _skew(self, rows: float, excess: float) -> float:
        """Third cumulant of one side's mean."""
        own = self.spread.row / rows + excess
        pieces = self.spread.row / own if own > 0 else 1.0
        clumped = 1.5 - 0.5 * min(1.0, pieces / rows)
        return float(clumped * self.skew / max(1.0, pieces) ** 0.5 * own**1.5)


def few_pieces(spread: Spread, rows: float) -> float:
    """Freedom that a mean of few skewed pieces deserves, however well its variance is known."""
    return max(2.0, PIECE_FREEDOM * rows / spread.design_effect(rows))


def skewness(scores: Floats, counts: Integers) -> float:
    """Of scores that were centred, by how often each occurs."""
    total, squares = counts.sum(), scores * scores
    square = float(squares @ counts) / total
    return float((squares * scores) @ counts) / total / square**1.5 if square > 0 else 0.0


def rareness(held: float, rows: float) -> float:
    """Skewness of one row's being among so many of all."""
    share = min(1 - 1e-9, max(1e-9, held / rows))
    return float((1 - 2 * share) / (share * (1 - share)) ** 0.5)
