"""What msgspec says of a body, in the words of the person who sent it.

>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "binary", (Column("age", "double"), Column("plan", "string")))
>>> print(explain("Expected `float`, got `str` - at `$[2].age`", spec, ("age", "plan")))
column 'age' of row 2 is text, not a number. Next: the signature says double.
"""

import re
from collections.abc import Sequence

from lifecycle.errors import DataError
from lifecycle.named import nearest
from lifecycle.records import ModelSpec

_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "int | float": "a number",
    "str": "text",
    "str | int": "a time",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LISTED = 20  # names shown of a wide model


def missing(name: str, *, row: int | None = None) -> DataError:
    """A column that the model needs and the request lacks.

    >>> str(missing("age"))
    "column 'age' is missing. Next: send it."
    """
    at = "" if row is None else f" in row {row}"
    return DataError(f"column {name!r} is missing{at}", fix="send it")


def unknown(name: str, spec: ModelSpec) -> DataError:
    """A column that the model does not have; the nearest is named."""
    hint = nearest(name, spec.feature_names[:_LISTED])
    return DataError(
        f"column {name[:100]!r} is not known; {hint}",
        fix="send the model's columns and no others",
    )


def explain(message: str, spec: ModelSpec, names: Sequence[str]) -> DataError:
    """The error for msgspec's message.

    Args:
        message: of a ValidationError, with its path: `$[row].column`, `$[row][index]`,
            `$.column[row]`.
        spec: the model.
        names: the columns in the order of the rows.
    """
    # the last place: an unknown field may be named like one
    what, mark, path = message.rpartition(" - at `$")
    what = what if mark else message
    path = path if mark else ""
    path = path.removesuffix("`")
    row, column = _place(path, names)
    found = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if found:
        return unknown(found.group(1), spec)
    found = re.fullmatch(r"Object missing required field `(.*)`", what, re.DOTALL)
    if found:
        return missing(found.group(1), row=row)
    if what.startswith("Expected `array` of length") and row is not None:
        return DataError(
            f"row {row} does not have one value for each of the {len(names)} columns",
            fix="send rows of equal length",
        )
    place = "the body" if row is None else f"row {row}"
    if column is not None:
        place = f"column {column!r}" + ("" if row is None else f" of row {row}")
    return DataError(f"{place} is {_said(what)}", fix=_step(column, what, spec))


def _said(what: str) -> str:
    found = re.fullmatch(r"Expected `(.+?)`(?: ([<>]=? -?\d+))?(?:, got `(.+)`)?", what)
    if not found:
        return f"a {what[:1].lower()}{what[1:]}"  # "Number out of range"
    wanted, limit, got = found.groups()
    kinds = [kind for kind in wanted.split(" | ") if kind != "null"]
    wish = _WORDS.get(" | ".join(kinds)) or " or ".join(_WORDS.get(kind, kind) for kind in kinds)
    if limit:
        return f"out of range: {wish} {limit} is wanted"
    return f"{_WORDS.get(got, got)}, not {wish}"


def _step(column: str | None, what: str, spec: ModelSpec) -> str:
    if column is None:
        return "send rows with one value for each column"
    if what.endswith("got `null`"):
        return "fill it; the model has not seen nulls in this column"
    kinds = {item.name: item.dtype for item in spec.features}
    return f"the signature says {kinds.get(column, 'text or a number')}"


def _place(path: str, names: Sequence[str]) -> tuple[int | None, str | None]:
    """Row and column of msgspec's path; names may hold any character."""
    cell = re.fullmatch(r"\[(\d+)\]\[(\d+)\]", path)
    if cell:
        return int(cell.group(1)), names[int(cell.group(2))]
    field = re.match(r"\[(\d+)\]\.(.*)", path, re.DOTALL)
    if field:
        return int(field.group(1)), _longest(field.group(2), names)
    if path.startswith("."):
        column = _longest(path[1:], names)
        row = re.match(r"\[(\d+)\]", path[1 + len(column) :])
        return (int(row.group(1)) if row else None), column
    only = re.match(r"\[(\d+)\]", path)
    if only:
        return int(only.group(1)), names[0] if len(names) == 1 else None
    return None, None


def _longest(path: str, names: Sequence[str]) -> str:
    found = [name for name in names if path.startswith(name)]
    return max(found, key=len) if found else path
