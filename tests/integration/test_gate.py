"""Gates on a real registry: verdict, evidence, ledger, tags; versions that are not ours."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DigestMismatch, ModelNotFound
from lifecycle.records import GateReport, ModelVersion, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.gate import gate
from lifecycle.workflows.promote import promote, report_of
from lifecycle.workflows.train import register, train

Make = Callable[..., pd.DataFrame]


def version_of(config: Config, frame: pd.DataFrame) -> ModelVersion:
    return register(config, train(config, frame, candidates=["logistic_regression"]).best)


def by_gate(report: GateReport) -> dict[str, Outcome]:
    return {item.gate: item.outcome for item in report.results}


def test_verdict_is_kept_with_its_evidence(config: Config, make_churn: Make) -> None:
    version = version_of(config, make_churn(1500))
    report = gate(config, version.ref)
    assert report.passed
    assert report.champion is None
    assert {item.partition(".")[0] for item in by_gate(report)} == set(config.gates.use)
    client = connect(config)
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version, entry.extra["outcome"]) == ("gate", 1, "pass")
    stored = artifacts.read_evidence(client, entry.evidence_link, entry.evidence_digest)
    assert report_of(stored) == report
    tags = registry.find(client, version).tags
    assert tags["lifecycle.gate"] == "pass"
    assert tags["lifecycle.gate_digest"] == entry.evidence_digest


def test_shuffled_labels_are_refused_and_the_champion_stays(
    config: Config, make_churn: Make
) -> None:
    frame = make_churn(6000)
    good = version_of(config, frame)
    promote(config, good, to="staging")
    promote(config, good, to="production")
    labels = np.random.default_rng(1).permutation(frame["churned"].to_numpy())
    bad = version_of(config, frame.assign(churned=labels))
    report = gate(config, bad)
    assert report.exit_code == 2
    assert report.champion == good.version
    assert by_gate(report)["skill"] is Outcome.FAIL
    assert registry.find(connect(config), bad).tags["lifecycle.gate"] == "fail"
    assert registry.find(connect(config), "churn").version == good.version
    # every report stays: one entry and one file each
    again = gate(config, bad)
    entries = [item for item in Ledger(connect(config), "churn").entries() if item.kind == "gate"]
    links = [item.evidence_link for item in entries if item.version == bad.version]
    assert len(set(links)) == len(links) == 2
    assert again.exit_code == 2
    # the champion itself has no other champion to beat
    itself = gate(config, good)
    assert itself.passed
    assert "champion itself" in next(x.reason for x in itself.results if x.gate == "champion")


def test_champion_that_takes_other_columns_leaves_it_open(config: Config, make_churn: Make) -> None:
    frame = make_churn(1500)
    first = version_of(config, frame)
    promote(config, first, to="staging")
    promote(config, first, to="production")
    report = gate(config, version_of(config, frame.drop(columns="tenure")))
    outcomes = by_gate(report)
    assert outcomes["champion"] is Outcome.UNSURE
    assert outcomes["signature"] is Outcome.FAIL
    said = {item.gate: item.reason for item in report.results}
    assert "'tenure' is missing" in said["champion"]
    assert "'tenure' is gone" in said["signature"]


def test_broken_champion_leaves_it_open_and_broken_candidate_is_an_error(
    config: Config, make_churn: Make
) -> None:
    frame = make_churn(1500)
    first = version_of(config, frame)
    promote(config, first, to="staging")
    promote(config, first, to="production")
    second = version_of(config, frame)
    client = connect(config)
    with artifacts.files(client, first) as folder:
        for path in Path(folder).rglob("*.skops"):
            path.write_bytes(path.read_bytes() + b"x")
    assert by_gate(gate(config, second))["champion"] is Outcome.UNSURE
    with pytest.raises(DigestMismatch):
        gate(config, first)


def test_model_that_plain_mlflow_registered_is_told_what_is_missing(
    config: Config, make_churn: Make
) -> None:
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    connect(config)
    frame = make_churn(300)
    x = frame[["tenure"]]
    model = LogisticRegression().fit(x, frame["churned"])
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(x, model.predict(x)),
        pip_requirements=["scikit-learn"],
    )
    mlflow.register_model(info.model_uri, "churn")
    report = gate(config, "churn/1")
    assert report.exit_code == 3
    unsure = [item for item in report.results if item.outcome is Outcome.UNSURE]
    assert unsure
    assert all("lifecycle adopt" in item.reason for item in unsure)


def test_wrong_names_are_errors_and_nothing_is_recorded(config: Config, make_churn: Make) -> None:
    version = version_of(config, make_churn(500))
    before = Ledger(connect(config), "churn").entries()
    wrong = replace(config, gates=replace(config.gates, use=("floor", "latncy")))
    with pytest.raises(ConfigError, match="did you mean 'latency'"):
        gate(wrong, version)
    with pytest.raises(ModelNotFound):
        gate(config, "churn/99")
    with pytest.raises(ModelNotFound):
        gate(config, "nobody")
    assert Ledger(connect(config), "churn").entries() == before
