"""Past checks on a real registry: figures as the reports had them, pictures, and the command."""

import json
import re
import shutil
from pathlib import Path

import pytest

import lifecycle as lc
from lifecycle.stores.tracking import connect

NAME = "churn"


@pytest.fixture(scope="module")
def checked(template_database, tmp_path_factory, make_churn):
    """Three weeks of labelled traffic, each checked once: calm, moved, calm and of version 2."""
    folder = tmp_path_factory.mktemp("checked")
    shutil.copy(template_database, folder / "mlflow.db")
    project = lc.Project(
        NAME, target="churned", time="ts", key="customer_id", models__compile=False,
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}", log__dir=str(folder / "log"),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training = project.train(["logistic_regression"], make_churn(1500))
        for _ in range(2):
            project.register(training.best)
        project.promote(1, to="production", force=True, reason="the first")
        reports = []
        for week, start in enumerate(("2026-02-01", "2026-02-08", "2026-02-15")):
            if week == 2:
                project.promote(2, to="production", force=True, reason="a twin")
            live = make_churn(600, seed=week + 1, start=start)
            if week == 1:
                live["charges"] += 60
            project.score(live.drop(columns="churned"))
            project.feedback(live[["customer_id", "ts", "churned"]])
            reports.append(
                project.monitor(since=start, until=f"{start[:8]}{int(start[8:]) + 7:02}")
            )
    return folder, project, reports


@pytest.fixture
def project(checked, monkeypatch):
    folder, project, _ = checked
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    return project


def test_three_checks_come_in_order_with_the_figures_of_their_reports(project, checked):
    reports = checked[2]
    found = project.checks()
    assert [one.run_id for one in found] == [report.run_id for report in reports]
    assert [one.version for one in found] == [1, 1, 2]
    for one, report in zip(found, reports, strict=True):
        assert one.outcome is report.outcome
        assert one.window == report.window
        assert one.rows == report.drift.current_rows
        moved = [name for name, column in report.columns.items() if column.drifted]
        assert list(one.drifted_columns) == moved
        known = {n: c.effect for n, c in report.columns.items() if c.effect is not None}
        assert one.effects == {n: pytest.approx(e, abs=1e-4) for n, e in known.items()}
        seen = report.performance
        assert (one.metric, one.value, one.low, one.high) == (
            seen.metric, seen.value, seen.low, seen.high,
        )  # fmt: skip
        assert (one.expected, one.harmed) == (seen.expected, report.harmed)
        assert one.retrain is report.retrain
    assert found[1].drifted_columns[0] == "charges"


def test_figures_are_the_runs_own(project):
    client = connect(project.config)
    for one in project.checks():
        run = client.get_run(one.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.metrics[f"live_{one.metric}"] == one.value
        assert run.data.metrics[f"expected_{one.metric}"] == one.expected
        assert run.data.metrics["charges/effect"] == pytest.approx(one.effects["charges"], abs=1e-4)


def test_each_run_has_its_pictures(project):
    client = connect(project.config)
    for number, one in enumerate(project.checks(), start=1):
        files = {item.path for item in client.list_artifacts(one.run_id, "lifecycle")}
        wanted = {"lifecycle/drift.png", "lifecycle/timeline.png", "lifecycle/report.html"}
        assert wanted <= files
        page = Path(client.download_artifacts(one.run_id, "lifecycle/report.html")).read_text(
            encoding="utf-8"
        )
        assert f"the last {number} check" in page
        assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)", page)


def test_doing_it_twice_adds_nothing(project):
    assert project.monitor(since="2026-02-15", until="2026-02-22").repeated
    assert len(project.checks()) == 3


def test_a_notebook_shows_the_timelines(project):
    page = project.checks()._repr_html_()
    assert page.count("<svg") == 2
    assert "churn: 3 checks, 1 found drift" in page
    assert len(project.checks().to_frame()) == 3


def test_a_version_may_be_named_in_any_way(project):
    assert [one.version for one in project.checks(version=2)] == [2]
    assert [one.version for one in project.checks(version="churn@champion")] == [2]
    with pytest.raises(lc.ModelNotFound):
        project.checks(version=9)


@pytest.mark.usefixtures("project")
def test_the_command(cli, tmp_path):
    code, told = cli("checks", NAME)
    assert code == 0
    assert [one["version"] for one in told["checks"]] == [1, 1, 2]
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    code, told = cli(
        "checks", NAME, "--since", "2026-02-09", "--version", "1",
        "--html", str(page), "--png", str(picture),
    )  # fmt: skip
    assert code == 0
    assert [one["drifted"] for one in told["checks"]] == [True]
    assert "prefers-color-scheme" in page.read_text(encoding="utf-8")
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_the_command_without_checks_or_model(new_world, cli):
    code, told = cli("checks", "nobody")
    assert code == 1
    assert "nobody" in json.dumps(told["error"])
    assert new_world.exists()


def test_no_checks_yet_says_what_to_do(in_world, cli):
    code, told = cli("checks", NAME)
    assert code == 1
    assert told["error"]["fix"] == "lifecycle monitor churn"
    assert in_world.exists()
