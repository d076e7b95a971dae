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
    line = " ".join(masked(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def masked(text: str) -> str:
    """A text in which paths and addresses are `…`, whole otherwise.

    >>> masked("the column 'a/b' is missing (/srv/train.parquet). Next: add it.")
    "the column 'a/b' is missing (…). Next: add it."
    """
    return _INSIDE.sub("…", text) if "/" in text or "\\" in text else text
