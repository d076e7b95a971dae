"""MLflow's column types: what JSON may hold for each, and the array that it becomes.

>>> BUILD["double"]([1.5, None], "age").tolist()
[1.5, nan]
>>> BUILD["long"]([1, 2.5], "calls")
Traceback (most recent call last):
    ...
lifecycle.errors.DataError: column 'calls' of row 1 is 2.5, which is no whole number. ...
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from lifecycle.errors import DataError
from lifecycle.models.predicting import Array

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - arrays of times are UTC without a zone
Cells = Sequence[Any]  # one column's values as Python objects, None for null

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?", re.ASCII)
_FIRST, _LAST = np.datetime64("1678-01-01"), np.datetime64("2262-01-01")  # in nanoseconds
_LONG = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float
_INTEGER = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | float


def objects(cells: Cells) -> Array:
    """Values as they are.

    >>> objects([[1], "a"]).shape
    (2,)
    """
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def nulls(dtype: str, count: int) -> Array:
    """A column that was not sent; whole numbers are doubles then, which can be null.

    >>> nulls("long", 1).tolist(), nulls("string", 1).tolist()
    ([nan], [None])
    """
    if dtype in ("double", "float", "long", "integer"):
        return np.full(count, np.nan, dtype=np.float32 if dtype == "float" else np.float64)
    if dtype == "datetime":
        return np.full(count, np.datetime64("NaT"), dtype="datetime64[us]")
    return objects([None] * count)


def _double(cells: Cells, _name: str) -> Array:
    return np.array(cells, dtype=np.float64)


def _float(cells: Cells, name: str) -> Array:
    wide = np.array(cells, dtype=np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    _refuse(np.isinf(narrow), cells, name, "out of a 32-bit float's range")
    return narrow


def _whole(dtype: Any) -> Callable[[Cells, str], Array]:
    def build(cells: Cells, name: str) -> Array:
        _refuse([cell is None for cell in cells], cells, name, "null and the type holds no nulls")
        if any(isinstance(cell, float) for cell in cells):
            limits = np.iinfo(dtype)
            _refuse(
                [int(cell) != cell or not limits.min <= cell <= limits.max for cell in cells],
                cells,
                name,
                "no whole number",
            )
        return np.array([int(cell) for cell in cells], dtype=dtype)

    return build


def _boolean(cells: Cells, _name: str) -> Array:
    return objects(cells) if None in cells else np.array(cells, dtype=bool)


def _string(cells: Cells, _name: str) -> Array:
    return objects(cells)


def _binary(cells: Cells, name: str) -> Array:
    decoded: list[bytes | None] = []
    for row, cell in enumerate(cells):
        try:
            # MLflow's own clients break lines, as MIME does
            text = None if cell is None else "".join(cell.split())
            decoded.append(None if text is None else base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            raise DataError(
                f"column {name!r} of row {row} is not base64", fix="encode the bytes as base64"
            ) from None
    return objects(decoded)


def times(cells: Cells, name: str) -> Array:
    """ISO 8601 text, or whole nanoseconds since 1970 as MLflow reads numbers, in UTC.

    >>> times(["2026-01-01T02:00:00+02:00", 0, None], "ts").astype(str).tolist()
    ['2026-01-01T00:00:00.000000', '1970-01-01T00:00:00.000000', 'NaT']

    Raises:
        DataError: a value is no time; names column and row.
    """
    found: list[datetime | None] = []
    for row, cell in enumerate(cells):
        try:
            if isinstance(cell, str):
                moment = datetime.fromisoformat(cell)
                naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
                found.append(naive)
            elif isinstance(cell, int) and not isinstance(cell, bool):
                found.append(EPOCH + timedelta(microseconds=cell // 1000))
            elif cell is None:
                found.append(None)
            else:
                raise ValueError
        except (ValueError, OverflowError):
            raise DataError(
                f"column {name!r} of row {row} is no time: {_shown(cell)}",
                fix="write it as 2026-01-31T12:00:00",
            ) from None
    return np.array(found, dtype="datetime64[us]")


def _moments(cells: Cells, name: str) -> Array:
    """A feature's times: without a zone, none finer than microseconds, as pandas can hold them."""
    found = times(cells, name)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        known = _TIME.fullmatch(cell) if isinstance(cell, str) else cell % 1000 == 0
        if not known or not _FIRST <= found[row] <= _LAST:
            raise DataError(
                f"column {name!r} of row {row} is no time that the model knows: {_shown(cell)}",
                fix="write it as 2026-01-31T12:00:00, without a zone, between 1678 and 2262",
            )
    return found


def key_text(key: str | float) -> str:
    """A key as the text that the log keeps, the same that late labels are looked up by.

    >>> key_text("c7"), key_text(7), key_text(7.0)
    ('c7', '7', '7')

    Args:
        key: as it was sent; a whole number may come as a float, since gaps make floats of a
            column's whole numbers.
    """
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _refuse(wrong: Any, cells: Cells, name: str, why: str) -> None:
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise DataError(
            f"column {name!r} of row {row} is {_shown(cells[row])}, which is {why}",
            fix="send a value of the signature's type",
        )


def _shown(cell: object) -> str:
    text = "null" if cell is None else repr(cell)
    return text if len(text) <= 60 else f"{text[:60]}…"


# What msgspec accepts; bool is never a number and a number never text.
JSON_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        "double": float,
        "float": float,
        "long": _LONG,
        "integer": _INTEGER,
        "boolean": bool,
        "string": str,
        "datetime": str | int,
        "binary": str,
    }
)
BUILD: Mapping[str, Callable[[Cells, str], Array]] = MappingProxyType(
    {
        "double": _double,
        "float": _float,
        "long": _whole(np.int64),
        "integer": _whole(np.int32),
        "boolean": _boolean,
        "string": _string,
        "datetime": _moments,
        "binary": _binary,
    }
)
