"""Retraining on a real registry: on the champion's terms, gated, recorded, or refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import DataError
from lifecycle.records import Column, ModelSpec, ModelVersion, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.promote import promote
from lifecycle.workflows.retrain import _on_its_terms, retrain
from lifecycle.workflows.train import register, train

Make = Callable[..., pd.DataFrame]


@pytest.fixture
def champion(config: Config, make_churn: Make) -> ModelVersion:
    """A version in production."""
    from sklearn.linear_model import LogisticRegression

    made = train(config, make_churn(2500), candidates=[LogisticRegression(C=0.5, max_iter=500)])
    version = register(config, made.best)
    promote(config, version, to="staging")
    return promote(config, version, to="production")


def flag(config: Config, version: int, *, call: bool = True) -> None:
    entry = draft(kind="flag", version=version, reason="harmed", extra={"retrain": call})
    Ledger(connect(config), "churn").append(lambda _entries: entry)


def test_inputs_that_may_be_null_stay_so(
    config: Config, make_churn: Make, champion: ModelVersion
) -> None:
    client = connect(config)
    may = [item.name for item in artifacts.spec(client, champion).features if not item.required]
    assert may == ["charges"]
    done = retrain(config, make_churn(5000).dropna())
    assert done.version is not None
    assert done.refused == "", done.report
    spec = artifacts.spec(client, done.version)
    assert [item.name for item in spec.features if not item.required] == may


def test_challenger_is_trained_on_the_champions_terms(
    config: Config, make_churn: Make, champion: ModelVersion
) -> None:
    unrelated = Config().with_values(
        name="churn", log__dir=config.log.dir, target="plan", key="tenure", task="multiclass"
    )  # and no time
    data = make_churn(5000).assign(extra=1.0, note=[f"n{row}" for row in range(5000)])
    done = retrain(unrelated, data)
    assert done.version is not None
    assert done.refused == "", done.report
    assert done.exit_code == 0
    assert done.version.aliases == ("challenger",)
    assert done.decision.retrain
    assert done.decision.reasons[0] == "it was asked for"
    assert done.decision.reasons[1:4] == (
        "the champion's target is 'churned': 'plan' of the configuration was not used",
        "the champion's key is 'customer_id': 'tenure' of the configuration was not used",
        "the champion's task is binary: 'multiclass' was not used",
    )
    assert "all rows" in done.decision.reasons[4]
    client = connect(config)
    spec, was = artifacts.spec(client, done.version), artifacts.spec(client, champion)
    assert (spec.target, spec.time, spec.key) == (was.target, was.time, was.key)
    assert spec.features == was.features
    assert spec.lineage.parent_version == champion.version
    assert spec.lineage.cause == "asked for"
    assert [item.name for item in done.training.candidates] == ["LogisticRegression"]
    loaded = artifacts.load(client, done.version, config.with_values(models__compile=False))
    assert loaded.estimator.named_steps["model"].C == 0.5
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version, entry.to) == ("retrain", 2, "challenger")
    assert entry.extra == {"outcome": "pass", "parent": 1, "flag": None}
    assert entry.evidence_digest
    assert registry.find(client, "churn").version == champion.version
    # a challenger that wins is challenger no more
    promote(config, done.version, to="staging")
    assert promote(config, done.version, to="production").aliases == ("champion",)


def test_flag_is_answered_once_and_only_for_the_champion_it_was_raised_for(
    config: Config, make_churn: Make, champion: ModelVersion
) -> None:
    data = make_churn(4000)
    quiet = retrain(config, data, if_flagged=True)
    assert not quiet.decision.retrain
    assert quiet.version is None
    assert quiet.exit_code == 0
    assert "no check of churn/1" in quiet.decision.reasons[0]
    flag(config, champion.version, call=False)
    flag(config, 77)
    assert not retrain(config, data, if_flagged=True).decision.retrain
    flag(config, champion.version)
    promoting = replace(config, retrain=replace(config.retrain, promote=True))
    done = retrain(promoting, data, if_flagged=True)
    assert done.version is not None
    assert done.refused == ""
    assert (done.version.stage, done.version.aliases) == ("production", ("champion",))
    assert "harmed" in done.decision.reasons[0]
    spec = artifacts.spec(connect(config), done.version)
    assert "harmed" in spec.lineage.cause
    assert not retrain(config, data, if_flagged=True).decision.retrain


def test_refused_retraining_is_recorded_and_changes_nothing(
    config: Config, make_churn: Make, champion: ModelVersion
) -> None:
    frame = make_churn(5000)
    labels = np.random.default_rng(0).permutation(frame["churned"].to_numpy())
    promoting = replace(config, retrain=replace(config.retrain, promote=True))
    done = retrain(promoting, frame.assign(churned=labels))
    assert done.exit_code == 2
    assert "skill (fail)" in done.refused
    assert done.version.aliases == ()
    assert done.version.stage == "none"
    client = connect(config)
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.to, entry.extra["outcome"]) == ("retrain", None, str(Outcome.FAIL))
    assert registry.find(client, "churn").version == champion.version


def test_roles_that_the_champion_lacks_are_the_configurations() -> None:
    spec = ModelSpec(1, "regression", (Column("x", "double"),), "y")
    config = Config().with_values(name="m", target="y", time="ts", key="x")
    known, said = _on_its_terms(config, spec, ("x", "y", "ts"))
    assert (known.target, known.time, known.key) == ("y", "ts", "")
    assert said == ("the champion has no key: 'x' of the configuration was not used",)
    assert _on_its_terms(config, spec, ("x", "y"))[0].time == ""
    assert _on_its_terms(config, None, ()) == (config, ())


@pytest.mark.usefixtures("champion")
def test_data_that_cannot_be_used_leave_the_flag_up(config: Config, make_churn: Make) -> None:
    flag(config, 1)
    with pytest.raises(DataError, match="tenure"):
        retrain(config, make_churn(500).drop(columns="tenure"), if_flagged=True)
    with pytest.raises(DataError):
        retrain(config, make_churn(500).assign(churned=1), if_flagged=True)
    entries = Ledger(connect(config), "churn").entries()
    assert entries[-1].kind == "flag"
    assert len(registry.versions(connect(config), "churn")) == 1


def test_first_training_needs_no_champion(config: Config, make_churn: Make) -> None:
    named = config.with_values(train__candidates="logistic_regression")
    done = retrain(named, make_churn(1500))
    assert done.version is not None
    assert done.version.version == 1
    assert artifacts.spec(connect(config), done.version).lineage.parent_version is None
