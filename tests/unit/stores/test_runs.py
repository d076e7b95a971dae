"""Training runs: they end as they went, hold what was logged, and leave no half of it."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from lifecycle.errors import (
    DataError,
    RegistryError,
    RegistryUnavailable,
    TrainingFailed,
    UntrustedModel,
)
from lifecycle.records import Column, Metric, ModelSpec
from lifecycle.stores import runs
from lifecycle.stores.tracking import connect, experiment_id

SPEC = ModelSpec(1, "regression", (Column("x", "double"), Column("z", "double", required=False)))
FRAME = pd.DataFrame({"x": [0.0, 1.0, 2.0], "z": [1.0, 0.0, 1.0]})


class Own(BaseEstimator):
    """An estimator that nobody has heard of."""

    def fit(self, _rows, _y):
        return self

    def predict(self, rows):
        return np.zeros(len(rows))


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def experiment(client):
    return experiment_id(client, "churn")


@pytest.fixture
def run_id(client, experiment):
    with runs.run(client, experiment, "a run", tags={}) as made:
        yield made


def logged(client, run_id, estimator, *, allow_pickle=False):
    return runs.log_model(
        client, run_id, estimator, SPEC, example=FRAME, prediction=np.array([0.0, 1.0]),
        params={"alpha": 1.0}, allow_pickle=allow_pickle,
    )  # fmt: skip


def test_a_run_is_running_inside_its_block_and_finished_after_it(client, experiment, capfd):
    with runs.run(client, experiment, "train churn", tags={"kind": "t"}) as outer:
        assert client.get_run(outer).info.status == "RUNNING"
        with runs.run(client, experiment, "ridge", tags={}, parent=outer) as inner:
            pass
    found, child = client.get_run(outer), client.get_run(inner)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "train churn")
    assert found.data.tags["kind"] == "t"
    assert child.data.tags["mlflow.parentRunId"] == outer
    assert "http" not in capfd.readouterr().out


@pytest.mark.parametrize("error", [ValueError("no rows"), KeyboardInterrupt()])
def test_a_run_that_breaks_off_is_failed_with_its_reason(client, experiment, error):
    with (
        pytest.raises(type(error)),
        runs.run(client, experiment, "a", tags={}) as run_id,
    ):
        raise error
    found = client.get_run(run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["lifecycle.error"] == (str(error) or "KeyboardInterrupt")


def test_only_runs_of_dead_processes_are_closed(client, experiment, tmp_path):
    code = (
        "import os, sys; from lifecycle.config import Config;"
        "from lifecycle.stores import runs; from lifecycle.stores.tracking import connect;"
        "client = connect(Config());"
        "block = runs.run(client, sys.argv[1], 'dies', tags={});"
        "print(block.__enter__()); sys.stdout.flush(); os._exit(9)"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, experiment],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    dead = died.stdout.split()[-1]
    foreign = client.create_run(experiment, tags={runs.PROCESS_TAG: "elsewhere:1:1"}).info.run_id
    plain = client.create_run(experiment).info.run_id
    with runs.run(client, experiment, "alive", tags={}) as alive:
        assert runs.close_dead(client, experiment) == (dead,)
        assert runs.close_dead(client, experiment) == ()
        states = [client.get_run(item).info.status for item in (dead, foreign, plain, alive)]
    assert states == ["KILLED", "RUNNING", "RUNNING", "RUNNING"]


def test_figures_have_their_intervals_and_only_where_there_are_some(client, run_id):
    figures = [Metric("auc", 0.8, 0.7, 0.9), Metric("f1", 0.5)]
    runs.log_figures(client, run_id, figures, {"alpha": 1.5, "best": None})
    data = client.get_run(run_id).data
    assert data.metrics == {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "f1": 0.5}
    assert data.params == {"alpha": "1.5", "best": "None"}


def test_more_and_longer_parameters_than_mlflow_takes_are_cut(client, run_id):
    many = {f"p{number:03d}": "x" * 9000 for number in range(150)}
    runs.log_figures(client, run_id, [], many)
    kept = client.get_run(run_id).data.params
    assert len(kept) == 100
    assert {len(value) for value in kept.values()} == {6000}


def test_a_dataset_names_its_source_digest_and_rows(client, run_id):
    text = runs.input_columns(SPEC)
    runs.log_dataset(
        client, run_id, source="/data/churn.parquet", digest="ab" * 32, rows=3, spec_json=text
    )
    (given,) = client.get_run(run_id).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("churn.parquet", "ab" * 18)
    assert json.loads(given.dataset.source) == {"uri": "/data/churn.parquet"}
    assert json.loads(given.dataset.profile) == {"num_rows": 3}
    assert json.loads(given.dataset.schema)["mlflow_colspec"][1] == {
        "type": "double", "name": "z", "required": False,
    }  # fmt: skip


def test_a_logged_model_is_read_by_plain_mlflow_with_its_signature(client, run_id):
    import mlflow

    uri = logged(client, run_id, LinearRegression().fit(FRAME, [0.0, 1.0, 2.0]))
    made = client.get_logged_model(uri.removeprefix("models:/"))
    assert str(made.status).endswith("READY")
    assert made.params["alpha"] == "1.0"
    info = mlflow.models.get_model_info(made.artifact_location)
    assert info.signature.inputs.input_names() == ["x", "z"]
    assert [item.required for item in info.signature.inputs.inputs] == [True, False]
    assert client.get_run(run_id).outputs.model_outputs[0].model_id == made.model_id
    runs.log_figures(client, run_id, [Metric("rmse", 0.5)], {}, model_uri=uri)
    assert client.get_logged_model(made.model_id).metrics[0].value == 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_type_that_nobody_knows_is_stored_only_as_an_allowed_pickle(client, run_id):
    with pytest.raises(UntrustedModel, match="Own") as told:
        logged(client, run_id, Own())
    assert "allow_pickle = true" in told.value.fix
    experiment = client.get_run(run_id).info.experiment_id
    (failed,) = client.search_logged_models([experiment])
    assert str(failed.status).endswith("FAILED")
    uri = logged(client, run_id, Own(), allow_pickle=True)
    folder = Path(client.get_logged_model(uri.removeprefix("models:/")).artifact_location)
    assert {item.suffix for item in folder.iterdir()} >= {".pkl"}


def test_files_come_back_as_they_were(client, run_id):
    runs.log_files(
        client, run_id, {"a.txt": "prix €", "raw/b.bin": b"\0\xff", "data/c.parquet": FRAME}
    )
    folder = Path(client.download_artifacts(run_id, runs.FOLDER))
    assert (folder / "a.txt").read_text(encoding="utf-8") == "prix €"
    assert (folder / "raw" / "b.bin").read_bytes() == b"\0\xff"
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "data" / "c.parquet"), FRAME)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_one_clear_error(client, run_id):
    root = Path(client.get_run(run_id).info.artifact_uri)
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o500)
    try:
        with pytest.raises(TrainingFailed, match="cannot be stored: Permission denied"):
            runs.log_files(client, run_id, {"a.txt": "x"})
    finally:
        root.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_one_clear_error(client, run_id):
    root = Path(client.get_run(run_id).info.artifact_uri)
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text("in the way")
    with pytest.raises(TrainingFailed, match="the training cannot be stored") as told:
        runs.log_files(client, run_id, {"a.txt": "x"})
    assert "nothing was registered" in told.value.fix


def caused(error, cause):
    error.__cause__ = cause
    return error


def test_storage_errors_are_told_by_what_the_system_said():
    full = OSError(errno.ENOSPC, "No space left on device", "/mnt/a")
    for error in (full, caused(RuntimeError("x"), full), caused(RegistryError("x"), full)):
        told = runs.storage_error(error)
        assert isinstance(told, TrainingFailed)
        assert "No space left on device" in told.what
        assert told.where == "/mnt/a"
    for ours in (
        RegistryUnavailable("no answer"),
        DataError("bad rows"),
        caused(RegistryUnavailable("no answer"), OSError(errno.ECONNREFUSED, "refused")),
    ):
        assert runs.storage_error(ours) is ours


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 5))
def test_a_sample_is_some_rows_in_their_order_and_the_same_each_time(rows, most, seed):
    frame = pd.DataFrame({"x": range(rows)})
    found = runs.seeded_sample(frame, most, seed)
    assert len(found) == min(rows, most)
    assert found["x"].is_monotonic_increasing
    assert found["x"].is_unique
    assert list(found.index) == list(range(len(found)))
    pd.testing.assert_frame_equal(found, runs.seeded_sample(frame, most, seed))


def test_the_signature_says_what_may_be_missing():
    found = runs.signature_of(SPEC, np.array([0.5, 1.5]))
    assert [(item.name, item.required) for item in found.inputs.inputs] == [
        ("x", True), ("z", False),
    ]  # fmt: skip
    assert "float64" in str(found.outputs)


def test_a_users_autologging_makes_no_runs_of_our_fits(client):
    import mlflow

    mlflow.sklearn.autolog(silent=True)
    try:
        with runs.no_autolog():
            LinearRegression().fit(FRAME, [0.0, 1.0, 2.0])
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert client.search_runs(["0"]) == []
