"""What a loaded model answers: labels and scores by one rule, whatever engine computes them.

>>> scores = np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
>>> labels(scores, ("no", "yes"), threshold=None).tolist()
['no', 'no', 'yes']
>>> labels(scores, ("no", "yes"), threshold=0.5).tolist()
['no', 'yes', 'yes']
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.models.parameters import Parameters, refuse
from lifecycle.records import Label, ModelSpec, ModelVersion

Array = NDArray[Any]
Columns = Mapping[str, Array]  # model inputs by column, all of one length
How = Literal["onnx", "sklearn", "pyfunc"]
FEW = 8  # rows of a table whose arrays are made when they are asked for


class Layout:
    """Where the columns of a `Table` lie; one a signature.

    Args:
        names: of all columns, in the signature's order.
        texts: those that hold text; the others hold doubles.

    Attributes:
        numbers: the names of the columns of doubles, as they lie in `Table.numbers`.
        texts: the names of the columns of text, as they lie in `Table.texts`.
    """

    def __init__(self, names: Sequence[str], texts: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self.numbers = tuple(name for name in names if name not in texts)
        self.texts = tuple(name for name in names if name in texts)
        self.places = {name: (0, place) for place, name in enumerate(self.numbers)}
        self.places |= {name: (1, place) for place, name in enumerate(self.texts)}
        self._pick = [_picker(self.names, part) for part in (self.numbers, self.texts)]

    def block(self, rows: Sequence[tuple[Any, ...]], which: int) -> Array:
        """The numbers (0) or texts (1) of some rows, shape (n, columns)."""
        if which and not self.texts:
            return np.empty((len(rows), 0), dtype=object)
        if which:
            return np.array(list(map(self._pick[1], rows)), dtype=object)
        picked = map(self._pick[0], rows) if self.texts else rows
        shape = (len(rows), len(self.numbers))
        if len(rows) == 1:
            return np.array(list(picked), dtype=np.float64)
        cells = chain.from_iterable(picked)
        return np.fromiter(cells, np.float64, count=shape[0] * shape[1]).reshape(shape)


def _picker(names: tuple[str, ...], part: tuple[str, ...]) -> Callable[[tuple[Any, ...]], Any]:
    places = [names.index(name) for name in part]
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


class Table(Mapping[str, Array]):
    """Columns of doubles and texts that were sent as rows.

    Of few rows an array is made when it is asked for; so several tables can be joined first. Of
    many it is made at once, while the cells are still in the processor's cache.

    >>> table = Table(Layout(["age", "plan"], texts=["plan"]), [(41.0, "pro"), (None, "basic")])
    >>> table.numbers.tolist(), table["plan"].tolist(), list(table)
    ([[41.0], [nan]], ['pro', 'basic'], ['age', 'plan'])

    Args:
        layout: the columns.
        rows: n rows of cells in the layout's order: numbers and None for doubles, text and None
            for texts.
    """

    __slots__ = ("_blocks", "_rows", "layout")

    def __init__(self, layout: Layout, rows: Sequence[tuple[Any, ...]]) -> None:
        self.layout = layout
        self._rows: Sequence[tuple[Any, ...]] = rows
        self._blocks: list[Array | None] = [None, None]
        if len(rows) > FEW:
            self._blocks = [layout.block(rows, 0), layout.block(rows, 1)]
            self._rows = ()

    @classmethod
    def of(cls, layout: Layout, numbers: Array, texts: Array | None = None) -> "Table":
        """A table of the blocks that `numbers` and `texts` are to give."""
        made = cls(layout, ())
        none = np.empty((len(numbers), 0), dtype=object)
        made._blocks = [numbers, none if texts is None else texts]
        return made

    @classmethod
    def joined(cls, tables: Sequence["Table"]) -> "Table":
        """The rows of several tables of one layout, one behind the other.

        >>> layout = Layout(["age"])
        >>> Table.joined([Table(layout, [(41.0,)]), Table(layout, [(19.0,)])]).numbers.tolist()
        [[41.0], [19.0]]
        """
        layout = tables[0].layout
        if all(table._rows for table in tables):
            rows = list(chain.from_iterable([table._rows for table in tables]))
            return cls(layout, rows)
        blocks = [[table._block(which) for table in tables] for which in (0, 1)]
        return cls.of(layout, np.concatenate(blocks[0]), np.concatenate(blocks[1]))

    @property
    def numbers(self) -> Array:
        """The columns of doubles, null as NaN: float64 of shape (n, numbers), row by row."""
        return self._block(0)

    @property
    def texts(self) -> Array:
        """The columns of text: objects of shape (n, texts), row by row."""
        return self._block(1)

    def columns(self) -> dict[str, Array]:
        """All columns, each in one piece of memory."""
        numbers = np.ascontiguousarray(self.numbers.T) if self.layout.numbers else ()
        texts = self.texts.T if self.layout.texts else ()
        found = dict(zip(self.layout.numbers, numbers, strict=True))
        found |= zip(self.layout.texts, texts, strict=True)
        return {name: found[name] for name in self.layout.names}

    def _block(self, which: int) -> Array:
        block = self._blocks[which]
        if block is None:
            block = self._blocks[which] = self.layout.block(self._rows, which)
        return block

    def __getitem__(self, name: str) -> Array:
        which, place = self.layout.places[name]
        column: Array = self._block(which)[:, place]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)


@dataclass(frozen=True)
class Output:
    """What a model says of n rows.

    >>> Output(np.array(["no", "yes"]), np.array([[0.8, 0.2], [0.1, 0.9]])).score.tolist()
    [0.2, 0.9]

    Attributes:
        prediction: labels or values, shape (n,).
        scores: class probabilities in the order of the specification's classes, shape
            (n, classes); None for regression and for classifiers without probabilities.
        raw: what plain MLflow answers, where that is not `prediction`: probabilities of a
            model logged with `predict_proba`, a frame of a custom model.
    """

    prediction: Array
    scores: Array | None = None
    raw: Any = None

    @property
    def score(self) -> Array | None:
        """What the log keeps: the positive class's share (n,), or all of them (n, classes)."""
        if self.scores is None or self.scores.shape[1] != 2:
            return self.scores
        positive: Array = self.scores[:, 1]
        return positive

    def part(self, start: int, stop: int) -> "Output":
        """The answer for some of the rows, for a model that answers rows together.

        >>> Output(np.array([1, 2, 3]), raw=["a", "b", "c"]).part(1, 3).raw
        ['b', 'c']
        """
        raw = self.raw
        if raw is not None:
            raw = raw.iloc[start:stop] if hasattr(raw, "iloc") else raw[start:stop]
        scores = None if self.scores is None else self.scores[start:stop]
        return Output(self.prediction[start:stop], scores, raw)


class Lacking(dict[str, Array]):
    """Columns of which some that may be null were not sent: they are null here.

    >>> Lacking({"age": np.array([np.nan])}, {"age"}).absent
    frozenset({'age'})

    Args:
        columns: all of them.
        absent: the names of those that were not sent; custom models are not given them.
    """

    def __init__(self, columns: Columns, absent: Iterable[str]) -> None:
        super().__init__(columns)
        self.absent = frozenset(absent)


class Given(dict[str, Array]):
    """A request whose model takes something else than columns: an array, a dict of arrays, a list.

    >>> Given({"0": np.array([1.0])}, np.array([[1.0]])).data.shape
    (1, 1)

    Args:
        columns: what of it goes to the log, arrays of one length.
        data: what the model is given.
    """

    def __init__(self, columns: Columns, data: Any) -> None:
        super().__init__(columns)
        self.data = data


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers; safe to call from several threads.

    >>> spec = ModelSpec(1, "regression", ())
    >>> LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"])).how
    'sklearn'

    Attributes:
        spec: what the model is.
        how: which engine answers.
        answer: the engine; takes the columns, and the params where `parameters` is there.
        version: the registered version; None for a model that is not registered.
        estimator: the scikit-learn object, where one was loaded.
        together: rows of different requests may be answered in one call, since each row's answer
            is its own and `Output.part` finds it.
        parameters: the params of the model's signature; None where it has none.
        forms: reads the requests of a model whose signature is no list of plain columns.
    """

    spec: ModelSpec
    how: How
    answer: Callable[..., Output] = field(repr=False)
    version: ModelVersion | None = None
    estimator: Any = field(default=None, repr=False)
    together: bool = True
    parameters: Parameters | None = None
    forms: Any = field(default=None, repr=False)

    def predict(self, columns: Columns, params: Mapping[str, Any] | None = None) -> Output:
        """Answer n rows.

        Args:
            columns: one array of length n for every feature of the specification, as
                `lifecycle.models.inputs.columns` makes them.
            params: as `parameters.checked` gives them; None: the signature's defaults.

        Raises:
            DataError: there are params, and the model's signature has none.
        """
        if self.parameters is None:
            if params:
                refuse(params)
            return self.answer(columns)
        return self.answer(columns, self.parameters.defaults if params is None else params)


def labels(scores: Array, classes: Sequence[Label], *, threshold: float | None) -> Array:
    """Labels from scores by the one rule that all engines share.

    >>> labels(np.array([[0.4, 0.3, 0.3]]), (1, 2, 3), threshold=None).tolist()
    [1]

    Args:
        scores: class probabilities, shape (n, classes).
        classes: in the order of the columns of `scores`.
        threshold: the second class is answered where its score reaches it; None: the class
            with the largest score, the first of equals (as scikit-learn does).

    Returns:
        The labels, shape (n,), of the classes' own type.
    """
    if threshold is None:
        chosen = np.argmax(scores, axis=1)
    else:
        chosen = (scores[:, 1] >= threshold).astype(np.int64)
    answer: Array = class_array(classes)[chosen]
    return answer


def class_array(classes: Sequence[Label]) -> Array:
    """The classes as an array of their own type; strings as Python strings.

    >>> class_array((False, True)).dtype
    dtype('bool')
    """
    if any(isinstance(item, str) for item in classes):
        return np.array(classes, dtype=object)
    return np.asarray(classes)
