"""What records say of themselves: verdicts, exit codes, addresses, and what they keep to them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import (
    EXIT_CODES,
    Candidate,
    Column,
    ColumnDrift,
    Decision,
    Diagnosis,
    DriftReport,
    Finding,
    GateReport,
    GateResult,
    Metric,
    ModelRef,
    ModelSpec,
    ModelVersion,
    MonitorReport,
    Outcome,
    Performance,
    Retraining,
    Training,
)

OUTCOMES = st.sampled_from(list(Outcome))
CALM = Decision(retrain=False, reasons=())


def drift(outcome: Outcome = Outcome.PASS, **columns: ColumnDrift) -> DriftReport:
    return DriftReport(outcome, columns, 100, 40)


def performance(outcome: Outcome) -> Performance:
    return Performance("roc_auc", 0.6, 0.5, 0.7, 0.8, 0.75, 0.85, 90, 10, outcome)


def gates(*outcomes: Outcome) -> GateReport:
    results = tuple(GateResult(f"g{n}", item, "why") for n, item in enumerate(outcomes))
    return GateReport("churn", 2, results)


@settings(max_examples=60)
@given(st.lists(OUTCOMES, max_size=6))
def test_a_gate_report_is_as_bad_as_its_worst_result(outcomes: list[Outcome]) -> None:
    report = gates(*outcomes)
    worst = [Outcome.FAIL, Outcome.UNSURE, Outcome.PASS]
    expected = next((item for item in worst if item in outcomes), Outcome.PASS)
    assert report.outcome is expected
    assert report.exit_code == EXIT_CODES[expected]
    assert report.passed is all(item is Outcome.PASS for item in outcomes)
    assert report.to_dict()["outcome"] == str(expected)
    assert report.to_dict()["passed"] is report.passed
    assert gates(*reversed(outcomes)).outcome is expected, "the order of the checks is no matter"


@pytest.mark.parametrize(
    ("outcome", "code", "drifted"),
    [(Outcome.PASS, 0, False), (Outcome.FAIL, 2, True), (Outcome.UNSURE, 3, False)],
)
def test_a_drift_report_has_one_verdict(outcome: Outcome, code: int, drifted: bool) -> None:
    report = drift(outcome)
    assert (report.exit_code, report.drifted) == (code, drifted)
    assert report.to_dict()["drifted"] is drifted
    assert "draw" not in report.to_dict()


def test_a_drift_report_draws_its_page_only_when_it_is_asked() -> None:
    asked = []
    report = DriftReport(Outcome.PASS, {}, 1, 1, draw=lambda: asked.append(1) or "<html>")
    assert not asked
    assert report.evidently() == "<html>"
    assert report == DriftReport(Outcome.PASS, {}, 1, 1), "the page is no part of the value"


def test_pictures_of_a_column_are_not_printed() -> None:
    one = ColumnDrift("age", "numeric", True, Outcome.FAIL, reference={"bins": [1] * 1000})
    assert set(one.to_dict()).isdisjoint({"reference", "current"})
    assert "bins" not in repr(one)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_a_worse_model_is_harmed(outcome: Outcome) -> None:
    assert performance(outcome).harmed is (outcome is Outcome.FAIL)


def test_a_check_shows_what_it_is_made_of() -> None:
    moved = ColumnDrift("age", "numeric", True, Outcome.FAIL)
    call = Decision(retrain=True, reasons=("harm",))
    report = MonitorReport(
        "churn", 1, Outcome.FAIL, ("age moved",), call, drift(Outcome.FAIL, age=moved),
        performance(Outcome.FAIL),
    )  # fmt: skip
    assert (report.drifted, report.harmed, report.retrain) == (True, True, True)
    assert report.columns == {"age": moved}
    assert report.exit_code == 2
    tree = report.to_dict()
    assert (tree["drifted"], tree["harmed"], tree["retrain"]) == (True, True, True)
    assert tree["drift"]["columns"]["age"]["drifted"] is True


def test_a_check_without_labels_is_not_harmed() -> None:
    report = MonitorReport("churn", 1, Outcome.UNSURE, (), CALM, drift(Outcome.UNSURE))
    assert (report.harmed, report.retrain, report.exit_code) == (False, False, 3)


@pytest.mark.parametrize(
    ("retraining", "code"),
    [
        (Retraining("churn", CALM), 0),
        (Retraining("churn", CALM, report=gates(Outcome.PASS)), 0),
        (Retraining("churn", CALM, report=gates(Outcome.FAIL), refused="floor"), 2),
        (Retraining("churn", CALM, report=gates(Outcome.UNSURE), refused="few rows"), 3),
    ],
)
def test_a_refused_retraining_exits_as_its_gates(retraining: Retraining, code: int) -> None:
    assert retraining.exit_code == code


@given(st.lists(OUTCOMES, max_size=5))
def test_a_diagnosis_is_an_error_when_something_is_broken(outcomes: list[Outcome]) -> None:
    found = Diagnosis([Finding("disk", item, "") for item in outcomes])
    assert found.exit_code == (1 if Outcome.FAIL in outcomes else 0)


def test_a_training_is_led_by_its_best_and_keeps_estimators_to_itself() -> None:
    best = Candidate("a", "run", metrics=(Metric("auc", 0.9),), estimator=object())
    training = Training("churn", "run", "auc", (best, Candidate("b", error="ValueError: no")))
    assert training.best is best
    shown = training.to_dict()["candidates"]
    assert [item["name"] for item in shown] == ["a", "b"]
    assert all("estimator" not in item and "spec" not in item for item in shown)
    assert shown[1]["error"] == "ValueError: no"
    assert best == Candidate("a", "run", metrics=(Metric("auc", 0.9),))


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (Metric("auc", 0.81234), "auc 0.8123"),
        (Metric("auc", 0.8, 0.7, 0.9), "auc 0.8000 [0.7000, 0.9000]"),
        (Metric("auc", 0.8, low=0.7), "auc 0.8000"),  # half an interval is none
        (Metric("rmse", -1.0, -2.0, 0.0, higher_is_better=False), "rmse -1.0000 [-2.0000, 0.0000]"),
    ],
)
def test_a_metric_reads_with_its_interval(metric: Metric, text: str) -> None:
    assert str(metric) == text


def test_a_spec_without_its_primary_metric_does_not_invent_one() -> None:
    spec = ModelSpec(1, "binary", (Column("b", "double"), Column("a", "long")), primary_metric="f1")
    assert spec.feature_names == ("b", "a"), "in the order of training"
    with pytest.raises(StopIteration):
        _ = spec.metric


@settings(max_examples=40)
@given(
    st.from_regex(r"[^/@:\s][^/@:\n]{0,10}[^/@:\s]", fullmatch=True),
    st.integers(1, 10**6),
    st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True),
)
def test_every_spelling_of_a_version_is_read_back(name: str, number: int, alias: str) -> None:
    version = ModelVersion(name, number)
    for text in (version.ref, version.uri, f"  {version.ref} "):
        assert ModelRef.parse(text) == ModelRef(name, number)
    for text in (f"{name}@{alias}", f"models:/{name}@{alias}"):
        assert ModelRef.parse(text) == ModelRef(name, None, alias)
    assert ModelRef.parse(name) == ModelRef(name, None, "champion")
    assert str(ModelRef.parse(f"{name}@{alias}")) == f"{name}@{alias}"


def test_a_version_is_adopted_once_it_has_a_run_of_ours() -> None:
    assert not ModelVersion("churn", 1).adopted
    assert not ModelVersion("churn", 1, tags={"team": "risk"}).adopted
    ours = ModelVersion("churn", 1, tags={"lifecycle.spec_run": "r"})
    assert ours.adopted
    assert ours == ModelVersion("churn", 1), "tags change, the version stays the same"
