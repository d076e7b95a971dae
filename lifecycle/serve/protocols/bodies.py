"""Bodies that are JSON objects of a known form, and what is wrong with those that are not.

>>> class Point(msgspec.Struct):
...     x: int
>>> parsed(msgspec.json.Decoder(Point), b'{"x": 1}')
Point(x=1)
>>> parsed(msgspec.json.Decoder(Point), b'{"x": NaN}')
Traceback (most recent call last):
    ...
lifecycle.errors.DataError: the body is not JSON: ... Next: JSON has no NaN and no Infinity: ...
"""

import re
from typing import Any, TypeVar

import msgspec

from lifecycle.errors import DataError

T = TypeVar("T")
NOT_FINITE = re.compile(rb"[\s\[:,](-?Infinity|NaN)\b")


def parsed(decoder: "msgspec.json.Decoder[T]", body: Any, *, what: str = "the body") -> T:
    """A body as the decoder's type.

    Args:
        decoder: of the form.
        body: UTF-8.
        what: how messages call it.

    Raises:
        DataError: it is not UTF-8, not JSON, nested too deeply, or not of the form.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `")
        at = f" at {place[:100].rstrip('`')}" if place else ""
        raise DataError(
            f"{what} is not of this form: {reason[:1].lower()}{reason[1:300]}{at}"
        ) from None
    except RecursionError:
        raise DataError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError:
        raise DataError(f"{what} is not UTF-8", fix="encode it as UTF-8") from None
    except msgspec.DecodeError as error:
        fix = ""
        if NOT_FINITE.search(body):
            fix = "JSON has no NaN and no Infinity: send null, or a finite number"
        raise DataError(f"{what} is not JSON: {error}", fix=fix) from None
