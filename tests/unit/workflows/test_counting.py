"""What of a rollout is counted by its guards, with the champion's own features and classes."""

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lifecycle.errors import ConfigError, LabelError
from lifecycle.records import Arm, ModelSpec, Rollout, RolloutSpec
from lifecycle.rollout.guards import parse
from lifecycle.stores import artifacts, ids, registry
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.workflows import counting
from lifecycle.workflows.counting import check_columns, guards_of, tallies_of, values_of
from lifecycle.workflows.erase import erase
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.live import from_log
from lifecycle.workflows.score import score

GUARDS = ("errors", "invalid", "label_error", "label_error:plan=pro")


@pytest.fixture
def champion(client):
    return registry.find(client, "churn/1")


def rollout(*guards, strategy="canary", began=None):
    other = "shadow" if strategy == "shadow" else "challenger"
    arms = (Arm("champion", 1, 0.0), Arm(other, 2, 0.0))
    steps = () if strategy == "shadow" else (0.5, 1.0)
    spec = RolloutSpec("churn", strategy, arms, steps=steps, guards=guards)
    began = datetime.now(UTC) if began is None else began
    return Rollout(spec, seq=9, started=began.isoformat())


def answer(config, arm, *, rows=1, model="churn", token="", prediction=None, **more):
    """One request in the configured log; its id."""
    now = time.time_ns() // 1000
    version = {"champion": 1, "batch": 1}.get(arm, 2)
    key = more.get("key")
    token = token or ids.issue(
        ids.secret(config.log.dir), model="churn", version=version, time=now, arm=arm, rows=rows,
        key=key,
    )  # fmt: skip
    given = {"time": now, "features": {"plan": np.array(["pro"] * rows, object)}} | more
    said = np.zeros(rows, int) if prediction is None else np.asarray(prediction)
    with PredictionWriter.of(config.log) as writer:
        writer.append(model, version, token, arm=arm, prediction=said, **given)
    return token


def table(found, guard):
    return {
        (item.arm, item.step): (item.units, item.events)
        for item in found.tallies
        if item.guard == guard and item.units
    }


def test_late_labels_reach_the_guards_and_nothing_else_changes_them(serving):
    now = rollout(*GUARDS)
    mine, theirs = answer(serving, "champion"), answer(serving, "challenger", prediction=[1])
    batch = answer(serving, "challenger", rows=2, prediction=[1, 0])
    asked = answer(serving, "asked", prediction=[1])
    before = tallies_of(serving, now)
    assert table(before, "label_error") == {}
    told = {mine: 0, theirs: 0, f"{batch}.0": 1, f"{batch}.1": 1, asked: 0}
    rows = [{"prediction_id": token, "label": label} for token, label in told.items()]
    feedback(serving, rows)
    found = tallies_of(serving, now)
    wanted = {("champion", 0): (1, 0), ("challenger", 0): (2, 2)}
    assert table(found, "label_error") == table(found, "label_error:plan=pro") == wanted
    assert table(found, "errors") == table(before, "errors")
    assert feedback(serving, rows).repeated == 5
    secret = ids.secret(serving.log.dir)
    forged = ids.issue(b"another secret of 32 bytes......", model="churn", version=2, time=0)
    foreign = ids.issue(secret, model="fraud", version=2, time=0)
    cut = theirs[:-4] + "AAAA"
    for wrong in (
        [{"prediction_id": theirs, "label": 1}],
        [{"prediction_id": forged, "label": 1}],
        [{"prediction_id": foreign, "label": 1}],
        [{"prediction_id": cut, "label": 1}],
        [{"prediction_id": f"{batch}.2", "label": 1}],
        [{"prediction_id": batch, "label": 1}],
        [{"prediction_id": answer(serving, "champion"), "label": 1},
         {"prediction_id": forged, "label": 1}],
    ):  # fmt: skip
        with pytest.raises(LabelError):
            feedback(serving, wrong)
    assert table(tallies_of(serving, now), "label_error") == wanted


def test_labels_of_ids_that_were_issued_and_never_logged_change_nothing(serving):
    now = rollout(*GUARDS)
    mine = answer(serving, "champion")
    feedback(serving, [{"prediction_id": mine, "label": 0}])
    lost = ids.issue(
        ids.secret(serving.log.dir), model="churn", version=2, time=0, arm="challenger"
    )
    feedback(serving, [{"prediction_id": lost, "label": 1}])
    assert table(tallies_of(serving, now), "label_error") == {("champion", 0): (1, 0)}


def test_labels_by_key_and_time_reach_all_arms_that_answered(serving):
    now = rollout(*GUARDS)
    at = datetime(2026, 2, 3, tzinfo=UTC)
    ticks = int(at.timestamp() * 1e6)
    answer(serving, "champion", key="ann", time=ticks)
    answer(serving, "challenger", key="bob", time=ticks, prediction=[1])
    label = {"customer_id": ["ann", "bob"], "ts": [at, at], "churned": [1, 1]}
    assert feedback(serving, pl.DataFrame(label)).accepted == 2
    assert table(tallies_of(serving, now), "label_error") == {
        ("champion", 0): (1, 1), ("challenger", 0): (1, 0),
    }  # fmt: skip


def test_classes_are_those_of_the_champion(serving):
    now = rollout("invalid")
    answer(serving, "challenger", prediction=[1])
    answer(serving, "challenger", prediction=[7])
    assert table(tallies_of(serving, now), "invalid") == {("challenger", 0): (2, 1)}


def test_with_the_registry_down_all_but_classes_is_counted(serving, tmp_path):
    now = rollout("errors", "invalid")
    answer(serving, "challenger", prediction=[7])
    gone = serving.with_values(tracking__uri=f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    found = tallies_of(gone, now)
    assert table(found, "errors") == {("challenger", 0): (1, 0)}
    assert table(found, "invalid") == {("challenger", 0): (1, 0)}


def test_batches_are_not_counted(serving, make_churn):
    now = rollout("errors")
    score(serving, "churn", make_churn(30, seed=1).drop(columns="churned"))
    answer(serving, "champion")
    found = tallies_of(serving, now)
    assert table(found, "errors") == {("champion", 0): (1, 0)}
    assert found.coverage["others"] == {"batch": 30}


def test_several_logs_are_one(serving, tmp_path):
    now = rollout("errors")
    answer(serving, "champion")
    other = serving.with_values(log__dir=str(tmp_path / "second"))
    answer(other, "challenger")
    both = [serving.log.dir, other.log.dir, serving.log.dir]
    assert table(tallies_of(serving, now, both), "errors") == {
        ("champion", 0): (1, 0), ("challenger", 0): (1, 0),
    }  # fmt: skip
    shutil.rmtree(other.log.dir)
    assert table(tallies_of(serving, now, both), "errors") == {("champion", 0): (1, 0)}


def test_pairs_of_a_shadow_are_counted_and_nobody_is_exposed(serving):
    now = rollout(strategy="shadow")
    for at in range(4):
        token = answer(serving, "champion", prediction=[0])
        if at < 3:
            answer(serving, "shadow", model="churn@shadow", token=token, prediction=[at % 2],
                   features={})  # fmt: skip
    feedback(serving, [{"prediction_id": token, "label": 1}])
    found = tallies_of(serving, now)
    differs = [item for item in found.tallies if (item.guard, item.arm) == ("differs", "shadow")]
    assert [(item.units, item.events) for item in differs] == [(3, 1)]
    assert found.exposed == {}
    assert (found.coverage["rows"], found.coverage["pairs"]) == (4, 3)
    assert found.coverage["labelled"] == {"shadow": 0.0}


def test_a_version_is_watched_by_its_own_rows_only(serving, client, champion):
    for _ in range(3):
        token = answer(serving, "champion", prediction=[0])
        answer(serving, "shadow", model="churn@shadow", token=token, prediction=[1], features={})
        answer(serving, "challenger", prediction=[1])
    spec = artifacts.spec(client, champion)
    live = from_log(serving, champion, spec, since=None, until=None)
    assert live.rows["prediction"].to_list() == [0, 0, 0]
    second = from_log(serving, replace(champion, version=2), spec, since=None, until=None)
    assert second.rows["prediction"].to_list() == [1, 1, 1]
    assert (
        from_log(serving, champion, spec, since=None, until=None, arm="champion").rows.height == 3
    )


def test_an_erased_person_is_in_no_tally_and_in_no_copy(serving):
    now = rollout(*GUARDS)
    token = answer(serving, "champion", key="ada l.")
    answer(serving, "shadow", model="churn@shadow", token=token, features={})
    answer(serving, "champion", key="bob")
    feedback(serving, [{"prediction_id": token, "label": 1}])
    done = erase(serving, key="ada l.", reason="asked for")
    assert (done.predictions, done.labels, done.copies) == (1, 1, 1)
    assert PredictionLog(serving.log.dir).read("churn@shadow").height == 0
    assert len(LabelStore(serving.log.dir).read("churn")) == 0
    found = tallies_of(serving, now)
    assert table(found, "errors") == {("champion", 0): (1, 0)}
    assert table(found, "label_error") == {}


# -- what may be watched ------------------------------------------------------------------------


def spec_of(task="binary", names=("plan", "age")):
    from lifecycle.records import Column

    return ModelSpec(1, task, tuple(Column(name, "string") for name in names))


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        ("errors:name=Ada", spec_of(), r"'name', which \[log\] drop keeps out"),
        ("errors:name", None, r"\[log\] drop keeps out"),
        ("latency:town=Turin<=5", spec_of(), r"'town', which \[log\] hash keeps out"),
        ("errors:plam=pro", spec_of(), "no feature; did you mean 'plan'"),
        ("errors:customer_id", spec_of(), "no feature"),
        ("label_error", spec_of("regression"), "needs a limit"),
        ("label_error<=5", spec_of("binary"), "takes no limit"),
        ("error_size", spec_of("multiclass"), "is for regressions"),
    ],
)
def test_what_the_log_cannot_tell_is_refused(serving, text, spec, says):
    masked = serving.with_values(log__drop=("name",), log__hash=("town",))
    with pytest.raises(ConfigError, match=says) as refused:
        check_columns(masked, spec, [parse("errors"), parse(text)])
    assert refused.value.fix
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("errors:plan=pro", spec_of()),
        ("errors:anything=pro", None),
        ("errors:anything=pro", spec_of(names=())),
        ("label_error", spec_of("multiclass")),
        ("label_error<=5", spec_of("regression")),
        ("error_size", spec_of("regression")),
    ],
)
def test_what_the_log_can_tell_is_allowed(serving, text, spec):
    masked = serving.with_values(log__drop=("name",), log__hash=("town",))
    check_columns(masked, spec, [parse(text)])


def test_values_are_those_of_the_champions_logged_requests(serving, client, champion):
    for plan in ("pro", "basic", "basic", None):
        answer(serving, "champion", features={"plan": np.array([plan], object)})
    answer(serving, "challenger", features={"plan": np.array(["other"], object)})
    assert values_of(serving, client, champion)("plan") == ("basic", "pro")
    assert values_of(serving, client, champion)("nothing") == ()
    assert guards_of(serving, client, champion, ["errors", "errors:plan"]) == (
        "errors", "errors:plan=basic", "errors:plan=pro",
    )  # fmt: skip


def test_without_requests_values_are_those_of_the_training_rows(serving, client, champion):
    reference = artifacts.reference(client, champion)
    column = next(
        name for name in reference.columns
        if not pd.api.types.is_numeric_dtype(reference[name]) and reference[name].nunique() < 20
    )  # fmt: skip
    wanted = reference[column].value_counts()
    found = values_of(serving, client, champion)(column)
    assert set(found) == set(wanted.index.astype(str))
    assert found[0] == str(wanted.index[0])


def test_values_of_several_logs_are_put_together(serving, client, champion, tmp_path):
    other = serving.with_values(log__dir=str(tmp_path / "second"))
    answer(serving, "champion", features={"n": np.array([1])})
    for _ in range(2):
        answer(other, "champion", features={"n": np.array([2.0]), "more": np.array([True])})
    both = [serving.log.dir, other.log.dir]
    found = values_of(serving, client, champion, log=both)
    assert found("n") == ("2.0", "1")
    assert found("more") == ("true",)
    now = rollout("errors:n=2.0", "errors:more=true", began=datetime(2020, 1, 1, tzinfo=UTC))
    tallies = tallies_of(serving, now, both)
    assert (
        table(tallies, "errors:n=2.0")
        == table(tallies, "errors:more=true")
        == {("champion", 0): (2, 0)}
    )


def test_a_metric_is_counted_beside_the_guards():
    spec = rollout("errors", "latency").spec
    texts = [item.text for item in counting.watched_of(replace(spec, metric="label"))]
    assert texts == ["errors", "latency", "label"]
    assert len(counting.watched_of(replace(spec, metric="latency"))) == 2


def test_segments_share_what_is_computed():
    made = counting.measures([parse(text) for text in ("latency", "latency:a=1", "latency<=5")])
    assert [item.source for item in made] == ["latency", "latency", "latency<=5.0"]
    assert [item.kind for item in made] == ["number", "number", "event"]
    assert Path(counting.__file__).name == "counting.py"
