"""Time and memory of a comparison, beside Evidently's, by size: `python speed.py`.

Each figure comes from a process of its own, so that its peak is its own. Times are the best of
three after one to warm up (of 20 million rows and of Evidently: one run), reading included. The
tables have 20 floats and 5 columns of levels; they are made once in a temporary folder.

    python benchmarks/drift/speed.py      # up to 1 million rows, Evidently up to 100,000
    python benchmarks/drift/speed.py --evidently 1000000 --large    # minutes, 8 GB of disk
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = (10_000, 100_000, 1_000_000)
LARGE = (2_000_000, 20_000_000)
LEVELS = (2, 4, 8, 20, 60)
GROUP = 250_000  # rows of a row group
EVIDENTLY = 100_000  # rows up to which Evidently is run unless told otherwise; 1 million take 100 s
SEVERAL = 3


def table(rows: int, seed: int) -> pl.DataFrame:
    """Twenty floats, of a normal or an exponential law, and five columns of levels."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        f"x{place}": rng.normal(size=rows) if place % 4 else rng.exponential(size=rows)
        for place in range(20)
    }
    for place, levels in enumerate(LEVELS):
        names = pl.Series([f"level {level}" for level in range(levels)])
        columns[f"c{place}"] = names.gather(rng.integers(0, levels, rows))
    return pl.DataFrame(columns)


def written(folder: Path, rows: int, seed: int) -> Path:
    """A Parquet file of such a table, made a row group at a time."""
    path = folder / f"{rows}-{seed}.parquet"
    if path.exists():
        return path
    writer = None
    for place, start in enumerate(range(0, rows, GROUP)):
        part = table(min(GROUP, rows - start), seed * 1_000 + place).to_arrow()
        plain = pa.schema(
            field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
            for field in part.schema
        )
        writer = writer or pq.ParquetWriter(path, plain)
        writer.write_table(part.cast(plain))
    assert writer is not None
    writer.close()
    return path


def ours(reference: str, current: str) -> Callable[[], Any]:
    """Verdict and exact scores of two files."""
    from lifecycle.workflows.compare import compare

    return lambda: compare(reference, current)


def stored(reference: str, current: str) -> Callable[[], Any]:
    """Verdict of a file against a stored profile."""
    from lifecycle.engines.local import profile
    from lifecycle.workflows.compare import compare

    counts = profile(reference)
    return lambda: compare(counts, current)


def window(reference: str, current: str) -> Callable[[], Any]:
    """Verdict of a thousand rows in memory, 30 columns, against a loaded profile."""
    from lifecycle.drift import build_profile
    from lifecycle.workflows.compare import compare

    def wide(path: str, rows: int) -> pl.DataFrame:
        frame = pl.read_parquet(path, n_rows=rows)
        return frame.with_columns(
            (pl.col(f"x{place}") * 2).alias(f"y{place}") for place in range(5)
        )

    profile, live = build_profile(wide(reference, 100_000)), wide(current, 1_000)
    return lambda: compare(profile, live)


def reading(_reference: str, current: str) -> Callable[[], Any]:
    """The live file read by polars."""
    return lambda: pl.read_parquet(current)


def pictures(reference: str, current: str) -> Callable[[], Any]:
    """Evidently's report of a sample, with the figures of all rows."""
    from lifecycle.workflows.compare import compare

    return lambda: compare(reference, current).evidently()


def evidently(reference: str, current: str) -> Callable[[], Any]:
    """Evidently's DataDriftPreset on two files."""
    import os

    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [f"x{place}" for place in range(20)]
    levels = [f"c{place}" for place in range(5)]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels)

    def compared() -> Any:
        import pandas as pd

        sides = [
            Dataset.from_pandas(pd.read_parquet(path), data_definition=definition)
            for path in (current, reference)
        ]
        return Report([DataDriftPreset()]).run(*sides).dict()

    return compared


WORK = {
    "two files": ours,
    "file against profile": stored,
    "reading a file (polars)": reading,
    "report with pictures": pictures,
    "1,000 rows of 30 columns against profile": window,
    "Evidently DataDriftPreset": evidently,
}


def timed(work: str, reference: str, current: str, times: int) -> dict[str, float]:
    """Best time in seconds and peak memory in MB of this process."""
    step = WORK[work](reference, current)
    if times > 1:
        step()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    return {"seconds": min(seconds), "peak": peak}


def measured(work: str, paths: Sequence[Path], times: int) -> dict[str, float]:
    """The same in a process of its own."""
    asked = [sys.executable, __file__, "--child", work, str(times), *map(str, paths)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(
    sizes: Sequence[int] = SIZES, *, compared: int = EVIDENTLY, large: bool = False
) -> list[dict[str, str]]:
    """A row for each piece of work and size.

    Args:
        sizes: rows of each side.
        compared: rows up to which Evidently is run.
        large: also 2 and 20 million rows of each side, in flat memory.
    """
    table_rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (*sizes, *(LARGE if large else ())):
            paths = [written(Path(folder), size, seed) for seed in (1, 2)]
            table_rows += _of_size(size, paths, evidently=size <= compared)
            for path in paths:
                path.unlink()
    return table_rows


def _of_size(size: int, paths: Sequence[Path], *, evidently: bool) -> list[dict[str, str]]:
    names = ["two files", "file against profile", "reading a file (polars)"]
    names += ["report with pictures"] if size >= 1_000_000 else []
    names += ["1,000 rows of 30 columns against profile"] if size == EVIDENTLY else []
    if size > max(SIZES):
        names = names[:1] + names[3:]
    once = size > max(SIZES)
    found = {name: measured(name, paths, 1 if once else SEVERAL) for name in names}
    if evidently:
        found["Evidently DataDriftPreset"] = measured("Evidently DataDriftPreset", paths, 1)
    lines = []
    for name, figures in found.items():
        line = {"work": name, "rows of each side": f"{size:,}"}
        line |= {"seconds": f"{figures['seconds']:.3g}", "peak MB": f"{figures['peak']:,.0f}"}
        line["beside"] = _beside(name, found)
        lines.append(line)
    return lines


def _beside(name: str, found: dict[str, dict[str, float]]) -> str:
    """How often the time of another fits into one's."""
    seconds = {key: item["seconds"] for key, item in found.items()}
    if name == "two files" and "Evidently DataDriftPreset" in seconds:
        return f"{seconds['Evidently DataDriftPreset'] / seconds[name]:.0f} times faster"
    if name == "file against profile" and "reading a file (polars)" in seconds:
        return f"{seconds[name] / seconds['reading a file (polars)']:.1f} times reading"
    return ""


def markdown(lines: Sequence[dict[str, str]]) -> str:
    """The rows as a table."""
    heads = list(dict.fromkeys(head for line in lines for head in line))
    body = [
        heads,
        ["---"] * len(heads),
        *([line.get(head, "") for head in heads] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in body)


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--child"]:
        work, times, reference, current = sys.argv[2:]
        print(json.dumps(timed(work, reference, current, int(times))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--evidently", type=int, default=EVIDENTLY, metavar="ROWS")
    parser.add_argument("--large", action="store_true", help="2 and 20 million rows")
    asked = parser.parse_args()
    print(markdown(rows(asked.sizes, compared=asked.evidently, large=asked.large)))


if __name__ == "__main__":
    main()
