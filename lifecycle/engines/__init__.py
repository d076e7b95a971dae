"""Where tables are counted: an engine reads them, the rest of the package sees profiles.

>>> load("local").__name__
'lifecycle.engines.local'
>>> load("spark")
Traceback (most recent call last):
lifecycle.errors.ConfigError: there is no engine 'spark' yet. Next: use one of: local.

An engine is a module with two functions, and gives the numbers that `local` gives:

    profile(source, *, time=None, ignore=(), like=None) -> Profile
    compare(reference, current, *, time=None, ignore=(), alpha=0.01, min_rows=30, sample=5000,
            bar=...) -> DriftReport

To add one: write the module so that it counts each column in the cells of
`lifecycle.drift.profile` (integers that merge from parts in any order), let
`lifecycle.drift.compare_profiles` give the verdict, and name it in `ENGINES`.
"""

import importlib
from types import ModuleType

from lifecycle.errors import ConfigError

ENGINES = {
    "local": "lifecycle.engines.local",  # tables in memory and files here, in bounded memory
}


def load(name: str) -> ModuleType:
    """An engine by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ENGINES:
        yet = " yet" if name == "spark" else ""
        raise ConfigError(
            f"there is no engine {name!r}{yet}",
            fix=f"use one of: {', '.join(ENGINES)}",
        )
    return importlib.import_module(ENGINES[name])
