import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.errors import ModelNotFound
from lifecycle.records import (
    DriftReport,
    Entry,
    GateReport,
    GateResult,
    Metric,
    ModelRef,
    ModelSpec,
    ModelVersion,
    Outcome,
    plain,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("churn", ModelRef("churn", None, "champion")),
        ("churn/7", ModelRef("churn", 7)),
        ("churn@staging", ModelRef("churn", None, "staging")),
        ("models:/churn@champion", ModelRef("churn", None, "champion")),
        ("models:/my model.v2/12", ModelRef("my model.v2", 12)),
    ],
)
def test_references_follow_mlflows_grammar(text: str, expected: ModelRef):
    assert ModelRef.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a@", "a/b", "a@b@c", "runs:/x/model", "models:/", "a/1@b"])
def test_what_is_no_reference_is_refused_with_the_grammar(text: str):
    with pytest.raises(ModelNotFound, match="NAME/VERSION"):
        ModelRef.parse(text)


@given(st.from_regex(r"[A-Za-z][\w .-]{0,20}[a-z]", fullmatch=True), st.integers(1, 9999))
def test_a_reference_reads_back_what_it_writes(name: str, version: int):
    assert ModelRef.parse(str(ModelRef(name, version))) == ModelRef(name, version)


@pytest.mark.parametrize(
    ("outcomes", "verdict", "code"),
    [
        ([], Outcome.PASS, 0),
        ([Outcome.PASS], Outcome.PASS, 0),
        ([Outcome.PASS, Outcome.UNSURE], Outcome.UNSURE, 3),
        ([Outcome.UNSURE, Outcome.FAIL, Outcome.PASS], Outcome.FAIL, 2),
    ],
)
def test_a_report_fails_before_it_is_unsure(outcomes: list[Outcome], verdict, code):
    report = GateReport("churn", 1, tuple(GateResult("g", o, "r") for o in outcomes))
    assert (report.outcome, report.exit_code) == (verdict, code)
    assert report.passed is (verdict is Outcome.PASS)


def test_to_dict_is_json_even_with_odd_values():
    version = ModelVersion("churn", 2, tags={"lifecycle.spec_run": "r"})
    assert version.adopted
    assert "tags" not in version.to_dict()
    assert json.loads(json.dumps(version.to_dict()))["uri"] == "models:/churn/2"
    assert plain({"t": datetime(2026, 1, 1, tzinfo=UTC), "n": float("nan"), "s": {1}}) == {
        "t": "2026-01-01T00:00:00+00:00",
        "n": None,
        "s": [1],
    }


def test_a_spec_knows_its_metric_and_features():
    spec = ModelSpec(1, "binary", (), primary_metric="auc", metrics=(Metric("auc", 0.8, 0.7, 0.9),))
    assert spec.metric.value == 0.8
    assert spec.feature_names == ()
    assert str(spec.metric) == "auc 0.8000 [0.7000, 0.9000]"


def test_a_report_without_its_data_says_so():
    report = DriftReport(Outcome.PASS, {}, 10, 10)
    with pytest.raises(ModelNotFound, match="compare again"):
        report.evidently()


def test_an_entry_shows_its_digest():
    entry = Entry(1, "0" * 64, "id", "2026-01-01", "ada", "register", digest="abc")
    assert entry.to_dict()["digest"] == "abc"


def test_records_show_themselves_in_notebooks():
    assert "churn version 1 passed" in GateReport("churn", 1, ())._repr_html_()
