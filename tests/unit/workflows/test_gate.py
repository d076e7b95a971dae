"""The gates on a real version: what they are given, what is kept, and what an open verdict says."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, ModelNotFound
from lifecycle.gates import GateInput
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, GateResult, ModelSpec, ModelVersion, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.gate import _report, _summary, gate
from lifecycle.workflows.gathering import _answer, gather
from lifecycle.workflows.promote import read_report

SPEC = ModelSpec(1, "regression", (Column("x", "double"),))


def test_a_verdict_is_kept_where_the_ledger_says(serving, client, second):
    report = gate(serving, second)
    assert (report.name, report.version, report.champion) == ("churn", 2, 1)
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version) == ("gate", 2)
    assert entry.extra == {"outcome": str(report.outcome), "champion": 1}
    kept = artifacts.read_evidence(client, entry.evidence_link, entry.evidence_digest)
    assert kept == report.to_dict()
    assert read_report(client, second, entry) == report
    tags = client.get_model_version("churn", "2").tags
    assert tags["lifecycle.gate"] == str(report.outcome)
    assert tags["lifecycle.gate_digest"] == entry.evidence_digest
    again = gate(serving, second)
    assert len([item for item in Ledger(client, "churn").entries() if item.kind == "gate"]) == 2
    assert again.created > report.created


def test_candidate_and_champion_answer_the_same_rows(serving, client, second):
    given, rival = gather(serving, client, second)
    assert isinstance(given, GateInput)
    assert rival.version == 1
    assert len(given.output.prediction) == len(given.holdout) == 240
    np.testing.assert_array_equal(given.output.scores, given.champion_output.scores)
    assert (given.problem, given.champion_problem, given.alone) == ("", "", "")
    alone, none = gather(serving, client, registry.find(client, "churn/1"))
    assert none is None
    assert alone.alone == "it is the champion itself"
    assert alone.champion is None


def test_a_column_of_weights_counts_in_the_gates(serving, client, second):
    weighted = serving.with_values(train__weight="tenure")
    given, _ = gather(weighted, client, second)
    np.testing.assert_array_equal(given.weights, given.holdout["tenure"])
    assert gather(serving, client, second)[0].weights is None


def test_an_unknown_gate_records_nothing(serving, client, second):
    before = Ledger(client, "churn").entries()
    with pytest.raises(ConfigError, match="flor"):
        gate(serving.with_values(gates__use="flor"), second)
    with pytest.raises(ModelNotFound, match="no version 9"):
        gate(serving, "churn/9")
    assert Ledger(client, "churn").entries() == before
    assert "lifecycle.gate" not in client.get_model_version("churn", "2").tags


def test_a_limit_that_is_missed_refuses(serving, second):
    strict = replace(serving, gates=replace(serving.gates, use=("floor",), floor={"roc_auc": 0.99}))
    report = gate(strict, second)
    assert report.exit_code == 2
    (missed,) = [item for item in report.results if item.outcome is Outcome.FAIL]
    assert missed.limit == 0.99
    assert missed.value < 0.99


def test_a_model_that_raises_is_a_problem_not_a_traceback(make_churn):
    def fails(_columns):
        raise ZeroDivisionError("by nothing")

    def refuses(_columns):
        raise DataError("column 'x' is odd", fix="look")

    rows = make_churn(5).rename(columns={"tenure": "x"})
    assert _answer(LoadedModel(SPEC, "sklearn", fails), rows) == (
        None, "ZeroDivisionError: by nothing",
    )  # fmt: skip
    assert _answer(LoadedModel(SPEC, "sklearn", refuses), rows)[1].startswith("column 'x' is odd")
    assert "x" in _answer(LoadedModel(SPEC, "sklearn", fails), rows.drop(columns="x"))[1]
    answer = Output(np.zeros(5), None)
    assert _answer(LoadedModel(SPEC, "sklearn", lambda _: answer), rows) == (answer, "")


def results(*outcomes: Outcome) -> tuple[GateResult, ...]:
    return tuple(GateResult(f"g{n}", item, f"why {n}") for n, item in enumerate(outcomes))


def test_a_report_is_signed_by_its_results_alone():
    version = ModelVersion("churn", 3)
    one = _report(version, None, results(Outcome.PASS))
    two = _report(ModelVersion("fraud", 9), version, results(Outcome.PASS))
    assert one.digest == two.digest
    assert one.digest != _report(version, None, results(Outcome.FAIL)).digest
    text = json.dumps([item.to_dict() for item in one.results], sort_keys=True,
                      separators=(",", ":"), ensure_ascii=False)  # fmt: skip
    assert one.digest == hashlib.sha256(text.encode()).hexdigest(), "anybody can check it"


def test_the_ledgers_line_names_what_is_open():
    version = ModelVersion("churn", 3)
    assert _summary(_report(version, None, results(Outcome.PASS, Outcome.PASS))) == (
        "all 2 checks passed"
    )
    mixed = results(Outcome.PASS, Outcome.FAIL, Outcome.UNSURE)
    assert _summary(_report(version, None, mixed)) == "g1: why 1; g2: why 2"
    many = results(*[Outcome.FAIL] * 400)
    assert len(_summary(_report(version, None, many))) == 1500


def test_a_version_of_plain_mlflow_is_unsure_and_says_how_to_go_on(
    config: Config, logged_model
) -> None:
    client = connect(config)
    client.create_registered_model("churn")
    client.create_model_version("churn", logged_model(client))
    report = gate(config, "churn/1")
    assert report.exit_code == 3
    assert any("adopt" in item.reason for item in report.results)
