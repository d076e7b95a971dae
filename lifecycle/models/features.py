"""What a fitted preprocessor makes of a model's inputs, column by column, without scikit-learn.

    numbers (n, k) double ── Number: a chain of steps on one column
    texts   (n, m) string ── Level: a table, one value for each known level, null, and any other

Encoders are not re-implemented: scikit-learn is asked once what each level becomes, and the answers
are the table. Whatever follows on such a column is applied to its table.

>>> Level("plan", np.array([0.0, 1.0, np.nan])).values.tolist()
[0.0, 1.0, nan]
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lifecycle.models.elements import Chain, Step, Unsupported, applied, write
from lifecycle.models.graphs import Graph
from lifecycle.models.predicting import Array
from lifecycle.records import Column

OTHER = "a level that no model has seen \x1f"
NULL = "\x1f"  # stands for null in a text input; JSON and CSV from people never hold it alone
MOST_CELLS = 4_000_000  # of one column's table
MOST_ASKED = 3000
FLAGS = (0.0, 1.0)
LIBRARIES = ("sklearn", "xgboost", "lightgbm")


Source = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Number:
    """A number column after a chain of steps.

    Attributes:
        place: in the block of numbers.
        chain: what was done to it.
        flag: whether it is true or false, not a number.
        single: whether it is sent as float32; beside no others, it is computed with as such.
    """

    place: int
    chain: Chain = ()
    flag: bool = False
    single: bool = False


@dataclass(frozen=True)
class Level:
    """A column of few values, as a table.

    Attributes:
        source: a text column's name, or a number column's place and its keys.
        values: what each key becomes, then null, then any other; shape (keys + 2,). Texts as
            long as nothing has encoded them.
    """

    source: Source
    values: Array = field(hash=False, compare=False)


@dataclass(frozen=True)
class Made:
    """A column of a value that the graph computes, shape (n, columns)."""

    value: str
    place: int


Feature = Number | Level | Made
Features = list[Feature]


class Inputs:
    """A model's inputs, and the graph that is written from them.

    Args:
        graph: empty; the two blocks become its inputs.
        columns: the model's features.
        vocabulary: every text that an encoder of the model knows.
    """

    def __init__(self, graph: Graph, columns: Sequence[Column], vocabulary: Sequence[str]) -> None:
        self.graph = graph
        self.names = tuple(item.name for item in columns)
        self.texts = tuple(item.name for item in columns if item.dtype == "string")
        self.numbers = tuple(
            item.name for item in columns if item.dtype not in ("string", "datetime")
        )
        self.vocabulary = tuple(vocabulary)
        self.accepted: dict[str, list[Any]] = {}  # where the original raises for all others
        self._codes: dict[Source, str] = {}
        if self.numbers:
            graph.block("numbers", texts=False, width=len(self.numbers))
        if self.texts:
            graph.block("texts", texts=True, width=len(self.texts))
        raw = np.array([*self.vocabulary, None, OTHER], dtype=object)
        self.features: dict[str, Feature] = {}
        for item in columns:
            if item.dtype == "string":
                self.features[item.name] = Level(item.name, raw)
            elif item.dtype != "datetime":
                place = self.numbers.index(item.name)
                self.features[item.name] = Number(
                    place, flag=item.dtype == "boolean", single=item.dtype == "float"
                )

    def taken_by(self, estimator: Any) -> Features:
        """The columns as an estimator takes them; times and unknown ones only to be left out."""
        names = getattr(estimator, "feature_names_in_", self.names)
        nothing = np.array([None], dtype=object)
        return [self.features.get(name, Level(str(name), nothing)) for name in names]

    def notes(self) -> dict[str, object]:
        """What a reader of the graph must know."""
        blocks = {"numbers": self.numbers, "texts": self.texts}
        return {"inputs": blocks, "null": NULL, "accepted": self.accepted}

    def zeros(self) -> str:
        """Zeros of shape (n, 1), whatever is asked."""
        graph = self.graph
        if self.numbers:
            first = graph.cast(graph.add("IsNaN", graph.columns("numbers", [0])), "DOUBLE")
        else:
            codes = graph.cast(self.code(self.texts[0]), "DOUBLE")
            first = graph.add("Unsqueeze", codes, graph.constant(np.array([1])))
        return graph.add("Sub", first, first)

    def accept(self, item: Level, taken: Array) -> None:
        """Note that the original raises for all levels of a column but those taken."""
        if isinstance(item.source, str):
            name: str = item.source
            keys: list[Any] = [*self.vocabulary, None]
        else:
            name, keys = self.numbers[item.source[0]], [*item.source[1], None]
        known = [key for key, good in zip(keys, taken, strict=False) if good]
        before = self.accepted.get(name, known)
        self.accepted[name] = [key for key in known if key in before]

    def code(self, source: Source) -> str:
        """Which row of a table each input row has: shape (n,) of int64."""
        if source not in self._codes:
            self._codes[source] = (
                self._text_code(source) if isinstance(source, str) else self._number_code(*source)
            )
        return self._codes[source]

    def _text_code(self, name: str) -> str:
        graph, known = self.graph, [*self.vocabulary, NULL]
        if "" not in self._codes:
            self._codes[""] = graph.add(
                "LabelEncoder",
                "texts",
                domain="ai.onnx.ml",
                keys_strings=known,
                values_int64s=list(range(len(known))),
                default_int64=len(known),
            )
        place = graph.constant(np.array(self.texts.index(name)))
        return graph.add("Gather", self._codes[""], place, axis=1)

    def _number_code(self, place: int, levels: tuple[float, ...]) -> str:
        graph, keys = self.graph, np.array(levels)
        x = graph.columns("numbers", [place])
        equal = graph.cast(graph.add("Equal", x, graph.constant(keys[None, :])), "INT64")
        null = graph.cast(graph.add("IsNaN", x), "INT64")
        found = graph.add("Concat", equal, null, axis=1)
        # the place of the one that is true; behind them all where none is
        weights = graph.constant(np.arange(len(keys) + 1) - (len(keys) + 1))
        last = graph.constant(np.array(len(keys) + 1))
        axes = graph.constant(np.array([1]))
        shift = graph.add("ReduceSum", graph.add("Mul", found, weights), axes, keepdims=0)
        return graph.add("Add", last, shift)

    def value(self, features: Features) -> str:
        """Write the features as one value of shape (n, features) of doubles."""
        order, parts = self.blocks(features)
        value = parts[0] if len(parts) == 1 else self.graph.add("Concat", *parts, axis=1)
        if order == list(range(len(features))):
            return value
        return self.graph.columns(value, list(np.argsort(order)))

    def blocks(self, features: Features) -> tuple[list[int], list[str]]:
        """The features in groups that are cheap to write.

        Returns:
            Places of `features` in the order in which the groups hold them, and the groups.
        """
        graph, parts, order = self.graph, [], []
        kinds: dict[tuple[str, ...], list[int]] = {}
        for at, item in enumerate(features):
            if isinstance(item, Number):
                kinds.setdefault(tuple(step.kind for step in item.chain), []).append(at)
        for group in kinds.values():
            items = [item for at in group if isinstance(item := features[at], Number)]
            places = [item.place for item in items]
            same = places == list(range(len(self.numbers)))
            raw = "numbers" if same else graph.columns("numbers", places)
            parts.append(write(graph, raw, [item.chain for item in items]))
            order += group
        sources: dict[Source, list[int]] = {}
        made: dict[str, list[int]] = {}
        for at, item in enumerate(features):
            if isinstance(item, Level):
                sources.setdefault(item.source, []).append(at)
            elif isinstance(item, Made):
                made.setdefault(item.value, []).append(at)
        for source, group in sources.items():
            tables = [item.values for at in group if isinstance(item := features[at], Level)]
            parts.append(self._looked_up(source, tables))
            order += group
        for value, group in made.items():
            places = [item.place for at in group if isinstance(item := features[at], Made)]
            parts.append(graph.columns(value, places))
            order += group
        return order, parts

    def _looked_up(self, source: Source, tables: Sequence[Array]) -> str:
        if any(table.dtype == object for table in tables):
            raise Unsupported(f"the column {source!r} as it is")
        table = np.stack(tables, axis=1).astype(np.float64)
        if table.size > MOST_CELLS:
            raise Unsupported(f"{len(table):,} levels in {table.shape[1]:,} columns ({source})")
        return self.graph.add("Gather", self.graph.constant(table), self.code(source), axis=0)


def vocabulary(estimator: Any) -> list[str]:
    """Every text that a part of a fitted estimator knows."""
    found: dict[str, None] = {}
    for part in parts_of(estimator):
        for levels in getattr(part, "categories_", []):
            found.update(dict.fromkeys(item for item in levels if isinstance(item, str)))
        known = np.atleast_1d(np.asarray(getattr(part, "statistics_", []), dtype=object)).tolist()
        known.append(getattr(part, "missing_values", None))
        found.update(dict.fromkeys(item for item in known if isinstance(item, str)))
    return list(found)


def parts_of(item: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every estimator inside a fitted estimator, itself first; trees of forests left out."""
    seen = set() if seen is None else seen
    if id(item) in seen:
        return
    if isinstance(item, (list, tuple)):
        for entry in item[:50]:
            yield from parts_of(entry, seen)
    elif isinstance(item, Mapping):
        yield from parts_of(list(item.values()), seen)
    elif type(item).__module__.partition(".")[0] in LIBRARIES and hasattr(item, "__dict__"):
        seen.add(id(item))
        yield item
        for value in vars(item).values():
            yield from parts_of(value, seen)


def asked(inputs: Inputs, transformer: Any, features: Features) -> Features:
    """What an encoder makes of each level: it is asked, one column at a time.

    A level that it raises for is noted in `inputs.accepted`: such a row must be refused.
    """
    levels = [_as_level(item, transformer, at) for at, item in enumerate(features)]
    mixed = any(item.values.dtype == object for item in levels)
    kind = object if mixed else np.float64
    usual = [item.values[_first_taken(transformer, levels, at)] for at, item in enumerate(levels)]
    start = _transformed(transformer, np.array([usual], dtype=kind))
    width = start.shape[1]
    most = max(levels, key=lambda item: len(item.values))
    if len(most.values) * width > MOST_CELLS:
        raise Unsupported(f"{len(most.values):,} levels in {width:,} columns ({most.source})")
    owners = np.zeros(width, dtype=int)
    tables: list[Array] = []
    for at, item in enumerate(levels):
        rows = np.empty((len(item.values), len(levels)), dtype=kind)
        rows[:] = np.array(usual, dtype=kind)
        rows[:, at] = item.values
        results, taken = _one_by_one(transformer, rows, width)
        varied = ((results[taken] != start) & ~(np.isnan(results[taken]) & np.isnan(start))).any(0)
        if (varied & (owners != 0) & (owners != at)).any():
            raise Unsupported(f"{type(transformer).__name__} that joins columns")
        owners[varied] = at
        tables.append(results)
        if not taken.all():
            inputs.accept(item, taken)
    found = [Level(levels[at].source, tables[at][:, to]) for to, at in enumerate(owners)]
    return [_simple(item) for item in found]


def _as_level(item: Feature, transformer: Any, at: int) -> Level:
    if isinstance(item, Level):
        return item
    if isinstance(item, Made) or any(step.kind != "fill" for step in item.chain):
        raise Unsupported(f"{type(transformer).__name__} behind {type(item).__name__.lower()}s")
    if item.flag:
        raw = np.array([False, True, None, None], dtype=object)
        return Level((item.place, FLAGS), raw)
    if not hasattr(transformer, "categories_"):
        raise Unsupported(f"{type(transformer).__name__} on numbers")
    keys = np.array(transformer.categories_[at], dtype=np.float64)
    keys = keys[~np.isnan(keys)]
    other = np.ceil(np.abs(keys).max(initial=0.0)) + 1.5
    values = applied(item.chain, np.array([*keys, np.nan, other]))
    return Level((item.place, tuple(keys)), values)


def _first_taken(transformer: Any, levels: Sequence[Level], at: int) -> int:
    """A level that the encoder surely knows."""
    values = levels[at].values
    categories = getattr(transformer, "categories_", None)
    if categories is None or not len(categories[at]):
        return 0
    known = np.asarray(categories[at]).tolist()
    return next((place for place, value in enumerate(values.tolist()) if value in known), 0)


def transformed(transformer: Any, rows: Array) -> Array:
    """What a transformer makes of rows, of any type; it may have been fitted on a frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = transformer.transform(rows)
    return made.toarray() if hasattr(made, "toarray") else np.asarray(made)


def _transformed(transformer: Any, rows: Array) -> Array:
    dense = transformed(transformer, rows)
    try:
        return dense.astype(np.float64)
    except (TypeError, ValueError):
        raise Textual(dense) from None


class Textual(Exception):
    """Texts came out, where numbers were waited for."""

    def __init__(self, made: Array) -> None:
        self.made = made


def _one_by_one(transformer: Any, rows: Array, width: int) -> tuple[Array, Array]:
    """The results, and which rows it took: all at once, or singly where it raises for one."""
    try:
        return _transformed(transformer, rows), np.ones(len(rows), dtype=bool)
    except ValueError:
        if len(rows) > MOST_ASKED:
            raise Unsupported(f"an encoder that raises for one of {len(rows):,} levels") from None
    results, taken = np.full((len(rows), width), np.nan), np.zeros(len(rows), dtype=bool)
    for at in range(len(rows)):
        try:
            results[at] = _transformed(transformer, rows[at : at + 1])[0]
            taken[at] = True
        except ValueError:
            continue
    return results, taken


def _simple(item: Level) -> Feature:
    """True and false that stayed 1 and 0 need no table."""
    if (
        isinstance(item.source, str)
        or item.source[1] != FLAGS
        or item.values[0]
        or (item.values[1] != 1.0)
    ):
        return item
    missing = float(item.values[2])
    chain = () if np.isnan(missing) else (Step("fill", (missing,)),)
    return Number(item.source[0], chain)
