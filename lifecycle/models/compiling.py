"""Compile a model to ONNX, and accept it only where it answers what the original answers.

    our own writer (exact, double) ── unknown part? ──> skl2onnx, in a process with a time limit
                 └──────── answers equal on hold-out rows, at thresholds, with nulls? ── else no

>>> Compiled(None, {}, "a part is not known").tag
'no: a part is not known'
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.errors import LifecycleError
from lifecycle.models.exact import Unsupported, exact
from lifecycle.models.foreign import CannotCompile, convert
from lifecycle.models.inputs import columns as typed_columns
from lifecycle.models.loading import from_estimator, load_onnx
from lifecycle.models.predicting import Array, Columns, Output
from lifecycle.records import ModelSpec

TOLERANCE = 1e-6
ROWS = 2000
NEW_LEVEL = "a level that was never seen"


@dataclass(frozen=True)
class Compiled:
    """What became of a compilation.

    Attributes:
        onnx: the model; None: it was not accepted.
        report: how, how long, on how many rows it was compared, the largest difference.
        reason: why not, in plain words; empty where it was accepted.
    """

    onnx: bytes | None
    report: dict[str, Any]
    reason: str = ""

    @property
    def tag(self) -> str:
        """What the version's tag `lifecycle.compiled` says: the file's sha256, or why not."""
        if self.onnx is None:
            return f"no: {self.reason}"
        return f"sha256:{hashlib.sha256(self.onnx).hexdigest()}"


def compile_model(
    estimator: Any, spec: ModelSpec, sample: pd.DataFrame, *, timeout: float = 60.0
) -> Compiled:
    """Compile a fitted estimator.

    Args:
        estimator: a Pipeline or an estimator that takes a frame; a fixed threshold around it is
            unwrapped, because labels are taken from the scores by our own rule.
        spec: what the model is.
        sample: rows that it has not seen, with at least its columns.
        timeout: seconds that skl2onnx may take.

    Returns:
        The compiled model, or the reason why there is none; never an error of the converter.
    """
    start = perf_counter()
    report: dict[str, Any] = {"schema": 1, "how": "", "tolerance": TOLERANCE}

    def refused(reason: str) -> Compiled:
        report.update(accepted=False, reason=reason, seconds=perf_counter() - start)
        return Compiled(None, report, reason)

    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        return refused(f'{missing[0]} is not installed: pip install "mlflow-lifecycle[compile]"')
    if spec.task != "regression" and not hasattr(estimator, "predict_proba"):
        return refused("the classifier has no probabilities")
    inner = unwrapped(estimator)
    try:
        content = _content(inner, spec, report, timeout)
        compiled = load_onnx(content, spec)
        original = from_estimator(estimator, spec)
        for name, rows in probes(inner, spec, sample).items():
            reason = differs(original.predict(rows), compiled.predict(rows), report)
            report.setdefault("rows", {})[name] = len(next(iter(rows.values())))
            if reason:
                return refused(f"it answers differently on {name}: {reason}")
    except CannotCompile as error:
        return refused(str(error))
    except LifecycleError as error:
        return refused(error.what)
    except Exception as error:  # noqa: BLE001 - converters fail in many ways, and may
        text = " ".join(str(error).split())[:300]
        return refused(f"the compiled model fails: {type(error).__name__}: {text}")
    report.update(accepted=True, bytes=len(content), seconds=perf_counter() - start)
    return Compiled(content, report)


def unwrapped(estimator: Any) -> Any:
    """The estimator inside a fixed threshold.

    >>> unwrapped("a pipeline")
    'a pipeline'
    """
    while type(estimator).__name__ in ("FixedThresholdClassifier", "FrozenEstimator"):
        estimator = getattr(estimator, "estimator_", None) or estimator.estimator
    return estimator


def _content(estimator: Any, spec: ModelSpec, report: dict[str, Any], timeout: float) -> bytes:
    own = list(np.asarray(getattr(estimator, "classes_", [])).tolist())
    if spec.classes and own != list(spec.classes):
        raise CannotCompile("the positive class is not the last in sorted order")
    try:
        report["how"] = "exact"
        return exact(estimator, spec.features)
    except Unsupported:
        report["how"] = "skl2onnx"
    if find_spec("skl2onnx") is None:
        raise CannotCompile('skl2onnx is not installed: pip install "mlflow-lifecycle[compile]"')
    return convert(estimator, spec, timeout=timeout)


def differs(original: Output, compiled: Output, report: dict[str, Any]) -> str:
    """Why two answers are not the same; empty where they are.

    >>> same = Output(np.array([1.0]))
    >>> differs(same, same, {})
    ''
    >>> differs(same, Output(np.array([1.1])), {})
    'values differ by up to 0.1'
    """
    if original.scores is None or compiled.scores is None:
        scale = np.maximum(1.0, np.abs(original.prediction))
        gap = float((np.abs(original.prediction - compiled.prediction) / scale).max(initial=0.0))
        report["largest_difference"] = max(gap, report.get("largest_difference", 0.0))
        return "" if gap <= TOLERANCE else f"values differ by up to {gap:.2g}"
    gap = float(np.abs(original.scores - compiled.scores).max(initial=0.0))
    report["largest_difference"] = max(gap, report.get("largest_difference", 0.0))
    if not gap <= TOLERANCE:  # NaN too
        return f"scores differ by up to {gap:.2g}"
    wrong = int((original.prediction != compiled.prediction).sum())
    return f"{wrong} of {len(original.prediction)} labels differ" if wrong else ""


def probes(estimator: Any, spec: ModelSpec, sample: pd.DataFrame) -> dict[str, Columns]:
    """Rows to compare on: as they are, at and next to thresholds, with nulls, with new levels."""
    rng = np.random.default_rng(0)
    if len(sample) > ROWS:
        sample = sample.iloc[np.sort(rng.permutation(len(sample))[:ROWS])]
    rows = typed_columns(sample, spec)
    found: dict[str, Columns] = {"hold-out rows": rows, "one row": _first(rows)}
    edges = thresholds(estimator)
    if edges:
        found["rows at split thresholds"] = _at_edges(rows, edges, rng)
    if any(not item.required for item in spec.features):
        found["rows with nulls"] = _with_nulls(rows, spec, rng)
    texts = [item.name for item in spec.features if item.dtype == "string"]
    if texts:
        size = len(next(iter(rows.values())))
        new = np.full(size, NEW_LEVEL, dtype=object)
        found["rows with new levels"] = {**rows, **dict.fromkeys(texts, new)}
    return found


def _first(rows: Columns) -> Columns:
    return {name: values[:1] for name, values in rows.items()}


def _at_edges(rows: Columns, edges: dict[str, Array], rng: np.random.Generator) -> Columns:
    placed = dict(rows)
    for name, cuts in edges.items():
        size = len(rows[name])
        exactly = cuts[rng.integers(0, len(cuts), size)]
        single = exactly.astype(np.float32)
        places = np.stack(
            [
                exactly,
                np.nextafter(exactly, -np.inf),
                np.nextafter(exactly, np.inf),
                single.astype(np.float64),
                np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
                np.nextafter(single, np.float32(np.inf)).astype(np.float64),
            ]
        )
        placed[name] = places[rng.integers(0, len(places), size), np.arange(size)]
    return placed


def _with_nulls(rows: Columns, spec: ModelSpec, rng: np.random.Generator) -> Columns:
    nulled = dict(rows)
    for item in spec.features:
        if item.required or item.dtype == "datetime":
            continue
        values = rows[item.name]
        empty: Any = np.nan if values.dtype.kind == "f" else None
        kind = values.dtype if values.dtype.kind == "f" else object
        changed = values.astype(kind, copy=True)
        changed[rng.random(len(values)) < 0.5] = empty
        nulled[item.name] = changed
    return nulled


def thresholds(estimator: Any) -> dict[str, Array]:
    """Where a tree model splits its number columns, as far as they reach it unscaled.

    Returns:
        Column to thresholds, shape (splits,).
    """
    steps = getattr(estimator, "named_steps", {})
    if "prepare" not in steps or not hasattr(steps["prepare"], "transformers_"):
        return {}
    splits: dict[int, list[Array]] = {}
    for features, cuts in _splits(steps["model"]):
        for feature in np.unique(features):
            splits.setdefault(int(feature), []).append(cuts[features == feature])
    part = next((item for item in steps["prepare"].transformers_ if item[0] == "number"), None)
    if part is None or "StandardScaler" in repr(part[1]):
        return {}
    found = {
        str(name): np.concatenate(splits[place])
        for place, name in enumerate(part[2])
        if place in splits
    }
    finite = {name: cuts[np.isfinite(cuts)] for name, cuts in found.items()}
    return {name: cuts for name, cuts in finite.items() if len(cuts)}


def _splits(model: Any) -> list[tuple[Array, Array]]:
    if hasattr(model, "_predictors"):
        nodes = [item.nodes for stage in model._predictors for item in stage]
        return [
            (item["feature_idx"][item["is_leaf"] == 0], item["num_threshold"][item["is_leaf"] == 0])
            for item in nodes
        ]
    grown = np.asarray(getattr(model, "estimators_", [model] if hasattr(model, "tree_") else []))
    trees = [item.tree_ for item in grown.reshape(-1) if hasattr(item, "tree_")]
    return [
        (tree.feature[tree.children_left >= 0], tree.threshold[tree.children_left >= 0])
        for tree in trees
    ]
