"""Spark reads the sealed log: versions with other columns merged, folders as columns.

It runs in an environment of its own, which the test makes on first use.
"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lifecycle.stores.predictions import PredictionWriter
from lifecycle.stores.upkeep import tend

pytestmark = pytest.mark.slow

NOW = 1_775_044_800_000_000
READ = """
import json, sys
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.sql.shuffle.partitions", "1").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
rows = (spark.read.option("mergeSchema", "true").option("basePath", sys.argv[1])
        .parquet(sys.argv[1] + "/model=churn")
        .selectExpr("prediction_id", "cast(date as string)", "features.age", "features.plan",
                    "features.calls").orderBy("prediction_id").collect())
print("ROWS" + json.dumps([list(row) for row in rows]))
spark.stop()
"""


@pytest.fixture(scope="session")
def spark_python(tmp_path_factory):
    """A Python with pyspark."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    folder = tmp_path_factory.getbasetemp().parent / "lifecycle-spark"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "uv",
                "venv",
                "-q",
                "--clear",
                "--python",
                sys.executable,
                folder,
            ],
            check=False,
        )
        install = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "-q",
            "--python",
            python,
            "pyspark",
        ]
        if made.returncode or subprocess.run(install, check=False).returncode:
            pytest.skip("pyspark cannot be installed here")
        (folder / "ready").touch()
    return python


@pytest.mark.parametrize("merged", [False, True])
def test_spark_reads_all_versions_of_the_log(tmp_path, spark_python, merged):
    versions = {
        1: {"age": np.array([41.0, 19.0]), "plan": np.array(["pro", None], object)},
        2: {"age": np.array([20.5, np.nan]), "calls": np.array([3, 4], "i4")},
    }
    for version, features in versions.items():
        for turn in range(2):
            with PredictionWriter(tmp_path, seal_seconds=1e6) as writer:
                writer.append(
                    "churn",
                    version,
                    [f"{version}-{turn}-{row}" for row in range(2)],
                    time=NOW,
                    features=features,
                    prediction=np.array([1, 0]),
                )
    if merged:
        assert tend(tmp_path, everything=True).merged == 4
    (tmp_path / "model=churn" / "date=2026-04-01" / ".half.parquet.tmp").write_bytes(b"PAR1")
    done = subprocess.run(
        [spark_python, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ROWS")]
    day = "2026-04-01"
    assert json.loads(line[4:]) == [
        *([f"1-{turn}-{row}", day, *rest] for turn in (0, 1)
          for row, rest in enumerate([(41.0, "pro", None), (19.0, None, None)])),
        *([f"2-{turn}-{row}", day, *rest] for turn in (0, 1)
          for row, rest in enumerate([(20.5, None, 3), (None, None, 4)])),
    ]  # fmt: skip
