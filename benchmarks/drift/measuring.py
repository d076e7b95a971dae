"""Measure one plan on one reference, in a process of its own.

The generators are seeded by what is measured and nothing else: neither the number of processes nor
the other rules, sizes and changes of a run make a difference.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from changes import CHANGES
from rules import ALARM, UNSURE, Judge, answers, rule
from streams import DAY, STREAMS
from tables import UNCHANGED, Plan, Size

APART = 400  # rows between the reference and the first window: runs are over by then
PHASES = 28 * DAY  # windows begin at any time of four weeks


def seed(*parts: object) -> np.random.Generator:
    """A generator for what the parts name."""
    return np.random.default_rng(zlib.crc32("|".join(map(str, parts)).encode()))


def measure(plan: Plan, draw: int, rules: list[str]) -> dict[str, Any]:
    """Counts of all windows on one reference.

    Returns:
        `counts`: by rows, change and figure the windows asked, alarms and answers of "unsure";
        `errors`: by rows and rule, what went wrong; `seconds` by rule.
    """
    stream = STREAMS[plan.stream]
    reference = stream.frame(seed(plan.key, draw), plan.reference)
    counts: dict[str, list[int]] = {}
    errors: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name in rules:
        sizes = [size for size in plan.sizes if draw < size.draws_of(name)]
        if not sizes:
            continue
        started, at = time.perf_counter(), 0
        try:
            made = rule(name)
            judge = made(reference, stream.time)
            for size in sizes:
                at = size.rows
                for change, answer in _ask(plan, draw, size, judge, getattr(made, "every", 1)):
                    for label, said in answers(name, answer).items():
                        cell = counts.setdefault(f"{size.rows}|{change}|{label}", [0, 0, 0])
                        cell[0] += 1
                        cell[1] += said == ALARM
                        cell[2] += said == UNSURE
        except Exception as error:  # noqa: BLE001 - a rule's failure is a row of the table
            errors[f"{at}|{name}"] = f"{type(error).__name__}: {error}"[:200]
        seconds[name] = time.perf_counter() - started
    job = {"plan": plan.key, "draw": draw, "sizes": [asdict(size) for size in plan.sizes]}
    return {**job, "rules": rules, "counts": counts, "errors": errors, "seconds": seconds}


def _ask(plan: Plan, draw: int, size: Size, judge: Judge, every: int) -> Iterator[Any]:
    """What a judge answers, by change, on each window of a size, or on each `every`th of them."""
    stream = STREAMS[plan.stream]
    for place in range(0, size.per, every):
        at = (plan.key, draw, size.rows, place)
        rng = seed(*at)
        first = plan.reference + APART + int(rng.integers(PHASES / stream.seconds))
        window = stream.frame(rng, size.rows, first)
        for change in plan.changes:
            changed = change != UNCHANGED
            yield change, judge(CHANGES[change](window, seed(*at, change)) if changed else window)
