"""What is expected of a guard's evidence while a rollout lasts, when a harm is so large.

>>> from lifecycle.rollout.guards import parse
>>> found, note = expected(parse("errors"), {"errors": 0.02})
>>> requests = until(lambda n: found.harm(((n, 0.05),), 5.0), 3.0)
>>> 500 < requests < 2000
True

The evidence of the expected counts stands for the median of the evidence.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lifecycle.rollout.evidence import log_e
from lifecycle.rollout.guards import Watched
from lifecycle.rollout.numbers import log_e_difference
from lifecycle.rollout.weighing import HARM, event_certificate, number_certificate

LOG_SPREAD = 0.5  # of the logarithm of a latency, where nothing better is known
FARTHEST = 1e13  # requests: what takes more is never found

Path = tuple[tuple[float, float], ...]  # requests and the challenger's share, one a step


@dataclass(frozen=True)
class Expected:
    """What is expected of one guard while a rollout lasts.

    Attributes:
        watched: the guard.
        rate: the champion's, of numbers the mean; of logarithms not a number where none is known.
        reach: units of it a request; below 1 where only some requests count.
        spread: the standard deviation of numbers.
    """

    watched: Watched
    rate: float
    reach: float
    spread: float

    def harm(self, path: Path, ratio: float) -> float:
        """The evidence of harm when the challenger is so many times worse."""
        side = HARM[self.watched.guard.worse]
        if self.watched.kind == "event":
            return log_e(self._counts(path, ratio), against=1.0, side=side)
        s, v, w = self._sums(path, ratio)
        return log_e_difference(s, v, w, against=0.0, side=side)

    def told_apart(self, path: Path, ratio: float) -> float:
        """The evidence that the arms are not equal, as the interval of a test has it."""
        if self.watched.kind == "event":
            return log_e(self._counts(path, ratio), against=1.0, side="both")
        s, v, w = self._sums(path, ratio)
        return log_e_difference(s, v, w, against=0.0, side="both")

    def certificate(self, path: Path, ratio: float, margin: float) -> float:
        """The evidence that it is less than `margin` worse."""
        guard = self.watched.guard
        if self.watched.kind == "event":
            counts = self._counts(path, ratio)
            units = sum(requests * share for requests, share in path) * self.reach
            events = sum(item[0] for item in counts)
            return event_certificate(counts, units, events, margin, guard)  # type: ignore[arg-type] # expected counts are no whole numbers
        return number_certificate(*self._sums(path, ratio), math.log(margin), guard.worse)

    def _counts(self, path: Path, ratio: float) -> list[tuple[int, int, float]]:
        times = 1.0 / ratio if self.watched.guard.worse < 0 else ratio
        none = self.watched.guard.negligible if ratio != 1.0 else 0.0
        theirs = (self.rate or none) * self.reach
        ours = min((self.rate or none) * times, 1.0) * self.reach
        return [
            (item * share * ours, item * (1.0 - share) * theirs, share)  # type: ignore[misc] # expected counts are no whole numbers
            for item, share in path
            if item > 0.0
        ]

    def _sums(self, path: Path, ratio: float) -> tuple[float, float, float]:
        w = sum(requests * share * (1.0 - share) for requests, share in path) * self.reach
        worse = self.watched.guard.worse or 1
        apart = math.log(ratio) if self.watched.guard.log else (ratio - 1.0) * abs(self.rate)
        return worse * apart * w, self.spread**2 * w, w


def expected(
    watched: Watched,
    rates: Mapping[str, float],
    reach: Mapping[str, float] | None = None,
    spreads: Mapping[str, float] | None = None,
) -> tuple[Expected | None, str]:
    """What is expected of a guard, and what is assumed of it.

    Args:
        watched: the guard.
        rates: the champion's, by guard's text.
        reach: units a request; by default 1.
        spreads: standard deviations of numbers, where they are known.

    Returns:
        None where nothing is known, and a note for people where something was assumed.
    """
    reach, spreads = reach or {}, spreads or {}
    text, guard = watched.text, watched.guard
    part = max(reach.get(text, 1.0), 0.0)
    note = ""
    if text not in reach and (watched.column or guard.labelled):
        whose = "with a label" if guard.labelled else f"of {watched.column} {watched.value}"
        note = f"{text}: only requests {whose} count; how many these are is not known"
    rate = rates.get(text)
    if watched.kind == "event":
        if rate is None or not math.isfinite(rate):
            return None, f"{text}: nothing was logged of it, so nothing is said of it"
        if rate <= 0.0:
            note = (
                f"{text}: none was logged; for its harms {100 * guard.negligible:g} % is assumed,"
                " the rate that counts as none"
            )
        return Expected(watched, min(max(rate, 0.0), 1.0), part, 0.0), note
    spread = spreads.get(text)
    if guard.log:
        if spread is None:
            note = note or f"{text}: its logarithm is assumed to be spread by {LOG_SPREAD:g}"
        known = math.nan if rate is None else rate  # logarithms differ whatever they are
        return Expected(watched, known, part, spread or LOG_SPREAD), note
    if spread is None and rate is not None and 0.0 < rate < 1.0:
        spread = math.sqrt(rate * (1.0 - rate))
        note = note or f"{text}: taken for a share of yes and no, for which its spread is known"
    if spread is None or spread <= 0.0 or not rate:
        return None, f"{text}: its spread is not known, so nothing is said of it"
    return Expected(watched, rate, part, spread), note


def until(evidence: Callable[[float], float], limit: float) -> float | None:
    """The fewest requests whose evidence reaches the limit, to 1 %; None: no number does."""
    if evidence(0.0) >= limit:
        return 0.0
    low, high = 0.0, 16.0
    while evidence(high) < limit:
        low, high = high, high * 2.0
        if high > FARTHEST:
            return None
    while high - low > 0.01 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if evidence(middle) >= limit else (middle, high)
    return high
