"""Good enough at all: the floors of the configuration, and better than no skill.

>>> import pandas as pd
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import ModelSpec
>>> spec = ModelSpec(1, "regression", (), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"]))
>>> y = np.arange(50.0)
>>> print(floor(GateInput(model, pd.DataFrame({"y": y}), Output(y[::-1])))[0].reason)
no better than no skill: r2 -3.0000, 95 % sure below 0.05 (no skill is 0)
"""

import numpy as np

from lifecycle.gates.given import GateInput, failed, passed, unsure
from lifecycle.models.metrics import evaluate, rule
from lifecycle.records import GateResult, Metric

SKILL_LEVEL = 0.999  # a model of no skill passes once in 2,000 times
USELESS = 0.05  # surely less than this above no skill is refused, not left open


def floor(given: GateInput) -> list[GateResult]:
    """Hold the candidate's metrics on its hold-out rows against their floors.

    The first result asks for skill, whatever the configuration says: the area under the ROC curve
    above 0.5 (balanced accuracy above one in k where there are no scores), r2 above 0. It passes
    when the 99.9 % interval lies above, fails when the metric is 95 % surely less than 0.05 above,
    and else the rows do not decide. This refuses a model that was trained on shuffled labels.

    Each entry of `[gates.floor]` adds one: pass when the one-sided 1 - alpha bound keeps the limit
    (a ceiling where smaller is better), fail when it surely does not, else not enough evidence.
    """
    return [_skill(given), *(_limit(given, name, at) for name, at in given.limits.floor.items())]


def _skill(given: GateInput) -> GateResult:
    name, none = _no_skill(given)
    sure = _metric(given, name, SKILL_LEVEL)
    figures = {"value": sure.value, "limit": none, "low": sure.low, "high": sure.high}
    gate = "floor.skill"
    if sure.low is None:
        return unsure(gate, f"too few rows of one class to judge {name}", **figures)
    if sure.low > none:
        return passed(
            gate, f"better than no skill ({none:g}): 99.9 % interval of {sure}", **figures
        )
    high = _metric(given, name, 0.9).high
    if high is not None and high < none + USELESS:
        return failed(
            gate,
            f"no better than no skill: {name} {sure.value:.4f}, 95 % sure below "
            f"{none + USELESS:g} (no skill is {none:g})",
            **figures,
        )
    return unsure(
        gate,
        f"{len(given.rows)} hold-out rows do not show skill: 99.9 % interval of {sure} reaches "
        f"{none:g}",
        **figures,
    )


def _no_skill(given: GateInput) -> tuple[str, float]:
    task, scores = given.spec.task, given.answers.scores is not None
    if task == "regression":
        return "r2", 0.0
    if scores:
        return ("roc_auc" if task == "binary" else "roc_auc_ovr"), 0.5
    return "balanced_accuracy", 1.0 / len(np.unique(given.truth))


def _limit(given: GateInput, name: str, limit: float) -> GateResult:
    row = rule(name, task=given.spec.task)
    found = _metric(given, name, 1.0 - 2.0 * given.limits.alpha)
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
        return passed(gate, f"{found} is {word} {limit:g}, {sure}", **figures)
    if best < 0:
        return failed(gate, f"{found} is not {word} {limit:g}, {sure}", **figures)
    return unsure(
        gate,
        f"{found} may be on either side of {limit:g}: {len(given.rows)} hold-out rows are too few",
        **figures,
    )


def _metric(given: GateInput, name: str, level: float) -> Metric:
    answers, classes = given.answers, given.spec.classes
    return evaluate(
        name,
        given.truth,
        answers.prediction,
        answers.scores,
        classes=classes,
        weights=given.weights,
        level=level,
    )
