"""Whether a column means the same in two tables: its unit, its coding, its place.

>>> import numpy as np
>>> euros = np.random.default_rng(0).lognormal(3.0, 1.0, 2000)
>>> number(euros, euros[:500] * 100.0)
'a factor of 100: the median was 19.42 and is 1910'
>>> number(euros, euros[:500] * 1.5)
''

What drifts is no other unit: a column is told off only where the distributions lie further apart
than two normal ones whose means differ by one standard deviation (a Kolmogorov-Smirnov distance
of 0.38), and where either a known conversion explains the difference or it is gross: a factor of
ten, a place outside all that was seen. Distances come with the error of so few rows, which counts
in favour of the column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAR = 0.4  # distance that drift of one standard deviation does not come to
DRIFT = 0.36  # distance that drift may add to that of a conversion
ELSEWHERE = 0.75  # distance at which drift of a standard deviation is out of question
GROSS = 0.6  # … of two standard deviations
NEAR = 0.1  # distance at which a conversion explains a column
TIMES = 10.0  # a factor that is no drift
PLACE = 8.0  # robust standard deviations between the medians that are none
INSIDE = 0.05  # share of values within the range that was seen, below which they are elsewhere
MOST = 4000  # values of a side that distances are taken of
FEWEST = 30  # values of a side
ZEROS = 0.1  # share of zeros from which on they are left out
ORDERED = 0.1  # share of rows that may break the order of two columns
SIMILAR = 0.25  # distance of a column from one that it stands for
SMALL = 8.0  # a factor that drift may come to


@dataclass(frozen=True)
class Conversion:
    """From one unit to another: `factor * value + offset`."""

    name: str
    factor: float
    offset: float = 0.0

    def of(self, values: Floats) -> Floats:
        """The values in the other unit."""
        return values * self.factor + self.offset

    @property
    def small(self) -> bool:
        """Whether drift may come to as much."""
        return not self.offset and 1.0 / SMALL < self.factor < SMALL

    @property
    def back(self) -> "Conversion":
        """The way back."""
        return Conversion(self.name, 1.0 / self.factor, -self.offset / self.factor)


_WAYS = (
    Conversion("Fahrenheit and Celsius", 1.8, 32.0),
    Conversion("Kelvin and Celsius", 1.0, 273.15),
    Conversion("Kelvin and Fahrenheit", 1.8, -459.67),
    Conversion("kilometres and miles", 1.609344),
    Conversion("kilometres and nautical miles", 1.852),
    Conversion("pounds and kilograms", 2.20462262),
    Conversion("centimetres and inches", 2.54),
    Conversion("feet and metres", 3.2808399),
    Conversion("km/h and m/s", 3.6),
    Conversion("litres and gallons", 3.78541178),
    *(
        Conversion(f"a factor of {factor:g}", factor)
        for factor in (7.0, 10.0, 12.0, 24.0, 60.0, 100.0, 365.25, 1e3, 1024.0, 3600.0)
    ),
    *(Conversion(f"a factor of {factor:g}", factor) for factor in (1e4, 86400.0, 1e6, 1e9)),
)
CONVERSIONS = (*_WAYS, *(way.back for way in _WAYS), Conversion("the sign", -1.0))


def distance(one: Floats, other: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples: 0 alike, 1 apart.

    >>> distance(np.arange(4.0), np.arange(4.0) + 2.0)
    0.5
    """
    one, other = np.sort(one), np.sort(other)
    both = np.concatenate([one, other])
    shares = [np.searchsorted(side, both, side="right") / len(side) for side in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def noise(one: int, other: int) -> float:
    """What the distance of two samples of one distribution exceeds once in twenty times.

    >>> round(noise(1000, 1000), 3)
    0.061
    """
    return 1.36 * float(np.sqrt(1.0 / one + 1.0 / other))


def number(before: Floats, after: Floats, *, moves: bool = False) -> str:
    """How a column of numbers differs in unit or place; empty where it does not.

    Args:
        before: finite values of the training rows, shape (n,).
        after: finite values of the traffic, shape (m,).
        moves: the column rises or falls with time, so that new values are always elsewhere.
    """
    if len(np.unique(before)) <= 2:
        told = not moves and min(len(before), len(after)) >= FEWEST
        return _coding(before, after) if told else ""
    if (before == 0.0).mean() > ZEROS:  # what is often nothing has its unit in the rest
        before, after = before[before != 0.0], after[after != 0.0]
    before, after = thinned(before), thinned(after)
    if min(len(before), len(after)) < FEWEST:
        return ""
    if len(np.unique(after)) < min(10.0, len(np.unique(before)) / 2.0):
        return ""  # one request again and again, one month: no distribution to compare
    error = noise(len(before), len(after))
    apart = max(distance(before, after), distance(np.abs(before), np.abs(after)))
    found = sorted(
        ((distance(way.of(before), after), way) for way in _likely(before, after)),
        key=lambda pair: pair[0],
    )
    for near, way in [item for item in found if item[1].small][:1]:
        if _exactly(before, after, (near, apart, error)):
            return f"{way.name}: {_medians(before, after)}"
    if apart - error < FAR:
        return ""
    for near, way in [item for item in found if not item[1].small][:1]:
        explained = near <= max(NEAR, 1.5 * error) and near < apart / 6.0
        if explained or _drifted(before, after, way, (near - error, apart)):
            return f"{way.name}: {_medians(before, after)}"
    return _gross(before, after, moves)


def _likely(before: Floats, after: Floats) -> Iterator[Conversion]:
    """The conversions that bring the two medians together, within the range of the quartiles."""
    low, middle, high = np.quantile(before, [0.25, 0.5, 0.75])
    target = float(np.median(after))
    for way in CONVERSIONS:
        reach = abs(way.factor) * (high - low)
        if abs(middle * way.factor + way.offset - target) <= reach:
            yield way


def _drifted(before: Floats, after: Floats, way: Conversion, found: tuple[float, float]) -> bool:
    """Whether a column is in another unit and has drifted as well: as far as drift may be.

    The spread must be that of the other unit. A season moves a column as far, and keeps its spread.
    """
    near, apart = found
    was, now = abs(way.factor) * scale(before), scale(after)
    alike = 0.0 < was < 1.6 * now and now < 1.6 * was
    return way.factor > 0.0 and apart >= ELSEWHERE and near <= DRIFT and alike


def _exactly(before: Floats, after: Floats, found: tuple[float, float, float]) -> bool:
    """Whether many rows tell a conversion by a small factor from drift of the same size."""
    near, apart, error = found
    if min(before.min(), after.min()) < 0.0:
        return False
    return error < NEAR and apart >= max(4.0 * error, 3.0 * near) and near <= 1.2 * error


def _gross(before: Floats, after: Floats, moves: bool) -> str:
    sizes = [np.abs(side[side != 0.0]) for side in (before, after)]
    if all(len(side) >= FEWEST for side in sizes):
        error = noise(len(sizes[0]), len(sizes[1]))
        ratio = float(np.median(sizes[1]) / np.median(sizes[0]))
        if max(ratio, 1.0 / ratio) >= TIMES and distance(*sizes) - error >= GROSS:
            return f"values are {_times(ratio)} what they were: {_medians(before, after)}"
    if before.min() > 0.0 and (after < 0.0).mean() > 1.0 - ZEROS / 10.0:
        return f"the sign: {_medians(before, after)}"
    spread = scale(before)
    low, high = float(before.min()), float(before.max())
    inside = float(((after >= low) & (after <= high)).mean())
    away = abs(float(np.median(after) - np.median(before))) / spread if spread else 0.0
    if not moves and away > PLACE and inside < INSIDE:
        return (
            f"{1.0 - inside:.0%} of the values lie outside {low:.4g} … {high:.4g}, all that was "
            f"seen in training: {_medians(before, after)}"
        )
    return ""


def _coding(before: Floats, after: Floats) -> str:
    """A number with one or two values is a code: others are another coding."""
    known = np.unique(before)
    other = ~np.isin(after, known)
    flags = {0.0, 1.0}
    if flags in (set(known), set(np.unique(after))) and other.mean() > 0.25:
        values = ", ".join(f"{item:g}" for item in np.unique(after[other])[:3])
        return f"training had {known[0]:g} and {known[1]:g} only, the traffic has {values}"
    if len(known) == 2:
        was, now = float((before == known[1]).mean()), float((after == known[1]).mean())
        return _turned(was, now, len(after), f"{known[1]:g}")
    return ""


def _turned(was: float, now: float, rows: int, name: str) -> str:
    """A share that is now that of the other value."""
    error = 2.0 * float(np.sqrt(0.25 / rows))
    if abs(now - was) - error > 0.5 and abs(now - (1.0 - was)) < 0.1 + error:
        return f"its values are turned round: {was:.0%} were {name} and {now:.0%} are"
    return ""


def scale(values: Floats) -> float:
    """A robust standard deviation; 0 where all values are the same.

    >>> round(scale(np.random.default_rng(1).normal(size=5000)), 1)
    1.0
    """
    low, first, third, high = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
    return float((third - first) / 1.349 or (high - low) / 3.29 or values.std())


def thinned(values: Floats) -> Floats:
    """At most MOST of the values, evenly over their order."""
    if len(values) <= MOST:
        return values
    return values[np.linspace(0, len(values) - 1, MOST).astype(np.int64)]


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio > 1.0 else f"1/{1.0 / ratio:,.0f} of"


def _medians(before: Floats, after: Floats) -> str:
    return f"the median was {np.median(before):.4g} and is {np.median(after):.4g}"


def levels(before: Sequence[str], after: Sequence[str]) -> str:
    """How a column of texts is coded otherwise; empty where it is not.

    >>> levels(["basic"] * 70 + ["pro"] * 30, ["BASIC"] * 70 + ["PRO"] * 30)
    "100% of the rows have values that training had in another spelling: 'BASIC' for 'basic'"

    Values that training did not have are no other coding as such: new ones come up. They are when
    they make up most rows, beyond what the values met once in training foretell (Good 1953).

    Args:
        before: values of the training rows, none null.
        after: values of the traffic, none null.
    """
    if min(len(before), len(after)) < FEWEST:
        return ""
    known, counts = np.unique(np.asarray(before, dtype=str), return_counts=True)
    now, times = np.unique(np.asarray(after, dtype=str), return_counts=True)
    fresh = ~np.isin(now, known)
    share = float(times[fresh].sum() / len(after))
    spelled = _spelled(known, now[fresh], times[fresh], len(after))
    if spelled:
        return spelled
    expected = float((counts == 1).sum() / len(before))
    if share - expected - 2.0 * float(np.sqrt(share * (1.0 - share) / len(after))) > 0.5:
        most = now[fresh][np.argsort(-times[fresh], kind="stable")][:2]
        names = " and ".join(repr(str(item)) for item in most)
        return f"{share:.0%} of the rows have values that training never had, such as {names}"
    if len(known) == 2 and not fresh.any():
        was = float(counts[1] / len(before))
        has = float(times[now == known[1]].sum() / len(after))
        return _turned(was, has, len(after), repr(str(known[1])))
    return ""


def _spelled(
    known: NDArray[np.str_], fresh: NDArray[np.str_], times: NDArray[np.int_], rows: int
) -> str:
    plain = {_plain(item): str(item) for item in known}
    if len(plain) < len(known):
        return ""  # training itself has several spellings of a value
    met = [
        (int(n), str(item)) for item, n in zip(fresh, times, strict=True) if _plain(item) in plain
    ]
    share = sum(n for n, _ in met) / rows
    if share < 0.02 or sum(n for n, _ in met) < 5:
        return ""
    most = max(met, key=lambda pair: pair[0])[1]
    return (
        f"{share:.0%} of the rows have values that training had in another spelling: {most!r} "
        f"for {plain[_plain(most)]!r}"
    )


def _plain(text: str) -> str:
    """A text without what differs between systems: case, spaces, 1.0 for 1."""
    short = text.strip().casefold()
    return short.removesuffix(".0") if short.removesuffix(".0").isdigit() else short


def permuted(before: Sequence[Floats], after: Sequence[Floats]) -> Iterator[tuple[int, ...]]:
    """Columns whose values stand in one another's places, as cycles of their indices.

    >>> rng = np.random.default_rng(0)
    >>> age, income = rng.normal(40, 10, 500), rng.normal(45, 3, 500)
    >>> list(permuted([age, income], [income[:200], age[:200]]))
    [(0, 1)]

    Of all columns that lie far from their own past, the assignment to pasts with the least
    distance is looked for; a cycle of it counts where each of its columns lies near the past of
    another.
    """
    from scipy.optimize import linear_sum_assignment

    one, two = [thinned(item) for item in before], [thinned(item) for item in after]
    own = [
        distance(a, b) - noise(len(a), len(b)) if min(len(a), len(b)) >= FEWEST else 0.0
        for a, b in zip(one, two, strict=True)
    ]
    off = sorted((at for at in range(len(own)) if own[at] >= 0.3), key=lambda at: -own[at])[:40]
    if len(off) < 2:
        return
    costs = np.array([[distance(one[j], two[i]) for j in off] for i in off])
    _, chosen = linear_sum_assignment(costs)
    met: set[int] = set()
    for start in range(len(off)):
        cycle, at = [], start
        while at not in met:
            met.add(at)
            cycle.append(at)
            at = int(chosen[at])
        if len(cycle) > 1 and all(_stands(costs, i, int(chosen[i])) for i in cycle):
            yield tuple(off[i] for i in cycle)


def _stands(costs: Floats, at: int, other: int) -> bool:
    """Whether a column lies near another's past, by far nearer than to its own."""
    near, own = float(costs[at, other]), float(costs[at, at])
    return near <= own / 4.0 or near <= min(NEAR, own / 2.5)


def turned(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> bool:
    """Whether the larger of two columns of rows is now the smaller: they stand for one another.

    >>> start = np.arange(100.0)
    >>> turned((start, start + 5.0), (start + 5.0, start))
    True

    Args:
        before: the two columns of the training rows, row by row, NaN where null.
        after: the same of the traffic.
    """
    shares = []
    for one, other in (before, after):
        known = np.isfinite(one) & np.isfinite(other) & (one != other)
        if known.sum() < FEWEST:
            return False
        shares.append(float((one > other)[known].mean()))
    was, now = shares
    if min(was, 1.0 - was) > ORDERED or abs(was - now) < 1.0 - 2.0 * ORDERED:
        return False
    (a, b), (c, d) = ([side[np.isfinite(side)] for side in pair] for pair in (before, after))
    a, b, c, d = (thinned(side) for side in (a, b, c, d))
    return max(distance(a, d), distance(b, c)) <= SIMILAR
