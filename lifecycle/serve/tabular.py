r"""CSV and Parquet bodies to model inputs, as strict as JSON.

>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "binary", (Column("age", "double"), Column("plan", "string")))
>>> csv_rows(Decoder(spec), b"age,plan\n31,pro\n").columns["age"].tolist()
[31.0]

A CSV body has a header and UTF-8; an empty field is null, and so is `nan` in a number's column.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from lifecycle.errors import DataError
from lifecycle.models.predicting import Given, Lacking
from lifecycle.serve.decode import Decoder, as_given, untyped
from lifecycle.serve.rows import Rows
from lifecycle.serve.typed import key_text

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,400}(\.0*)?", re.ASCII)
_NOTHING = {"", "nan", "NaN", "NAN"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS |= {"FALSE": False}


def csv_rows(decoder: Decoder, body: bytes) -> Rows:
    """Decode text/csv with a header.

    Raises:
        DataError: the body is not what the signature asks for; names column and row.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("the body is not UTF-8", fix="encode it as UTF-8") from None
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise DataError(f"the body is not CSV: {error}") from None
    if not table:
        raise DataError("there is no header", fix="name the columns in the first line")
    names, rows = table[0], table[1:]
    for index, row in enumerate(rows):
        if len(row) != len(names):
            raise DataError(
                f"row {index} has {len(row)} values, the header has {len(names)}",
                fix="send rows of equal length",
            )
    if not rows:
        raise DataError("there are no rows", fix="send at least one")
    if not decoder.names:
        if len(set(names)) < len(names):
            raise DataError("a column is there twice", fix="send each once")
        return as_given(untyped(decoder.forms).csv(text))
    decoder.check_names(names)
    types = {column.name: column for column in decoder.spec.features}
    values: list[list[Any]] = []
    for name, cells in zip(names, zip(*rows, strict=True), strict=False):
        column = types.get(name)
        dtype = column.dtype if column else "text"
        parsed = [_cell(dtype, cell, name, row) for row, cell in enumerate(cells)]
        if column and column.required and None in parsed:
            raise DataError(
                f"column {name!r} of row {parsed.index(None)} is empty",
                fix="fill it; the model has not seen nulls in this column",
            )
        values.append(parsed)
    found = decoder.build(names, values)
    if decoder.forms is None:
        return found
    return replace(found, columns=Given(found.columns, decoder.forms.csv(text).data))


def _number(text: str) -> float | None:
    if text in _NOTHING:
        return None
    if not _NUMBER.fullmatch(text) or not np.isfinite(float(text)):
        raise ValueError
    return float(text)


def _whole(text: str) -> int | None:
    if text in _NOTHING:
        return None
    if not _WHOLE.fullmatch(text):
        raise ValueError
    number = int(text.partition(".")[0])
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _integer(text: str) -> int | None:
    number = _whole(text)
    if number is not None and not -(2**31) <= number < 2**31:
        raise ValueError
    return number


def _boolean(text: str) -> bool | None:
    if text and text not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS.get(text)


def _text(text: str) -> str | None:
    return text or None


_PARSE: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "double": ("a finite number", _number),
        "float": ("a finite number", _number),
        "long": ("a whole number", _whole),
        "integer": ("a whole number", _integer),
        "boolean": ("true or false", _boolean),
    }
)


def _cell(dtype: str, text: str, name: str, row: int) -> Any:
    wanted, parse = _PARSE.get(dtype, ("text", _text))
    try:
        return parse(text.strip() if dtype in _PARSE else text)
    except ValueError:
        raise DataError(
            f"column {name!r} of row {row} is {text[:60]!r}, not {wanted}",
            fix=f"the signature says {dtype}",
        ) from None


def parquet_rows(decoder: Decoder, body: bytes) -> Rows:
    """Decode application/vnd.apache.parquet.

    Raises:
        DataError: the body is not Parquet, or not what the signature asks for; names the column.
    """
    import pandas as pd

    from lifecycle.models.inputs import columns as typed

    try:
        frame = pd.read_parquet(io.BytesIO(body))
    except Exception as error:  # noqa: BLE001 - damaged metadata make pandas raise anything
        said = "".join(letter if letter.isprintable() else " " for letter in str(error)[:200])
        raise DataError(f"the body is not Parquet: {said}") from None
    frame.columns = frame.columns.map(str)
    spec = decoder.spec
    if not len(frame):
        raise DataError("there are no rows", fix="send at least one")
    if not decoder.names:
        return as_given(untyped(decoder.forms).frame(frame))
    decoder.check_names(list(frame.columns))
    absent = [name for name in decoder.names if name not in frame]
    time = key = None
    if spec.time in decoder.extras and spec.time in frame:
        try:
            moments = pd.to_datetime(frame[spec.time], utc=True, format="ISO8601")
        except (ValueError, TypeError) as error:
            said = str(error).partition("\n")[0][:200]  # the rest is of pandas' options
            raise DataError(
                f"column {spec.time!r} is no time: {said}", fix="write it as 2026-01-31T12:00:00"
            ) from None
        time = moments.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    if spec.key in decoder.extras and spec.key in frame:
        cells = frame[spec.key].tolist()
        for row, cell in enumerate(cells):
            if not pd.api.types.is_scalar(cell):
                raise DataError(
                    f"column {spec.key!r} of row {row} is no key", fix="send text or a number"
                )
        key = [None if pd.isna(cell) else key_text(cell) for cell in cells]
    columns = typed(frame, spec)
    if absent:
        columns = Lacking(columns, absent)
    if decoder.forms is not None:
        columns = Given(columns, decoder.forms.frame(frame).data)
    return Rows(columns, len(frame), time, key)
