"""What copies prove of a shadow: how its answers differ from the champion's, whenever one looks.

>>> from lifecycle.records import Arm
>>> spec = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))
>>> same = [Tally("differs", "shadow", 0, 2000, 4), Tally("differs", "champion", 0, 500, 0)]
>>> judge(spec, same)[0].outcome
<Outcome.PASS: 'pass'>

A pair is one row that both versions answered. What is compared, each by a limit of the spec:

    differs      the share of rows whose labels differ, less the champion's from itself; of a
                 regression, whose answers lie more than `beyond` spreads apart
    shift        the mean difference of scores; of answers, in spreads of the champion's
    scale        the ratio of the spreads of scores or answers
    errors       rows that only the shadow failed on, against those that only the champion did
    latency      the ratio of what one call took, both on the same rows
    label_error  with labels, the paired test: only the shadow wrong against only the champion
    error_size   of a regression with labels: how much larger its error is

Rates are bounded by the mixture of likelihood ratios over all rates (Robbins 1970), the paired
tests are `evidence.log_e` at a share of one half (McNemar's test as it comes), means are those of
`numbers`, which is asymptotic (Waudby-Smith et al., arXiv 2103.06476). All hold at every look;
alpha is split over the alarms, half of it for the one by labels. What a champion differs from
itself, of which a part of the copies tells, is granted to its shadow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from lifecycle.records import GuardEvidence, Outcome, RolloutSpec, Tally
from lifecycle.rollout.evidence import log_e, log_e_rate, ratio_interval
from lifecycle.rollout.numbers import Side, difference_interval, log_e_difference, precision
from lifecycle.rollout.rates import log_e_rate_is, rate_bounds
from lifecycle.rollout.weighing import added

SHADOW, CHAMPION = "shadow", "champion"
# by what a comparison is judged where the spec does not say it
LIMITS: Mapping[str, float] = MappingProxyType(
    {
        "differing": 0.1,  # share of rows
        "beyond": 0.5,  # spreads: answers of a regression that are further apart differ
        "shift": 0.05,  # of scores, or in spreads
        "scale": 1.25,  # times
        "latency": 1.5,  # times
        "errors": 0.002,  # share of rows that counts as none
    }
)
FEWEST = 20  # pairs; of fewer no mean is judged
TARGET = 200.0  # pairs at which the mixtures for means are at their best
MARGIN = 1.25  # times as many wrong answers that are still no worse, where the spec says none
_FINEST = 0.1  # of a limit: smaller spreads of differences count as this, also none at all
BY_LABELS = 0.5  # of alpha is for alarms by labels, which tell of harm itself
_OTHERS = 5  # comparisons share the rest


def judge(spec: RolloutSpec, tallies: Sequence[Tally]) -> tuple[GuardEvidence, ...]:
    """What the counts prove of the shadow; comparisons without a single unit are left out.

    With labels that certify it, a shadow may differ as much as it is not proven to differ: what is
    unsure of `differs`, `shift` and `scale` passes then.

    Args:
        spec: its limits, alpha, and the last of its margins.
        tallies: as `lifecycle.rollout.pairing.tallied` gives them; those of several steps add up.
    """
    summed = _summed(tallies)
    found = [
        weigh(spec, summed[name, SHADOW], summed.get((name, CHAMPION), Tally(name, CHAMPION, 0)))
        for name, weigh in WEIGHED.items()
        if (name, SHADOW) in summed and summed[name, SHADOW].units
    ]
    certified = any(
        item.outcome is Outcome.PASS
        for item in found
        if item.guard in ("label_error", "error_size")
    )
    return tuple(_excused(item) if certified else item for item in found)


def _excused(item: GuardEvidence) -> GuardEvidence:
    if item.outcome is not Outcome.UNSURE or item.guard not in ("differs", "shift", "scale"):
        return item
    return replace(item, outcome=Outcome.PASS, reason="the labels show that it is no worse")


def _summed(tallies: Sequence[Tally]) -> dict[tuple[str, str], Tally]:
    found: dict[tuple[str, str], Tally] = {}
    for one in tallies:
        other = found.get((one.guard, one.arm))
        found[one.guard, one.arm] = one if other is None else added(other, one)
    return found


def _limit(spec: RolloutSpec, name: str) -> float:
    return float(spec.limits.get(name, LIMITS[name]))


def _alarm(spec: RolloutSpec) -> float:
    """The part of alpha that the alarm of one comparison without labels has."""
    return spec.alpha * (1.0 - BY_LABELS) / _OTHERS


def _differs(spec: RolloutSpec, ours: Tally, noise: Tally) -> GuardEvidence:
    limit, alarm = _limit(spec, "differing"), _alarm(spec) / 2
    n, k, own, again = ours.units, ours.events, noise.events, noise.units
    rate = k / n
    _, loud = rate_bounds(again, own, alarm)
    quiet = rate_bounds(again, own, spec.alpha / 2)[0]
    harm = log_e_rate_is(n, k, limit + loud) if rate > limit + loud else 0.0
    allowed = limit + quiet
    certificate = log_e_rate_is(n, k, allowed) if rate < allowed else 0.0
    low, high = rate_bounds(n, k, alarm)
    return _evidence(
        "differs",
        "event",
        ours,
        noise,
        harm=(harm, math.log(1 / alarm)),
        certificate=(certificate, math.log(2 / spec.alpha)),
        margin=limit,
        rates=(own / again if again else None, rate),
        ratio=rate - (own / again if again else 0.0),
        interval=(low - loud, high - quiet),
        told=(
            f"{rate:.2%} of answers differ, more than {limit:.2%}"
            + (f" and the champion's own {own / again:.2%}" if own else ""),
            f"{rate:.2%} of answers differ, no more than {limit:.2%}",
        ),
    )


def _shift(spec: RolloutSpec, ours: Tally, noise: Tally) -> GuardEvidence:
    limit, alarm = _limit(spec, "shift"), _alarm(spec)
    low, high = _interval(ours, alarm, limit)
    if noise.w > 0 and _centred(noise) <= 0 and noise.s == 0:
        quiet = loud = (0.0, 0.0)  # the champion says the same twice
    elif noise.w >= FEWEST:
        quiet = _interval(noise, spec.alpha / 2, limit)
        loud = _interval(noise, alarm / 2, limit)
    else:
        quiet, loud = (0.0, 0.0), (-math.inf, math.inf)
    up = _of_mean(ours, limit + loud[1], "above", limit)
    down = _of_mean(ours, loud[0] - limit, "below", limit)
    inside = min(
        _of_mean(ours, limit + quiet[0], "below", limit),
        _of_mean(ours, quiet[1] - limit, "above", limit),
    )
    mean = ours.s / ours.w if ours.w else 0.0
    return _evidence(
        "shift",
        "number",
        ours,
        noise,
        harm=(max(up, down) - math.log(2.0), math.log(2 / alarm)),
        certificate=(inside, math.log(2 / spec.alpha)),
        margin=limit,
        rates=_means(ours),
        ratio=mean,
        interval=(low, high),
        told=(
            f"its scores lie {mean:+.3g} from the champion's, more than {limit:g}",
            f"its scores lie {mean:+.3g} from the champion's, no more than {limit:g}",
        ),
    )


def _scale(spec: RolloutSpec, wider: Tally, narrower: Tally) -> GuardEvidence:
    limit = _limit(spec, "scale")
    spread, theirs = (math.sqrt(max(each.total, 0.0) / wider.units) for each in (wider, narrower))
    flat = spread == theirs == 0.0  # neither varies
    harm = max(_of_mean(each, 0.0, "above") for each in (wider, narrower))
    inside = min(_of_mean(each, 0.0, "below") for each in (wider, narrower))
    needed = math.log(1 / spec.alpha)
    ratio = spread / theirs if theirs else (1.0 if flat else math.inf)
    wide = f"its scores are spread {ratio:.3g} times as wide as the champion's"
    return _evidence(
        "scale",
        "number",
        wider,
        narrower,
        harm=(harm - math.log(2.0), math.log(1 / _alarm(spec))),
        certificate=(needed if flat else inside, needed),
        margin=limit,
        rates=(theirs, spread),
        ratio=ratio,
        told=(
            f"{wide}, outside {1 / limit:.3g} … {limit:.3g}",
            wide,
        ),
    )


def _errors(spec: RolloutSpec, ours: Tally, theirs: Tally) -> GuardEvidence:
    counts = [(ours.events, theirs.events, 0.5)]
    margin = spec.margins[-1] if spec.margins else MARGIN
    certificate = max(
        log_e_rate(ours.units, ours.events, below=_limit(spec, "errors")),
        log_e(counts, against=margin, side="below"),
    )
    return _evidence(
        "errors",
        "event",
        ours,
        theirs,
        harm=(log_e(counts, against=1.0, side="above"), math.log(1 / _alarm(spec))),
        certificate=(certificate, math.log(1 / spec.alpha)),
        margin=margin,
        rates=(theirs.events / ours.units, ours.events / ours.units),
        paired=counts,
        alpha=_alarm(spec),
        told=(
            f"it failed on {ours.events} rows that the champion answered",
            f"it failed on {ours.events} of {ours.units} rows that the champion answered",
        ),
    )


def _latency(spec: RolloutSpec, ours: Tally, theirs: Tally) -> GuardEvidence:
    limit = _limit(spec, "latency")
    edge = math.log(limit)
    low, high = _interval(ours, _alarm(spec), edge)
    ratio = math.exp(ours.s / ours.w) if ours.w else 1.0
    return _evidence(
        "latency",
        "number",
        ours,
        theirs,
        harm=(_of_mean(ours, edge, "above", edge), math.log(1 / _alarm(spec))),
        certificate=(_of_mean(ours, edge, "below", edge), math.log(1 / spec.alpha)),
        margin=limit,
        rates=_means(ours, theirs),
        ratio=ratio,
        interval=(math.exp(low) if low > -700 else 0.0, math.exp(min(high, 700))),
        told=(
            f"its calls take {ratio:.3g} times as long as the champion's, more than {limit:g}",
            f"its calls take {ratio:.3g} times as long as the champion's",
        ),
    )


def _label_error(spec: RolloutSpec, ours: Tally, theirs: Tally) -> GuardEvidence:
    counts, alarm = [(ours.events, theirs.events, 0.5)], spec.alpha * BY_LABELS
    margin = spec.margins[-1] if spec.margins else MARGIN
    return _evidence(
        "label_error",
        "event",
        ours,
        theirs,
        harm=(log_e(counts, against=1.0, side="above"), math.log(1 / alarm)),
        certificate=(log_e(counts, against=margin, side="below"), math.log(1 / spec.alpha)),
        margin=margin,
        rates=(theirs.total / ours.units, ours.total / ours.units),
        paired=counts,
        alpha=alarm,
        told=(
            f"it alone was wrong on {ours.events} labelled rows, the champion on {theirs.events}",
            f"it alone was wrong on {ours.events} labelled rows, the champion on {theirs.events}",
        ),
    )


def _error_size(spec: RolloutSpec, ours: Tally, theirs: Tally) -> GuardEvidence:
    alarm = spec.alpha * BY_LABELS
    margin = spec.margins[-1] if spec.margins else MARGIN
    usual = theirs.total / ours.units
    allowed = (margin - 1.0) * usual
    harm = _of_mean(ours, 0.0, "above", allowed)
    certificate = _of_mean(ours, allowed, "below", allowed) if allowed > 0 else 0.0
    mean = ours.s / ours.w if ours.w else 0.0
    larger = f"its error is {mean:+.3g} larger than the champion's {usual:.3g}"
    return _evidence(
        "error_size",
        "number",
        ours,
        theirs,
        harm=(harm, math.log(1 / alarm)),
        certificate=(certificate, math.log(1 / spec.alpha)),
        margin=margin,
        rates=_means(ours, theirs),
        ratio=mean,
        interval=_interval(ours, alarm, allowed),
        told=(larger, f"{larger}, no more than {allowed:.3g}"),
    )


Weigh = Callable[[RolloutSpec, Tally, Tally], GuardEvidence]
WEIGHED: Mapping[str, Weigh] = MappingProxyType(
    {
        "differs": _differs,
        "shift": _shift,
        "scale": _scale,
        "errors": _errors,
        "latency": _latency,
        "label_error": _label_error,
        "error_size": _error_size,
    }
)


def _evidence(
    guard: str,
    kind: str,
    ours: Tally,
    theirs: Tally,
    *,
    harm: tuple[float, float],
    certificate: tuple[float, float],
    margin: float,
    rates: tuple[float | None, float | None],
    told: tuple[str, str],
    ratio: float | None = None,
    interval: tuple[float, float] = (-math.inf, math.inf),
    paired: Sequence[tuple[int, int, float]] = (),
    alpha: float = 0.05,
) -> GuardEvidence:
    if paired:
        ratio, *ends = ratio_interval(paired, alpha)
        interval = (ends[0], ends[1])
    outcome, reason = Outcome.UNSURE, "the evidence is not enough yet"
    if harm[0] >= harm[1]:
        outcome, reason = Outcome.FAIL, told[0]
    elif certificate[0] >= certificate[1]:
        outcome, reason = Outcome.PASS, told[1]
    return GuardEvidence(
        guard,
        SHADOW,
        kind,
        champion_units=theirs.units,
        champion_events=theirs.events,
        units=ours.units,
        events=ours.events,
        champion_rate=rates[0],
        rate=rates[1],
        ratio=_finite(ratio),
        low=_finite(interval[0]),
        high=_finite(interval[1]),
        harm=harm[0],
        harm_limit=harm[1],
        certificate=certificate[0],
        certificate_limit=certificate[1],
        margin=margin,
        outcome=outcome,
        reason=reason,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _means(ours: Tally, theirs: Tally | None = None) -> tuple[float | None, float | None]:
    """The champion's mean and the shadow's; the latter's less the difference where only it is."""
    mean = ours.total / ours.units
    if theirs is not None:
        return theirs.total / ours.units, mean
    return mean - (ours.s / ours.w if ours.w else 0.0), mean


def _centred(tally: Tally) -> float:
    """The sum of squares about the mean, from that about zero."""
    return max(0.0, tally.v - tally.s * tally.s / tally.w) if tally.w > 0 else 0.0


def _spread(tally: Tally, limit: float) -> float:
    """As `_centred`, with a least spread a unit: differences without any would prove nothing."""
    return max(_centred(tally), tally.w * (_FINEST * limit) ** 2)


def _of_mean(tally: Tally, against: float, side: Side, limit: float = 0.0) -> float:
    """Evidence that the mean lies above or below; none of few, and none against infinity."""
    if tally.w < FEWEST or not math.isfinite(against):
        return 0.0
    v = _spread(tally, limit)
    rho = float(precision(v, tally.w, TARGET))
    return log_e_difference(tally.s, v, tally.w, against=against, side=side, rho=rho)


def _interval(tally: Tally, alpha: float, limit: float) -> tuple[float, float]:
    if tally.w < FEWEST:
        return -math.inf, math.inf
    v = _spread(tally, limit)
    rho = float(precision(v, tally.w, TARGET))
    return difference_interval(tally.s, v, tally.w, alpha, rho)
