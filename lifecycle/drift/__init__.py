"""Has the world moved? Live rows against a stored profile of the training rows.

>>> import polars as pl
>>> rows = pl.DataFrame({"age": [float(age % 70) for age in range(700)]})
>>> compare_frames(build_profile(rows), rows[:300]).drifted
False

`profile` keeps what is needed of the reference and `counting` makes it; `findings` holds the tests,
`runs` what rows in a run are worth, and `verdict` puts them together; `evidently_report` is the one
file that imports Evidently.
"""

from lifecycle.drift.counting import build_profile
from lifecycle.drift.profile import ColumnProfile, Profile
from lifecycle.drift.verdict import compare_frames, compare_profiles

__all__ = ["ColumnProfile", "Profile", "build_profile", "compare_frames", "compare_profiles"]
