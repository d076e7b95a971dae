"""A version is trained again from what is recorded: the same answers, or what is not the same."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config
from lifecycle.errors import DataError, ModelRefused, TrainingFailed, TransitionRefused
from lifecycle.models import specs
from lifecycle.models.predicting import Output
from lifecycle.records import Metric, Outcome, Reproduction
from lifecycle.stores import artifacts, datasets, registry, runs
from lifecycle.stores.lineage import LOCK, RECIPE, environment
from lifecycle.stores.tracking import connect
from lifecycle.workflows.gate import gate
from lifecycle.workflows.register import register
from lifecycle.workflows.reproduce import difference, reproduce
from lifecycle.workflows.train import train


def own(folder: Path) -> Config:
    return Config().with_values(
        name="churn",
        target="churned",
        time="ts",
        key="customer_id",
        models__compile=False,
        train__seed=7,
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}",
        log__dir=str(folder / "log"),
    )


@pytest.fixture(scope="module")
def trained(template_database, tmp_path_factory, make_churn):
    """A registry with churn/1: a tree with a threshold, from a file."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(template_database, folder / "mlflow.db")
    config = own(folder).with_values(train__cost_false_positive=1.0, train__cost_false_negative=5.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_churn(400).to_parquet("rows.parquet")
        register(config, train(config, "rows.parquet", candidates=["decision_tree"]).best)
    return folder


@pytest.fixture
def config(trained, tmp_path, monkeypatch):
    """The registry in a folder of its own, and nothing of the training's settings."""
    shutil.copy(trained / "mlflow.db", tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    found = own(tmp_path)
    return found.with_values(target="another", time="", key="", train__seed=99)


def test_the_same_rows_and_seed_give_the_same_answers(config, capsys):
    found = reproduce(config, "churn/1")
    assert found.same, str(found)
    assert (found.name, found.version) == ("churn", 1)
    assert found.rows == 80
    assert found.changed_answers == 0
    assert found.largest_difference <= 1e-9
    assert [item.name for item in found.metrics] == [item.name for item in found.recorded]
    for now, before in zip(found.metrics, found.recorded, strict=True):
        assert now.value == pytest.approx(before.value, abs=1e-9)
    assert found.differs == ()
    assert found.exit_code == 0
    assert json.dumps(found.to_dict())
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_nothing_is_registered_or_logged(config):
    client = connect(config)
    experiments = [item.experiment_id for item in client.search_experiments()]
    before = len(client.search_runs(experiments))
    reproduce(config, "churn/1")
    assert len(client.search_runs(experiments)) == before
    assert len(registry.versions(client, "churn")) == 1


@pytest.mark.slow
def test_rows_that_came_as_a_frame_are_given_again(config, make_churn):
    undo = changed_run(config, RECIPE, lambda text: json.dumps(json.loads(text) | {"data": ""}))
    try:
        with pytest.raises(DataError, match="which cannot be read again") as told:
            reproduce(config, "churn/1")
        assert "--data" in told.value.fix
        more = make_churn(400).assign(more=1)
        assert reproduce(config, "churn/1", data=more).same, "other columns are left"
    finally:
        undo()


@pytest.mark.slow
def test_a_file_that_has_grown_or_moved_is_cut_to_what_was_there(config, make_churn):
    rows = make_churn(400)
    later = make_churn(30, seed=5, start="2027-01-01")
    earlier = make_churn(30, seed=6, start="2025-01-01")
    grown = pd.concat([earlier, rows, later], ignore_index=True)
    assert reproduce(config, "churn/1", data=grown).same
    pl.from_pandas(rows).write_parquet("moved.parquet")
    assert reproduce(config, "churn/1", data="moved.parquet").same


CHANGES = {
    "another value": (lambda rows: rows.assign(tenure=rows.tenure + 0.001), "other values"),
    "a row less": (lambda rows: rows.drop(index=7), "399 rows, recorded were 400"),
    "another type": (lambda rows: rows.assign(tenure=rows.tenure.astype("float32")), "other val"),
    "another order": (
        lambda rows: rows.assign(ts=rows.ts).iloc[[1, 0, *range(2, 400)]],
        "the same rows in another order",
    ),
    "another stretch of time": (
        lambda rows: rows.assign(ts=rows.ts + pd.Timedelta(9999, "D")),
        "no row is of 2026-01-01",
    ),
    "another target": (lambda rows: rows.assign(churned=1 - rows.churned), "other values"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_rows_are_refused_before_anything_is_trained(config, make_churn, change):
    changed, why = CHANGES[change]
    with pytest.raises(DataError, match=f"not those that the version was trained on: .*{why}"):
        reproduce(config, "churn/1", data=changed(make_churn(400)))


@pytest.mark.slow
def test_a_column_or_a_file_that_is_gone_is_one_clear_error(config, trained, make_churn):
    with pytest.raises(DataError, match=r"columns that the version was trained on .*tenure"):
        reproduce(config, "churn/1", data=make_churn(400).drop(columns="tenure"))
    (trained / "rows.parquet").rename(trained / "away.parquet")
    try:
        with pytest.raises(DataError, match="no such file"):
            reproduce(config, "churn/1")
    finally:
        (trained / "away.parquet").rename(trained / "rows.parquet")


def changed_run(config, name, content):
    """Another content of a file of the training's run; gives what undoes it."""
    client = connect(config)
    run_id = artifacts.spec(client, registry.find(client, "churn/1")).data_run_id
    path = artifacts.local(client.get_run(run_id).info.artifact_uri) / "lifecycle" / name
    before = path.read_text()
    path.write_text(content(before))
    artifacts._cached.cache_clear()
    return lambda: (path.write_text(before), artifacts._cached.cache_clear())


@pytest.mark.slow
def test_what_differs_about_the_place_is_told_and_refused_where_that_is_asked(config, monkeypatch):
    monkeypatch.setattr("lifecycle.workflows.reproduce.environment", lambda: "another")
    undo = changed_run(config, LOCK, lambda text: text.replace("\nnumpy==", "\nnumpy==0."))
    try:
        found = reproduce(config, "churn/1")
        assert found.same
        assert found.differs[0].startswith("environment: numpy 0.")
        with pytest.raises(TrainingFailed, match="not where churn/1 was trained: environment"):
            reproduce(config, "churn/1", strict=True)
    finally:
        undo()


@pytest.mark.slow
def test_a_repository_around_the_training_is_another_commit(config, tmp_path, monkeypatch):
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "a")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "a@b")
    for arguments in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    with pytest.raises(TrainingFailed, match=r"code: commit none is [0-9a-f]{12}"):
        reproduce(config, "churn/1", strict=True)


@pytest.mark.slow
def test_another_estimator_is_another_model(config):
    """Costs that are not those of the training move the threshold."""
    undo = changed_run(
        config, RECIPE, lambda text: text.replace('"cost_false_negative": 5.0',
                                                  '"cost_false_negative": 1.0')
    )  # fmt: skip
    try:
        found = reproduce(config, "churn/1")
    finally:
        undo()
    assert not found.same
    assert found.exit_code == 2
    assert found.changed_answers > 0
    assert any(item.value for item in found.metric_differences)
    assert "answers are others" in str(found)


@pytest.mark.slow
def test_a_version_without_a_recipe_says_why(config):
    client = connect(config)
    found = registry.find(client, "churn/1")
    run_id = client.create_run(client.get_run(found.run_id).info.experiment_id).info.run_id
    text = specs.dumps(replace(artifacts.spec(client, found), data_run_id=run_id))
    runs.log_files(client, run_id, {"spec.json": text})
    older = registry.register(
        client, "churn", model_uri=found.source, tags={artifacts.SPEC_RUN: run_id}
    )
    with pytest.raises(TransitionRefused, match="how the version was trained is not recorded"):
        reproduce(config, older)


@pytest.mark.slow
def test_files_that_were_changed_are_not_trained_from(config):
    client = connect(config)
    with artifacts.files(client, registry.find(client, "churn/1")) as folder:
        path = folder / "model.skops"
        before = path.read_bytes()
        path.write_bytes(before[:-1] + b"x")
        try:
            with pytest.raises(ModelRefused, match="not those that were registered"):
                reproduce(config, "churn/1")
        finally:
            path.write_bytes(before)


def test_the_record_of_a_training_is_whole(config):
    client = connect(config)
    spec = artifacts.spec(client, registry.find(client, "churn/1"))
    recipe = json.loads(artifacts.run_file(client, spec.data_run_id, RECIPE))
    assert Path(recipe["data"]).is_absolute()
    assert recipe["columns"][:2] == ["customer_id", "ts"]
    assert recipe["train"]["seed"] == 7
    assert spec.lineage.environment_digest == environment()
    assert "numpy==" in artifacts.run_file(client, spec.data_run_id, LOCK).decode()
    assert spec.lineage.seeds["[train] seed"] == "7"
    assert spec.lineage.seeds["model__random_state"] == "7"
    (given_,) = client.get_run(spec.data_run_id).inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in given_.tags}
    assert tags["lifecycle.data_digest"] == spec.lineage.data_digest
    assert tags["lifecycle.data_unordered"] == spec.lineage.data_unordered
    rows = datasets.read(recipe["data"])
    assert datasets.unordered_digest(rows[::-1]) == spec.lineage.data_unordered


# rules ------------------------------------------------------------------------------------------


def test_differences_are_those_of_scores_or_numbers():
    low, high = np.array([[0.4, 0.6]]), np.array([[0.1, 0.9]])
    label = np.array(["yes"])
    assert difference(Output(label, low), Output(label, high), regression=False) == pytest.approx(
        0.3
    )
    assert difference(Output(label), Output(np.array(["no"])), regression=False) == 0.0
    assert difference(Output(label, low), Output(label), regression=False) == float("inf")
    assert difference(Output(label, low), Output(label, low[:, :1]), regression=False) == float(
        "inf"
    )
    zeros = Output(np.zeros(2))
    assert difference(zeros, Output(np.array([0.0, 0.5])), regression=True) == 0.5
    gap = Output(np.array([1.0, np.nan]))
    assert difference(gap, gap, regression=True) == 0.0
    assert difference(gap, Output(np.array([1.0, 2.0])), regression=True) == float("inf")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), min_size=1, max_size=8),
    st.floats(0.5, 1e3),
)
def test_a_unit_does_not_change_the_difference_of_numbers(values, unit):
    one, two = np.array(values), np.array(values) + 1.0
    plain = difference(Output(one), Output(two), regression=True)
    scaled = difference(Output(one * unit), Output(two * unit), regression=True)
    if np.abs(one).max() > 0:
        assert scaled == pytest.approx(plain, rel=1e-6)


def test_a_reproduction_says_what_it_found_in_a_sentence():
    base = Reproduction("churn", 3, same=True, rows=1200)
    assert str(base) == "trained again, it gives the same 1,200 answers exactly"
    near = replace(base, largest_difference=2e-12, differs=("environment: numpy 1 is 2",))
    assert str(near).endswith("within 2.0e-12; environment: numpy 1 is 2")
    other = replace(
        base, same=False, changed_answers=7, largest_difference=0.25,
        metrics=(Metric("roc_auc", 0.8), Metric("new", 1.0)), recorded=(Metric("roc_auc", 0.9),),
    )  # fmt: skip
    assert "7 of 1,200 answers are others, by up to 0.25 (roc_auc -0.1000)" in str(other)
    assert [item.name for item in other.metric_differences] == ["roc_auc"]


# the gate ---------------------------------------------------------------------------------------


def verdict(config):
    report = gate(config.with_values(gates__use=("reproducible",)), "churn/1")
    (result,) = report.results
    return result


@pytest.mark.slow
def test_the_gate_passes_what_comes_out_again(config):
    result = verdict(config)
    assert (result.gate, result.outcome) == ("reproducible", Outcome.PASS)
    assert "the same 80 answers" in result.reason


@pytest.mark.slow
def test_the_gate_refuses_another_model_and_is_unsure_without_the_rows(config, trained):
    undo = changed_run(
        config, RECIPE, lambda text: text.replace('"cost_false_negative": 5.0',
                                                  '"cost_false_negative": 1.0')
    )  # fmt: skip
    try:
        assert verdict(config).outcome is Outcome.FAIL
    finally:
        undo()
    (trained / "rows.parquet").rename(trained / "away.parquet")
    try:
        result = verdict(config)
    finally:
        (trained / "away.parquet").rename(trained / "rows.parquet")
    assert result.outcome is Outcome.UNSURE
    assert "no such file" in result.reason


@pytest.mark.slow
def test_the_gate_is_off_unless_it_is_named(config):
    assert "reproducible" not in Config().gates.use
    report = gate(config.with_values(gates__use=("sanity",)), "churn/1")
    assert [item.gate for item in report.results] == ["sanity"]
