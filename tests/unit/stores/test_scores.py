import json

import polars as pl
import pytest

from lifecycle.errors import DataError, LogError
from lifecycle.stores.scores import Parts

JOB = {"input": "live.csv", "version": "churn/7"}


def part(*values):
    return pl.DataFrame({"prediction": list(values), "label": ["a,b" for _ in values]})


@pytest.mark.parametrize(("ending", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_parts_become_one_file_in_their_order(tmp_path, ending, read):
    output = tmp_path / f"out.{ending}"
    with Parts(output, JOB) as parts:
        for number in range(12):
            parts.write(part(number, number + 100))
        assert (parts.done, parts.rows) == (12, 24)
        assert not output.exists()
        parts.finish()
    found = read(output)
    assert found["prediction"].to_list() == [n + m for n in range(12) for m in (0, 100)]
    assert found["label"].to_list() == ["a,b"] * 24
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_what_was_finished_is_found_again(tmp_path):
    output = tmp_path / "out.csv"
    with Parts(output, JOB) as parts:
        parts.write(part(1, 2))
        job = parts.job
    with Parts(output, JOB) as parts:
        assert (parts.done, parts.rows, parts.job) == (1, 2, job)
        parts.write(part(3))
        parts.finish()
    assert pl.read_csv(output)["prediction"].to_list() == [1, 2, 3]


def test_a_run_that_finished_no_part_leaves_nothing(tmp_path):
    with Parts(tmp_path / "out.csv", JOB):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_job_says_what_differs(tmp_path):
    with Parts(tmp_path / "out.csv", JOB) as parts:
        parts.write(part(1))
    with (
        pytest.raises(DataError, match=r"\(version differs\)"),
        Parts(tmp_path / "out.csv", {**JOB, "version": "churn/8"}),
    ):
        pass
    with Parts(tmp_path / "out.csv", JOB) as parts:
        assert parts.done == 1


def test_two_runs_never_write_one_output(tmp_path):
    with (
        Parts(tmp_path / "out.csv", JOB) as first,
        pytest.raises(DataError, match="another run"),
        Parts(tmp_path / "out.csv", JOB),
    ):
        pass
    assert first.done == 0


def test_an_output_that_was_there_stays_until_the_new_one_is_whole(tmp_path):
    output = tmp_path / "out.csv"
    output.write_text("old")
    with Parts(output, JOB) as parts:
        parts.write(part(1))
        assert output.read_text() == "old"
        parts.finish()
    assert "old" not in output.read_text()


@pytest.mark.parametrize("content", ["", "{", json.dumps({"job": "x"})])
def test_a_damaged_job_is_said(tmp_path, content):
    folder = tmp_path / "out.csv.part"
    folder.mkdir()
    (folder / "job.json").write_text(content)
    with pytest.raises(LogError, match="cannot be written"), Parts(tmp_path / "out.csv", JOB):
        pass


def test_a_folder_in_the_way_is_said(tmp_path):
    (tmp_path / "out.csv").mkdir()
    with Parts(tmp_path / "out.csv", JOB) as parts:
        parts.write(part(1))
        with pytest.raises(LogError, match="cannot be written"):
            parts.finish()
    (tmp_path / "out.csv").rmdir()
    with Parts(tmp_path / "out.csv", JOB) as parts:
        parts.finish()
    assert pl.read_csv(tmp_path / "out.csv")["prediction"].to_list() == [1]
