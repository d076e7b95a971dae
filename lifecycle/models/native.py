"""Compile XGBoost and LightGBM models that were logged in their own flavours.

>>> estimator_of("a/folder", {"flavors": {"python_function": {"loader_module": "mlflow.onnx"}}})

Their files are those of scikit-learn's faces of the two libraries (`XGBClassifier` and its like);
a bare `Booster` is served as it is. MLflow answers with their `predict`: the compiled model is kept
where it gives the same labels or values, beside the scores that `compile_model` compares.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.models import boosters
from lifecycle.models.compiling import TOLERANCE, Compiled, compile_model
from lifecycle.models.inputs import columns
from lifecycle.models.predicting import Array, LoadedModel
from lifecycle.models.running import load_onnx

LOADERS = {"mlflow.lightgbm", "mlflow.xgboost"}
KNOWN = {*boosters.SCORES, *boosters.VALUES}


def estimator_of(folder: str | Path, described: Mapping[str, Any]) -> Any:
    """The estimator in the files of a native model; None for all others.

    Args:
        folder: holds `MLmodel`; its files are trusted already.
        described: what `MLmodel` says.
    """
    flavour = described.get("flavors", {}).get("python_function", {})
    if flavour.get("loader_module") not in LOADERS:
        return None
    import mlflow.pyfunc

    raw = mlflow.pyfunc.load_model(str(folder)).get_raw_model()
    return raw if type(raw).__name__ in KNOWN else None


def compile_native(estimator: Any, served: LoadedModel, rows: pd.DataFrame) -> Compiled:
    """Compile the estimator of a native model.

    Args:
        estimator: from `estimator_of`.
        served: the model as it answers without being compiled.
        rows: rows to compare the answers on, with at least its columns.

    Returns:
        The compiled model, or the reason why there is none.
    """
    found = compile_model(estimator, served.spec, rows)
    if found.onnx is None:
        return found
    inputs = columns(rows, served.spec)
    answered = served.predict(inputs).prediction
    ours = load_onnx(found.onnx, served.spec).predict(inputs).prediction
    if same(answered, ours):
        return found
    reason = "MLflow's flavour answers something else than labels or values"
    return Compiled(None, {**found.report, "accepted": False, "reason": reason}, reason)


def same(answered: Array, ours: Array) -> bool:
    """Whether two answers are equal: labels the same, fractions within 1e-6.

    >>> same(np.array([1, 0]), np.array([1, 0])), same(np.array([0.9, 0.2]), np.array([1, 0]))
    (True, False)
    """
    if answered.shape != ours.shape:
        return False
    if answered.dtype.kind not in "fiub" or ours.dtype.kind not in "fiub":
        return bool((answered == ours).all())
    gap = np.abs(answered.astype(np.float64) - ours.astype(np.float64))
    return bool((gap <= TOLERANCE * np.maximum(1.0, np.abs(ours))).all())
