"""Good enough at all: the floors of the configuration.

>>> import numpy as np
>>> import pandas as pd
>>> from lifecycle.config import GatesConfig
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import ModelSpec
>>> spec = ModelSpec(1, "regression", (), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"]))
>>> y = np.arange(50.0)
>>> limits = GatesConfig(floor={"mae": 2.0})
>>> print(floor(GateInput(model, pd.DataFrame({"y": y}), Output(y + 1.0), limits=limits))[0].reason)
mae 1.0000 [1.0000, 1.0000] is at most 2, 95% sure
"""

from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, failed, passed, unsure
from lifecycle.models.metrics import evaluate, rule
from lifecycle.records import GateResult


def floor(given: GateInput) -> list[GateResult]:
    """Hold the candidate's metrics on its hold-out rows against their floors.

    Each entry of `[gates.floor]` gives one result: pass when the one-sided 1 - alpha bound keeps
    the limit (a ceiling where smaller is better), fail when it surely does not, else not enough
    evidence. Without entries there is nothing to keep; `skill` asks for more than chance.
    """
    rows, limits = len(given.rows), given.limits.floor
    if not limits:
        return [passed("floor", f"[gates.floor] sets no floor for the {rows:,} hold-out rows")]
    return [_limit(given, name, at) for name, at in limits.items()]


def _limit(given: GateInput, name: str, limit: float) -> GateResult:
    row = rule(name, task=given.spec.task)
    answers, classes = given.answers, given.spec.classes
    found = evaluate(
        name,
        given.truth,
        answers.prediction,
        answers.scores,
        classes=classes,
        weights=given.weights,
        blocks=clusters(given),
        level=1.0 - 2.0 * given.limits.alpha,
    )
    note = said(given)
    figures = {"value": found.value, "limit": limit, "low": found.low, "high": found.high}
    gate, word = f"floor.{name}", "at least" if row.higher_is_better else "at most"
    sure = f"{1.0 - given.limits.alpha:.0%} sure"
    if found.low is None or found.high is None:
        return unsure(gate, f"too few rows for an interval of {found}", **figures)
    worst, best = (
        (found.low - limit, found.high - limit)
        if row.higher_is_better
        else (limit - found.high, limit - found.low)
    )
    if worst >= 0:
        return passed(gate, f"{found} is {word} {limit:g}, {sure}{note}", **figures)
    if best < 0:
        return failed(gate, f"{found} is not {word} {limit:g}, {sure}{note}", **figures)
    return unsure(
        gate,
        f"{found} may be on either side of {limit:g}: {len(given.rows)} hold-out rows are too few"
        f"{note}",
        **figures,
    )
