"""Which hold-out rows go together: those of one key, and those of one stretch of time.

>>> import pandas as pd
>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import ModelSpec
>>> model = LoadedModel(ModelSpec(1, "regression", (), key="who"), "sklearn", lambda columns: None)
>>> given = GateInput(model, pd.DataFrame({"who": ["a", "b", "a"]}))
>>> [ways.tolist() for ways in clusters(given)], said(given)
([[0, 1, 0]], "; rows of one 'who' count together (2)")

Fifty rows of one customer are not fifty independent rows, and rows of one day share its weather. An
interval that takes them for independent is too narrow, and an equal candidate is refused too often.
What each row adds to a figure is summed by cluster before it is squared (Liang & Zeger 1986,
doi:10.1093/biomet/73.1.13), with Student's quantile by the number of clusters. Where rows have both
a key and a time, the wider of the two intervals counts.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lifecycle.gates.given import GateInput
from lifecycle.models.influence import stretches

TIME = "stretch of time"
STRETCHES = 20  # of time, as the monitor takes
MOST = 2_000  # clusters; more are put together at random, which leaves them independent


def clusters(given: GateInput, *, time: bool = True) -> tuple[NDArray[np.int64], ...]:
    """The ways in which rows go together, each (n,) the number of a row's cluster.

    Args:
        given: the hold-out rows.
        time: whether stretches of time count; else only keys.

    Returns:
        None, one or two ways: by key where keys repeat, by stretch of time where there is a time.
    """
    return tuple(codes for what, codes in _ways(given) if time or what != TIME)


def said(given: GateInput) -> str:
    """The same in words for a reason; empty where rows are independent."""
    ways = _ways(given)
    if not ways:
        return ""
    counted = ", ".join(str(len(np.unique(codes))) for _, codes in ways)
    return f"; rows of one {' or '.join(what for what, _ in ways)} count together ({counted})"


def _ways(given: GateInput) -> list[tuple[str, NDArray[np.int64]]]:
    rows, spec = given.rows, given.spec
    found = []
    if spec.key and spec.key in rows:
        codes = _keys(rows[spec.key])
        if len(np.unique(codes)) < len(rows):
            found.append((repr(spec.key), codes))
    if spec.time and spec.time in rows:
        moments = pd.to_datetime(rows[spec.time], errors="coerce", utc=True, format="ISO8601")
        if moments.notna().all():
            ticks = moments.to_numpy(dtype="datetime64[us]").astype(np.int64)
            blocks = stretches(ticks, STRETCHES)
            if blocks is not None:
                found.append((TIME, blocks))
    return found


def _keys(column: pd.Series) -> NDArray[np.int64]:
    """Numbers of the keys; a row without one stands alone."""
    codes = pd.factorize(column)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(int(alone.sum()))
    return codes % MOST if len(np.unique(codes)) > MOST else codes
