"""JSON bodies that begin as one did before: their rows are decoded in one step.

>>> from lifecycle.records import Column, ModelSpec
>>> known = Known(ModelSpec(1, "binary", (Column("age", "double"),)), ())
>>> body = b'{"dataframe_split": {"columns": ["age"], "data": [[41]]}}'
>>> known.rows(body) is None
True
>>> known.learn(body, ("age",))
>>> known.rows(body.replace(b"41", b"42")).columns["age"].tolist()
[42.0]

A client writes the same text before its rows again and again. Once `Decoder` has checked a whole
body, what stands before the rows (its head) is kept with the names of the columns. A later body
that has this head, then one complete JSON list of rows, then only closing braces, differs from the
checked one in its rows alone: they hold no objects, so no key can be there twice. Records, and
objects of columns, are decoded in one step too; keys are counted by their colons. Everything else
gives None, and `Decoder` reads it at length: all errors, in particular, are its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from lifecycle.models.predicting import Columns, Layout, Table
from lifecycle.records import ModelSpec
from lifecycle.serve.rows import Rows
from lifecycle.serve.typed import BUILD, key_text, times

_HEADS = 64  # heads that are kept
_LONGEST = 256 * 1024  # bytes of a body that is learnt from
_DATA = b'"data":'
_OBJECTS = re.compile(rb'\{"\w+"')
# once msgspec has read cells of these types, no cell can be wrong; only two may hold nulls
_KINDS: Mapping[str, Any] = MappingProxyType(
    {
        "double": float,
        "string": str,
        "boolean": bool,
        "long": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
        "integer": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    }
)
_NULLABLE = {"double", "string"}

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Head:
    """How the rows behind a head are read.

    Attributes:
        decode: the rows from their JSON text.
        pick: a row's features in the signature's order; None: they lie so.
        time: where a row's own time lies; -1: it is not sent.
        key: where its key lies.
        count: how many rows there must be; 0: any number.
        plain: whether a row is the features in order, all doubles and texts, and nothing else.
    """

    decode: Callable[[bytes], list[Row]]
    pick: Callable[[Row], Row] | None
    time: int
    key: int
    count: int
    plain: bool


# no body begins so
_NOTHING = (b"\0", _Head(lambda _text: [], None, -1, -1, 0, plain=False))


class Known:
    """The heads that one decoder has met; its methods are the event loop's and threads' alike.

    Args:
        spec: the model.
        extras: columns beside the features that may come along.
    """

    def __init__(self, spec: ModelSpec, extras: Sequence[str]) -> None:
        self._spec, self._extras = spec, tuple(extras)
        self._types = {column.name: column.dtype for column in spec.features}
        self._cells = {
            column.name: _cell(column.dtype, column.required) for column in spec.features
        }
        self._heads: dict[bytes, _Head] = {}
        self._last = _NOTHING  # a head with the key of its rows, as it was met last
        self._usable = bool(self._types) and set(self._types.values()) <= set(_KINDS)
        self._plain = set(self._types.values()) <= _NULLABLE
        texts = [name for name, kind in self._types.items() if kind == "string"]
        self._layout = Layout(spec.feature_names, texts)
        self._objects: dict[bytes, Any] = {}
        # a struct's field cannot have every name that a column may have
        odd = any(min(name, default=" ") < " " or set(name) & set('\\"') for name in self._names())
        if self._usable and not odd:
            self._objects = self._decoders()

    @property
    def layout(self) -> Layout | None:
        """How rows lie in a `Table`; None for a model with other columns than doubles and texts."""
        return self._layout if self._plain and self._types else None

    def rows(self, body: bytes) -> Rows | None:
        """A body's rows; None when it begins as none did before, or is not as simple as those."""
        last, head = self._last
        if body.startswith(last):
            place, end = len(last), -2
        else:
            place = body.find(_DATA)
            start, end = (place, -2) if place > 0 else (body.find(b"["), -1)
            found = self._heads.get(body[:start])
            if found is None:
                return self._of_objects(body)
            head = found
            if place > 0:
                place += len(_DATA)
                self._last = body[:place], head
            else:
                place = start
        if not body.endswith(b"}}" if end == -2 else b"}"):
            return None
        try:
            cells = head.decode(body[place:end])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not cells or (head.count and head.count != len(cells)):
            return None
        if head.plain:
            return Rows(Table(self._layout, cells), len(cells))
        time = key = None
        if head.time >= 0:
            time = [row[head.time] for row in cells]
        if head.key >= 0:
            key = [row[head.key] for row in cells]
        if head.pick is not None:
            cells = list(map(head.pick, cells))
        return self._made(cells, time, key)

    def learn(self, body: bytes, names: Sequence[str], *, counted: bool = False) -> None:
        """Keep the head of a body that was found to be right as a whole, without params.

        Args:
            body: its rows are lists of cells.
            names: of the columns, in the order of the cells.
            counted: whether the head itself says something of each row, as an index does.
        """
        place = body.find(_DATA)
        place = place if place > 0 else body.find(b"[")
        if not self._usable or len(body) > _LONGEST or not set(self._types) <= set(names):
            return
        if len(self._heads) >= _HEADS:
            self._heads = {}
        row: Any = tuple.__class_getitem__(tuple(self._kind(name) for name in names))
        decoder = msgspec.json.Decoder(list[row])
        features = self._layout.names
        pick: Any = None
        if tuple(names) != features:
            pick = itemgetter(*(names.index(name) for name in features))
            if len(features) == 1:
                only = names.index(features[0])
                pick = lambda row: (row[only],)  # noqa: E731 - as itemgetter of several
        time, key = (
            names.index(name) if name in self._extras and name in names else -1
            for name in (self._spec.time or "", self._spec.key or "")
        )
        plain = self._plain and pick is None and len(names) == len(features)
        head = _Head(decoder.decode, pick, time, key, 0, plain)
        self._heads[body[:place]] = head
        found = self.rows(body)
        if found is None:
            self._heads.pop(body[:place], None)
            self._last = _NOTHING
        elif counted:
            self._heads[body[:place]] = replace(head, count=found.count)
            self._last = _NOTHING

    def _of_objects(self, body: bytes) -> Rows | None:
        """The rows of a body of records, or of columns, that holds each feature once."""
        found = _OBJECTS.match(body)
        decoder = self._objects.get(found[0]) if found else None
        if decoder is None:
            return None
        try:
            (held,) = msgspec.structs.astuple(decoder.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        cells: list[Row]
        if isinstance(held, list):  # of records
            cells, colons = list(map(msgspec.structs.astuple, held)), 1
        else:
            columns = msgspec.structs.astuple(held)
            count = len(columns[0])
            if any(cells is not UNSET and len(cells) != count for cells in columns):
                return None
            # of an object for all rows the colons are counted as if it were one record a row
            names = sum(cells is not UNSET for cells in columns)
            colons = 1 + names * (1 - count)
            gap = (UNSET,) * count
            filled = [gap if cells is UNSET else cells for cells in columns]
            cells = list(zip(*filled, strict=True))
        width = len(self._types)
        colons += len(cells) * width
        sent: dict[str, list[Any]] = {}
        for place, name in enumerate(self._extras, start=width):
            column = [row[place] for row in cells]
            gaps = column.count(UNSET)
            colons += len(column) - gaps
            if gaps < len(column):
                sent[name] = [None if cell is UNSET else cell for cell in column]
        # every key has a colon of its own: as many colons as keys are no key twice
        if not cells or body.count(b":") != colons:
            return None
        if self._extras:
            cells = [row[:width] for row in cells]
        return self._made(cells, sent.get(self._spec.time or ""), sent.get(self._spec.key or ""))

    def _made(
        self, cells: list[Row], time: Sequence[Any] | None, key: Sequence[Any] | None
    ) -> Rows:
        columns: Columns
        if self._plain:
            columns = Table(self._layout, cells)
        else:
            columns = {
                name: BUILD[self._types[name]](column, name)
                for name, column in zip(self._types, zip(*cells, strict=True), strict=True)
            }
        moments = keys = None
        if time is not None and any(cell is not None for cell in time):
            moments = times(time, self._spec.time or "")
        if key is not None and any(cell is not None for cell in key):
            keys = [None if cell is None else key_text(cell) for cell in key]
        return Rows(columns, len(cells), moments, keys)

    def _names(self) -> tuple[str, ...]:
        return (*self._types, *self._extras)

    def _kind(self, name: str) -> Any:
        return self._cells.get(name, str | int | float | bool | None)

    def _decoders(self) -> dict[bytes, Any]:
        """Of bodies of records and of columns, by how these begin."""
        records: Any = list[self._struct("Row", lambda kind: kind)]  # type: ignore[misc]
        columns = self._struct("Columns", list.__class_getitem__)
        forms = (("dataframe_records", records), ("instances", records), ("inputs", columns))
        found = {}
        for form, held in forms:
            whole = msgspec.defstruct("Body", [(form, held)], forbid_unknown_fields=True)
            found[b'{"%b"' % form.encode()] = msgspec.json.Decoder(whole)
        return found

    def _struct(self, title: str, wrap: Callable[[Any], Any]) -> Any:
        fields: list[Any] = []
        for index, name in enumerate(self._names()):
            kind, field = wrap(self._kind(name)), f"c{index}"
            optional = name in self._extras
            fields.append((field, kind | UnsetType, UNSET) if optional else (field, kind))
        rename = {f"c{index}": name for index, name in enumerate(self._names())}
        return msgspec.defstruct(
            title, fields, rename=rename, forbid_unknown_fields=True, kw_only=True
        )


def _cell(dtype: str, required: bool) -> Any:
    """What a cell may be here."""
    kind: Any = _KINDS.get(dtype, Any)
    return kind | None if dtype in _NULLABLE and not required else kind
