"""How well a model answers each single row: what its metric is, or could be, a mean of.

>>> from types import SimpleNamespace as Output
>>> given = Output(prediction=np.array([0, 1, 1]), scores=None)
>>> answered("balanced_accuracy", [0, 0, 1], given, (0, 1)).tolist()
[1.0, 0.0, 1.0]
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lifecycle.models.influence import Floats
from lifecycle.models.metrics import METRICS, loss
from lifecycle.records import Label

RANKED = {"roc_auc", "average_precision", "roc_auc_ovr"}  # means over pairs of rows


def answered(name: str, y: Any, output: Any, classes: Sequence[Label] = ()) -> Floats:
    """Each row's figure, more is better.

    Args:
        name: a key of METRICS that is not RANKED.
        y: (n,) true labels or values.
        output: anything with `.prediction` (n,) and `.scores` (n, k) or None.
        classes: the labels, the positive one second; empty in a regression.

    Returns:
        (n,) 1 for a hit and 0 for none where labels are judged, else the negative loss.

    Raises:
        DataError: what the metric needs is not there.
    """
    if METRICS[name].row_loss is not None and name != "accuracy":
        return -loss(name, y, output.prediction, output.scores, classes=classes)
    if not classes:
        return -loss("rmse", y, output.prediction)
    hits: Floats = 1.0 - loss("accuracy", y, output.prediction, classes=classes)
    return np.asarray(hits)
