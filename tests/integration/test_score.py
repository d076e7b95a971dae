import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lifecycle.errors import DataError, LogError, ModelNotFound
from lifecycle.stores import ids, registry
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect
from lifecycle.workflows import score as scoring
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.score import score


@pytest.fixture
def plain(config, logged_model):
    """A version of `line` that plain MLflow logged: prediction = x."""
    client = connect(config)
    registry.register(client, "line", model_uri=logged_model(client), tags={})
    return config


def rows(count, start=0):
    return pd.DataFrame({"x": np.arange(start, start + count, dtype=float), "z": 0.0})


def logged(config, model="line"):
    return PredictionLog(config.log.dir).read(model)


def test_a_frame_comes_back_scored_and_logged(plain):
    frame = rows(5).set_axis(list("abcde"))
    scores = score(plain, "line/1", frame)
    assert list(scores.columns) == ["prediction_id", "prediction"]
    assert list(scores.index) == list("abcde")
    assert np.allclose(scores["prediction"], frame["x"])
    log = logged(plain)
    assert sorted(log["prediction_id"]) == sorted(scores["prediction_id"])
    assert set(log["version"]) == {1}
    assert log["features"].struct.field("x").to_list() == frame["x"].tolist()
    issued = ids.check(ids.secret(plain.log.dir), scores["prediction_id"]["b"], model="line")
    assert (issued.version, issued.row, issued.rows) == (1, 1, 5)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("origin", ["parquet", "csv"])
def test_files_are_scored_in_batches(plain, tmp_path, monkeypatch, origin, ending):
    monkeypatch.setattr(scoring, "ROWS", 40)
    pl.from_pandas(rows(100)).write_parquet(tmp_path / "in.parquet")
    rows(100).to_csv(tmp_path / "in.csv", index=False)
    output = tmp_path / f"out.{ending}"
    done = score(plain, "line/1", tmp_path / f"in.{origin}", output)
    assert (done.rows, done.resumed_rows, done.version) == (100, 0, 1)
    found = pl.read_parquet(output) if ending == "parquet" else pl.read_csv(output)
    assert np.allclose(found["prediction"], np.arange(100.0))
    assert set(found["prediction_id"]) == set(logged(plain)["prediction_id"])
    assert not (tmp_path / f"out.{ending}.part").exists()


def interrupted(config, monkeypatch, source, output, *, after):
    """Score and fail as a full disk does when the part after the `after` first is written."""
    write = scoring.Parts.write

    def failing(self, frame):
        if self.done == after:
            raise LogError("the disk is full")
        write(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(scoring.Parts, "write", failing)
        with pytest.raises(LogError):
            score(config, "line/1", source, output)


def test_an_interrupted_run_goes_on_and_logs_each_row_once(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS", 10)
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows(35).to_parquet(source)
    interrupted(plain, monkeypatch, source, output, after=2)
    assert not output.exists()
    assert len(logged(plain)) == 30  # the third batch is logged, its part is not written
    done = score(plain, "line/1", source, output)
    assert (done.rows, done.resumed_rows) == (35, 20)
    found = pl.read_parquet(output)
    assert np.allclose(found["prediction"], np.arange(35.0))
    assert sorted(found["prediction_id"]) == sorted(logged(plain)["prediction_id"])


def test_another_input_never_goes_on_where_one_stopped(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS", 10)
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows(35).to_parquet(source)
    interrupted(plain, monkeypatch, source, output, after=2)
    rows(35, start=1).to_parquet(source)
    with pytest.raises(DataError, match=r"another job .*changed.* differs"):
        score(plain, "line/1", source, output)
    assert not output.exists()


def test_rows_that_the_model_cannot_take_leave_nothing(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS", 10)
    frame = rows(25)
    frame.loc[22, "x"] = np.nan
    frame.to_parquet(tmp_path / "in.parquet")
    for output in (None, tmp_path / "out.csv"):
        with pytest.raises(DataError, match="'x' is null"):
            score(plain, "line/1", tmp_path / "in.parquet", output)
        assert len(logged(plain)) == 0
    assert not list(tmp_path.glob("out*"))


def test_bad_input_is_named_and_leaves_nothing(plain, tmp_path):
    rows(3).drop(columns="z").to_parquet(tmp_path / "short.parquet")
    rows(0).to_parquet(tmp_path / "empty.parquet")
    (tmp_path / "none.csv").write_text("")
    good, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows(3).to_parquet(good)
    for source, output, said in (
        (tmp_path / "short.parquet", out, "column 'z' is missing"),
        (tmp_path / "empty.parquet", out, "no rows"),
        (tmp_path / "none.csv", out, "empty"),
        (tmp_path / "gone.csv", out, "no such file"),
        (tmp_path / "in.xlsx", out, "neither .parquet nor .csv"),
        (good, tmp_path / "out.txt", "neither .parquet nor .csv"),
        (good, tmp_path / "gone" / "out.csv", "folder does not exist"),
        (good, good, "replace the input"),
        (rows(0), None, "no rows"),
    ):
        with pytest.raises(DataError, match=said):
            score(plain, "line/1", source, output)
    with pytest.raises(ModelNotFound):
        score(plain, "line/9", good, out)
    assert len(logged(plain)) == 0
    assert not list(tmp_path.glob("out*"))


FULL = """
import resource, signal, sys
from lifecycle.config import load_config
from lifecycle.errors import LogError
from lifecycle.workflows import score as scoring
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scoring.ROWS = 1000
config = load_config(environ={"LIFECYCLE_LOG_DIR": sys.argv[1]})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    scoring.score(config, "line/1", sys.argv[2], sys.argv[3])
except LogError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_next_run_finishes(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS", 1000)
    source, output = tmp_path / "in.parquet", tmp_path / "out.csv"
    rows(4000).to_parquet(source)
    command = [sys.executable, "-c", FULL, plain.log.dir, str(source), str(output)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "File too large" in said  # the parts fit, all together they do not
    assert "it goes on" in said
    assert not output.exists()
    assert score(plain, "line/1", source, output).resumed_rows == 4000
    assert len(pl.read_csv(output)) == 4000
    assert len(logged(plain)) == 4000
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_trained_model_scores_with_key_time_and_score(config, make_churn):
    from lifecycle.workflows.train import register, train

    training = train(config, make_churn(600), candidates=("logistic_regression",))
    version = register(config, training.best)
    live = make_churn(50, seed=1, start="2026-02-01").drop(columns="churned")
    scores = score(config, version, live)
    named = ["prediction_id", "customer_id", "ts", "prediction", "score"]
    assert list(scores.columns) == named
    log = logged(config, "churn")
    assert log["key"].to_list() == live["customer_id"].to_list()
    assert log["time"].dt.replace_time_zone(None).to_list() == live["ts"].tolist()
    assert log["score"].to_list() == scores["score"].tolist()
    assert log["prediction"].to_list() == scores["prediction"].tolist()
    truth = make_churn(50, seed=1, start="2026-02-01")[["customer_id", "ts", "churned"]]
    assert feedback(config, truth).accepted == 50
    known = LabelStore(config.log.dir).read("churn")
    assert sorted(known["prediction_id"]) == sorted(scores["prediction_id"])
    assert json.dumps(feedback(config, truth).to_dict())
