"""Evidently's report on a sample of the rows, with the scores of all rows in it.

>>> import pandas as pd
>>> html(pd.DataFrame({"x": range(9)}), pd.DataFrame({"x": range(9)}), report)  # doctest: +SKIP
'<!DOCTYPE html>…'

The one file that imports Evidently. Its drift function is asked per column and answers what the
verdict found, so that pictures come from a few thousand rows and figures from all of them. Columns
that Evidently cannot draw (all null, only on one side, dates, lists, of another type) are left out
and named above its report, under the verdict.
"""

import html as markup
import os
import threading
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from lifecycle.errors import MissingExtra
from lifecycle.records import DriftReport

Frame = pd.DataFrame | pl.DataFrame

METHOD = "lifecycle"
_LOCK = threading.Lock()  # Evidently's table of drift functions is the process's


def html(
    reference: Frame,
    current: Frame,
    report: DriftReport,
    *,
    sample: int = 5000,
    seed: int = 0,
) -> str:
    """One self-contained page.

    Args:
        reference: reference rows, or a sample of them.
        current: live rows.
        report: the verdict on all rows.
        sample: rows of each side that are drawn.
        seed: of the sample.

    Raises:
        MissingExtra: Evidently is not installed.
    """
    sides = [_sampled(frame, sample, seed) for frame in (reference, current)]
    numeric, levels, left_out = drawable(sides[0], sides[1], report)
    frames = [_drawn(frame, numeric, levels) for frame in sides]
    page = _page(frames[0], frames[1], numeric, levels, report) if numeric or levels else ""
    return _with_verdict(page, report, left_out)


def drawable(
    reference: pd.DataFrame, current: pd.DataFrame, report: DriftReport
) -> tuple[list[str], list[str], dict[str, str]]:
    """The numbers and levels that Evidently can draw, and why it cannot draw the others."""
    numeric: list[str] = []
    levels: list[str] = []
    left_out: dict[str, str] = {}
    for name, column in report.columns.items():
        sides = [frame[name] for frame in (reference, current) if name in frame]
        if len(sides) < 2:
            left_out[name] = "it is not on both sides"
        elif column.test == "schema":
            left_out[name] = column.reason
        elif any(_nothing(side) for side in sides):
            left_out[name] = "one side has no value"
        elif column.kind == "numeric":
            numeric.append(name)
        elif column.kind in ("categorical", "boolean"):
            levels.append(name)
        else:
            left_out[name] = f"Evidently has no picture for {column.kind} columns"
    return numeric, levels, left_out


def _nothing(side: "pd.Series[Any]") -> bool:
    """Whether no value can be drawn."""
    if pd.api.types.is_float_dtype(side):
        return not np.isfinite(side.to_numpy(dtype="float64", na_value=np.nan)).any()
    return bool(side.isna().all())


def _sampled(frame: Frame, sample: int, seed: int) -> pd.DataFrame:
    """At most so many rows, in their order; a large frame is never copied whole."""
    chosen = np.arange(len(frame))
    if len(frame) > sample:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(frame))[:sample])
    return frame[chosen].to_pandas() if isinstance(frame, pl.DataFrame) else frame.iloc[chosen]


def _drawn(rows: pd.DataFrame, numeric: list[str], levels: list[str]) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name in numeric:
        series = rows[name]
        if pd.api.types.is_timedelta64_dtype(series):
            series = series.dt.total_seconds()
        values = pd.to_numeric(series, errors="coerce").astype("float64").to_numpy()
        columns[name] = np.where(np.isfinite(values), values, np.nan)
    for name in levels:
        columns[name] = [None if pd.isna(item) else str(item) for item in rows[name]]
    return pd.DataFrame(columns)


def _page(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    numeric: list[str],
    levels: list[str],
    report: DriftReport,
) -> str:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), _LOCK, np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Evidently's own
        try:
            from evidently import DataDefinition, Dataset, Report
            from evidently.legacy.calculations.stattests import StatTest, register_stattest
            from evidently.legacy.core import ColumnType
            from evidently.presets import DataDriftPreset
        except ImportError as error:
            raise MissingExtra("evidently", extra="monitor", purpose="the report") from error

        def found(reference_data: Any, *_: Any) -> tuple[float, bool]:
            column = report.columns[str(reference_data.name)]
            return (0.0 if column.score is None else column.score), column.drifted

        types = [ColumnType.Numerical, ColumnType.Categorical]
        test = StatTest(METHOD, "score on all rows, verdict of lifecycle", types, 0.1)
        register_stattest(test, found)
        definition = DataDefinition(numerical_columns=numeric, categorical_columns=levels)
        sides = [
            Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)
        ]
        drawn = Report([DataDriftPreset(method=METHOD)]).run(sides[0], sides[1])
        page: str = drawn.get_html_str(as_iframe=False)
    return page


def _with_verdict(page: str, report: DriftReport, left_out: dict[str, str]) -> str:
    """Evidently's page with the verdict, its reasons and what is not drawn above it."""
    lines = [f"<li>{markup.escape(reason)}</li>" for reason in report.reasons]
    lines += [
        f"<li>not drawn: {markup.escape(name)} ({markup.escape(why)})</li>"
        for name, why in left_out.items()
    ]
    rows = f"{report.current_rows:,} live rows against {report.reference_rows:,}"
    head = (
        '<section style="font-family:sans-serif;margin:1.5rem 2rem">'
        f"<h2>Drift: {markup.escape(str(report.outcome))}</h2><p>{rows} reference rows</p>"
        f"<ul>{''.join(lines)}</ul></section>"
    )
    if "<body>" in page:
        return page.replace("<body>", f"<body>{head}", 1)
    title = '<meta charset="utf-8"><title>Drift</title>'
    return f"<!DOCTYPE html><html><head>{title}</head><body>{head}{page}</body></html>"
