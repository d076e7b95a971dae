"""The front door on a real registry: every method reaches its verb and gives its record."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import lifecycle as lc
from lifecycle.errors import ModelNotFound, TransitionRefused
from lifecycle.records import Evaluation, Feedback, Rollout, RolloutPlan, Scored, Status

Make = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def folder(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    (made / "mlflow.db").write_bytes(template_database.read_bytes())
    return made


@pytest.fixture(scope="module")
def project(folder: Path, make_churn: Make) -> lc.Project:
    """Version 1 serves, version 2 is its twin."""
    made = lc.Project(
        "churn", target="churned", time="ts", key="customer_id",
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}", log__dir=str(folder / "log"),
        models__compile=False, stages__order="new,staging,production,archived",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training = made.train(["logistic_regression"], make_churn(1200))
        for _ in range(2):
            made.register(training.best)
        made.promote(1, to="production", force=True, reason="the first")
    return made


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture
def live(make_churn: Make) -> pd.DataFrame:
    return make_churn(120, seed=5, start="2026-03-01")


def test_training_takes_candidates_and_rows_or_rows_alone(
    project: lc.Project, make_churn: Make
) -> None:
    frame, later = make_churn(200), make_churn(80, seed=1)
    named = project.train(["dummy"], frame, validation=later)
    assert [item.name for item in named.candidates] == ["dummy"]
    assert named.best.spec.holdout_rows == 80
    alone = lc.Project(config=project.config, train__candidates="dummy").train(frame)
    assert [item.name for item in alone.candidates] == ["dummy"]
    assert alone.best.spec.holdout_rows == 40


def test_a_registered_version_waits_in_the_first_stage(project: lc.Project) -> None:
    moved = project.history().entries
    assert [entry.to for entry in moved if entry.kind == "register"] == ["new", "new"]


@pytest.mark.parametrize("ref", [2, "churn/2", "models:/churn/2", lc.ModelRef("churn", 2)])
def test_a_version_may_be_named_in_any_way(project: lc.Project, live, ref: object) -> None:
    found = project.evaluate(ref, live)
    assert isinstance(found, Evaluation)
    assert (found.version, found.rows, found.difference) == (2, 120, None)


def test_evaluating_against_another_gives_the_difference(project: lc.Project, live) -> None:
    found = project.evaluate(2, live, against="churn@champion")
    assert found.difference.value == 0.0, "they are twins"
    assert found.difference.low <= 0.0 <= found.difference.high
    assert found.against


def test_the_gates_are_run_and_recorded(project: lc.Project) -> None:
    report = project.gate(2)
    assert (report.version, report.champion) == (2, 1)
    assert project.history().entries[-1].kind == "gate"


def test_scoring_answers_each_row_and_writes_where_it_is_told(
    project: lc.Project, live, tmp_path: Path
) -> None:
    rows = live.drop(columns="churned")
    frame = project.score(rows)
    assert len(frame) == 120
    assert frame["prediction_id"].is_unique
    assert set(frame["prediction"]) <= {0, 1}
    path = tmp_path / "out.parquet"
    done = project.score(rows, path, version=2)
    assert isinstance(done, Scored)
    assert (done.version, done.rows) == (2, 120)
    assert len(pd.read_parquet(path)) == 120


def test_late_labels_meet_their_predictions(project: lc.Project, make_churn: Make) -> None:
    rows = make_churn(60, seed=9, start="2026-04-01")
    answered = project.score(rows.drop(columns="churned"))
    labels = pd.DataFrame(
        {"prediction_id": answered["prediction_id"], "label": rows["churned"].to_numpy()}
    )
    told = project.feedback(labels)
    assert isinstance(told, Feedback)
    assert (told.accepted, told.repeated) == (60, 0)
    assert project.feedback(labels).repeated == 60
    checked = project.monitor(since="2026-04-01", until="2026-05-01")
    assert checked.performance.labelled_rows == 60


def test_a_check_of_a_table_writes_the_page_it_is_asked_for(
    project: lc.Project, live, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    report = project.monitor(live, html=page)
    assert (report.name, report.version) == ("churn", 1)
    assert report.html == str(page)
    assert page.stat().st_size > 10_000
    assert project.monitor(live).repeated


def test_status_is_one_row_of_this_model(project: lc.Project) -> None:
    row = project.status()
    assert isinstance(row, Status)
    assert (row.name, row.production.version, row.versions >= 2) == ("churn", 1, True)
    assert row.compiled.startswith("no")
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        lc.Project("chrun", config=project.config).status()


def test_retraining_rests_without_a_flag(project: lc.Project, live) -> None:
    done = project.retrain(live, if_flagged=True)
    assert (done.version, done.exit_code) == (None, 0)


def test_moves_are_made_and_undone(project: lc.Project) -> None:
    with pytest.raises(TransitionRefused, match="'new' cannot go to 'production'"):
        project.promote(2, to="production")
    with pytest.raises(TransitionRefused, match="needs a reason"):
        project.promote(2, to="production", force=True)
    new = project.promote(2, to="production", force=True, reason="a twin")
    assert (new.stage, new.aliases) == ("production", ("champion",))
    back = project.rollback(reason="it was a twin")
    assert (back.version, back.stage) == (1, "production")
    last = project.history().entries[-1]
    assert (last.kind, last.reason) == ("rollback", "it was a twin")


def test_a_version_is_tried_beside_the_champion(project: lc.Project) -> None:
    with pytest.raises(ModelNotFound, match="there never was a rollout"):
        project.rollout_step()
    asked = {"steps": [5, 100], "guards": ["errors"], "hold_back": 0, "max_hours": 2}
    made = project.rollout(2, **asked, force=True, reason="a twin")
    assert isinstance(made, Rollout)
    assert (made.shares, made.spec.hold_back, made.spec.max_seconds) == ((0.95, 0.05), 0.0, 7200.0)
    assert [arm.version for arm in made.spec.arms] == [1, 2]
    with pytest.raises(TransitionRefused, match="is open"):
        project.rollout(2, strategy="shadow")
    status = project.rollout_status()
    assert (status.rollout, status.look.action, status.exit_code) == (made, "wait", 0)
    look = project.rollout_look()
    assert (look.action, look.exit_code) == ("wait", 3)
    assert project.rollout_explain(rollout=made.seq).action == "wait"
    assert project.rollout_step(reason="by hand").shares == (0.0, 1.0)
    with pytest.raises(TransitionRefused, match="not held"):
        project.rollout_resume(reason="it was not held")
    ended = project.rollout_promote(force=True, reason="they are twins")
    assert (ended.status, project.status().production.version) == ("promoted", 2)
    project.rollback(reason="it was a twin")
    with pytest.raises(TransitionRefused, match="no rollout is open"):
        project.rollout_abort()


def test_the_settings_of_a_rollout_are_checked(project: lc.Project) -> None:
    with pytest.raises(lc.ConfigError, match="did you mean 'hold_back'"):
        project.rollout(2, hold_bck=0)
    with pytest.raises(lc.ConfigError, match="write a list of numbers"):
        project.rollout_plan(2, steps=[5, 100], margins=["a"])


def test_a_plan_moves_nothing(project: lc.Project) -> None:
    entries = len(project.history().entries)
    plan = project.rollout_plan(2, steps=[5, 100], guards=["errors"])
    assert isinstance(plan, RolloutPlan)
    assert plan.spec.steps == (0.05, 1.0)
    assert len(project.history().entries) == entries


def test_a_plain_version_is_adopted_with_the_projects_target(
    project: lc.Project, logged_model: Callable[..., str]
) -> None:
    from lifecycle.stores.tracking import connect

    client = connect(project.config)
    client.create_registered_model("plain")
    client.create_model_version("plain", logged_model(client))
    plain = lc.Project("plain", config=project.config, target="y", time="", key="")
    rows = pd.DataFrame({"x": range(100), "z": [1.0] * 100}).astype(float)
    made = plain.adopt(1, reference=rows.assign(y=rows["x"]))
    assert made.adopted
    assert made.stage == "new"
    assert plain.evaluate(made, rows.assign(y=rows["x"])).rows == 100
