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
    line = " ".join(_INSIDE.sub("…", text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
