"""A full disk under both policies: what is refused, what is counted, and that it mends itself."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest

from lifecycle.config import LogConfig
from lifecycle.errors import LogError
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

# The limit on a file's length stands for the disk: the write fails, with the errno of its own, in
# the middle of a record.
FULL = """
import json, logging, resource, signal, sys
import numpy as np
from lifecycle.errors import LogError
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
folder, policy = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logging.basicConfig(format="%(message)s")
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
writer = PredictionWriter(folder, seal_seconds=1e6, background=False, policy=policy)
values = np.arange(4.0)
told = {"answered": [], "refused": []}
def append(count):
    for _ in range(count):
        number = len(told["answered"] + told["refused"]) // 4
        names = [f"{number}-{row}" for row in range(4)]
        try:
            writer.append("churn", 1, names, time=1775044800000000, features={"x": values},
                          prediction=values)
            told["answered"] += names
        except LogError as error:
            told["refused"] += names
            told["why"] = str(error)
append(5)
resource.setrlimit(resource.RLIMIT_FSIZE, (writer._journal.size + 50, most))
append(7)
told["lost"], told["size"] = writer.lost, writer._journal.path.stat().st_size
told["kept"] = PredictionLog(folder).read("churn")["prediction_id"].to_list()
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
append(3)
writer.close()
print(json.dumps(told))
"""


def run(folder, policy):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder), policy],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def names(*numbers):
    return [f"{number}-{row}" for number in numbers for row in range(4)]


def test_strict_refuses_what_it_cannot_write_and_goes_on_when_it_can(tmp_path):
    told, said = run(tmp_path, "strict")
    assert told["refused"] == names(*range(5, 12))
    assert "the prediction log cannot be written" in told["why"]
    assert "Next: free space" in told["why"]
    assert told["lost"] == 0
    assert told["kept"] == names(*range(5))
    PredictionLog(tmp_path).seal()
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == told["answered"]
    assert said == ""


def test_available_answers_all_counts_what_is_missing_and_says_so_once(tmp_path):
    told, said = run(tmp_path, "available")
    assert told["refused"] == []
    assert told["lost"] == 4 * 7
    kept = names(*range(5), *range(12, 15))
    PredictionLog(tmp_path).seal()
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == kept
    assert PredictionLog(tmp_path).damaged() == ()
    warnings = said.splitlines()
    assert len(warnings) == 2
    assert "answered without being logged" in warnings[0]
    assert "logged again; 28 rows were not" in warnings[1]


@pytest.mark.parametrize("policy", ["strict", "available"])
def test_no_half_of_a_record_stays_behind(tmp_path, policy):
    told, _ = run(tmp_path, policy)
    with PredictionWriter(tmp_path / "again", background=False) as writer:
        for number in range(5):
            x = np.arange(4.0)
            ids = names(number)
            writer.append("churn", 1, ids, time=1775044800000000, features={"x": x}, prediction=x)
        assert told["size"] == writer._journal.size


@pytest.fixture
def blocked(tmp_path):
    """A log whose folder of journals is a file."""
    (tmp_path / "journal").write_text("in the way")
    return tmp_path


def append(writer, name):
    x = np.ones(1)
    writer.append("churn", 1, name, time=1775044800000000, features={"x": x}, prediction=x)


def test_a_writer_starts_without_its_folder_only_when_it_may_lose_rows(blocked, caplog):
    with pytest.raises(LogError, match="cannot be written"):
        PredictionWriter(blocked)
    with caplog.at_level(logging.WARNING):
        writer = PredictionWriter(blocked, background=False, policy="available")
        append(writer, "a")
        append(writer, "b")
    assert writer.lost == 2
    assert len(caplog.records) == 1
    (blocked / "journal").unlink()
    writer._retry = 0.0  # a second later
    append(writer, "c")
    assert writer.lost == 2
    writer.close()
    PredictionLog(blocked).seal()
    assert PredictionLog(blocked).read("churn")["prediction_id"].to_list() == ["c"]


def test_after_its_end_an_available_writer_loses_nothing_in_silence(tmp_path):
    writer = PredictionWriter(tmp_path, background=False, policy="available")
    writer.close()
    with pytest.raises(LogError):
        append(writer, "late")


def test_what_the_configuration_says_is_what_is_made(tmp_path):
    with PredictionWriter.of(LogConfig(dir=str(tmp_path), policy="available")) as writer:
        assert writer._available
        assert writer._mask is None
    config = LogConfig(dir=str(tmp_path), drop=("name",), hash=("town",), keep_days=3, keep_gb=1)
    with PredictionWriter.of(config) as writer:
        assert not writer._available
        assert (writer._mask.dropped, writer._mask.hashed) == ({"name"}, {"town"})
        assert (writer._keep_days, writer._keep_gb) == (3, 1)
