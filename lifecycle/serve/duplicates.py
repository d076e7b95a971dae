"""Objects of JSON that have a key twice, of which parsers silently keep one.

>>> refuse_duplicates(b'{"a": 1, "b": {"a": 2}}')
>>> refuse_duplicates(b'{"a": 1, "a": 2}')
Traceback (most recent call last):
    ...
lifecycle.errors.DataError: the key 'a' is there twice. Next: send it once.
"""

import json
from typing import Any

from lifecycle.errors import DataError


def refuse_duplicates(body: bytes) -> None:
    """Refuse a JSON text with an object that has a key twice.

    Raises:
        DataError: names the key.
    """
    try:
        json.loads(body, object_pairs_hook=_unique)
    except DataError:
        raise
    except ValueError as error:  # Python reads no whole number of more than 4,300 digits
        raise DataError(f"the body cannot be read: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise DataError(f"the key {name[:100]!r} is there twice", fix="send it once")
        found[name] = value
    return found
