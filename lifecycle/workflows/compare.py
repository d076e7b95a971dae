"""Compare two tables: one verdict with a reason for each column, no registry needed.

>>> import pandas as pd
>>> before = pd.DataFrame({"age": [float(20 + row % 50) for row in range(500)]})
>>> compare(before, before + 9).columns["age"].reason
'age is higher: median 53.5 instead of 44, effect 0.6 sd, p < 1e-6; also out of range'
"""

from pathlib import Path

from lifecycle import engines
from lifecycle.drift import Profile
from lifecycle.engines.sources import Source as Table
from lifecycle.engines.sources import to_polars
from lifecycle.errors import DataError
from lifecycle.records import DriftReport
from lifecycle.workflows.progress import bar

__all__ = ["Table", "compare", "to_polars", "write_html"]


def compare(
    reference: Table | Profile,
    current: Table,
    *,
    time: str | None = None,
    key: str | None = None,
    alpha: float = 0.01,
    min_rows: int = 30,
    sample: int = 5000,
    engine: str = "local",
) -> DriftReport:
    """Compare live rows with reference rows, or with their profile.

    Args:
        reference: a frame, a Parquet or CSV file, a folder of Parquet files, the log of one model,
            a profile or the .json file that holds one.
        current: likewise, but no profile; no rows are not enough evidence, not an error.
        time: the column with each row's time, so that rows in runs count for what they are worth.
        key: a column to leave out.
        alpha: chance of an alarm on unchanged data.
        min_rows: fewer live rows are not enough evidence.
        sample: rows of each side in the pictures of `.evidently()`.
        engine: what reads and counts the tables, a name of `lifecycle.engines.ENGINES`.

    Raises:
        DataError: a table cannot be read, the reference has no rows, the two have no column in
            common, or `time` or `key` is in neither.
        ConfigError: there is no such engine.
    """
    report: DriftReport = engines.load(engine).compare(
        reference,
        current,
        time=time,
        ignore=(key,) if key else (),
        alpha=alpha,
        min_rows=min_rows,
        sample=sample,
        bar=bar,
    )
    return report


def write_html(report: DriftReport, path: str | Path) -> Path:
    """Write Evidently's report of a comparison.

    Raises:
        MissingExtra: Evidently is not installed.
        DataError: the file cannot be written.
    """
    page = report.evidently()
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        if Path(path).is_file():
            Path(path).unlink()  # half of a page
        raise DataError(f"the report cannot be written: {error.strerror}", where=path) from error
    return Path(path)
