"""JSON bodies to model inputs: a signature compiled once into typed decoders.

>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "binary", (Column("age", "double"), Column("plan", "string")), key="id")
>>> rows = Decoder(spec).json(b'{"dataframe_records": [{"age": 31, "plan": "pro", "id": "c7"}]}')
>>> rows.columns["age"].tolist(), rows.columns["plan"].tolist(), rows.key
([31.0], ['pro'], ['c7'])

Names, types and finiteness are checked while msgspec parses; what is wrong is a DataError that
names the column and the row (counted from 0). The four forms are those of MLflow's scoring
protocol, https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/. Stricter than MLflow:
null in a required column, numeric strings, booleans for numbers, fractions for whole numbers,
numbers for text, unknown columns, duplicate keys, ragged rows and no rows are refused. A column
that may be null may also be left out. The model's time, key and target columns may come along.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from lifecycle.errors import DataError
from lifecycle.models.parameters import Parameters, refuse
from lifecycle.models.predicting import Array, Given, Lacking
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.duplicates import refuse_duplicates
from lifecycle.serve.explain import explain, missing, unknown
from lifecycle.serve.known import Known
from lifecycle.serve.rows import Rows
from lifecycle.serve.typed import BUILD, JSON_TYPES, key_text, nulls, objects, times

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ORDERS = 64  # orders of columns whose decoders are kept
_SCALAR = str | int | float | bool | None

Values = Sequence[Sequence[Any]]  # one sequence of n cells a column


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    dataframe_split: Raw = Raw(b"")
    dataframe_records: Raw = Raw(b"")
    instances: Raw = Raw(b"")
    inputs: Raw = Raw(b"")
    params: dict[str, Any] | None = None


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: Raw
    columns: list[str | int] | None = None
    index: Raw = Raw(b"")


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_SPLIT = msgspec.json.Decoder(_Split)


class Decoder:
    """One signature's decoders; immutable, may be shared between threads.

    Args:
        spec: the model.
        parameters: the params that the model takes; None: it takes none.
        forms: reads what the model is given where that is not the specification's columns.
    """

    def __init__(
        self, spec: ModelSpec, parameters: Parameters | None = None, forms: Any = None
    ) -> None:
        self.spec = spec
        self.parameters = parameters
        self.forms = forms
        self.names = spec.feature_names
        self._columns = {column.name: column for column in spec.features}
        roles = dict.fromkeys((spec.time, spec.key, spec.target))
        self.extras = tuple(name for name in roles if name and name not in self._columns)
        self._all = self.names + self.extras
        self._optional = [
            index
            for index, name in enumerate(self._all)
            if name in self.extras or not self._columns[name].required
        ]
        self._others = [item.name for item in spec.features if item.dtype not in JSON_TYPES]
        self._others += [item.name for item in spec.features if item.dtype == "binary"]
        self._block = {column.dtype for column in spec.features} == {"double"}
        # such a character in a name would upset the count that looks for duplicate keys
        self._countable = not any(set(name) & set(':\\"') for name in self._all)
        # a struct's field cannot have every name that a column may have
        self._odd = any(
            min(name, default=" ") < " " or set(name) & set('\\"') for name in self._all
        )
        row = dict[str, Any] if self._odd else self._struct("Row", _cell)
        inputs = dict[str, Any] if self._odd else self._struct("Inputs", _cell_or_list)
        self._records: Any = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._inputs: Any = msgspec.json.Decoder(inputs)
        self._rows = lru_cache(maxsize=_ORDERS)(self._row_decoder)
        self._known = Known(spec, self.extras)
        self.layout = self._known.layout if forms is None else None  # of a `Table`

    def json(self, body: bytes) -> Rows:
        """Decode one of the four JSON forms.

        Raises:
            DataError: the body is not what the signature asks for; names column and row.
        """
        found = self._known.rows(body) if self.forms is None else None
        if found is not None:
            return found
        try:
            return self._json(body)
        except RecursionError:
            raise DataError("the body is nested too deeply", fix="send rows of values") from None
        except UnicodeDecodeError:
            raise DataError("the body is not UTF-8", fix="encode it as UTF-8") from None
        except msgspec.DecodeError as error:
            raise self._not_json(body, error) from None

    def _not_json(self, body: bytes, error: msgspec.DecodeError) -> DataError:
        what, fix = f"the body is not JSON: {error}", ""
        found = re.search(rb"[\s\[:,](-?Infinity|NaN)\b", body)
        if found:
            fix = "JSON has no NaN and no Infinity: send null, or a finite number"
            keys = re.findall(rb'"([^"\\]{1,100})"\s*:\s*\[?', body[: found.start(1)])
            name = keys[-1].decode("utf-8", "replace") if keys else ""
            if name in self._all:
                what = f"column {name!r} is {found.group(1).decode()}, which is not JSON"
        return DataError(what, fix=fix)

    def _json(self, body: bytes) -> Rows:
        try:
            envelope = _ENVELOPE.decode(body)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at ")[0]
            raise _wrong_form(f"{reason[:1].lower()}{reason[1:]}") from None
        given = [form for form in FORMS if getattr(envelope, form)]
        if len(given) != 1:
            raise _wrong_form(f"{' and '.join(given) or 'none of them'} is there")
        rows = self._form(body, given[0], getattr(envelope, given[0]))
        if envelope.params is None:
            self._learn(body, given[0], getattr(envelope, given[0]))
            return rows
        refuse_duplicates(body)
        if self.parameters is None:
            refuse(envelope.params)
            return rows
        return replace(rows, params=self.parameters.checked(envelope.params))

    def _learn(self, body: bytes, form: str, raw: Raw) -> None:
        """Keep the head of a body that was found to be right, where its rows are lists."""
        if self.forms is not None:
            return
        if form == "dataframe_split":
            split = _SPLIT.decode(raw)
            names = tuple(map(str, split.columns or ()))
            self._known.learn(body, names, counted=bool(bytes(split.index)))
        elif form != "dataframe_records" and re.match(rb"\[\s*\[", raw):
            self._known.learn(body, self.names)

    def _form(self, body: bytes, form: str, raw: Raw) -> Rows:
        if not self.names:
            refuse_duplicates(body)
            return as_given(untyped(self.forms).json(form, bytes(raw)))
        rows = self._typed(body, form, raw)
        if self.forms is None:
            return rows
        refuse_duplicates(body)
        given = self.forms.json(form, bytes(raw))
        columns = dict(rows.columns) | {name: given[name] for name in self._others if name in given}
        return replace(rows, columns=Given(columns, given.data))

    def _typed(self, body: bytes, form: str, raw: Raw) -> Rows:
        if form == "dataframe_split":
            try:
                split = _SPLIT.decode(raw)
            except msgspec.ValidationError as error:
                raise DataError(f"'dataframe_split': {error}", fix="send columns, data") from None
            return self._from_split(body, split)
        if form == "dataframe_records" or re.match(rb"\[\s*\{", raw):
            return self._from_records(body, self._parse(self._records, raw, self._all))
        if form == "inputs" and bytes(memoryview(raw)[:1]) == b"{":
            return self._from_inputs(body, self._parse(self._inputs, raw, self._all))
        if len(self.names) == 1 and not re.match(rb"\[\s*\[", raw):
            flat: Any = msgspec.json.Decoder(list[self._type(self.names[0])])  # type: ignore[misc]
            values: Values = [self._parse(flat, raw, self.names)]
        else:
            values = _turned(self._parse(self._rows(self.names), raw, self.names))
        self._check_keys(body, 1, values)
        return self.build(self.names, values)

    def _from_records(self, body: bytes, records: list[Any]) -> Rows:
        if self._odd:
            return self._from_objects(body, records)
        values = list(zip(*map(msgspec.structs.astuple, records), strict=True))
        names, absent = self._all, 0
        if values:
            gone = set()
            for index in self._optional:
                cells = values[index]
                gaps = sum(cell is UNSET for cell in cells)
                if gaps == len(cells):
                    gone.add(index)
                elif gaps:
                    values[index] = tuple(None if cell is UNSET else cell for cell in cells)
                absent += gaps
            values = [cells for index, cells in enumerate(values) if index not in gone]
            names = tuple(name for index, name in enumerate(names) if index not in gone)
        self._check_keys(body, 1 + len(records) * len(self._all) - absent, values)
        return self.build(names, values)

    def _from_split(self, body: bytes, split: _Split) -> Rows:
        if split.columns is None:
            raise DataError("'dataframe_split' has no columns", fix="name them in 'columns'")
        names = tuple(map(str, split.columns))
        self.check_names(names)
        values = _turned(self._parse(self._rows(names), split.data, names))
        index = bytes(split.index)
        self._check_keys(body, 3 + bool(index) + index.count(b":"), values)
        return self.build(names, values)

    def _from_objects(self, body: bytes, records: list[dict[str, Any]]) -> Rows:
        """Records of a model whose columns have names that only a dict can hold."""
        refuse_duplicates(body)
        for index, record in enumerate(records):
            for name in record:
                if name not in self._all:
                    raise unknown(name, self.spec)
            for column in self.spec.features:
                if column.required and column.name not in record:
                    raise missing(column.name, row=index)
        names = tuple(name for name in self._all if any(name in record for record in records))
        rows = [[record.get(name) for name in names] for record in records]
        try:
            typed = msgspec.convert(rows, self._row_type(names))
        except msgspec.ValidationError as error:
            raise explain(str(error), self.spec, names) from None
        return self.build(names, _turned(typed))

    def _from_inputs(self, body: bytes, inputs: Any) -> Rows:
        if self._odd:
            sent = _lists(inputs)
            rows = zip(*sent.values(), strict=True)
            return self._from_objects(body, [dict(zip(sent, row, strict=True)) for row in rows])
        fields = zip(self._all, msgspec.structs.astuple(inputs), strict=True)
        given = _lists({name: field for name, field in fields if field is not UNSET})
        values = list(given.values())
        self._check_keys(body, 1 + len(given), values)
        return self.build(tuple(given), values)

    def build(self, names: Sequence[str], values: Values) -> Rows:
        """Typed arrays from cells that have the types of the signature.

        Args:
            names: of the columns, in any order; those that may be null may be missing.
            values: one sequence of length n a column; None is null.

        Raises:
            DataError: no rows, or a value that its type cannot hold.
        """
        count = len(values[0]) if values else 0
        if not count:
            raise DataError("there are no rows", fix="send at least one")
        given = dict(zip(names, values, strict=True))
        columns: dict[str, Array]
        if self._block and tuple(names[: len(self.names)]) == self.names:
            block = np.array(values[: len(self.names)], dtype=np.float64)
            columns = dict(zip(self.names, block, strict=True))
        else:
            columns = {
                column.name: self._built(column, given[column.name])
                if column.name in given
                else nulls(column.dtype, count)
                for column in self.spec.features
            }
            absent = [name for name in self.names if name not in given]
            columns = Lacking(columns, absent) if absent else columns
        time = key = None
        sent = given.get(self.spec.time or "")
        if sent is not None and self.spec.time and any(cell is not None for cell in sent):
            time = times(sent, self.spec.time)
        sent = given.get(self.spec.key or "")
        if sent is not None and any(cell is not None for cell in sent):
            key = [None if cell is None else key_text(cell) for cell in sent]
        return Rows(columns, count, time, key)

    def _built(self, column: Column, cells: Sequence[Any]) -> Array:
        builder = BUILD.get(column.dtype)
        # whether text stands for bytes depends on the form, which its own reader knows
        if builder is None or (column.dtype == "binary" and self.forms is not None):
            return objects(cells)
        return builder(cells, column.name)

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse columns that are missing, unknown or there twice.

        Raises:
            DataError: names the column.
        """
        known = set(names)
        if len(known) < len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise DataError(f"column {twice!r} is there twice", fix="send it once")
        for name in names:
            if name not in self._columns and name not in self.extras:
                raise unknown(name, self.spec)
        for column in self.spec.features:
            if column.required and column.name not in known:
                raise missing(column.name)

    def _parse(self, decoder: Any, raw: Raw, names: Sequence[str]) -> Any:
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise explain(str(error), self.spec, names) from None

    def _type(self, name: str) -> Any:
        column = self._columns.get(name)
        if column is None:
            return Any if name == self.spec.target else _SCALAR
        kind = JSON_TYPES.get(column.dtype, Any)
        return kind if column.required or kind is Any else kind | None

    def _struct(self, title: str, wrap: Callable[[Any], Any]) -> Any:
        fields: list[Any] = []
        for index, name in enumerate(self._all):
            kind, field = wrap(self._type(name)), f"c{index}"
            optional = index in self._optional
            fields.append((field, kind | UnsetType, UNSET) if optional else (field, kind))
        rename = {f"c{index}": name for index, name in enumerate(self._all)}
        return msgspec.defstruct(
            title, fields, rename=rename, forbid_unknown_fields=True, kw_only=True
        )

    def _row_type(self, names: tuple[str, ...]) -> Any:
        row: Any = tuple.__class_getitem__(tuple(self._type(name) for name in names))
        return list[row]

    def _row_decoder(self, names: tuple[str, ...]) -> Any:
        return msgspec.json.Decoder(self._row_type(names))

    def _check_keys(self, body: bytes, keys: int, values: Values) -> None:
        """Refuse duplicate keys, at next to no cost.

        Each key has one colon of its own and the rest stand in texts, so a body that has as many
        colons as keys holds no key twice. Where the count leaves a doubt, the body is read again.
        """
        colons = body.count(b":")
        if colons != keys:
            colons -= sum(cell.count(":") for cell in chain(*values) if isinstance(cell, str))
        if colons != keys or not self._countable or b"\\u" in body:
            refuse_duplicates(body)


def _cell(kind: Any) -> Any:
    return kind


def _cell_or_list(kind: Any) -> Any:
    return Any if kind is Any else list[kind] | kind


def _lists(inputs: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns as lists of one length; a single value is a list of one."""
    given = {name: item if isinstance(item, list) else [item] for name, item in inputs.items()}
    if len({len(cells) for cells in given.values()}) > 1:
        listed = ", ".join(f"{name!r} has {len(cells)}" for name, cells in given.items())
        raise DataError(f"the columns have different lengths: {listed}", fix="send all rows")
    return given


def _turned(rows: Sequence[Sequence[Any]]) -> Values:
    return list(zip(*rows, strict=True))


def _wrong_form(reason: str) -> DataError:
    return DataError(
        f"the body is not a request: {reason}",
        fix=f"send a JSON object with exactly one of {', '.join(FORMS)}, and params if need be",
    )


def untyped(forms: Any) -> Any:
    """The reader of a model without columns."""
    if forms is not None:
        return forms
    from lifecycle.models.forms import Forms

    return Forms()


def as_given(given: Given) -> Rows:
    """The rows of a model without columns."""
    return Rows(given, len(next(iter(given.values()))))
