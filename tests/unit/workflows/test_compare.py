"""Frames, files and folders give one verdict; what cannot be read is one clear error."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lifecycle.errors import DataError
from lifecycle.records import Outcome
from lifecycle.workflows.compare import compare, to_polars, write_html


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=400), "plan": rng.choice(["a", "b"], 400)})


def test_pandas_polars_and_files_agree(frame, tmp_path):
    live = frame.assign(x=frame["x"] + 1)
    frame.to_parquet(tmp_path / "before.parquet")
    live.to_csv(tmp_path / "after.csv", index=False)
    (tmp_path / "folder" / "date=2026-01-01").mkdir(parents=True)
    live[:200].to_parquet(tmp_path / "folder" / "date=2026-01-01" / "one.parquet")
    live[200:].to_parquet(tmp_path / "folder" / "two.parquet")
    reports = [
        compare(frame, live),
        compare(pl.from_pandas(frame), pl.from_pandas(live)),
        compare(tmp_path / "before.parquet", str(tmp_path / "after.csv")),
        compare(tmp_path / "before.parquet", tmp_path / "folder"),
    ]
    assert {report.reasons for report in reports} == {reports[0].reasons}
    assert reports[0].drifted


def test_empty_and_single_rows_are_not_enough(frame):
    assert compare(frame, frame[:0]).outcome is Outcome.UNSURE
    assert compare(frame, frame[:1]).reasons[0].startswith("1 live row is too few")


def test_any_column_of_pandas_is_read():
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None] * 30, dtype="Int64"),
            "mixed": [1, "a", None, 2.5] * 15,
            "category": pd.Categorical(["a", None] * 30),
            "zone": pd.date_range("2026", periods=60, tz="Europe/Berlin"),
            "span": pd.to_timedelta(range(60), unit="h"),
            "list": [[1, 2]] * 60,
            "object": [object] * 60,
            "boolean": pd.array([True, None] * 30, dtype="boolean"),
            "period": pd.period_range("2026", periods=60, freq="D"),
        }
    )
    report = compare(frame, frame)
    assert set(report.columns) == set(frame.columns)
    assert not report.drifted
    assert report.columns["nullable"].kind == "numeric"
    assert report.columns["mixed"].kind == "categorical"
    assert report.columns["boolean"].kind == "boolean"
    assert {"zone", "list"} <= set(report.not_monitored)


@pytest.mark.parametrize("name", ["no.parquet", "no.csv", "folder"])
def test_files_that_are_not_there(frame, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError):
        compare(frame, tmp_path / name)


def test_damaged_and_foreign_files(frame, tmp_path):
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 no, not really PAR1")
    with pytest.raises(DataError, match=r"cannot be read.*damaged\.parquet"):
        compare(frame, damaged)
    (tmp_path / "rows.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"neither \.parquet nor \.csv"):
        compare(frame, tmp_path / "rows.xlsx")


def test_wrong_arguments(frame):
    with pytest.raises(DataError, match="no column in common"):
        compare(frame, pd.DataFrame({"other": [1.0] * 50}))
    with pytest.raises(DataError, match="no column 'ts'"):
        compare(frame, frame, time="ts")
    with pytest.raises(DataError, match="the reference has no rows"):
        compare(frame[:0], frame)
    with pytest.raises(DataError, match="is no table"):
        compare(frame, [1, 2])
    twice = pd.concat([frame, frame], axis=1)
    with pytest.raises(DataError, match="'x' is there twice"):
        compare(frame, twice)


def test_key_and_ignored_columns_are_left_out(frame):
    keyed = frame.assign(id=range(400))
    report = compare(keyed, keyed.assign(id=range(400, 800)), key="id")
    assert not report.drifted
    assert "id" not in report.columns
    assert to_polars(keyed, "live", ignore=["id"]).columns == ["x", "plan"]


def test_the_page_has_the_exact_score_and_names_what_is_left_out(frame, tmp_path):
    before = frame.assign(none=np.nan, odd=range(400), gone=1)
    live = frame.assign(x=frame["x"] + 1, none=np.nan, odd=[str(n) for n in range(400)])
    report = compare(before, live, sample=100)
    page = write_html(report, tmp_path / "page.html").read_text(encoding="utf-8")
    assert f"{report.columns['x'].score:.6f}"[:7] in page
    assert "x is higher" in page
    for name in ("none", "odd", "gone"):
        assert f"not drawn: {name} (" in page
    with pytest.raises(DataError, match="cannot be written"):
        write_html(compare(frame[["plan"]], frame[["plan"]]), Path("no/such/folder/page.html"))


def test_a_full_disk_leaves_no_half_of_a_page(tmp_path):
    program = (
        "import resource, signal, sys\n"
        "from lifecycle.errors import DataError\n"
        "from lifecycle.workflows.compare import write_html\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "class Page:\n"
        "    def evidently(self):\n"
        "        return 'x' * 1000\n"
        "try:\n"
        "    write_html(Page(), sys.argv[1])\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    page = tmp_path / "page.html"
    done = subprocess.run(
        [sys.executable, "-c", program, str(page)], capture_output=True, text=True, check=True
    )
    assert "the report cannot be written: File too large" in done.stdout
    assert not page.exists()
