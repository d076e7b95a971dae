"""Requests to models whose signature is no list of plain columns: read as MLflow reads them.

Such a signature is one of tensors, has columns of lists, objects or maps, has columns without
names, comes from a type hint, or is not there at all. What the model is given depends on the form
of the request then: frames for `dataframe_split` and `dataframe_records`, arrays and dicts of
arrays for `instances` and `inputs`.

>>> tensor = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]'
>>> forms = needed({"signature": {"inputs": tensor}}, plain=False)
>>> forms.json("inputs", b"[[1, 2], [3, 4]]").data.tolist()
[[1.0, 2.0], [3.0, 4.0]]
>>> forms.json("inputs", b"[[1, true]]")
Traceback (most recent call last):
lifecycle.errors.DataError: 'inputs' cannot be read: Expected `float`, got `bool` - at `$[0][1]`...

Stricter than MLflow: truth values, texts and nulls are no numbers, infinite numbers and rows of
unequal length are refused, and so is a request without rows.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from lifecycle.errors import DataError, ModelRefused
from lifecycle.models.predicting import Array, Given

# one cell is one value of JSON; what text stands for bytes depends on the form
PLAIN = {"double", "float", "long", "integer", "boolean", "string", "datetime"}
_WIDEST = 1000  # columns of an array that are logged one by one
_SHOWN = 300  # characters of MLflow's message that are passed on
_LEAVES = {"f": float, "i": int, "u": int, "b": bool, "U": str}  # by numpy's kind of type


def needed(described: Mapping[str, Any], *, plain: bool) -> "Forms | None":
    """The reader of a model's requests; None where its columns say all.

    Args:
        described: what `MLmodel` says.
        plain: the specification has columns, which were found without a signature.

    Raises:
        ModelRefused: the signature cannot be read.
    """
    inputs = (described.get("signature") or {}).get("inputs")
    if not inputs and plain:
        return None
    hinted = bool(described.get("is_signature_from_type_hint"))
    try:
        columns = json.loads(inputs or "[]")
        if columns and not hinted:
            if all(item.get("name") and item.get("type") in PLAIN for item in columns):
                return None
            if plain and any(item.get("type") == "tensor" for item in columns):
                return None  # adopted with a table of its own
        return Forms(inputs, hinted=hinted)
    except Exception as error:
        raise ModelRefused(
            f"the signature in MLmodel cannot be read: {error}", fix="log the model again"
        ) from error


class Forms:
    """One signature's reader; may be shared between threads.

    Args:
        inputs: the signature's inputs as `MLmodel` holds them; None where there is none.
        hinted: the signature is of a type hint; then MLflow takes `inputs` alone, unread.
        names: the columns that a model without a signature was fitted on; empty: not known.
        width: how many columns that were; 0: not known.
    """

    def __init__(
        self,
        inputs: str | None = None,
        *,
        hinted: bool = False,
        names: tuple[str, ...] = (),
        width: int = 0,
    ) -> None:
        from mlflow.types import Schema

        self._schema = Schema.from_json(inputs) if inputs else None
        self._hinted = hinted
        self._names, self._width = names, width

    def of(self, estimator: Any) -> "Forms":
        """The same for a fitted scikit-learn estimator, which knows its columns."""
        forms = copy(self)
        if self._schema is None:
            forms._names = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
            forms._width = int(getattr(estimator, "n_features_in_", 0))
        return forms

    @property
    def named(self) -> bool:
        """Whether columns have names, so that each can be checked by itself first."""
        schema = self._schema
        return bool(schema and schema.has_input_names() and not schema.is_tensor_spec())

    def json(self, form: str, raw: bytes) -> Given:
        """The value of one of the four forms.

        Raises:
            DataError: it is not what the signature asks for.
        """
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        try:
            data = msgspec.json.decode(raw)
            if self._hinted:
                return self._hint(form, data)
            _rows(form, data)
            if self._schema is not None and self._schema.is_tensor_spec():
                self._leaves(form, raw, data)
            elif self._schema is not None:
                self._bytes(form, data)
            with np.errstate(over="ignore"):  # found below
                parsed = infer_and_parse_data({form: data}, self._schema)
        except (DataError, RecursionError):
            raise
        except Exception as error:
            raise _wrong(f"{form!r} cannot be read", error) from error
        return self._checked(form, parsed)

    def csv(self, text: str) -> Given:
        """A table with a header, whose rows are of one length.

        Raises:
            DataError: it is not what the signature asks for.
        """
        from mlflow.pyfunc.scoring_server import parse_csv_input

        try:
            frame = parse_csv_input(io.StringIO(text), self._schema)
        except Exception as error:
            raise _wrong("the body cannot be read", error) from error
        return self._checked("the body", frame)

    def frame(self, frame: pd.DataFrame) -> Given:
        """A table of another kind.

        Raises:
            DataError: it is not what the signature asks for.
        """
        return self._checked("the body", frame)

    def _hint(self, form: str, data: Any) -> Given:
        if form != "inputs":
            raise DataError(f"the model takes no {form!r}", fix="send its rows as 'inputs'")
        rows = data if isinstance(data, list) else [data]
        if not rows:
            raise DataError("there are no rows", fix="send at least one")
        return Given({"inputs": _texts(rows)}, data)

    def _leaves(self, form: str, raw: bytes, data: Any) -> None:
        """Refuse what is no number where a tensor of numbers is wanted."""
        schema = self._schema
        assert schema is not None
        if form not in ("instances", "inputs"):
            return
        for spec in schema.inputs:
            wanted: Any = _LEAVES.get(spec.type.kind)
            if wanted is None:
                continue
            if not isinstance(data, dict) and not (data and isinstance(data[0], dict)):
                msgspec.json.decode(raw, type=_nested(wanted, data))
                continue
            for row in [data] if isinstance(data, dict) else data:
                value = row.get(spec.name)
                if value is not None:
                    msgspec.convert(value, _nested(wanted, value))

    def _bytes(self, form: str, data: Any) -> None:
        """Refuse what is not base64, of which MLflow leaves out what it cannot read."""
        schema = self._schema
        assert schema is not None
        if form not in ("dataframe_split", "dataframe_records"):
            return
        for spec in schema.inputs:
            if getattr(spec.type, "name", "") != "binary":
                continue
            for row, cell in enumerate(_named(form, data, spec.name)):
                try:
                    base64.b64decode("".join(cell.split()), validate=True)
                except (AttributeError, ValueError) as error:
                    raise DataError(
                        f"column {spec.name!r} of row {row} is not base64",
                        fix="encode the bytes as base64",
                    ) from error

    def _checked(self, form: str, data: Any) -> Given:
        from mlflow.models import validate_schema

        if self._schema is not None:
            try:
                validate_schema(data, self._schema)
            except Exception as error:
                raise _wrong(f"{form!r} does not fit the signature", error) from error
        data = self._fitted(form, data)
        given = Given(_logged(data), data)
        lengths = {name: len(values) for name, values in given.items()}
        if not any(lengths.values()):
            raise DataError("there are no rows", fix="send at least one")
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name!r} has {rows}" for name, rows in lengths.items())
            raise DataError(f"the columns have different lengths: {listed}", fix="send all rows")
        named = data.items() if isinstance(data, (Mapping, pd.DataFrame)) else [(form, data)]
        for name, values in named:
            numbers = np.asarray(values) if hasattr(values, "dtype") else np.empty(0)
            if numbers.dtype.kind == "f" and np.isinf(numbers).any():
                raise DataError(f"{str(name)!r} is out of range", fix="send finite numbers")
        return given

    def _fitted(self, form: str, data: Any) -> Any:
        """What an estimator without a signature can take: its columns, or rows of as many."""
        if isinstance(data, pd.DataFrame):
            names = [str(name) for name in data.columns]
            for name in names:
                if names.count(name) > 1:
                    raise DataError(f"column {name[:100]!r} is there twice", fix="send it once")
            for name in self._names:
                if name not in names:
                    raise DataError(f"column {name!r} is missing", fix="send it")
            for name in names if self._names else ():
                if name not in self._names:
                    raise DataError(f"column {name[:100]!r} is not known", fix="leave it out")
            return data[list(self._names)] if self._names else data
        width = self._width
        if width and (np.ndim(data) != 2 or np.shape(data)[1] != width):
            raise DataError(f"{form!r} holds no rows of {width} values", fix="send a list of rows")
        return data


def _rows(form: str, data: Any) -> None:
    """Refuse no rows, and rows of unequal length, which pandas would fill up."""
    rows = data
    if form == "dataframe_split" and isinstance(data, dict):
        rows, names = data.get("data"), data.get("columns")
        if not isinstance(names, (list, type(None))) or not all(
            isinstance(name, (str, int)) for name in names or ()
        ):
            raise DataError("'columns' holds no names", fix="send a list of names")
    if rows in ([], {}):
        raise DataError("there are no rows", fix="send at least one")
    if form == "inputs" or not isinstance(rows, list):
        return
    lengths = {len(row) if isinstance(row, (list, dict)) else -1 for row in rows}
    if form != "dataframe_records" and len(lengths) > 1:
        raise DataError(f"the rows of {form!r} have different lengths", fix="send all values")


def _named(form: str, data: Any, name: str) -> list[Any]:
    """A column's cells as they were sent; those that are null are left out."""
    if form == "dataframe_split":
        place = [str(column) for column in data["columns"]].index(name)
        cells = [row[place] for row in data["data"]]
    else:
        cells = [row.get(name) for row in data]
    return [cell for cell in cells if cell is not None]


def _nested(wanted: Any, value: Any) -> Any:
    """The type of lists of `wanted`, as deep as the first element is."""
    kind = wanted
    while isinstance(value, list):
        kind = list.__class_getitem__(kind)
        value = value[0] if value else None
    return kind


def _logged(data: Any) -> dict[str, Array]:
    """The columns that the log keeps of what a model is given."""
    if isinstance(data, pd.DataFrame):
        return {str(name): _column(data[name].to_numpy()) for name in data.columns}
    if isinstance(data, Mapping):
        return {str(name): _column(_array(values)) for name, values in data.items()}
    values = _array(data)
    if values.ndim == 2 and values.shape[1] <= _WIDEST and values.dtype.kind in "fiub":
        return {str(index): values[:, index] for index in range(values.shape[1])}
    return {"0": _column(values)}


def _array(values: Any) -> Array:
    try:
        return np.asarray(values)
    except ValueError:  # lists of several lengths
        return _cells(values)


def _column(values: Array) -> Array:
    """Shape (n,); what is wider becomes a list a row."""
    if values.ndim == 0:
        values = values.reshape(1)
    if values.ndim == 1 and values.dtype.kind in "fiubM":
        return values
    return _texts(values.tolist())


def _texts(rows: list[Any]) -> Array:
    """Cells as a column of the log holds them: of one type, what is no scalar as JSON text."""
    # a gap that pandas filled with NaN is a null
    cells = [None if isinstance(row, float) and math.isnan(row) else row for row in rows]
    kinds = {type(cell) for cell in cells if cell is not None}
    if len(kinds) < 2 and kinds <= {str, bool, bytes}:
        return _cells(cells)
    return _cells(
        [cell if cell is None or isinstance(cell, str) else _text(cell) for cell in cells]
    )


def _text(cell: Any) -> str:
    return json.dumps(
        cell, default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item)
    )


def _cells(rows: list[Any]) -> Array:
    cells = np.empty(len(rows), dtype=object)
    cells[:] = rows
    return cells


def _wrong(what: str, error: Exception) -> DataError:
    """MLflow's reason without the data that it repeats."""
    said = str(getattr(error, "message", None) or error)
    said = said.removeprefix("Invalid input. ").partition("\n")[0]
    return DataError(f"{what}: {said[:_SHOWN]}", fix="send what the model's signature says")
