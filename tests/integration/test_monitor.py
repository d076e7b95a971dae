"""The check of a champion on a real registry: log, tables, labels, flags, and doing it twice."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import ModelVersion, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.promote import promote
from lifecycle.workflows.score import score
from lifecycle.workflows.train import register, train


@dataclass(frozen=True)
class Serving:
    config: Config
    version: ModelVersion

    @property
    def client(self):
        return connect(self.config)

    def flags(self):
        entries = Ledger(self.client, self.config.name).entries()
        return [entry for entry in entries if entry.kind == "flag"]

    def checks(self):
        experiment = self.client.get_experiment_by_name(f"{self.config.name}/monitoring")
        return self.client.search_runs([experiment.experiment_id]) if experiment else []


@pytest.fixture(scope="module")
def trained(template_database, tmp_path_factory, make_churn):
    """A registry with a champion, made once; tests copy the database and share the files."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(template_database, folder / "mlflow.db")
    config = Config().with_values(
        name="churn",
        target="churned",
        time="ts",
        key="customer_id",
        models__compile=False,
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}",
        log__dir=str(folder / "lifecycle-log"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training = train(config, make_churn(1500), candidates=["logistic_regression"])
        version = register(config, training.best)
        promote(config, version, to="production", force=True, reason="a test")
    return folder / "mlflow.db"


@pytest.fixture
def serving(config, trained, tmp_path):
    shutil.copy(trained, tmp_path / "mlflow.db")
    config = config.with_values(models__compile=False)
    return Serving(config, registry.find(connect(config), "churn"))


def moved(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    chance = np.random.default_rng(seed).random(len(frame)) < 0.5
    return frame.assign(charges=frame["charges"] + 40, churned=chance.astype(int))


def test_calm_rows_pass_and_are_recorded_once(serving, make_churn):
    calm = make_churn(800, seed=1, start="2026-02-01")
    score(serving.config, "churn", calm.drop(columns="churned"))
    report = monitor(serving.config)
    assert report.outcome is Outcome.PASS, report.reasons
    assert report.exit_code == 0
    assert {"prediction", "score", "charges"} <= set(report.columns)
    assert report.window[0].startswith("2026-02-01")
    assert not serving.flags()
    again = monitor(serving.config, since="2026-02-01")
    assert again.repeated
    assert again.run_id == report.run_id
    assert len(serving.checks()) == 1
    version = registry.find(serving.client, "churn")
    assert version.tags["lifecycle.drift"] == "pass"
    assert version.tags["lifecycle.last_check"]


def test_the_next_window_begins_where_the_last_one_ended(serving, make_churn):
    score(serving.config, "churn", make_churn(300, seed=1, start="2026-02-01"))
    monitor(serving.config)
    nothing = monitor(serving.config)
    assert nothing.outcome is Outcome.UNSURE
    assert "logged no predictions since" in nothing.reasons[0]
    score(serving.config, "churn", make_churn(200, seed=2, start="2026-03-01"))
    assert monitor(serving.config).drift.current_rows == 200


def test_moved_rows_are_flagged_with_evidence(serving, make_churn):
    live = moved(make_churn(600, seed=2, start="2026-03-01"))
    score(serving.config, "churn", live.drop(columns="churned"))
    told = feedback(serving.config, live[["customer_id", "ts", "churned"]])
    assert told.accepted == 600
    page = Path("report.html")
    report = monitor(serving.config, html=page)
    assert report.exit_code == 2
    assert next(iter(report.columns)) == "charges"
    assert report.columns["charges"].reason.startswith("charges is higher: median ")
    assert report.harmed
    assert report.retrain
    assert report.performance.labelled_rows == 600
    assert "charges is higher" in page.read_text(encoding="utf-8")
    (flag,) = serving.flags()
    assert flag.version == serving.version.version
    assert flag.extra["drifted"]
    assert flag.extra["harmed"]
    assert flag.extra["retrain"]
    assert flag.extra["window"] == list(report.window)
    verdict = artifacts.read_evidence(serving.client, flag.evidence_link, flag.evidence_digest)
    assert verdict["drift"]["columns"]["charges"]["drifted"]
    run = serving.client.get_run(report.run_id)
    assert run.data.metrics["charges/effect"] > 0.5
    files = {item.path for item in serving.client.list_artifacts(report.run_id, "lifecycle")}
    assert {"lifecycle/drift.png", "lifecycle/evidently.html"} <= files
    assert monitor(serving.config, since="2026-03-01").repeated
    assert len(serving.flags()) == 1


def test_late_labels_make_it_another_check(serving, make_churn):
    live = make_churn(300, seed=4, start="2026-03-01")
    score(serving.config, "churn", live.drop(columns="churned"))
    first = monitor(serving.config)
    assert first.performance is None
    feedback(serving.config, live[["customer_id", "ts", "churned"]])
    second = monitor(serving.config, since="2026-03-01")
    assert not second.repeated
    assert second.performance.outcome is Outcome.PASS
    assert second.run_id != first.run_id


def test_a_table_is_scored_and_its_target_are_labels(serving, make_churn):
    report = monitor(serving.config, make_churn(400, seed=5, start="2026-03-01"))
    assert report.outcome is Outcome.PASS, report.reasons
    assert report.performance.labelled_rows == 400
    assert "score" in report.columns
    some = monitor(serving.config, make_churn(400, seed=5, start="2026-03-01"), until="2026-03-02")
    assert some.drift.current_rows == 96


def test_a_table_without_a_feature_is_flagged_not_scored(serving, make_churn):
    report = monitor(serving.config, make_churn(200, seed=6).drop(columns=["tenure", "churned"]))
    assert report.drifted
    assert report.columns["tenure"].test == "schema"
    assert any("could not be scored" in reason for reason in report.reasons)
    assert "prediction" not in report.columns


def test_few_rows_are_not_enough(serving, make_churn):
    report = monitor(serving.config, make_churn(5, seed=7))
    assert report.outcome is Outcome.UNSURE
    assert report.exit_code == 3
    assert "at least 30" in report.reasons[0]


def test_nothing_logged_says_what_to_do(serving):
    report = monitor(serving.config)
    assert report.outcome is Outcome.UNSURE
    assert "score or serve with it first" in report.reasons[0]
    assert not report.run_id
    assert not serving.checks()


def test_no_champion_and_bad_windows_are_explained(serving, config):
    with pytest.raises(ModelNotFound):
        monitor(config.with_values(name="nobody"))
    with pytest.raises(DataError):
        monitor(serving.config, since="yesterday-ish")
    with pytest.raises(DataError, match="rows without a time"):
        monitor(serving.config, pd.DataFrame({"charges": [1.0]}), since="2026-01-01")


def test_a_report_that_cannot_be_written_is_an_error(serving, make_churn):
    with pytest.raises(DataError, match="cannot be written"):
        monitor(serving.config, make_churn(100, seed=8), html="no/such/folder/report.html")


def test_a_table_does_not_move_the_window_of_the_log(serving, make_churn):
    monitor(serving.config, make_churn(100, seed=3, start="2027-01-01"))
    monitor(serving.config, make_churn(100, seed=4).drop(columns="ts"))
    score(serving.config, "churn", make_churn(300, seed=1, start="2026-02-01"))
    assert monitor(serving.config).drift.current_rows == 300


@pytest.mark.slow
def test_two_calls_at_once_check_each_window_once(serving, make_churn):
    live = make_churn(288, seed=1, start="2025-03-03").drop(columns="churned")
    score(serving.config, "churn", live)
    log = {"LIFECYCLE_LOG_DIR": serving.config.log.dir}
    command = [sys.executable, "-m", "lifecycle", "monitor", "churn", "--every", "1d", "--json"]
    both = [
        subprocess.Popen(
            [*command, "--until", "2025-03-06"], env=os.environ | log, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [json.loads(process.communicate()[0]) for process in both]
    ends = [run.data.tags["lifecycle.window_end"][:10] for run in serving.checks()]
    assert sorted(ends) == ["2025-03-04", "2025-03-05", "2025-03-06"]
    first = max(said, key=lambda item: len(item.get("earlier", ())))
    assert len(first["earlier"]) == 2
    second = said[1 - said.index(first)]
    late = second.get("error", {}).get("what", "").startswith("another check of churn is running")
    assert late or second["waiting"]
