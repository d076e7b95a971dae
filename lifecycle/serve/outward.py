"""What of an error may leave the server: no paths, no addresses, one line, not too long.

>>> outward("there is no whole copy in /srv/log/.models/churn-7: gone")
'there is no whole copy in …: gone'
>>> outward("churn/7 fails on its own example: ValueError: 3 rows/s")
'churn/7 fails on its own example: ValueError: 3 rows/s'
"""

import re

LONGEST = 300  # characters
# an absolute path, a path of Windows, or an address with its scheme
_INSIDE = re.compile(
    r"""(?<![\w.)\]])(?:~?/[^\s/'",;:)]+(?:/[^\s'",;:)]*)+|[A-Za-z]:\\[^\s'",;)]+)"""
    r"""|\b[a-z][a-z0-9+.-]*:/{1,4}[^\s'",;)]+"""
)


def outward(text: str) -> str:
    """A message without what it tells of the inside: paths and addresses become `…`."""
    line = _printable(" ".join(_without_paths(text).split()))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def masked(text: str) -> str:
    r"""A text in which paths and addresses are `…`, whole otherwise; what cannot be seen is named.

    >>> masked("the column 'a/b' is missing (/srv/train.parquet). Next: add it.")
    "the column 'a/b' is missing (…). Next: add it."
    >>> print(masked("unknown field 'a\x1f'"))
    unknown field 'a\x1f'
    """
    return _printable(_without_paths(text))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        item if item.isprintable() else item.encode("unicode_escape").decode() for item in text
    )


def _without_paths(text: str) -> str:
    return _INSIDE.sub("…", text) if "/" in text or "\\" in text else text
