"""How a caller may name a version, and pass rows.

>>> named_ref("churn", 7), named_ref("churn", "churn@champion")
('churn/7', 'churn@champion')
"""

from typing import Any

from lifecycle.records import ModelRef, ModelVersion

Reference = ModelVersion | ModelRef | str | int
Data = Any  # pandas or polars frame, or the path of a Parquet or CSV file


def named_ref(name: str, version: Reference) -> str:
    """A version of the model `name` as the verbs take it.

    >>> named_ref("churn", ModelRef("churn", None, "staging"))
    'churn@staging'
    """
    if isinstance(version, ModelVersion):
        return version.ref
    return f"{name}/{version}" if isinstance(version, int) else str(version)
