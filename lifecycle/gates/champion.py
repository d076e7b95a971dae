"""Not worse than the champion: both answer the same hold-out rows, and the difference counts.

>>> better_than(Metric("roc_auc", 0.01, -0.004, 0.024), margin=0.0, width=0.05)
<Outcome.PASS: 'pass'>
>>> better_than(Metric("roc_auc", -0.02, -0.03, -0.01), margin=0.0, width=0.05)
<Outcome.FAIL: 'fail'>
>>> better_than(Metric("roc_auc", 0.01, -0.06, 0.08), margin=0.0, width=0.05)
<Outcome.UNSURE: 'not enough evidence'>
"""

import numpy as np
import pandas as pd
from scipy.stats import binom

from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, failed, passed, unsure
from lifecycle.models.metrics import evaluate, paired_difference
from lifecycle.models.predicting import Array
from lifecycle.records import GateResult, Metric, Outcome

EXACT = {"accuracy", "balanced_accuracy"}
TINY = 1e-9
RELATIVE = {"rmse", "mae", "log_loss", "brier"}  # `width` is a share of the champion's figure


def champion(given: GateInput) -> GateResult:
    """Hold candidate - champion, by the primary metric on the same rows, against the margin.

    With [low, high] the interval of the difference, turned so that positive is better:

    - fail when high < -margin: worse by more than is allowed, and by more than chance;
    - not enough evidence when the interval's half width exceeds `width` and low < -margin - width:
      the rows are few, and a loss of practical size (0.05; of the champion's own figure for errors
      and losses) is not excluded;
    - pass otherwise: not shown to be worse. A first version passes.

    An equal candidate fails in the gate's part of alpha (`lifecycle.gates.sharing`), at most half:
    the interval leaves that much on either side. It is that of the paired difference: what is hard
    for both models cancels. Rows of one key, or of one stretch of time, count together. Models
    compared by accuracy or balanced accuracy are refused by an exact test (`mcnemar`).
    """
    gate = "champion"
    if given.champion is None:
        return passed(gate, f"{given.alone}: there is no champion to compare with")
    task, rival = given.spec.task, given.champion.spec
    if rival.task != task:
        return failed(gate, f"the champion is a {rival.task} model and this is a {task} model")
    name, classes, truth = given.metric, given.spec.classes, given.truth
    other = given.champion_output
    if other is None or (other.scores is None and given.answers.scores is not None):
        why = given.champion_problem or "it gives labels and no scores"
        return unsure(gate, f"the champion cannot be compared on these rows: {why}")
    if rival.classes != classes:
        return failed(gate, f"the champion knows the classes {rival.classes}, this one {classes}")
    mine, weights = given.answers, given.weights
    allowed = min(given.shares.get(gate, 1.0), given.limits.alpha / 2.0)
    ways = clusters(given)
    found = paired_difference(
        name, truth, mine, other, classes, weights=weights, blocks=ways, level=1.0 - 2.0 * allowed
    )
    own = evaluate(name, truth, mine.prediction, mine.scores, classes=classes, weights=weights)
    at = own.value - found.value
    width = given.limits.width * (abs(at) if name in RELATIVE else 1.0)
    outcome = better_than(found, margin=given.limits.margin, width=width)
    figures = {"value": found.value, "limit": _limit(given, found)}
    reason = f"{name} {own.value:.4f} against the champion's {at:.4f} on {len(truth):,} rows, "
    if found.low is None or found.high is None:
        return unsure(gate, reason + "too few of one class for an interval", **figures)
    figures |= {"low": found.low, "high": found.high}
    interval = f"difference {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    note = said(given) + _seen(given)
    if name in EXACT and weights is None and not ways and given.limits.margin == 0:
        right, theirs = (np.asarray(item.prediction == truth, dtype=bool) for item in (mine, other))
        chance = mcnemar(right, theirs, truth if name == "balanced_accuracy" else None)
        worse = chance is not None and chance <= allowed
        if chance is not None and (worse or outcome is Outcome.FAIL):
            outcome = Outcome.FAIL if worse else Outcome.PASS
            note = f"; McNemar's exact test: p = {chance:.2g}{note}"
    if outcome is Outcome.FAIL:
        return failed(gate, f"worse than the champion: {reason}{interval}{note}", **figures)
    if outcome is Outcome.UNSURE:
        half = (found.high - found.low) / 2.0
        return unsure(
            gate,
            f"{reason}{interval}: the rows tell differences of {half:.3f} at best, and a loss of "
            f"{width:.3g}, which matters, is not excluded{note}",
            **figures,
        )
    return passed(gate, f"not shown to be worse: {reason}{interval}{note}", **figures)


def better_than(difference: Metric, *, margin: float, width: float) -> Outcome:
    """The rule, on candidate minus champion with its interval.

    >>> better_than(Metric("rmse", 2.0, 1.0, 3.0, False), margin=1.5, width=5.0)
    <Outcome.PASS: 'pass'>

    Args:
        difference: the paired difference; its direction says which sign is better.
        margin: how much worse is allowed, in the metric's own unit.
        width: the loss of practical size; rows are few where the half width exceeds it.
    """
    if difference.low is None or difference.high is None:
        return Outcome.UNSURE
    low, high = difference.low, difference.high
    if not difference.higher_is_better:
        low, high = -high, -low
    if high < -margin:
        return Outcome.FAIL
    if (high - low) / 2.0 > width and low < -(margin + width):
        return Outcome.UNSURE
    return Outcome.PASS


def mcnemar(mine: Array, other: Array, truth: Array | None = None) -> float | None:
    """How probable so many rows that only the other model has right are by chance (one-sided).

    Rows that both have right, or both wrong, tell nothing of the difference. Of the others each is
    as likely to be either's where the two are equally good (McNemar 1947, the exact form). With
    `truth` the rows of a class count by its share, as in balanced accuracy.

    >>> round(mcnemar(np.array([False] * 6 + [True]), np.array([True] * 6 + [False])), 4)
    0.0625

    Args:
        mine: (n,) whether the candidate has the row right.
        other: (n,) whether the champion has.
        truth: (n,) true classes, two of them; None for plain accuracy.

    Returns:
        The probability under equality of a difference as bad for the candidate, or worse; None
        where there are more than two classes.
    """
    labels = np.unique(truth) if truth is not None else np.zeros(1)
    groups = [np.ones(len(mine), dtype=bool)] if truth is None else [truth == k for k in labels]
    if len(groups) > 2:
        return None
    steps, won = [], 0.0
    for group in groups:
        gained, lost = (mine & ~other & group).sum(), (other & ~mine & group).sum()
        each = 1.0 / group.sum()
        asked = int(gained + lost)
        wins = np.arange(asked + 1)
        steps.append(((2.0 * wins - asked) * each, binom.pmf(wins, asked, 0.5)))
        won += float(gained - lost) * each
    values, chances = steps[0]
    if len(steps) == 1:
        return float(min(1.0, chances[values <= won + TINY].sum()))
    below = np.cumsum(steps[1][1])
    reach = np.searchsorted(steps[1][0], won - values + TINY, side="right")
    tail = np.where(reach > 0, below[np.maximum(reach, 1) - 1], 0.0)
    return float(min(1.0, chances @ tail))


def _limit(given: GateInput, found: Metric) -> float:
    return (-1.0 if found.higher_is_better else 1.0) * given.limits.margin


def _seen(given: GateInput) -> str:
    """A note where the champion was trained on rows of the hold-out's time."""
    assert given.champion is not None
    until, column = given.champion.spec.trained_to, given.spec.time
    if not until or not column or column not in given.rows:
        return ""
    start = pd.to_datetime(given.rows[column], errors="coerce", utc=True).min()
    end = pd.to_datetime(until, errors="coerce", utc=True)
    if pd.isna(start) or pd.isna(end) or end < start:
        return ""
    return (
        f"; the champion was trained on rows up to {until}, within the hold-out's time, which "
        "favours the champion"
    )
