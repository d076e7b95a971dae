"""Resolve a table's name, or "module:attribute", to the object it stands for.

>>> named("sqrt", {"sqrt": "math:sqrt"}, kind="function")(9.0)
3.0

Tables map short names to import strings, so that nothing is imported before it is used and
optional packages stay optional; users name their own objects as "mypkg.gates:fairness".
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from lifecycle.errors import ConfigError


def nearest(name: str, known: object) -> str:
    """A hint that names the closest known name, or lists them all.

    >>> nearest("latncy", ["latency", "floor"])
    "did you mean 'latency'? Known: floor, latency"
    """
    names = sorted(str(item) for item in known)  # type: ignore[attr-defined]
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(names) if names else "none"
    return f"did you mean {close[0]!r}? Known: {listed}" if close else f"known: {listed}"


def named(name: str, table: Mapping[str, str], *, kind: str) -> Any:
    """The object behind a row of `table`, or behind "module:attribute".

    >>> named("os.path:basename", {}, kind="function")("a/b")
    'b'

    Args:
        name: a key of `table`, or an import string.
        table: short names to import strings.
        kind: what the table holds, for the error ("gate", "candidate").

    Raises:
        ConfigError: the name is in no table, or cannot be imported; names the nearest.
    """
    target = table.get(name, name)
    module, _, attribute = target.partition(":")
    if not attribute:
        raise ConfigError(
            f"unknown {kind} {name!r}; {nearest(name, table)}",
            fix='name one of these, or your own as "module:attribute"',
        )
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{kind} {name!r} cannot be imported: {error}",
            where=target,
            fix="check the spelling and that the module is installed",
        ) from error
    return found
