"""Run a compiled model: one call on one block of numbers and one of texts, however many rows.

    columns ── numbers (n, k), texts (n, m) ──> onnxruntime, or one product ──> scores ──> labels

Files of older releases, and those of skl2onnx, have an input of shape (n, 1) for each column.

>>> numbers = np.array([[1.0, 2.0]])
>>> model = Flat({"weights": [[0.5], [0.25]], "shift": [1.0], "fill": None, "texts": {},
...     "levels": [], "link": "none"})
>>> model.raw(numbers, None).tolist()
[[2.0]]
"""

import json
from collections.abc import Callable, Mapping, Sequence
from math import exp, isnan
from operator import itemgetter
from typing import Any

import numpy as np

from lifecycle.errors import DataError, MissingExtra, ModelRefused
from lifecycle.models.predicting import (
    Array,
    Columns,
    LoadedModel,
    Output,
    Table,
    class_array,
    labels,
)
from lifecycle.records import ModelSpec

Scores = Callable[[Array | None, Array | None], Array]  # of numbers and texts
Reader = Callable[[Columns], tuple[Array | None, Array | None]]


def load_onnx(content: bytes, spec: ModelSpec, *, graph: bool = False) -> LoadedModel:
    """A model that answers through onnxruntime, or by its weights; scikit-learn is not needed.

    Args:
        content: an ONNX model as `lifecycle.models.compiling` writes them.
        spec: what the model is.
        graph: ask the graph also where the weights alone would do.

    Raises:
        MissingExtra: onnxruntime is not installed.
        ModelRefused: it cannot be loaded.
    """
    session = open_session(content)
    notes = session.get_modelmeta().custom_metadata_map
    output = [session.get_outputs()[0].name]
    finish = finisher(spec)
    if "inputs" not in notes:
        feed = _by_column(session, notes)

        def answer(columns: Columns) -> Output:
            return finish(session.run(output, feed(columns))[0])

        return LoadedModel(spec, "onnx", answer)
    read = reader(json.loads(notes["inputs"]), spec, json.loads(notes["accepted"]))
    null: str = json.loads(notes["null"])
    if "flat" in notes and not graph:
        return LoadedModel(spec, "onnx", Flat(json.loads(notes["flat"])).answering(read, spec))
    blocks = [item.name for item in session.get_inputs()]
    run = session.run
    if blocks == ["numbers"]:

        def of_numbers(columns: Columns) -> Output:
            return finish(run(output, {"numbers": read(columns)[0]})[0])

        return LoadedModel(spec, "onnx", of_numbers)

    nulls = any(not item.required for item in spec.features if item.dtype == "string")
    alone = len(blocks) == 1

    def of_both(columns: Columns) -> Output:
        numbers, texts = read(columns)
        texts = filled(texts, null) if nulls else texts
        given = {"texts": texts} if alone else {"numbers": numbers, "texts": texts}
        return finish(run(output, given)[0])

    return LoadedModel(spec, "onnx", of_both)


def open_session(content: bytes) -> Any:
    """An onnxruntime session of one thread: requests, not rows, are what a server has many of."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", extra="compile", purpose="a compiled model") from error
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelRefused(
            f"the compiled model cannot be loaded: {error}",
            fix="register the model again, or set [models] compile = false",
        ) from error


def finisher(spec: ModelSpec) -> Callable[[Array], Output]:
    """What makes an answer of a graph's result: labels by the one rule of `predicting.labels`."""
    classes = class_array(spec.classes)
    if len(classes) == 0:
        return lambda result: Output(result.reshape(-1).astype(np.float64, copy=False))
    if len(classes) != 2:

        def of_many(result: Array) -> Output:
            scores = result.astype(np.float64, copy=False)
            return Output(labels(scores, spec.classes, threshold=spec.threshold), scores)

        return of_many
    threshold, each = spec.threshold, _each(classes)

    def of_two(result: Array) -> Output:
        scores = result.astype(np.float64, copy=False)
        if len(scores) == 1:
            ((first, second),) = scores.tolist()
            return Output(
                each[second > first if threshold is None else second >= threshold], scores
            )
        positive = scores[:, 1]
        chosen = positive > scores[:, 0] if threshold is None else positive >= threshold
        return Output(classes[chosen.view(np.int8)], scores)

    return of_two


def _each(classes: Array) -> list[Array]:
    """An array of one label for each class, shared by all answers of one row."""
    each = [classes[at : at + 1] for at in range(len(classes))]
    for item in each:
        item.flags.writeable = False
    return each


def reader(blocks: Mapping[str, Sequence[str]], spec: ModelSpec, accepted: Any) -> Reader:
    """What makes the two blocks of a request's columns.

    Args:
        blocks: names of the columns in `numbers` and `texts`.
        spec: what the model is.
        accepted: column to the levels outside of which the original raises.
    """
    numbers, texts = tuple(blocks["numbers"]), tuple(blocks["texts"])
    pick = itemgetter(*numbers) if len(numbers) > 1 else None
    doubles = {item.name for item in spec.features if item.dtype == "double"}
    plain = doubles >= set(numbers)  # then a Table's block of numbers is ours
    known = {name: frozenset(levels) for name, levels in accepted.items()}

    def block(columns: Columns) -> Array:
        values = pick(columns) if pick else (columns[numbers[0]],)
        joined = np.concatenate(values)
        if joined.dtype == object:  # true, false and null as 1, 0 and NaN
            joined = np.concatenate([_number(item) for item in values])
        joined = joined.reshape(len(numbers), -1)
        if joined.shape[1] == 1:
            return joined.reshape(1, -1).astype(np.float64, copy=False)
        return np.ascontiguousarray(joined.T, dtype=np.float64)

    def text_block(columns: Columns) -> Array:
        rows = len(columns[texts[0]])
        if rows == 1:
            return np.array([[columns[name][0] for name in texts]], dtype=object)
        found = np.empty((rows, len(texts)), dtype=object)
        for place, name in enumerate(texts):
            found[:, place] = columns[name]
        return found

    def read(columns: Columns) -> tuple[Array | None, Array | None]:
        if known:
            _check(columns, known)
        if plain and type(columns) is Table and columns.layout.numbers == numbers:
            return (
                columns.numbers if numbers else None,
                columns.texts if texts else None,
            )
        return block(columns) if numbers else None, text_block(columns) if texts else None

    return read


def _check(columns: Columns, known: Mapping[str, frozenset[Any]]) -> None:
    """Refuse a level for which the original raises."""
    for name, levels in known.items():
        for row, item in enumerate(columns[name].tolist()):
            level = None if isinstance(item, float) and isnan(item) else item
            if level not in levels:
                raise DataError(
                    f"column {name!r} is {level!r} in row {row}, a level that was not there in "
                    "training",
                    fix="send a known one, or train with handle_unknown='ignore'",
                )


def filled(texts: Array | None, null: str) -> Array | None:
    """Texts with null as the text that stands for it."""
    if texts is None or None not in texts:
        return texts
    rows = texts.reshape(-1).tolist()
    found = np.array([null if item is None else item for item in rows], dtype=object)
    return found.reshape(texts.shape)


class Flat:
    """A linear model: weights for numbers, tables for texts.

    Args:
        note: what `lifecycle.models.flat` notes.
    """

    def __init__(self, note: Mapping[str, Any]) -> None:
        self.shift = np.array(note["shift"])
        self.weights = np.array(note["weights"]).reshape(-1, len(self.shift))
        self.fill = None if note["fill"] is None else np.array(note["fill"])
        levels = [*note["levels"], None]
        self.codes = {level: code for code, level in enumerate(levels)}
        self.tables = [np.array(table) for table in note["texts"].values()]
        self.link: str = note["link"]

    def raw(self, numbers: Array | None, texts: Array | None) -> Array:
        """The sums before the link, shape (n, outputs)."""
        if numbers is None:
            total = self.shift
        else:
            if self.fill is not None:
                numbers = np.where(np.isnan(numbers), self.fill, numbers)
            total = numbers @ self.weights + self.shift
        if texts is not None:
            other, find = len(self.codes), self.codes.get
            for place, table in enumerate(self.tables):
                codes = [find(text, other) for text in texts[:, place].tolist()]
                total = total + table[codes]
        return total

    def answering(self, read: Reader, spec: ModelSpec) -> Callable[[Columns], Output]:
        """The engine of a loaded model."""
        if self.link == "sigmoid":
            return self._two(read, spec)
        finish = finisher(spec)

        def answer(columns: Columns) -> Output:
            raw = self.raw(*read(columns))
            if self.link == "softmax":
                raw = np.exp(raw - raw.max(axis=1, keepdims=True))
                raw = raw / raw.sum(axis=1, keepdims=True)
            return finish(raw)

        return answer

    def _two(self, read: Reader, spec: ModelSpec) -> Callable[[Columns], Output]:
        finish, threshold = finisher(spec), spec.threshold
        alone = _each(class_array(spec.classes))

        def answer(columns: Columns) -> Output:
            raw = self.raw(*read(columns))
            if len(raw) == 1:
                total = raw.item()
                share = 1.0 / (1.0 + exp(-total)) if total > LOWEST else 0.0
                rest = 1.0 - share
                chosen = share > rest if threshold is None else share >= threshold
                return Output(alone[chosen], np.array([[rest, share]]))
            with np.errstate(over="ignore"):
                shares = 1.0 / (1.0 + np.exp(-raw[:, 0]))
            scores = np.empty((len(shares), 2))
            scores[:, 0] = 1.0 - shares
            scores[:, 1] = shares
            return finish(scores)

        return answer


LOWEST = -700.0  # below, the exponential of its opposite is no double any more


def _by_column(session: Any, notes: Mapping[str, str]) -> Callable[[Columns], dict[str, Array]]:
    """The inputs of a graph with one of shape (n, 1) for each column."""
    kinds = {item.name: item.type for item in session.get_inputs()}
    null = json.loads(notes["null"]) if "null" in notes else None

    def feed(columns: Columns) -> dict[str, Array]:
        return {name: tensor(columns[name], kind, null) for name, kind in kinds.items()}

    return feed


TENSORS = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def tensor(values: Array, kind: str, null: str | None) -> Array:
    """One column as the tensor that a graph with an input for each column takes, shape (n, 1).

    >>> tensor(np.array(["pro", None], dtype=object), "tensor(string)", "").tolist()
    [['pro'], ['']]
    """
    if kind == "tensor(string)":
        if null is not None and None in values:
            values = np.array([null if item is None else item for item in values], dtype=object)
        return values.reshape(-1, 1)
    return _number(values).astype(TENSORS[kind], copy=False).reshape(-1, 1)


def _number(values: Array) -> Array:
    if values.dtype == object:  # true, false and null as 1, 0 and NaN
        return np.array([np.nan if item is None else float(item) for item in values])
    return values
