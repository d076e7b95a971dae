"""What a rollout will be able to find, and how long its steps take, before anything moves.

>>> from lifecycle.records import Arm
>>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
>>> spec = RolloutSpec("churn", "canary", pair, (0.05, 1.0), (2.0,), ("errors",), hold_back=0.1)
>>> found = forecast(spec, rates={"errors": 0.02}, per_day=10_000.0)
>>> [(item.ratio, 100 * round(item.requests / 100)) for item in found.harms]
[(1.5, 43800), (2.0, 11100), (5.0, 1100)]

The figures are medians: the requests after which the evidence of the expected counts reaches its
limit. For one alternative that is (log(1/alpha) + about 1) / KL(q || p) events with
q = p·r / (p·r + 1 - p) at the share p and the ratio r, as Wald has it (1945); here the mixtures
themselves are asked, over steps of different shares, each of which lasts until its certificate.

What is not known is assumed, and a note says so: a guard of which nothing was logged has no
forecast, the logarithm of a latency is spread by 0.5, and all requests are units of all guards
unless `reach` says how many are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lifecycle.records import Forecast, RolloutPlan, RolloutSpec, Tally
from lifecycle.rollout.events import SHADOW, shares_at
from lifecycle.rollout.expecting import Expected, Path, expected, until
from lifecycle.rollout.guards import parse

RATIOS = (1.5, 2.0, 5.0)  # of the harms that are looked for
BETTER = (1.25, 1.5, 2.0)  # of the improvements that a test looks for
LONG = 30.0  # days after which a step is called long
DAY = 86_400.0


def forecast(
    spec: RolloutSpec,
    *,
    rates: Mapping[str, float],
    per_day: float | None,
    reach: Mapping[str, float] | None = None,
    spreads: Mapping[str, float] | None = None,
) -> RolloutPlan:
    """What a rollout of this spec will find at the present traffic.

    Args:
        spec: a checked spec.
        rates: the champion's events a unit, of numbers the mean, by guard's text.
        per_day: requests a day; None: not known, and so no days either.
        reach: units of a guard a request: fewer than 1 where only those with a label count, or
            those of one segment; by default 1.
        spreads: standard deviations of numbers; of those that are not known see above.

    Returns:
        Of each guard the harms of 1.5, 2 and 5 times and when they are found, of a test's metric
        the improvements, then how long each step takes an equal challenger. A ratio below 1 is an
        improvement.
    """
    per_day = per_day if per_day and per_day > 0.0 else None
    if spec.arms[1].name == SHADOW:
        return _shadow(spec, per_day)
    texts = list(dict.fromkeys((*spec.guards, *([spec.metric] if spec.metric else []))))
    known, notes = dict[str, Expected](), list[str]()
    for text in texts:
        one, note = expected(parse(text), rates, reach, spreads)
        if one is not None:
            known[text] = one
        notes += [note] if note else []
    guards = [known[text] for text in spec.guards if text in known]
    equal, steps = _steps(spec, guards, per_day)
    limit = math.log(max(1, len(spec.guards) * (len(spec.arms) - 1)) / spec.alpha)
    harms = [
        _found(spec, one, ratio, equal, per_day=per_day, limit=limit)
        for one in guards
        for ratio in RATIOS
    ]
    harms += [_unknown(text) for text in spec.guards if text not in known]
    if spec.metric in known:
        apart = math.log((len(spec.arms) - 1) / spec.alpha)
        harms += [_improved(spec, known[spec.metric], up, per_day, apart) for up in BETTER]
    return RolloutPlan(
        spec, per_day, tuple(harms), steps, (*_said(spec, harms, steps, per_day), *notes)
    )


def _steps(
    spec: RolloutSpec, guards: Sequence[Expected], per_day: float | None
) -> tuple[tuple[float, ...], tuple[Forecast, ...]]:
    """Requests that each step takes an equal challenger, and of which guard that is."""
    path: Path = ()
    lasting, found = list[float](), list[Forecast]()
    limit = math.log(1.0 / spec.alpha)
    for step in range(len(spec.steps)):
        share = shares_at(spec, step)[1]
        margin = _margin(spec, step)
        slowest, most = None, 0.0
        for one in guards:
            if margin is None or not one.watched.certify:
                continue
            needed = until(_certified(one, path, share, margin, 1.0), limit)
            if needed is None or needed >= most:
                slowest, most = one, math.inf if needed is None else needed
        least = spec.step_seconds / DAY * (per_day or 0.0)
        requests = max(most, least, 1.0)
        lasting.append(requests)
        if math.isinf(requests):
            found += [_step_of(slowest, margin, None, share, per_day)]
            break
        path = (*path, (requests, share))
        found.append(_step_of(slowest, margin, requests, share, per_day))
    return tuple(lasting), tuple(found)


def _found(
    spec: RolloutSpec,
    one: Expected,
    ratio: float,
    equal: Sequence[float],
    *,
    per_day: float | None,
    limit: float,
) -> Forecast:
    """When a harm is found that lets the steps last until the certificates that it still gets."""
    path: Path = ()
    certain = math.log(1.0 / spec.alpha)
    for step, share in enumerate(_shares(spec)):
        before = path
        needed = until(_harmed(one, before, share, ratio), limit)
        lasts: float | None = None  # until the next step; None: for ever
        if spec.steps and step < len(equal) and math.isfinite(equal[step]):
            margin = _margin(spec, step)
            lasts = equal[step]
            if margin is not None and one.watched.certify:
                own = until(_certified(one, before, share, margin, ratio), certain)
                lasts = None if own is None else max(own, lasts)
        if needed is not None and (lasts is None or needed <= lasts):
            return _forecast(one, ratio, (*before, (needed, share)), per_day, _both(spec))
        if lasts is None:
            break
        path = (*path, (lasts, share))
    return _forecast(one, ratio, None, per_day)


def _improved(
    spec: RolloutSpec, one: Expected, up: float, per_day: float | None, limit: float
) -> Forecast:
    """When a test finds that an arm is so many times better."""
    share = _shares(spec)[0]
    ratio = 1.0 / up

    def apart(requests: float) -> float:
        return one.told_apart(((requests, share),), ratio)

    if one.watched.kind == "number" and not one.watched.guard.log:
        ratio = 2.0 - up  # so much of the mean, in the better direction
    needed = until(apart, limit)
    path = None if needed is None else ((needed, share),)
    return _forecast(one, 1.0 / up, path, per_day, _both(spec))


def _harmed(one: Expected, before: Path, share: float, ratio: float) -> Callable[[float], float]:
    return lambda requests: one.harm((*before, (requests, share)), ratio)


def _certified(
    one: Expected, before: Path, share: float, margin: float, ratio: float
) -> Callable[[float], float]:
    return lambda requests: one.certificate((*before, (requests, share)), ratio, margin)


def _shares(spec: RolloutSpec) -> list[float]:
    """The challenger's share at each step; of a test among it and the champion."""
    if spec.steps:
        return [shares_at(spec, step)[1] for step in range(len(spec.steps))]
    first, second = shares_at(spec, 0)[:2]
    return [second / (first + second) if first + second > 0.0 else 0.0]


def _both(spec: RolloutSpec) -> float:
    """The part of the requests that the champion and the first challenger answer."""
    return 1.0 if spec.steps else math.fsum(shares_at(spec, 0)[:2])


def _margin(spec: RolloutSpec, step: int) -> float | None:
    return spec.margins[min(step, len(spec.margins) - 1)] if spec.margins else None


def _forecast(
    one: Expected, ratio: float, path: Path | None, per_day: float | None, part: float = 1.0
) -> Forecast:
    """A harm's row; `part` of the requests are those of both arms."""
    told = Forecast(one.watched.text, _rate(one), ratio, None, kind=one.watched.kind)
    if path is None:
        return told
    requests = sum(item for item, _ in path) / max(part, 1e-12)
    exposed = sum(item * share for item, share in path)
    return replace(
        told, requests=requests, days=requests / per_day if per_day else None, exposed=exposed
    )


def _step_of(
    slowest: Expected | None,
    margin: float | None,
    requests: float | None,
    share: float,
    per_day: float | None,
) -> Forecast:
    return Forecast(
        slowest.watched.text if slowest else "",
        _rate(slowest) if slowest else None,
        margin or 1.0,
        requests,
        requests / per_day if requests is not None and per_day else None,
        requests * share if requests is not None else None,
        kind=slowest.watched.kind if slowest else "event",
    )


def _unknown(text: str) -> Forecast:
    return Forecast(text, None, RATIOS[0], None, kind=parse(text).kind)


def _rate(one: Expected) -> float | None:
    """As people read it: of a logarithm the value itself."""
    if math.isnan(one.rate):
        return None
    return math.exp(min(one.rate, 700.0)) if one.watched.guard.log else one.rate


def _shadow(spec: RolloutSpec, per_day: float | None) -> RolloutPlan:
    """When answers that never differ pass, and those that differ more than allowed are found."""
    from lifecycle.rollout.shadowing import LIMITS, judge

    allowed = float(spec.limits.get("differing", LIMITS["differing"]))

    def evidence(pairs: float, rate: float) -> tuple[float, float]:
        units = max(int(pairs), 1)
        champion = Tally("differs", "champion", 0, units // 4, 0)
        found = judge(spec, [Tally("differs", SHADOW, 0, units, int(rate * units)), champion])[0]
        return found.harm - found.harm_limit, (found.certificate or 0.0) - found.certificate_limit

    def row(ratio: float, pairs: float | None) -> Forecast:
        if pairs is None:
            return Forecast("differs", allowed, ratio, None)
        requests = pairs / spec.sample
        return Forecast(
            "differs", allowed, ratio, requests, requests / per_day if per_day else None, 0.0
        )

    harms = []
    for ratio in RATIOS:
        rate = min(allowed * ratio, 1.0)
        harms.append(row(ratio, until(lambda n, rate=rate: evidence(n, rate)[0], 0.0)))  # type: ignore[misc] # the default binds the loop's value
    passed = row(1.0, until(lambda n: evidence(n, 0.0)[1], 0.0))
    notes = _said(spec, harms, (passed,), per_day)
    alone = (
        "nobody meets the shadow's answers; a harm is that its answers differ so much more often"
    )
    return RolloutPlan(spec, per_day, tuple(harms), (passed,), (*notes, alone))


def _said(
    spec: RolloutSpec,
    harms: Sequence[Forecast],
    steps: Sequence[Forecast],
    per_day: float | None,
) -> tuple[str, ...]:
    """What people must know of the plan before they begin."""
    notes = []
    if per_day is None:
        notes.append("no traffic was logged, so how many days it takes is not known")
    for at, one in enumerate(steps):
        share = f"{100 * spec.steps[at]:g} %" if at < len(spec.steps) else "only"
        if one.requests is None:
            notes.append(f"the {share} step never ends: {one.guard} gives no certificate")
        elif one.days is not None and one.days > LONG and per_day is not None:
            fix = "begin with larger steps" if len(spec.steps) > 1 else "it needs more traffic"
            notes.append(
                f"at {per_day:,.0f} requests a day the {share} step takes {_long(one.days)}: {fix}"
            )
    whole = math.fsum(one.days or 0.0 for one in steps)
    if spec.steps and whole > 0.0 and all(one.days is not None for one in steps):
        notes.append(f"an equal challenger is promoted after about {_long(whole)}")
        if 0.0 < spec.max_seconds < whole * DAY:
            notes.append(
                f"it may last {_long(spec.max_seconds / DAY)}, which is not enough: then"
                f" {spec.at_end}"
            )
    notes += [
        _missed(spec, one)
        for one in harms
        if spec.steps and one.requests is None and one.rate is not None and one.ratio > 1.0
    ]
    return tuple(notes)


def _missed(spec: RolloutSpec, one: Forecast) -> str:
    """Why a harm passes all steps."""
    guard = parse(one.guard).guard
    none = guard.negligible * (spec.margins[-1] if spec.margins else 1.0)
    if one.kind == "event" and one.rate is not None and one.rate * one.ratio < none:
        return (
            f"{one.guard}: {one.ratio:g} times {100 * one.rate:.3g} % is not found:"
            f" less than {100 * none:.3g} % counts as none"
        )
    return (
        f"{one.guard}: a challenger {one.ratio:g} times worse can pass all steps unseen;"
        " smaller margins prevent it"
    )


def _long(days: float) -> str:
    """Days in the unit that people count them in."""
    if days >= 700:
        return f"{days / 365.25:.1f} years"
    if days >= 2:
        return f"{days:.0f} days"
    return f"{days * 24:.1f} hours"
