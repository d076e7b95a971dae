"""What all records share: three outcomes, a dict for scripts, a view for people.

>>> EXIT_CODES[Outcome.UNSURE]
3
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from importlib import import_module
from typing import Any


class Outcome(StrEnum):
    """What a check says; there are three answers, not two."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNSURE = "not enough evidence"


EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 2, Outcome.UNSURE: 3}


def plain(value: Any) -> Any:
    """A value as JSON types: records become dicts, times ISO text, non-finite numbers None."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN is the one value that differs from itself
        return None
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain(value.item())  # a NumPy scalar: False must not become the text "False"
    return str(value)


@dataclass(frozen=True)
class Record:
    """The common half of all records: a dict for scripts, a view for people."""

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON types; fields that are not part of its value are left out."""
        assert is_dataclass(self)
        shown = [item for item in fields(self) if item.repr]
        return {item.name: plain(getattr(self, item.name)) for item in shown}

    def _repr_html_(self) -> str:
        html: str = import_module("lifecycle.views.notebook").html(self)
        return html
