"""Training on a real MLflow: what is tracked, what is stored, what a failure leaves behind."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from lifecycle.drift import Profile
from lifecycle.errors import ConfigError, DataError, DigestMismatch, TrainingFailed
from lifecycle.models.inputs import columns
from lifecycle.records import Candidate
from lifecycle.stores import artifacts
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.workflows.train import register, train

FAST = ("logistic_regression", "decision_tree")


class Fails(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise ValueError(f"no luck with {len(X)} rows and {len(y)} labels")


def runs_of(config):
    client = connect(config)
    return client, client.search_runs([experiment_id(client, config.experiment)])


def test_candidates_are_tracked_from_best_to_worst(config, churn):
    training = train(config, churn, candidates=(*FAST, Fails(), LinearSVC(), "dummy"))
    names = [item.name for item in training.candidates]
    assert names[-3:] == ["dummy", "Fails", "LinearSVC"]
    assert "roc_auc needs scores" in training.candidates[-1].error
    assert training.metric == "roc_auc"
    values = [item.spec.metric.value for item in training.candidates[:-2]]
    assert values == sorted(values, reverse=True)
    assert training.best.spec.metric.low < values[0] < training.best.spec.metric.high
    assert "no luck with 1600 rows" in training.candidates[-2].error
    assert training.seconds > training.extras_seconds > 0.0
    client, found = runs_of(config)
    status = {item.info.run_name: item.info.status for item in found}
    assert {status.pop(name) for name in ("Fails", "LinearSVC")} == {"FAILED"}
    assert set(status.values()) == {"FINISHED"}
    best = client.get_run(training.best.run_id)
    assert best.data.tags["mlflow.parentRunId"] == training.run_id
    assert best.data.metrics["roc_auc"] == pytest.approx(values[0])
    assert best.data.metrics["roc_auc_low"] < values[0]
    parent = client.get_run(training.run_id)
    dataset = parent.inputs.dataset_inputs[0].dataset
    lineage = training.best.spec.lineage
    assert lineage.data_digest.startswith(dataset.digest)
    assert parent.data.tags["lifecycle.data_digest"] == lineage.data_digest
    assert len(lineage.data_digest) == 64


def test_a_version_holds_all_that_the_other_verbs_need(config, churn):
    training = train(config, churn, candidates=FAST)
    version = register(config, training.best)
    client = connect(config)
    assert version.ref == "churn/1"
    assert version.tags["lifecycle.compiled"].startswith("sha256:")
    spec = artifacts.spec(client, version)
    assert spec == training.best.spec
    assert (spec.target, spec.time, spec.key, spec.classes) == (
        "churned",
        "ts",
        "customer_id",
        (0, 1),
    )
    assert (spec.split, spec.trained_rows, spec.holdout_rows) == ("time", 1600, 400)
    assert spec.trained_from == "2026-01-01T00:00:00+00:00"
    assert {"ts", "customer_id", "churned"}.isdisjoint(spec.feature_names)
    held = artifacts.holdout(client, version)
    assert len(held) == 400
    assert held["ts"].min() > pd.Timestamp(spec.trained_to[:-6])
    reference = artifacts.reference(client, version)
    assert len(reference) == 2000
    assert reference["score"].notna().sum() == 400
    profile = Profile.loads(artifacts.profile_text(client, version))
    assert {"tenure", "plan", "score", "prediction"} <= set(profile.columns)
    model = artifacts.load(client, version, config)
    assert model.how == "onnx"
    assert model.version == version
    output = model.predict(columns(held, spec))
    np.testing.assert_allclose(output.score, reference["score"].dropna().to_numpy(), atol=1e-9)
    files = {item.path for item in client.list_artifacts(training.best.run_id, "lifecycle")}
    assert {"lifecycle/card.md", "lifecycle/spec.json", "lifecycle/importance.json"} <= files
    report = json.loads(
        Path(
            client.download_artifacts(version.run_id, "lifecycle/compiled/report.json")
        ).read_text()
    )
    assert report["accepted"] is True


@pytest.mark.filterwarnings("ignore")
def test_plain_mlflow_answers_the_same_labels(config, churn):
    dear = config.with_values(train__cost_false_positive=1.0, train__cost_false_negative=4.0)
    training = train(dear, churn, candidates=("decision_tree",))
    version = register(dear, training.best)
    client = connect(config)
    spec, held = artifacts.spec(client, version), artifacts.holdout(client, version)
    assert spec.threshold < 0.5
    ours = artifacts.load(client, version, config).predict(columns(held, spec)).prediction
    plain = mlflow.pyfunc.load_model(version.uri).predict(held[list(spec.feature_names)])
    assert plain.tolist() == ours.tolist()


def test_a_changed_model_file_is_not_loaded(config, churn):
    version = register(config, train(config, churn, candidates=FAST[:1]).best)
    client = connect(config)
    with artifacts.files(client, version) as folder:
        (folder / "model.skops").write_bytes(b"another model")
    with pytest.raises(DigestMismatch, match="not those that were registered"):
        artifacts.load(client, version, config)


def test_the_same_seed_gives_the_same_model(config, churn):
    scores = [train(config, churn, candidates=("random_forest",)).best.metrics for _ in range(2)]
    assert scores[0] == scores[1]


def test_polars_files_and_validation_rows(config, make_churn, tmp_path):
    rows, later = make_churn(800), make_churn(300, seed=1, start="2026-03-01")
    rows.to_parquet(tmp_path / "train.parquet", index=False)
    later.to_csv(tmp_path / "valid.csv", index=False)
    by_file = train(
        config, tmp_path / "train.parquet", candidates=FAST[:1], validation=tmp_path / "valid.csv"
    )
    by_frame = train(config, pl.from_pandas(rows), candidates=FAST[:1], validation=later)
    assert by_file.best.spec.split == "given"
    assert (by_file.best.spec.trained_rows, by_file.best.spec.holdout_rows) == (800, 300)
    assert by_file.best.metrics == by_frame.best.metrics
    assert str(tmp_path / "train.parquet") in by_file.best.spec.lineage.data_source


@pytest.mark.parametrize(
    ("target", "task", "figures"),
    [
        ("plan", "multiclass", ("roc_auc_ovr", "f1_macro", "accuracy")),
        ("tenure", "regression", ("rmse", "mae", "r2")),
    ],
)
def test_other_tasks(config, churn, target, task, figures):
    training = train(config.with_values(target=target), churn, candidates=("decision_tree",))
    assert training.best.spec.task == task
    assert training.metric == figures[0]
    assert set(figures) <= {item.name for item in training.best.metrics}
    assert register(config, training.best).version == 1


def test_bad_data_leaves_no_run(config, churn):
    for broken, message in (
        (churn.assign(churned=1), "always 1"),
        (churn.assign(ts="soon"), "does not parse"),
        (churn.drop(columns="churned"), "target column 'churned' is missing"),
    ):
        with pytest.raises(DataError, match=message):
            train(config, broken, candidates=FAST)
    with pytest.raises(ConfigError, match="did you mean 'decision_tree'"):
        train(config, churn, candidates=("decision_three",))
    with pytest.raises(ConfigError, match="unknown metric 'auc'"):
        train(config.with_values(train__metric="auc"), churn)
    assert runs_of(config)[1] == []


def test_when_all_fail_each_reason_is_told(config, churn):
    with pytest.raises(TrainingFailed, match=r"Fails: ValueError: no luck.*Fails-2: ValueError"):
        train(config, churn, candidates=(Fails(), Fails()))
    _, found = runs_of(config)
    assert {item.info.status for item in found} == {"FAILED"}
    with pytest.raises(TrainingFailed, match="was not trained: no luck"):
        register(config, Candidate("it", error="no luck"))


def test_own_functions_are_stored_only_as_allowed_pickles(config, churn):
    def halved(frame):
        return frame[["tenure"]] / 2.0

    own = make_pipeline(FunctionTransformer(halved), LogisticRegression())
    with pytest.raises(TrainingFailed, match=r"cannot be stored safely.*allow_pickle = true"):
        train(config, churn, candidates=(own,))
    trusting = config.with_values(models__allow_pickle=True)
    version = register(trusting, train(trusting, churn, candidates=(own,)).best)
    assert version.tags["lifecycle.compiled"].startswith("no: ")
    loaded = artifacts.load(connect(config), version, trusting)
    assert loaded.how == "sklearn"


def test_runs_of_a_dead_process_are_closed(config, churn):
    client = connect(config)
    experiment = experiment_id(client, config.experiment)
    program = "from lifecycle.stores.lineage import process; print(process())"
    dead = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    left = client.create_run(experiment, tags={"lifecycle.process": dead.stdout.strip()})
    foreign = client.create_run(experiment, tags={"lifecycle.process": "elsewhere:1:1"})
    train(config, churn, candidates=FAST[:1])
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(foreign.info.run_id).info.status == "RUNNING"


FULL = """
import resource, sys
sys.path.insert(0, {tests!r})
from conftest import churn_frame
from lifecycle.config import Config
from lifecycle.errors import LifecycleError
from lifecycle.stores.tracking import connect
from lifecycle.workflows.train import train
config = Config().with_values(name="churn", target="churned", time="ts")
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
connect(config)
frame = churn_frame(3000)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    train(config, frame, candidates=("random_forest",))
except LifecycleError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error(config):
    program = FULL.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLFLOW_TRACKING_URI": config.tracking_uri},
    )
    assert "cannot be stored: File too large" in done.stdout, done.stderr
    assert "nothing was registered" in done.stdout
    client, found = runs_of(config)
    assert {item.info.status for item in found} == {"FAILED"}
    assert list(client.search_registered_models()) == []


def test_a_file_in_the_place_of_the_artifact_folder_is_one_clear_error(config, churn, tmp_path):
    connect(config)
    (tmp_path / "mlruns").write_text("in the way")
    with pytest.raises(TrainingFailed, match="cannot be stored") as caught:
        train(config, churn, candidates=FAST[:1])
    assert "mlruns" in str(caught.value)


def test_evidence_is_read_back_or_refused(config):
    client = connect(config)
    run_id = client.create_run(experiment_id(client, "churn")).info.run_id
    digest, link = artifacts.evidence(client, run_id, "gate-1", {"passed": True, "value": 0.5})
    assert artifacts.read_evidence(client, link, digest) == {"passed": True, "value": 0.5}
    with pytest.raises(DataError, match="not what was stored"):
        artifacts.read_evidence(client, link, "0" * 64)


@pytest.mark.filterwarnings("ignore::Warning:optuna.*")
def test_a_tuned_candidate_is_tracked_with_what_was_found(config, make_churn):
    frame, name = make_churn(600), "decision_tree"
    plain = train(config, frame, candidates=(name,)).best
    tuned = train(config.with_values(train__tune=8), frame, candidates=(name, "dummy"))
    assert tuned.notes == ("dummy: no search space, not tuned",)
    client = connect(config)
    found = client.get_run(tuned.best.run_id).data.params
    chosen = tuned.best.estimator.named_steps["model"]
    keys = ("max_depth", "min_samples_leaf")
    assert [found[f"model__{key}"] for key in keys] == [str(getattr(chosen, key)) for key in keys]
    own = plain.estimator.named_steps["model"]
    assert [getattr(chosen, key) for key in keys] != [getattr(own, key) for key in keys]
    version = register(config.with_values(models__compile=False), tuned.best)
    assert f"max_depth={chosen.max_depth}" in artifacts.spec(client, version).estimator


def test_key_groups_and_parallel_candidates(config, churn):
    grouped = replace(config.with_values(train__jobs=2), time="")
    churn["customer_id"] = [f"c{at // 8}" for at in range(len(churn))]
    training = train(grouped, churn.drop(columns="ts"), candidates=(*FAST, Fails()))
    assert training.best.spec.split == "group"
    assert len(training.candidates) == 3
    assert training.candidates[-1].error
