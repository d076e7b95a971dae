"""Has the world moved? Live rows against a stored profile of the training rows.

>>> import polars as pl
>>> reference = build_profile(pl.DataFrame({"age": [float(age % 70) for age in range(700)]}))
>>> reference.columns["age"].rows
700
"""

from lifecycle.drift.profile import ColumnProfile, Profile, build_profile

__all__ = ["ColumnProfile", "Profile", "build_profile"]
