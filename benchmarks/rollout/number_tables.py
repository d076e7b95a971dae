"""Tables of latency, and of whole rollouts that `decide` leads."""

from collections.abc import Sequence

import numpy as np
from arrivals import LOOKS, RNG
from deciders import ALPHA
from decisions import SPEC, End, rolled_out
from latencies import drifting_level, heavy, lognormal, measured, wild
from shown import Section, rate_of, reached, requests_of

OURS = "ours"


def latency_false(seed: int, rollouts: int) -> Section:
    """Identical latencies."""
    rows = []
    header: list[str] = []
    for at, (name, draw) in enumerate(
        [
            ("steady", lognormal),
            ("the level doubles, with jumps", drifting_level),
            ("Pareto tails", heavy),
            ("infinite variance", wild),
        ]
    ):
        found = measured(np.random.default_rng([seed, at]), rollouts, LOOKS, draw)
        hits = {rule: stops < LOOKS for rule, stops in found.items()}
        header = list(hits)
        shown = [f"{100 * hits[rule].mean():.1f} %" for rule in header if rule != OURS]
        mine = hits[OURS]
        rows.append([name, *shown, f"**{rate_of(mine)}**", reached(mine.mean() <= ALPHA, "≤ 5 %")])
    return Section(
        "Latency: identical models",
        "The share of rollouts that are rolled back within 80,000 requests. Latencies are"
        " log-normal with a spread of 0.75 of the logarithm; Pareto tails have the index 1;"
        " infinite variance is Student's t with 1.8 degrees of freedom. The last but one has"
        " the plain sum of squares for V.",
        ["latency", *header, "goal for ours"],
        rows,
    )


def latency_found(seed: int, rollouts: int) -> Section:
    """Slower models."""
    goals = {1.2: 15}
    cells: dict[str, list[str]] = {}
    checks = []
    for slower in (1.1, 1.2, 1.5, 2.0):
        rng = np.random.default_rng([seed, int(100 * slower)])
        found = measured(rng, rollouts, LOOKS, lognormal, slower=slower)
        for rule, stops in found.items():
            middle = float(np.median(stops))
            spent = (int(middle) + 1) * 1000.0 if middle < LOOKS else float("nan")
            cells.setdefault(rule, []).append(requests_of(spent))
            if rule == OURS:
                goal = goals.get(slower)
                checks.append(reached(spent <= goal * 1000, f"≤ {goal}k") if goal else "")
    rows = [[f"**{rule}**" if rule == OURS else rule, *shown] for rule, shown in cells.items()]
    return Section(
        "Latency: requests until a slower model is rolled back",
        "The median, on the fixed schedule.",
        ["rule", "+10 %", "+20 %", "+50 %", "+100 %"],
        [*rows, ["goal for ours", *checks]],
    )


CASES: dict[str, tuple[float, float]] = {
    "equal, 2 %": (0.02, 1.0),
    "better, 2 → 1.6 %": (0.02, 0.8),
    "1.25 times worse, the last margin": (0.02, 1.25),
    "1.5 times worse": (0.02, 1.5),
    "twice as bad": (0.02, 2.0),
    "five times as bad": (0.02, 5.0),
    "equal, no errors at all": (0.0, 1.0),
    "equal, 0.05 %": (0.0005, 1.0),
    "equal, 0.5 %": (0.005, 1.0),
}


def whole(seed: int, rollouts: int, case: str, looks: int = 200) -> list[End]:
    """Rollouts of one case, from the first request to the decision."""
    rate, ratio = CASES[case]
    return [
        rolled_out(_stream(seed, case, at), rate=rate, ratio=ratio, looks=looks, spec=SPEC)
        for at in range(rollouts)
    ]


def _stream(seed: int, case: str, at: int) -> RNG:
    return np.random.default_rng([seed, list(CASES).index(case), at])


def whole_table(ends: dict[str, Sequence[End]]) -> Section:
    """What became of whole rollouts."""
    rows = []
    for case, found in ends.items():
        promoted = np.array([end.action == "promote" for end in found])
        stopped = np.array([end.action == "rollback" for end in found])
        held = sum(end.action == "hold" for end in found)
        goal = ""
        if case == "1.25 times worse, the last margin":
            goal = reached(promoted.mean() <= ALPHA, "promoted ≤ 5 %")
        elif case.startswith("equal"):
            goal = reached(stopped.mean() <= ALPHA, "rolled back ≤ 5 %")
        rows.append(
            [
                case,
                f"{len(found):,}",
                rate_of(promoted),
                _median([end.requests for end in found if end.action == "promote"]),
                rate_of(stopped),
                _median([end.requests for end in found if end.action == "rollback"]),
                _median([end.exposed for end in found if end.action == "rollback"]),
                str(held),
                goal,
            ]
        )
    return Section(
        "Whole rollouts",
        "Each look is decided by `lifecycle.rollout.deciding.decide`: 1, 5, 25, 50 and 95 %, each"
        " until its certificate (margins 5, 2, 1.5, 1.25) and 200,000 requests at most; medians of"
        " requests among those that came to the decision. What is neither was not decided by then.",
        ["challenger", "rollouts", "promoted", "after", "rolled back", "after", "of them exposed",
         "held", "goal"],
        rows,
    )  # fmt: skip


def _median(values: Sequence[int]) -> str:
    return requests_of(float(np.median(values))) if values else "-"
