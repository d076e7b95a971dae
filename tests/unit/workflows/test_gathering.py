"""What the gates are given of the log, the files and MLflow's thresholds, on a real version."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, LogError
from lifecycle.gates import run
from lifecycle.models.inputs import columns
from lifecycle.records import GateReport, ModelVersion, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.stores.tracking import connect
from lifecycle.workflows.gate import gate
from lifecycle.workflows.gathering import gather, newest

Make = Callable[..., pd.DataFrame]
DAY = 86_400_000_000  # microseconds


@pytest.fixture
def log(serving, client) -> Iterator[Callable[..., None]]:
    """Log rows as a version's answers to them."""
    model = artifacts.load(client, registry.find(client, "churn/1"), serving)
    with PredictionWriter.of(serving.log) as writer:

        def logged(frame: pd.DataFrame, version: int = 1, *, day: int = 20_500) -> None:
            inputs = columns(frame, model.spec)
            answer = model.predict(inputs)
            ids = [f"{version}-{day}-{len(frame)}.{row}" for row in range(len(frame))]
            writer.append(
                "churn",
                version,
                ids,
                time=day * DAY,
                features=inputs,
                prediction=answer.prediction,
                score=answer.score,
            )

        yield logged


def rows_of(found) -> int:
    return 0 if found is None else found.height


def test_newest_requests_are_read_day_by_day(serving, log, make_churn) -> None:
    for day, rows in ((20_000, 40), (20_400, 30), (20_401, 20)):
        log(make_churn(rows, seed=day), day=day)
    assert rows_of(newest(serving.log, "churn")) == 90
    assert rows_of(newest(serving.log, "churn", most=15)) == 15
    assert rows_of(newest(serving.log, "churn", most=45)) == 45
    assert rows_of(newest(serving.log, "churn", version=2)) == 0
    assert rows_of(newest(serving.log, "nobody")) == 0
    last = newest(serving.log, "churn", most=20)
    assert last["time"].dt.epoch("d").unique().to_list() == [20_401]


def test_sealed_and_unsealed_days_are_one_log(serving, make_churn, client) -> None:
    model = artifacts.load(client, registry.find(client, "churn/1"), serving)
    frame = make_churn(30)
    inputs = columns(frame, model.spec)
    for day in range(20_100, 20_110):
        with PredictionWriter.of(serving.log) as writer:
            answer = model.predict(inputs).prediction
            ids = [f"{day}.{row}" for row in range(30)]
            writer.append(
                "churn", 1, ids, time=day * DAY, features=inputs, prediction=answer
            )  # fmt: skip
    assert rows_of(newest(serving.log, "churn", most=100)) == 100
    assert rows_of(newest(serving.log, "churn", most=1000)) == 300


def test_traffic_is_the_champions_where_it_has_enough(
    serving, client, second, log, make_churn
) -> None:
    assert gather(serving, client, second)[0].traffic is None
    log(make_churn(10, seed=0), version=1)
    log(make_churn(50, seed=2), version=2)
    assert len(gather(serving, client, second)[0].traffic.rows) == 60, "too few of its own"
    log(make_churn(50, seed=1), version=1)
    given, _ = gather(serving, client, second)
    assert len(given.traffic.rows) == 60
    assert given.traffic.known == set(given.champion.spec.feature_names)
    assert len(given.traffic.own) == len(given.traffic.answers.prediction) == 50
    assert given.traffic.answers.scores.shape == (50, 2)
    itself, _ = gather(serving, client, registry.find(client, "churn/1"))
    assert len(itself.traffic.rows) == 110
    assert itself.traffic.known is None


def test_same_kind_of_traffic_passes_and_own_answers_are_the_same(
    serving, client, second, log, make_churn
) -> None:
    log(make_churn(200, seed=3, start="2026-05-01"), version=2)
    results = run(["traffic"], gather(serving, client, second)[0])
    assert [item.gate for item in results] == [
        "traffic.columns",
        "traffic.units",
        "traffic.answers",
    ]
    assert [item.reason for item in results if item.outcome is not Outcome.PASS] == []


def test_another_unit_in_the_log_refuses_the_version(
    serving, client, second, log, make_churn
) -> None:
    frame = make_churn(200, seed=4)
    log(frame.assign(charges=frame.charges * 100.0), version=1)
    report = gate(serving.with_values(gates__use="traffic"), second)
    refused = [item for item in report.results if item.outcome is Outcome.FAIL]
    assert [item.gate for item in refused] == ["traffic.units"]
    assert "'charges': a factor of 100" in refused[0].reason
    entry = Ledger(client, "churn").entries()[-1]
    assert entry.reason.startswith("traffic.units: 'charges'")


def test_hidden_features_are_named_and_nothing_is_asked_again(
    serving, client, second, log, make_churn
) -> None:
    log(make_churn(60, seed=5), version=2)
    masked = serving.with_values(log__hash="plan", log__drop="tenure")
    traffic = gather(masked, client, second)[0].traffic
    assert traffic.hidden == {"plan", "tenure"}
    assert traffic.own is None


def test_damaged_log_is_an_error_that_names_the_file(serving, client, second) -> None:
    folder = Path(serving.log.dir) / "model=churn" / "date=2026-02-01"
    folder.mkdir(parents=True)
    (folder / "rows-1.parquet").write_bytes(b"no parquet")
    with pytest.raises(LogError, match=r"rows-1\.parquet"):
        gather(serving, client, second)


def test_files_are_counted_and_their_format_named(serving, client, second) -> None:
    given, _ = gather(serving, client, second)
    assert len(given.reference) == 1200
    assert set(given.spec.feature_names) <= set(given.reference.columns)
    found = given.files
    assert found.format == "skops"
    assert found.sizes["MLmodel"] > 100
    assert sum(found.sizes.values()) > 1000
    assert (found.risks, found.refused) == ((), "")
    strict = serving.with_values(gates__use="size,files", gates__size_mb=0.0001)
    report = gate(strict, second)
    assert {item.gate: item.outcome for item in report.results} == {
        "size": Outcome.FAIL,
        "files": Outcome.PASS,
    }


def pickled(config: Config, make_churn: Make) -> ModelVersion:
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    from lifecycle.stores.tracking import quiet

    client = connect(config)
    frame = make_churn(300)
    x = frame[["tenure", "charges"]].fillna(0.0)
    model = LogisticRegression().fit(x, frame["churned"])
    with quiet():
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(x, model.predict(x)),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
    mlflow.register_model(logged.model_uri, "churn")
    return registry.find(client, "churn/1")


@pytest.mark.slow
def test_pickle_gets_a_verdict_and_is_never_loaded(config: Config, make_churn: Make) -> None:
    version = pickled(config, make_churn)
    report = gate(config, version)
    said = {item.gate: item for item in report.results}
    assert report.exit_code == 2
    assert said["files"].outcome is Outcome.FAIL
    assert "pickle" in said["files"].reason
    assert "allow_pickle" in said["files"].reason
    allowed = config.with_values(models__allow_pickle=True, gates__use="files")
    (result,) = gate(allowed, version).results
    assert result.outcome is Outcome.PASS
    assert "although" in result.reason


def test_thresholds_of_mlflow_are_taken_as_they_are(serving, second) -> None:
    from mlflow.models import MetricThreshold

    from lifecycle import Project

    project = Project(config=serving.with_values(gates__use="sanity"))

    def asked(**fields: float) -> GateReport:
        return project.gate(
            second, thresholds={"roc_auc": MetricThreshold(**fields, greater_is_better=True)}
        )

    passed = asked(threshold=0.5)
    assert [item.gate for item in passed.results] == ["sanity", "thresholds.roc_auc"]
    assert passed.passed
    assert asked(threshold=0.999).exit_code == 2
    assert asked(min_absolute_change=0.01).exit_code == 2  # the champion's twin is no better
    with pytest.raises(ConfigError, match="MetricThreshold"):
        project.gate(second, thresholds={"roc_auc": 0.8})


def test_page_is_kept_beside_the_evidence(serving, client, second) -> None:
    gate(serving.with_values(gates__use="floor,champion"), second)
    link = Ledger(client, "churn").entries()[-1].evidence_link
    run_id, _, path = link.removeprefix("runs:/").partition("/")
    root = artifacts.local(client.get_run(run_id).info.artifact_uri)
    page = (root / path).with_suffix(".html").read_text()
    assert "churn version 2" in page
    assert "<svg" in page
