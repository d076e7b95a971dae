"""Training: what is refused before it begins, how candidates are ranked, what a version keeps."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.drift import Profile
from lifecycle.errors import ConfigError, DataError, TrainingFailed
from lifecycle.models import specs
from lifecycle.models.inputs import columns
from lifecycle.records import Candidate, Metric, Training
from lifecycle.stores import artifacts
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.lineage import DIFFERENCE, LOCK, RECIPE, lineage
from lifecycle.stores.tracking import connect
from lifecycle.workflows.register import register
from lifecycle.workflows.track import HOLDOUT, PROFILE, REFERENCE, Job, explain
from lifecycle.workflows.train import _candidates, _origin_files, _ranked, gathered, train

Make = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def settings(folder: Path, template_database: Path) -> Config:
    """A registry of this module: trainings of it differ by name."""
    (folder / "mlflow.db").write_bytes(template_database.read_bytes())
    return Config().with_values(
        name="churn", target="churned", time="ts", key="customer_id",
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}", train__seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(settings: Config, folder: Path, make_churn: Make) -> Training:
    """A dummy, a logistic regression and one that is unknown to fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return train(settings, make_churn(900), candidates=["dummy", "logistic_regression"],
                     parent_version=4, cause="drift")  # fmt: skip


def test_the_best_comes_first_and_each_has_figures_and_a_run(
    settings: Config, done: Training
) -> None:
    assert [item.name for item in done.candidates] == ["logistic_regression", "dummy"]
    assert done.best is done.candidates[0]
    client = connect(settings)
    for item in done.candidates:
        run = client.get_run(item.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == done.run_id
        assert run.data.tags["lifecycle.candidate"] == item.name
        assert run.data.metrics["roc_auc"] == pytest.approx(item.spec.metric.value)
        assert item.spec.metric == item.metrics[0], "the metric that ranks comes first"
        assert item.fit_seconds > 0
    assert done.candidates[1].spec.metric.value == 0.5
    assert done.seconds >= done.extras_seconds > 0


def test_the_parent_run_keeps_the_headline_and_the_data(settings: Config, done: Training) -> None:
    run = connect(settings).get_run(done.run_id)
    assert run.data.params["best"] == "logistic_regression"
    assert run.data.params["split"] == "time"
    assert run.data.tags["lifecycle.name"] == "churn"
    (given,) = run.inputs.dataset_inputs
    assert json.loads(given.dataset.profile) == {"num_rows": 900}
    stored = Path(connect(settings).download_artifacts(done.run_id, "lifecycle"))
    assert all((stored / name).is_file() for name in (HOLDOUT, REFERENCE, PROFILE))


def test_the_specification_says_all_that_other_verbs_need(settings: Config, done: Training) -> None:
    spec = done.best.spec
    assert (spec.trained_rows, spec.holdout_rows) == (720, 180)
    assert (spec.trained_from, spec.trained_to) == (
        "2026-01-01T00:00:00+00:00", "2026-01-08T11:45:00+00:00",
    )  # fmt: skip
    assert spec.known_to == "2026-01-10T08:45:00+00:00", "the hold-out's rows were known as well"
    assert (spec.lineage.parent_version, spec.lineage.cause, spec.lineage.seed) == (4, "drift", 3)
    assert spec.data_run_id == done.run_id
    assert set(spec.feature_names) == {"tenure", "charges", "plan", "support_calls", "paperless"}
    assert [item.name for item in spec.features if not item.required] == ["charges"]
    assert artifacts.spec_of_run(connect(settings), done.best.run_id) == spec
    assert specs.loads(specs.dumps(spec)) == spec


def test_the_reference_has_scores_only_where_the_model_had_not_learned(
    settings: Config, done: Training
) -> None:
    client = connect(settings)
    stored = Path(client.download_artifacts(done.run_id, "lifecycle"))
    reference, held = (pd.read_parquet(stored / name) for name in (REFERENCE, HOLDOUT))
    assert reference["score"].notna().sum() == len(held) == 180
    assert reference.loc[reference["score"].notna(), "ts"].tolist() == held["ts"].tolist()
    assert "churned" not in reference
    assert "customer_id" not in reference
    profile = Profile.loads((stored / PROFILE).read_text(encoding="utf-8"))
    assert {"score", "prediction", "tenure"} <= set(profile.columns)
    assert profile.time == "ts"


def test_a_registered_candidate_is_one_version_with_all_its_tags(
    settings: Config, done: Training
) -> None:
    named = settings.with_values(stages__order="new,staging,production,archived")
    version = register(named, done.best)
    assert version.stage == "new", "the first of the configured stages"
    assert version.digest.startswith("sha256:")
    assert version.tags["lifecycle.spec_run"] == done.best.run_id
    assert version.tags["lifecycle.compiled"].startswith("sha256:")
    client = connect(settings)
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.to, entry.extra["digest"]) == ("register", "new", version.digest)
    held = artifacts.holdout(client, version)
    compiled = artifacts.load(client, version, settings)
    plain = artifacts.load(client, version, settings.with_values(models__compile=False))
    assert (compiled.how, plain.how) == ("onnx", "sklearn")
    given = columns(held, compiled.spec)
    np.testing.assert_allclose(
        compiled.predict(given).scores, plain.predict(given).scores, atol=1e-6
    )
    assert artifacts.compiled(client, version)[:1] == b"\x08", "an ONNX file"


def test_without_compiling_a_version_says_why(settings: Config, done: Training) -> None:
    version = register(settings.with_values(name="other", models__compile=False), done.best)
    assert version.tags["lifecycle.compiled"] == "no: [models] compile is false"
    assert version.ref == "other/1"


@pytest.mark.parametrize(
    "candidate", [Candidate("knn", error="ValueError: no rows"), Candidate("knn", run_id="r")]
)
def test_a_failed_candidate_is_not_registered(settings: Config, candidate: Candidate) -> None:
    with pytest.raises(TrainingFailed, match="'knn' was not trained"):
        register(settings, candidate)


def test_names_are_asked_for_before_anything_is_read(done: Training) -> None:
    with pytest.raises(ConfigError, match="no model name"):
        train(Config(), "no/such.parquet")
    with pytest.raises(ConfigError, match="no model name"):
        register(Config(), done.best)


def test_an_unknown_candidate_or_metric_trains_nothing(
    settings: Config, done: Training, make_churn: Make
) -> None:
    client, data = connect(settings), make_churn(200)
    experiment = client.get_experiment_by_name("churn").experiment_id
    before = len(client.search_runs([experiment]))
    with pytest.raises(ConfigError, match="logistic_regression"):
        train(settings, data, candidates=["logistic_regresion"])
    with pytest.raises(ConfigError, match="roc_auc"):
        train(settings.with_values(train__metric="roc_auk"), data)
    with pytest.raises(DataError, match="churned"):
        train(settings, data.drop(columns="churned"))
    assert len(client.search_runs([experiment])) == before
    assert done.run_id


def test_validation_rows_are_held_out_and_named(make_churn: Make, tmp_path: Path) -> None:
    config = Config().with_values(name="churn", target="churned")
    path = tmp_path / "later.parquet"
    make_churn(100, seed=1).to_parquet(path)
    table, rows, origin = gathered(config, make_churn(300), path)
    assert rows.how == "given"
    assert (rows.train.tolist(), rows.holdout.tolist()) == (
        list(range(300)), list(range(300, 400)),
    )  # fmt: skip
    assert origin.rows == len(table.frame) == 400
    assert origin.source == f"a frame + {path}"
    other = gathered(config, make_churn(300), make_churn(100, seed=2), where="rows of May")[2]
    assert other.source == "rows of May + the validation frame"
    assert other.digest != origin.digest


def test_the_difference_of_the_code_is_kept_unless_it_is_left_out(
    make_churn: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "a")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "a@b")
    Path("features.py").write_text("x = 1\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], check=True)
    Path("features.py").write_text("password = 'secret'\n")
    config = Config().with_values(name="churn", target="churned", time="ts", train__seed=5)
    make_churn(100).to_parquet("rows.parquet")
    table, rows, origin = gathered(config, "rows.parquet", optional=["tenure"])
    came = lineage(data_digest=origin.digest, data_rows=100, data_source="x", seed=5)
    assert came.code_dirty
    job = Job(config, None, "", "", table, rows, came, "roc_auc")
    kept = _origin_files(job, origin)
    assert "+password = 'secret'" in kept[DIFFERENCE]
    assert hashlib.sha256(kept[DIFFERENCE].encode()).hexdigest() == came.code_diff_digest
    out = replace(job, config=config.with_values(train__keep_diff=False))
    assert set(_origin_files(out, origin)) == {LOCK, RECIPE}
    recipe = json.loads(kept[RECIPE])
    assert recipe["data"] == str(tmp_path / "rows.parquet")
    assert (recipe["target"], recipe["time"], recipe["key"]) == ("churned", "ts", "")
    assert recipe["optional"] == ["tenure"]
    assert recipe["first"] < recipe["last"]
    assert recipe["train"]["seed"] == 5


def test_candidates_are_those_given_else_configured_else_built_in(make_churn: Make) -> None:
    config = Config().with_values(name="churn", target="churned")
    table = gathered(config, make_churn(100))[0]

    def chosen(config: Config, *given: str) -> list[str]:
        return [item.name for item in _candidates(config, table, given)[0]]

    named = config.with_values(train__candidates="random_forest")
    assert chosen(named, "dummy") == ["dummy"]
    assert chosen(named) == ["random_forest"]
    assert len(chosen(config)) == 3
    assert len(set(chosen(config, "dummy", "dummy"))) == 2, "twins have names of their own"
    assert _candidates(config, table, ())[1] == "roc_auc"
    assert _candidates(config.with_values(train__metric="f1"), table, ())[1] == "f1"


def candidate(name: str, value: float) -> tuple[Candidate, None]:
    return Candidate(name, "run", metrics=(Metric("rmse", value), Metric("roc_auc", value))), None


def test_ranking_follows_the_metric_and_puts_failures_last() -> None:
    failed = (Candidate("broken", error="ValueError: x"), None)
    all_of_them = [failed, candidate("a", 0.2), candidate("b", 0.9), candidate("c", 0.5)]
    assert [item.name for item, _ in _ranked(all_of_them, "roc_auc")] == ["b", "c", "a", "broken"]
    assert [item.name for item, _ in _ranked(all_of_them, "rmse")] == ["a", "c", "b", "broken"]
    with pytest.raises(TrainingFailed, match=r"broken: ValueError: x; other: no"):
        _ranked([failed, (Candidate("other", error="no"), None)], "rmse")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad\n   rows"), "ValueError: bad rows"),
        (DataError("column 'a' is odd", fix="look"), "column 'a' is odd. Next: look."),
        (RuntimeError("x" * 5000), "RuntimeError: " + "x" * 1000),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_a_failed_fit_is_told_in_one_line(error: Exception, said: str) -> None:
    assert explain(error) == said
