"""Better than chance, with confidence; and a first version no worse than a plain model.

>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import ModelSpec
>>> spec = ModelSpec(1, "regression", (), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"]))
>>> y = np.arange(50.0)
>>> print(skill(GateInput(model, pd.DataFrame({"y": y}), Output(y[::-1])))[0].reason)
no better than no skill: r2 -3.0000, 95 % sure below 0.1 (no skill is 0)
"""

from typing import Any

import numpy as np
import pandas as pd

from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, failed, passed, unsure
from lifecycle.models.metrics import evaluate, paired_difference
from lifecycle.models.predicting import Array, Output
from lifecycle.records import GateResult, Metric

LEVEL = 0.999  # a model of no skill passes once in 2,000 times
USELESS = 0.1  # surely less than this above no skill is refused, not left open
FAR = 0.05  # behind a plain model
FOLDS = 5
FEWEST = 60  # rows that the plain model is fitted on
MOST = 20_000
LEVELS = 12  # of a text column that the plain model sees


def skill(given: GateInput) -> list[GateResult]:
    """Hold the candidate against the best constant answer; without a champion, also a plain model.

    The figure is the area under the ROC curve (0.5 is none), balanced accuracy for labels alone
    (one in k is none), r2 for regressions (0 is none). It passes when the 99.9 % interval lies
    above, fails when the figure is 95 % surely less than 0.1 above, and else the rows do not
    decide. This refuses a model whose labels were shuffled: chance has no weather, so for 99.9 %
    rows of one stretch of time count each by itself. That the skill lasts is asked for at 95 %,
    with stretches of time counted as one.

    A model that learned from shuffled labels on few rows may by luck point the right way: each
    direction is as likely as its opposite. Where there is no champion to compare with, a logistic
    or linear regression is fitted on the hold-out rows themselves, in five parts of which each is
    answered by a model of the other four; stretches of time stay whole, since a model of the same
    day's rows would know more than any that was trained before. A candidate that is 95 % surely
    worse than that, and worse by more than 0.05, is refused.
    """
    name, none = no_skill(given)
    found = [_chance(given, name, none)]
    if given.champion is None:
        found += _plain(given, name)
    return found


def no_skill(given: GateInput) -> tuple[str, float]:
    """The figure that shows skill, and its value for a constant answer."""
    task, scores = given.spec.task, given.answers.scores is not None
    if task == "regression":
        return "r2", 0.0
    if scores:
        return ("roc_auc" if task == "binary" else "roc_auc_ovr"), 0.5
    return "balanced_accuracy", 1.0 / len(np.unique(given.truth))


def _chance(given: GateInput, name: str, none: float) -> GateResult:
    sure = _metric(given, name, LEVEL, time=False)
    lasting = _metric(given, name, 0.95)
    figures = {"value": sure.value, "limit": none, "low": sure.low, "high": sure.high}
    gate = "skill"
    if sure.low is None or lasting.low is None:
        return unsure(gate, f"too few rows of one class to judge {name}", **figures)
    note = said(given)
    if sure.low > none and lasting.low > none:
        return passed(
            gate, f"better than no skill ({none:g}): 99.9 % interval of {sure}{note}", **figures
        )
    high = _metric(given, name, 0.9).high
    if high is not None and high < none + USELESS:
        return failed(
            gate,
            f"no better than no skill: {name} {sure.value:.4f}, 95 % sure below "
            f"{none + USELESS:g} (no skill is {none:g}){note}",
            **figures,
        )
    short, level = (sure, "99.9 %") if sure.low <= none else (lasting, "95 %")
    return unsure(
        gate,
        f"{len(given.rows)} hold-out rows do not show skill: {level} interval of {short} reaches "
        f"{none:g}{note}",
        **figures,
    )


def _metric(given: GateInput, name: str, level: float, *, time: bool = True) -> Metric:
    answers, classes = given.answers, given.spec.classes
    return evaluate(
        name,
        given.truth,
        answers.prediction,
        answers.scores,
        classes=classes,
        weights=given.weights,
        blocks=clusters(given, time=time),
        level=level,
    )


def _plain(given: GateInput, name: str) -> list[GateResult]:
    """The comparison with a plain model; nothing where none can be fitted."""
    gate, truth, classes = "skill.plain", given.truth, given.spec.classes
    inputs = _numbers(given)
    rarest = np.unique(truth, return_counts=True)[1].min() if classes else len(truth)
    if not inputs.shape[1] or not FEWEST <= len(truth) <= MOST or rarest < 2 * FOLDS:
        return []
    ways = clusters(given)
    plain = plain_answers(inputs, truth, classes, groups=ways[-1] if ways else None)
    found = paired_difference(
        name, truth, given.answers, plain, classes, weights=given.weights, blocks=ways
    )
    if found.low is None or found.high is None:
        return []
    figures = {"value": found.value, "limit": -FAR, "low": found.low, "high": found.high}
    said_of = f"{name} differs by {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    if found.value < -FAR and found.high < 0.0:
        return [
            failed(
                gate,
                "worse than a plain model of four fifths of the hold-out rows: what it learned "
                "does not hold here (shuffled labels, another unit, a changed world?): "
                f"{said_of}",
                **figures,
            )
        ]
    return [passed(gate, f"not shown to be worse than a plain model: {said_of}", **figures)]


def plain_answers(
    inputs: Array, truth: Array, classes: tuple[Any, ...], *, groups: Array | None = None
) -> Output:
    """What a plain model answers to each row, fitted on other rows.

    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> plain_answers(x, (x[:, 0] > 0).astype(int), (0, 1)).scores.shape
    (200, 2)

    Args:
        inputs: (n, m) numbers, none missing.
        truth: (n,) labels or values.
        classes: the labels; empty in a regression.
        groups: (n,) from 0; rows of one number, and of its neighbours, are answered together.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    if groups is None:
        part = np.arange(len(truth)) % FOLDS
    else:  # neighbours in one part: what a day has to itself is of no use to the next week
        part = groups * FOLDS // (int(groups.max()) + 1)
    labels = np.array(classes, dtype=object)
    answers = np.zeros((len(truth), max(len(classes), 1)))
    for fold in np.unique(part):
        here = part == fold
        if not classes:
            answers[here, 0] = Ridge().fit(inputs[~here], truth[~here]).predict(inputs[here])
            continue
        codes = (truth[:, None] == labels).argmax(axis=1)
        known = np.unique(codes[~here])
        if len(known) < 2:
            answers[here] = 1.0 / len(classes)
            continue
        model = LogisticRegression(max_iter=300).fit(inputs[~here], codes[~here])
        answers[np.ix_(here, model.classes_)] = model.predict_proba(inputs[here])
    if not classes:
        return Output(answers[:, 0])
    return Output(labels[answers.argmax(axis=1)], answers)


def _numbers(given: GateInput) -> Array:
    """The features as numbers of mean 0 and variance 1; the commonest levels of texts as 0 or 1."""
    columns: list[Array] = []
    for name in given.spec.feature_names:
        if name not in given.rows:
            continue
        column = given.rows[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(dtype=float, na_value=np.nan)
            missing = ~np.isfinite(values)
            columns += (
                [np.where(missing, np.nanmedian(values), values)] if not missing.all() else []
            )
            columns += [missing.astype(float)] if missing.any() else []
        elif not pd.api.types.is_datetime64_any_dtype(column):
            text = column.astype(str)
            common = text.value_counts().index[:LEVELS]
            columns += [(text == level).to_numpy(dtype=float) for level in common]
    kept = [item for item in columns if item.std() > 0]
    if not kept:
        return np.zeros((len(given.rows), 0))
    table = np.column_stack(kept)
    scaled: Array = (table - table.mean(axis=0)) / table.std(axis=0)
    return scaled
