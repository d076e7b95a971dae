"""Compile a model to ONNX, and accept it only where it answers what the original answers.

    our own writer (exact, double) ── unknown part? ──> skl2onnx, in a process with a time limit
                 └──────── answers equal on hold-out rows, at thresholds, with nulls? ── else no

>>> Compiled(None, {}, "a part is not known").tag
'no: a part is not known'
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.errors import DataError, LifecycleError
from lifecycle.models.elements import Unsupported
from lifecycle.models.exact import exact
from lifecycle.models.features import parts_of
from lifecycle.models.foreign import CannotCompile, convert
from lifecycle.models.inputs import columns as typed_columns
from lifecycle.models.loading import from_estimator
from lifecycle.models.predicting import Array, Columns, LoadedModel, Output
from lifecycle.models.running import load_onnx
from lifecycle.records import ModelSpec

TOLERANCE = 1e-6
ROWS = 2000
SINGLY = 30  # rows that are asked one by one where the original raises
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

    @property
    def how(self) -> str:
        """What the version's tag `lifecycle.compiled_how` says; empty where it was not accepted.

        >>> report = {"how": "exact", "largest_difference": 2e-16, "rows": {"one row": 1}}
        >>> Compiled(b"", report).how
        'exact, within 2e-16 on 1 rows'
        """
        if self.onnx is None:
            return ""
        rows = sum(self.report["rows"].values())
        return (
            f"{self.report['how']}, within {self.report['largest_difference']:.0e} on {rows:,} rows"
        )


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
        original, compiled = from_estimator(estimator, spec), load_onnx(content, spec)
        graph = load_onnx(content, spec, graph=True)
        for name, rows in probes(thresholds(content), spec, sample).items():
            report.setdefault("rows", {})[name] = len(next(iter(rows.values())))
            reason = compared(original, compiled, rows, report)
            reason = reason or compared(original, graph, rows, report)
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
    """The estimator inside a threshold.

    >>> unwrapped("a pipeline")
    'a pipeline'
    """
    while type(estimator).__name__ in WRAPPERS:
        estimator = getattr(estimator, "estimator_", None) or estimator.estimator
    return estimator


WRAPPERS = ("FixedThresholdClassifier", "TunedThresholdClassifierCV", "FrozenEstimator")


def _content(estimator: Any, spec: ModelSpec, report: dict[str, Any], timeout: float) -> bytes:
    own = list(np.asarray(getattr(estimator, "classes_", [])).tolist())
    if spec.classes and own != list(spec.classes):
        raise CannotCompile("the positive class is not the last in sorted order")
    try:
        report["how"] = "exact"
        return exact(estimator, spec.features)
    except Unsupported as error:
        unknown = str(error)
    report.update(how="skl2onnx", unknown=unknown)
    if any(hasattr(part, name) for part in parts_of(estimator) for name in TREES):
        raise CannotCompile(
            f"our writer does not know {unknown}, and skl2onnx rounds the thresholds of trees"
        )
    if find_spec("skl2onnx") is None:
        raise CannotCompile(
            f"our writer does not know {unknown}, and skl2onnx is not installed: "
            'pip install "mlflow-lifecycle[compile]"'
        )
    try:
        return convert(estimator, spec, timeout=timeout)
    except CannotCompile as error:
        raise CannotCompile(f"our writer does not know {unknown}; {error}") from error


TREES = ("tree_", "_predictors", "get_booster", "booster_")  # of scikit-learn, XGBoost, LightGBM


def compared(
    original: LoadedModel, compiled: LoadedModel, rows: Columns, report: dict[str, Any]
) -> str:
    """Why two models do not answer the same; empty where they do.

    Where the original raises, which a level that was never seen may make it do, a few rows are
    asked one by one: the compiled model must refuse the same ones.
    """
    try:
        expected = original.predict(rows)
    except Exception:  # noqa: BLE001 - whatever a model raises for rows that it cannot take
        size = min(SINGLY, len(next(iter(rows.values()))))
        singles = [{name: item[at : at + 1] for name, item in rows.items()} for at in range(size)]
        return next((why for row in singles if (why := _one(original, compiled, row, report))), "")
    return differs(expected, compiled.predict(rows), report)


def _one(original: LoadedModel, compiled: LoadedModel, row: Columns, report: dict[str, Any]) -> str:
    try:
        expected = original.predict(row)
    except Exception as error:  # noqa: BLE001 - as above
        text = " ".join(str(error).split())[:150]
        try:
            compiled.predict(row)
        except DataError:
            return ""
        return f"the original raises {type(error).__name__}: {text}"
    return differs(expected, compiled.predict(row), report)


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


def probes(edges: Mapping[str, Array], spec: ModelSpec, sample: pd.DataFrame) -> dict[str, Columns]:
    """Rows to compare on: as they are, at and next to thresholds, with nulls, with new levels.

    Args:
        edges: number column to the thresholds of trees on it.
        spec: what the model is.
        sample: rows that it has not seen.
    """
    rng = np.random.default_rng(0)
    if len(sample) > ROWS:
        sample = sample.iloc[np.sort(rng.permutation(len(sample))[:ROWS])]
    rows = typed_columns(sample, spec)
    found: dict[str, Columns] = {"hold-out rows": rows, "one row": _first(rows)}
    if edges:
        found["rows at split thresholds"] = _at_edges(rows, edges, rng)
    if any(not item.required for item in spec.features):
        found["rows with nulls"] = _with_nulls(rows, spec, rng)
    size = len(next(iter(rows.values())))
    new: dict[str, Array] = {}
    for item in spec.features:
        own = rows[item.name]
        if item.dtype == "string":
            new[item.name] = np.full(size, NEW_LEVEL, dtype=object)
        elif item.dtype in ("long", "integer"):
            beyond = np.nanmax(own, initial=0) + 17
            new[item.name] = np.where(rng.random(size) < 0.5, beyond, own).astype(own.dtype)
    if new:
        found["rows with new levels"] = {**rows, **new}
    return found


def _first(rows: Columns) -> Columns:
    return {name: values[:1] for name, values in rows.items()}


def _at_edges(rows: Columns, edges: Mapping[str, Array], rng: np.random.Generator) -> Columns:
    """In half of the rows all columns stand at a threshold, in the others about one."""
    placed = dict(rows)
    size = len(next(iter(rows.values())))
    share = np.where(np.arange(size) < (size + 1) // 2, 1.0, 1.0 / len(edges))
    for name, cuts in edges.items():
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
        chosen = places[rng.integers(0, len(places), size), np.arange(size)]
        own = rows[name]
        if own.dtype.kind not in "fiu":
            continue
        if own.dtype.kind != "f":
            chosen = np.clip(np.floor(chosen) + rng.integers(0, 2, size), *LIMITS)
        placed[name] = np.where(rng.random(size) < share, chosen, own).astype(own.dtype)
    return placed


LIMITS = (-(2.0**31), 2.0**31 - 1)  # of an integer column


def _with_nulls(rows: Columns, spec: ModelSpec, rng: np.random.Generator) -> Columns:
    nulled = dict(rows)
    for item in spec.features:
        if item.required or item.dtype == "datetime":
            continue
        values = rows[item.name]
        kind: Any = object if item.dtype in ("string", "boolean") else np.float64
        changed = values.astype(values.dtype if values.dtype.kind == "f" else kind, copy=True)
        changed[rng.random(len(values)) < 0.5] = None if kind is object else np.nan
        nulled[item.name] = changed
    return nulled


def thresholds(content: bytes) -> dict[str, Array]:
    """Where the trees of a model of our own writer split its number columns as they are sent.

    Returns:
        Column to thresholds, shape (splits,); empty for other models.
    """
    import onnx

    model = onnx.load_from_string(content)
    notes = {item.key: item.value for item in model.metadata_props}
    if "inputs" not in notes:
        return {}
    names = json.loads(notes["inputs"])["numbers"]
    fed = {
        node.output[0]: list(node.input) for node in model.graph.node if node.op_type == "Concat"
    }
    found: dict[str, list[Array]] = {}
    for node in model.graph.node:
        if node.op_type != "TreeEnsemble" or fed.get(node.input[0], node.input)[0] != "numbers":
            continue
        parts = {item.name: item for item in node.attribute}
        features = np.array(parts["nodes_featureids"].ints)
        splits = onnx.numpy_helper.to_array(parts["nodes_splits"].t)
        for place in np.unique(features[features < len(names)]):
            found.setdefault(names[place], []).append(splits[features == place])
    cuts = {name: np.unique(np.concatenate(parts)) for name, parts in found.items()}
    finite = {name: own[np.isfinite(own)] for name, own in cuts.items()}
    return {name: own for name, own in finite.items() if len(own)}
