"""What tracking costs a candidate: `train` against bare fit and score, in the same run.

    python benchmarks/train/overhead.py [--rows 50000] [--columns 10] [--repeats 3]

Prints a row a candidate and writes RESULTS.md beside this file. The bare time is that of the
candidate's own fit and score, which `train` takes with nothing else between; a second fit elsewhere
differs by more than the overhead on a machine that others use. Reading, checking and what is done
once for the best are left out.
"""

import argparse
import os
import platform
import statistics
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
PACKAGES = ("mlflow", "scikit-learn", "skops", "numpy", "pandas")
NAMES = ("logistic_regression", "hist_gradient_boosting", "random_forest")


def rows(count: int, columns: int) -> pd.DataFrame:
    """Normal columns and a binary target that depends on half of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, columns))
    chance = 1 / (1 + np.exp(-x[:, : columns // 2].sum(axis=1)))
    frame = pd.DataFrame(x, columns=[f"x{at}" for at in range(columns)])
    return frame.assign(y=(rng.random(count) < chance).astype(int))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, value in (("rows", 50_000), ("columns", 10), ("repeats", 3)):
        parser.add_argument(f"--{flag}", type=int, default=value)
    given = parser.parse_args()
    from lifecycle.config import Config
    from lifecycle.workflows.train import train

    frame = rows(given.rows, given.columns)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        config = Config().with_values(
            name="bench", target="y", tracking__uri=f"sqlite:///{folder}/mlflow.db"
        )
        train(config, frame.head(500), candidates=NAMES[:1])  # imports and the database
        for _ in range(given.repeats):
            for item in train(config, frame, candidates=NAMES).candidates:
                alone = item.fit_seconds + item.score_seconds
                figures[item.name].append((alone, alone + item.overhead_seconds))
        os.chdir(HERE)
    lines = [
        "| candidate | bare s | with `train` s | overhead s | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, pairs in figures.items():
        alone, whole = (statistics.median(values) for values in zip(*pairs, strict=True))
        extra = statistics.median(b - a for a, b in pairs)
        lines.append(f"| {name} | {alone:.2f} | {whole:.2f} | {extra:.2f} | {whole / alone:.2f} |")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    text = "\n".join(
        [
            "# Overhead of `train` a candidate",
            "",
            (
                f"{given.rows:,} rows of {given.columns} columns, median of {given.repeats}, "
                f"{os.cpu_count()} cores, load {load:.1f} at the end, Python "
                f"{platform.python_version()}, {versions}."
            ),
            "",
            *lines,
            "",
            (
                "Overhead: metrics with intervals, the model in skops's format with MLflow's own "
                "trial load, and three writes to sqlite."
            ),
            "",
            f"    python benchmarks/train/overhead.py --repeats {given.repeats}",
            "",
        ]
    )
    print(text)
    (HERE / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
