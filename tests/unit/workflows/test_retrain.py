"""What a retraining takes over from the champion, what it says of itself, and when it rests."""

from collections.abc import Callable

import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError
from lifecycle.records import (
    Column,
    Entry,
    GateReport,
    GateResult,
    Metric,
    ModelSpec,
    ModelVersion,
    Outcome,
)
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.retrain import (
    MOST_REASON,
    _candidates,
    _cause,
    _on_its_terms,
    _place,
    _quiet,
    _refusal,
    _rows,
    _spec,
    _why,
    bare,
    retrain,
)

Make = Callable[..., pd.DataFrame]
SPEC = ModelSpec(
    1, "binary", (Column("tenure", "double"), Column("plan", "string")), target="churned",
    time="ts", key="customer_id", classes=("no", "yes"), primary_metric="f1",
    metrics=(Metric("f1", 0.5),),
)  # fmt: skip
FLAG = Entry(7, "", "", "2026-04-01T12:30:59.000+00:00", "ada", "flag", version=1,
             reason="auc fell", evidence_link="runs:/r/e.json",
             extra={"retrain": True})  # fmt: skip


def test_the_champions_roles_win_over_the_configurations() -> None:
    mine = Config().with_values(name="churn", target="other", time="ts", task="regression")
    config, said = _on_its_terms(mine, SPEC, ("tenure", "plan", "ts"))
    assert (config.target, config.time, config.key) == ("churned", "ts", "customer_id")
    assert config.task == "binary"
    assert config.train.positive == "yes", "the same class stays the positive one"
    assert config.train.metric == "f1", "judged by the same figure"
    assert said == (
        "the champion's target is 'churned': 'other' of the configuration was not used",
        "the champion's task is binary: 'regression' was not used",
    )
    chosen = mine.with_values(train__metric="roc_auc")
    assert _on_its_terms(chosen, SPEC, ())[0].train.metric == "roc_auc"


def test_columns_that_the_champion_takes_must_be_there_and_others_are_left_out(
    make_churn: Make,
) -> None:
    config = Config().with_values(name="churn", target="churned")
    frame = make_churn(50)
    rows = _rows(config, frame, SPEC)
    assert set(rows.data.columns) == {"tenure", "plan", "churned"}
    assert "no time column" in rows.reason
    assert list(frame.columns) == list(make_churn(1).columns), "the user's frame is untouched"
    with pytest.raises(DataError, match="takes are missing: tenure, plan") as told:
        _rows(config, frame.drop(columns=["tenure", "plan"]), SPEC)
    assert told.value.where == "the data to retrain on"
    assert _rows(config, frame, None).data is frame


def test_rows_are_chosen_by_time_where_there_is_one(make_churn: Make) -> None:
    config = Config().with_values(name="churn", target="churned", time="ts", key="customer_id")
    frame = make_churn(400)
    rows = _rows(config, frame, SPEC)
    assert rows.reason.startswith("trained on")
    assert 0 < len(rows.data) <= 400
    assert {"ts", "customer_id"} <= set(rows.data.columns)


def test_paths_are_named_in_errors() -> None:
    assert _place("a/b.parquet") == "a/b.parquet"
    assert _place(pd.DataFrame()) == "the data to retrain on"


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Pipeline([("prepare", StandardScaler()), ("model", Ridge(alpha=2.0))]), Ridge(alpha=2.0)),
        (FrozenEstimator(Ridge(alpha=3.0)), Ridge(alpha=3.0)),
        (
            FixedThresholdClassifier(
                FrozenEstimator(
                    Pipeline([("prepare", StandardScaler()), ("model", LogisticRegression(C=5))])
                ),
                threshold=0.3,
            ),
            LogisticRegression(C=5),
        ),
        (
            Pipeline([("scale", StandardScaler()), ("model", Ridge())]),
            Pipeline([("scale", StandardScaler()), ("model", Ridge())]),
        ),
    ],
)
def test_what_was_tried_comes_out_of_what_was_made_of_it(estimator, expected) -> None:
    found = bare(estimator)
    assert repr(found) == repr(expected)
    assert not hasattr(found, "coef_")


def test_what_is_no_estimator_is_none() -> None:
    assert bare(None) is None
    assert bare("a text") is None


def test_the_reason_names_the_check_and_the_cause_its_evidence() -> None:
    assert _why(None) == ("it was asked for",)
    assert _cause(None) == "asked for"
    assert _why(FLAG) == ("the check of 2026-04-01T12:30 called for it: auc fell",)
    assert _cause(FLAG) == "ledger entry 7: auc fell runs:/r/e.json"
    long = Entry(8, "", "", "", "", "flag", reason="x" * 5000)
    assert len(_cause(long)) == MOST_REASON


def test_a_refusal_names_each_open_gate() -> None:
    results = (
        GateResult("floor", Outcome.PASS, "fine"),
        GateResult("champion", Outcome.FAIL, "worse by 0.1"),
        GateResult("latency", Outcome.UNSURE, "no rows"),
    )
    assert _refusal(GateReport("churn", 2, results)) == (
        "champion (fail): worse by 0.1; latency (not enough evidence): no rows"
    )


def test_without_a_flag_it_rests_and_says_why(config: Config, make_churn: Make) -> None:
    done = retrain(config, make_churn(10), if_flagged=True)
    assert (done.exit_code, done.version, done.training) == (0, None, None)
    assert done.decision.reasons == (_quiet("churn", None),)
    assert "no version of 'churn' is in production" in done.decision.reasons[0]
    assert "churn/3" in _quiet("churn", ModelVersion("churn", 3))
    with pytest.raises(ConfigError, match="no model name"):
        retrain(Config(), make_churn(10))


def test_the_champions_own_kind_is_tried_unless_others_are_named(serving: Config) -> None:
    client = connect(serving)
    champion = registry.find(client, "churn")
    (found,) = _candidates(serving, client, champion)
    assert isinstance(found, LogisticRegression)
    assert not hasattr(found, "coef_"), "it is not fitted"
    named = serving.with_values(train__candidates="dummy")
    assert _candidates(named, client, champion) == ()
    assert _candidates(serving, client, None) == ()
    assert _spec(client, champion).target == "churned"
    assert _spec(client, None) is None


def test_a_flag_is_answered_by_a_version_that_names_it(serving: Config, make_churn: Make) -> None:
    client = connect(serving)
    call = draft(
        kind="flag", version=1, reason="auc fell", extra={"retrain": True},
        evidence_digest="ab" * 32, evidence_link="runs:/r/lifecycle/evidence/check.json",
    )  # fmt: skip
    flag = Ledger(client, "churn").append(lambda _: call)
    named = serving.with_values(stages__order="new,staging,production,archived")
    done = retrain(named, make_churn(2000), if_flagged=True)
    assert done.version.ref == "churn/2"
    assert done.version.stage == "new", "the first of the configured stages"
    assert "auc fell" in done.decision.reasons[0]
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version, entry.extra["flag"]) == ("retrain", 2, flag.seq)
    assert entry.extra["outcome"] == str(done.report.outcome)
    spec = artifacts.spec(client, done.version)
    assert spec.lineage.cause.startswith(f"ledger entry {flag.seq}: auc fell")
    assert spec.lineage.parent_version == 1
    assert spec.lineage.cause_entry == flag.seq
    assert spec.lineage.cause_evidence == flag.evidence_digest == "ab" * 32
    assert spec.lineage.cause_link == flag.evidence_link
    assert (done.refused == "") is done.report.passed
    again = retrain(serving, make_churn(2000), if_flagged=True)
    assert again.version is None, "a flag is answered once"
