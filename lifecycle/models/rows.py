"""How well a model answers each single row: what its metric is, or could be, a mean of.

>>> from types import SimpleNamespace as Output
>>> scores = np.array([0.1, 0.4, 0.35, 0.8])
>>> answered("roc_auc", [0, 0, 1, 1], Output(prediction=None, scores=scores), (0, 1)).tolist()
[1.0, 0.5, 0.5, 1.0]

Groups of rows are compared by these: the mean over any group is cheap, and that over all rows
moves as the metric does. For areas under the ROC curve a row's figure is the share of all rows of
the other class that stand on its right side (a positive row: of the negatives that score less;
Borkan et al., 2019, doi:10.1145/3308560.3317593), which no monotone change of the scores moves. For
other metrics it is the loss of the row, negative, as more is better.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lifecycle.errors import DataError
from lifecycle.models import influence
from lifecycle.models.answers import Answers, classification
from lifecycle.models.influence import Floats
from lifecycle.models.metrics import METRICS, loss
from lifecycle.records import Label

RANKED = {"roc_auc", "average_precision", "roc_auc_ovr"}


def answered(
    name: str, y: Any, output: Any, classes: Sequence[Label] = (), *, weights: Any = None
) -> Floats:
    """Each row's figure, more is better.

    Args:
        name: a key of METRICS.
        y: (n,) true labels or values.
        output: anything with `.prediction` (n,) and `.scores` (n, k) or None.
        classes: the labels, the positive one second; empty in a regression.
        weights: (n,) sample weights of the rows that a row is held against.

    Returns:
        (n,) figures: of 0 … 1 for metrics of ranks, 0 or 1 for those of labels, else the negative
        loss.

    Raises:
        DataError: what the metric needs is not there, or the rows hold one class only.
    """
    if name in RANKED:
        checked = classification(
            name, y, output.prediction, output.scores, classes=classes, weights=weights
        )
        return _ranks(checked)
    if METRICS[name].row_loss is not None and name != "accuracy":
        return -loss(name, y, output.prediction, output.scores, classes=classes)
    if not classes:
        return -loss("rmse", y, output.prediction)
    return 1.0 - loss("accuracy", y, output.prediction, classes=classes)


def _ranks(answers: Answers) -> Floats:
    assert answers.scores is not None
    present = np.unique(answers.truth)
    if len(present) < 2:
        raise DataError(
            "rows of one class only cannot be ranked", fix="use rows in which both occur"
        )
    wanted = [1] if answers.classes == 2 else present.tolist()
    found = np.zeros(len(answers.truth))
    for k in wanted:
        positive = answers.truth == k
        below, above = influence.placements(positive, answers.scores[:, k], answers.weights)
        found += np.where(positive, below, above) / len(wanted)
    return found
