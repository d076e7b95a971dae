"""Whether a model of another flavour could run code of its author when MLflow loads it.

>>> danger(Path("model"), {"flavors": {"python_function": {"loader_module": "my.module"}}})
"it is loaded by 'my.module', which may run its author's code"

MLflow trusts what a model's own `MLmodel` says: which module loads it, which class is made, which
types of a skops file are harmless (mlflow issue 25686), where code lies that is put on Python's
path. Four flavours have formats of their own that hold numbers only; of these we read what
`MLmodel` asks for, and refuse all that is more than their own classes and types.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.models import files
from lifecycle.models.trusted import TRUSTED

FLAVOURS = {
    "mlflow.catboost": "catboost",
    "mlflow.lightgbm": "lightgbm",
    "mlflow.onnx": "onnx",
    "mlflow.xgboost": "xgboost",
}
PICKLES = {".pkl", ".pickle", ".joblib", ".pt", ".pth"}
# what MLflow itself trusts when it stores a scikit-learn model of LightGBM
LIGHTGBM = {
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "lightgbm.sklearn.LGBMRanker",
    "numpy.dtype",
    *TRUSTED,
}
SESSION = {  # options of a session that change its speed only
    "execution_mode",
    "graph_optimization_level",
    "inter_op_num_threads",
    "intra_op_num_threads",
}


def danger(root: Path, described: Mapping[str, Any]) -> str:
    """Why loading could run code; empty where the format cannot.

    Args:
        root: the folder that holds `MLmodel`.
        described: what `MLmodel` says.

    Raises:
        ModelRefused: `MLmodel` names a file outside the folder, or the file is a zip bomb.
    """
    flavors = described.get("flavors", {})
    function = flavors.get("python_function", {})
    loader = function.get("loader_module")
    name = FLAVOURS.get(loader) if isinstance(loader, str) else None
    if name is None:
        return f"it is loaded by {loader!r}, which may run its author's code"
    own = flavors.get(name, {})
    for place in (function, own):
        if place.get("code"):
            return "it brings Python code of its own"
        if place.get("data") is not None:
            files.inside(root, place["data"])
    pickles = [path.name for path in files.listing(root) if path.suffix.lower() in PICKLES]
    if pickles:
        return f"{pickles[0]} is a pickle, which runs its author's code"
    if own.get("serialization_format") == "skops":
        files.check_zip(files.inside(root, own.get("data")))
    return {"lightgbm": _lightgbm, "xgboost": _xgboost, "onnx": _onnx}.get(name, _none)(own)


def _none(_own: Mapping[str, Any]) -> str:
    return ""


def _lightgbm(own: Mapping[str, Any]) -> str:
    kind = own.get("model_class", "lightgbm.basic.Booster")
    if kind == "lightgbm.basic.Booster":
        return ""
    how = own.get("serialization_format", "cloudpickle")
    if how != "skops":
        return f"it is stored as {how}, which runs its author's code"
    asked = own.get("skops_trusted_types") or []
    foreign = sorted({str(item) for item in asked} - LIGHTGBM)
    return f"it asks for types that are not on our list: {', '.join(foreign)}" if foreign else ""


def _xgboost(own: Mapping[str, Any]) -> str:
    kind = own.get("model_class", "xgboost.core.Booster")
    if kind in {"xgboost.core.Booster", "xgboost.Booster"}:
        return ""
    named = isinstance(kind, str) and kind.startswith("xgboost.sklearn.XGB")
    return "" if named else f"it makes a {kind!r}, which is no model of XGBoost"


def _onnx(own: Mapping[str, Any]) -> str:
    providers = own.get("providers") or []
    options = own.get("onnx_session_options") or {}
    if not isinstance(options, Mapping) or set(map(str, options)) - SESSION:
        return "it sets options of onnxruntime that are none of speed"
    if not isinstance(providers, (str, list)) or any(
        not isinstance(item, str) for item in providers
    ):
        return "it gives options to a provider of onnxruntime, which may load libraries"
    return ""
