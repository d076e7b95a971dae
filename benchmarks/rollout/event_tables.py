"""Tables of events: false rollbacks, detection, shadow, certificates, the sample ratio."""

from collections.abc import Callable, Sequence

import numpy as np
from arrivals import (
    LOOK,
    LOOKS,
    RATE,
    RNG,
    SHARES,
    Array,
    Seen,
    counted,
    delayed,
    diurnal,
    drifting,
    incidents,
    steady,
    steps_of,
)
from deciders import ALPHA, RULES, cumulated, first, harm, ours
from shown import Section, rate_of, reached, requests_of, small_rate_of
from stickiness import by_key, by_request, first_met, slow, visits

from lifecycle.rollout.evidence import log_e_arrays, log_e_certificate, log_e_sample_arrays
from lifecycle.rollout.weighing import ASSIGNMENT_ALPHA

LIMIT = float(np.log(1.0 / ALPHA))
GUARDS = 10
OURS = list(RULES)[-1]
NEGLIGIBLE = 0.002
LOOSE = 8  # every how manieth rollout is judged without clusters, too
DELAYS = (8, 2)  # looks that a label takes in the champion's and in the challenger's arm


def false_rollbacks(seed: int, rollouts: int) -> Section:
    """Identical models, all rules."""
    rng = np.random.default_rng(seed)
    cases: dict[str, Callable[[], dict[str, Array]]] = {
        "steady 2 %": lambda: _all(counted(rng, rollouts, LOOKS, steady)),
        "drifting 1 → 4 %": lambda: _all(counted(rng, rollouts, LOOKS, drifting)),
        "diurnal, 0.4 … 3.6 %": lambda: _all(counted(rng, rollouts, LOOKS, diurnal)),
        "three incidents of 30 %": lambda: _all(counted(rng, rollouts, LOOKS, incidents)),
        "shares 30 % too small": lambda: _all(counted(rng, rollouts, LOOKS, steady, off=0.7)),
        "shares 30 % too large": lambda: _all(counted(rng, rollouts, LOOKS, steady, off=1.3)),
        "ten guards": lambda: _ten(rng, rollouts),
        "labels after 8,000 (champion) and 2,000 requests, steady": lambda: _late(
            rng, rollouts, steady
        ),
        "… drifting 1 → 4 %": lambda: _late(rng, rollouts, drifting),
        "… three incidents of 30 %": lambda: _late(rng, rollouts, incidents),
    }
    rows, figures = [], {}
    for name, case in cases.items():
        found = case()
        rows.append(_row(name, found))
        for rule, hits in found.items():
            figures[f"false|{name}|{rule}"] = float(hits.mean())
    return Section(
        "False rollback: identical models",
        "The share of rollouts that are rolled back within 80,000 requests. Ten guards: any of ten"
        " independent ones. Labels that come late are counted by the thousand requests they belong"
        " to; counted by step alone, incidents would roll back "
        f"{rate_of(_late_by_step(rng, rollouts))}.",
        ["case", *[rule.replace("**", "") for rule in RULES], "goal for ours"],
        rows,
        figures,
    )


def _row(name: str, found: dict[str, Array]) -> list[str]:
    mine = found[OURS]
    shown = [f"{100 * found[rule].mean():.1f} %" for rule in RULES if rule != OURS]
    return [name, *shown, f"**{rate_of(mine)}**", reached(mine.mean() <= ALPHA, "≤ 5 %")]


def _all(seen: Seen) -> dict[str, Array]:
    return {name: rule(seen) < seen.step.size for name, rule in RULES.items()}


def _ten(rng: RNG, rollouts: int) -> dict[str, Array]:
    found = {name: np.zeros(rollouts, bool) for name in RULES}
    for _ in range(GUARDS):
        seen = counted(rng, rollouts, LOOKS, steady)
        for name, rule in RULES.items():
            stops = ours(seen, GUARDS) if name == OURS else rule(seen)
            found[name] |= stops < LOOKS
    return found


def _late(rng: RNG, rollouts: int, base: Callable[..., Array]) -> dict[str, Array]:
    seen = counted(rng, rollouts, LOOKS, base)
    found = _all(_arrived(seen))  # and ours below, which tells the thousands apart
    found[OURS] = _late_harm(seen, blocks=True)
    return found


def _late_by_step(rng: RNG, rollouts: int) -> Array:
    return _late_harm(counted(rng, rollouts, LOOKS, incidents), blocks=False)


def _late_harm(seen: Seen, *, blocks: bool) -> Array:
    hits = []
    for start in range(0, len(seen.units), 50):
        part = slice(start, start + 50)
        some = Seen(
            seen.units[part],
            seen.events[part],
            seen.champion_units[part],
            seen.champion_events[part],
            seen.step,
        )
        known = delayed(some, *DELAYS, blocks=blocks)
        evidence = log_e_arrays(*known, against=1.0, side="above")
        hits.append((evidence >= LIMIT).any(axis=1))
    return np.concatenate(hits)


def _arrived(seen: Seen) -> Seen:
    """What each arm's labels tell at each look."""

    def later(counts: Array, delay: int) -> Array:
        return np.pad(counts, ((0, 0), (delay, 0)))[:, : counts.shape[1]]

    theirs, mine = DELAYS
    return Seen(
        later(seen.units, mine),
        later(seen.events, mine),
        later(seen.champion_units, theirs),
        later(seen.champion_events, theirs),
        seen.step,
    )


def sticky(seed: int, start: int, rollouts: int) -> list[dict[str, bool]]:
    """Identical models, keys of unequal error rates: alarms of rollouts from `start` on."""
    found = []
    for at in range(start, start + rollouts):
        rollout = visits(np.random.default_rng([seed, at]), LOOKS)
        worse = by_key(visits(np.random.default_rng([seed, at, 1]), LOOKS, ratio=2.0))
        inside = (steps_of(LOOKS)[:, None] == np.arange(len(SHARES))).astype(float)
        met = (np.cumsum(item[..., None] * inside, axis=1) for item in first_met(rollout))
        sample = log_e_sample_arrays(*met, np.asarray(SHARES))
        less = log_e_arrays(*cumulated(worse), against=2.0, side="below")
        alarms = {
            "mean": slow(rollout, LIMIT),
            "certificate": bool((less >= LIMIT).any()),
            "sample": bool((sample >= np.log(1.0 / ASSIGNMENT_ALPHA)).any()),
        }
        if at % LOOSE == 0:
            alarms["loose"] = slow(rollout, LIMIT, clustered=False)
        for unit, seen in (("key", by_key(rollout)), ("request", by_request(rollout))):
            alarms |= {f"{unit}|{rule}": bool(hit[0]) for rule, hit in _all(seen).items()}
        found.append(alarms)
    return found


def sticky_table(alarms: Sequence[dict[str, bool]]) -> Section:
    """What `sticky` found, as a table."""

    def told(name: str) -> Array:
        return np.array([item[name] for item in alarms if name in item])

    rows = []
    for name, unit in (("a key's first event is one", "key"), ("requests are units", "request")):
        row = _row(name, {rule: told(f"{unit}|{rule}") for rule in RULES})
        rows.append(row if unit == "key" else [*row[:-1], ""])
    blank = [""] * (len(RULES) - 1)
    mean, sample = told("mean"), told("sample")
    for name, shown, goal in (
        ("latency, a key is one draw", rate_of(mean), reached(mean.mean() <= ALPHA, "≤ 5 %")),
        ("latency, requests are units", rate_of(told("loose")), ""),
        (
            "sample ratio of keys",
            small_rate_of(sample),
            reached(sample.mean() <= ASSIGNMENT_ALPHA, "≤ 0.1 %"),
        ),
        ("certificate of 2, requests fail twice as often", rate_of(told("certificate")), ""),
    ):
        rows.append([name, *blank, f"**{shown}**" if goal else shown, goal])
    return Section(
        "False rollback: sticky keys of unequal error rates",
        "3,000 keys, a tenth of which fail at 15 % of their requests and the others at 0.55 %; each"
        " has a level of latency of its own, and some send far more requests than others. The"
        " certificate is of keys that meet a failure, of which bad requests that fall to the same"
        " keys make fewer: where each request fails twice as often, fewer than twice the keys do.",
        ["case", *[rule.replace("**", "") for rule in RULES], "goal for ours"],
        rows,
    )


def detection(seed: int, rollouts: int, looks: int = 200) -> Section:
    """Worse models, all rules."""
    goals = {1.5: 45, 2.0: 27, 5.0: 6}
    found: dict[float, dict[str, tuple[float, float]]] = {}
    for ratio in (1.25, *goals):
        rng = np.random.default_rng([seed, int(100 * ratio)])
        seen = counted(rng, rollouts, looks, steady, ratio=ratio)
        requests = seen.requests()
        found[ratio] = {name: _median(rule(seen), requests) for name, rule in RULES.items()}
    rows = []
    for name in RULES:
        cells = [
            f"{requests_of(found[ratio][name][0])} / {requests_of(found[ratio][name][1])}"
            for ratio in found
        ]
        rows.append([name, *cells])
    checks = [
        reached(found[ratio][OURS][0] <= 1000 * goal, f"≤ {goal}k") for ratio, goal in goals.items()
    ]
    rows.append(["goal for ours", "", *checks])
    figures = {f"found|{rule}": found[1.5][rule][0] for rule in RULES}
    return Section(
        "Detection: requests until a worse model is rolled back",
        "The median of all requests, and of those that the challenger answered, until the rollback;"
        " rules that roll identical models back are as fast here as they are wrong above.",
        ["rule", *[f"2 → {2 * ratio:g} %" for ratio in found]],
        rows,
        figures,
    )


def _median(at: Array, requests: Array) -> tuple[float, float]:
    looks = requests.shape[2]
    middle = float(np.median(at))
    if middle >= looks:
        return float("nan"), float("nan")
    inside = at < looks
    exposed = requests[1, inside, at[inside]]
    return (int(middle) + 1) * float(LOOK), float(np.median(exposed))


def shadow(seed: int, rollouts: int) -> Section:
    """Both models answer the same requests, and labels come."""
    rng = np.random.default_rng(seed)
    every, looks, shared = 100, 400, 0.8 * RATE
    rows = []
    for name, worse in (("identical", RATE), ("2 → 2.5 %", 0.025), ("2 → 3 %", 0.03)):
        both, mine = rng.binomial(every, np.array([shared, worse - shared])[:, None, None],
                                  (2, rollouts, looks))  # fmt: skip
        theirs = rng.binomial(every, RATE - shared, (rollouts, looks))
        single = [np.cumsum(item, axis=1)[..., None] for item in (mine, theirs)]
        whole = [np.cumsum(item + both, axis=1)[..., None] for item in (mine, theirs)]
        split = [
            np.cumsum(rng.binomial(every // 2, rate, (rollouts, looks)), axis=1)[..., None]
            for rate in (worse, RATE)
        ]
        cells = []
        for counts in (single, whole, split):
            stops = first(log_e_arrays(*counts, 0.5, against=1.0, side="above") >= LIMIT)
            median = (np.median(stops) + 1) * every if np.median(stops) < looks else np.nan
            cells.append(rate_of(stops < looks) if worse == RATE else requests_of(float(median)))
            if counts is single:
                right = (stops < looks).mean() <= ALPHA if worse == RATE else median <= 4500
        goal = {RATE: "≤ 5 %", 0.025: "≤ 4.5k"}.get(worse, "")
        rows.append(
            [name, f"**{cells[0]}**", *cells[1:], reached(bool(right), goal) if goal else ""]
        )
    return Section(
        "Shadow with labels",
        "Labelled requests until the challenger is proven worse, or for identical models the share"
        " of false alarms in 40,000; 80 % of the champion's errors are the challenger's too; a look"
        " every 100 labels. Only errors of one of the two tell anything (McNemar).",
        ["case", "errors of one alone (ours)", "all errors of the pairs", "split 50 : 50", "goal"],
        rows,
    )


def certificates(seed: int, rollouts: int, looks: int = 200) -> Section:
    """At exactly the margin, and of equal challengers."""
    rng = np.random.default_rng(seed)
    rows = []
    for margin, share in zip((5.0, 2.0, 1.5, 1.25), SHARES, strict=True):
        worst, both, rare = (
            _certified(rng, (rollouts, looks), margin, share, rate=rate, ratio=ratio)
            for rate, ratio in ((RATE, margin), (NEGLIGIBLE, margin), (0.0, 1.0))
        )
        equal, better = (
            _certified(rng, (rollouts, looks), margin, share, rate=RATE, ratio=ratio)
            for ratio in (1.0, 0.8)
        )
        hits, twice = worst < looks, both < looks
        rows.append(
            [
                f"{margin:g}, at {100 * share:g} %",
                f"**{rate_of(hits)}**",
                f"**{rate_of(twice)}**",
                reached(max(hits.mean(), twice.mean()) <= ALPHA, "≤ 5 %"),
                *(_spent(stops, looks) for stops in (equal, better, rare)),
                rate_of(equal < 20),
            ]
        )
    return Section(
        "The certificate to step up",
        "False: the share of rollouts in which it is ever given within 200,000 requests although"
        " the challenger is exactly `margin` times worse; in the second column the champion's is"
        " also exactly the one that counts as none (0.2 %), so that both ways to a certificate are"
        " at their limits. Then the median of requests at that share until it is given, and its"
        " power for an equal challenger in 20,000 requests.",
        ["margin", "false", "false, 0.2 %", "goal", "equal, 2 %", "2 → 1.6 %",
         "no events at all", "power"],
        rows,
    )  # fmt: skip


def _certified(
    rng: RNG, size: tuple[int, int], margin: float, share: float, *, rate: float, ratio: float
) -> Array:
    units = rng.binomial(LOOK, share, size)
    mine = np.cumsum(rng.binomial(units, rate * ratio), axis=1)
    theirs = np.cumsum(rng.binomial(LOOK - units, rate), axis=1)
    total = np.cumsum(units, axis=1)
    realised = total / (LOOK * np.arange(1, size[1] + 1))
    evidence = log_e_certificate(
        mine[..., None],
        theirs[..., None],
        realised[..., None],
        units=total,
        events=mine,
        margin=margin,
        negligible=NEGLIGIBLE,
    )
    return first(evidence >= LIMIT)


def _spent(stops: Array, looks: int) -> str:
    middle = float(np.median(stops))
    return requests_of((int(middle) + 1) * LOOK if middle < looks else float("nan"))


def sample_ratio(seed: int, rollouts: int) -> Section:
    """Requests that fall to the arms as planned, and others."""
    limit = np.log(1.0 / ASSIGNMENT_ALPHA)
    rows = []
    for off in (1.0, 0.7, 1.3, 0.9, 1.1):
        rng = np.random.default_rng([seed, int(100 * off)])
        stops = []
        for _ in range(10):
            seen = counted(rng, rollouts, LOOKS, steady, off=off)
            inside = (seen.step[:, None] == np.arange(len(SHARES))).astype(float)
            ours_met, rest = (
                np.cumsum(item[..., None] * inside, axis=1)
                for item in (seen.units, seen.champion_units)
            )
            evidence = log_e_sample_arrays(ours_met, rest, np.asarray(SHARES))
            stops.append(first(evidence >= limit))
            if off != 1.0:
                break
        found = np.concatenate(stops)
        hits = found < LOOKS
        goal = reached(hits.mean() <= ASSIGNMENT_ALPHA, "≤ 0.1 %") if off == 1.0 else ""
        spent = "" if off == 1.0 else _spent(found, LOOKS)
        rows.append([f"{off:.0%} of the plan", small_rate_of(hits), spent, goal])
    return Section(
        "Sample-ratio check",
        "The share of rollouts with an alarm within 80,000 requests, and the median of requests"
        " until it; alpha 0.1 %.",
        ["realised shares", "alarms", "requests", "goal"],
        rows,
    )


def agreement(seed: int, rollouts: int) -> float:
    """How far the vectorised evidence is from `lifecycle.rollout.weighing.weigh`, at most."""
    from decisions import SPEC, tallied

    from lifecycle.rollout.guards import parse
    from lifecycle.rollout.weighing import weigh

    seen = counted(np.random.default_rng(seed), rollouts, LOOKS, drifting, ratio=1.3)
    evidence, parts = harm(seen), cumulated(seen)
    worst = 0.0
    for rollout in range(rollouts):
        for look in (0, 7, 25, 61, 79):
            found = weigh(SPEC, 0, tallied(seen, rollout, look), [parse("errors")])[0]
            worst = max(worst, abs(found.harm - float(evidence[rollout, look])))
            told = sum(int(part[rollout, look].sum()) for part in parts[:2])
            if told != found.events + found.champion_events:
                raise AssertionError("the bench counts otherwise than weigh()")
    return worst
