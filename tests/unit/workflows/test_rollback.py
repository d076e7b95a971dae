"""Going back: one command, checked first, told in the ledger, never to the same mistake."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from lifecycle.errors import ModelNotFound, TransitionRefused
from lifecycle.records import ModelVersion
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.history import history
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollback import _decide, rollback


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def make(client, logged_model, with_spec):
    """Register a version of churn, in a stage of `order`."""

    def version(**options):
        uri = logged_model(client)
        tags = {artifacts.SPEC_RUN: with_spec(client, uri), artifacts.COMPILED: "no: x"}
        return registry.register(client, "churn", model_uri=uri, tags=tags, **options)

    return version


@pytest.fixture
def two(config, make):
    """Version 2 serves; version 1 did before."""
    for _ in range(2):
        make()
    for number in (1, 2):
        promote(config, f"churn/{number}", to="production", force=True, reason="a test")
    return config


def test_the_version_before_serves_again_and_the_ledger_says_why(two, client):
    back = rollback(two, reason="wrong prices")
    assert (back.ref, back.stage, back.aliases) == ("churn/1", "production", ("champion",))
    aliases = client.get_registered_model("churn").aliases
    assert int(aliases["champion"]) == 1, "plain MLflow sees it too"
    entry = history(two).entries[-1]
    assert (entry.kind, entry.version, entry.source, entry.to) == (
        "rollback", 1, "archived", "production",
    )  # fmt: skip
    assert entry.reason == "wrong prices"
    assert entry.extra["replaced"] == 2
    assert registry.find(client, "churn/2").stage == "archived"


def test_what_was_rolled_back_is_not_returned_to(two):
    rollback(two, reason="once")
    with pytest.raises(TransitionRefused, match="no version before churn/1 is left") as told:
        rollback(two, reason="twice")
    assert "promote another version" in told.value.fix
    assert [entry.kind for entry in history(two).entries].count("rollback") == 1


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_rollback_needs_a_reason_before_anything_is_looked_at(config, reason):
    with pytest.raises(TransitionRefused, match="needs a reason"):
        rollback(config.with_values(tracking__uri="sqlite:////no/such/folder/x.db"), reason=reason)


def test_without_a_model_or_a_promotion_it_says_which(config, make):
    with pytest.raises(ModelNotFound, match="no model 'churn'"):
        rollback(config, reason="x")
    make()
    with pytest.raises(TransitionRefused, match="no version ever was in production"):
        rollback(config, reason="x")


def test_files_that_are_gone_are_not_returned_to(two, client):
    version = registry.find(client, "churn/1")
    with artifacts.files(client, version) as folder:
        shutil.move(folder, Path("elsewhere"))
    with pytest.raises(TransitionRefused, match=r"churn/1 was in production before, but.*gone"):
        rollback(two, reason="x")
    assert registry.find(client, "churn").version == 2
    assert history(two).entries[-1].kind == "stage"


def test_files_that_were_changed_are_not_returned_to(serving):
    client = connect(serving)
    first = registry.find(client, "churn/1")
    again = registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
    promote(serving, again, to="production", force=True, reason="a test")
    with artifacts.files(client, first) as folder:
        requirements = folder / "requirements.txt"
        original = requirements.read_bytes()
        requirements.write_bytes(original + b"# changed\n")
        try:
            with pytest.raises(TransitionRefused, match="cannot be returned to"):
                rollback(serving, reason="x")
        finally:
            requirements.write_bytes(original)
    assert rollback(serving, reason="files are as they were").version == 1


def test_what_cannot_be_loaded_is_not_returned_to(two, client):
    first = registry.find(client, "churn/1")
    with artifacts.files(client, first) as folder:
        model = next(folder.glob("model.skops"))
        whole = model.read_bytes()
        model.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(TransitionRefused, match=r"churn/1 was in production.*cannot be read"):
            rollback(two, reason="x")
        model.write_bytes(whole)
    assert first.digest == "", "there was no digest that would have shown it"
    assert rollback(two, reason="x").version == 1


def test_a_version_whose_registration_failed_is_not_returned_to(two, tmp_path):
    database = sqlite3.connect(tmp_path / "mlflow.db")
    with database:
        database.execute(
            "UPDATE model_versions SET status = 'FAILED_REGISTRATION' WHERE version = 1"
        )
    database.close()
    with pytest.raises(TransitionRefused, match=r"MLflow says FAILED_REGISTRATION"):
        rollback(two, reason="x")


def test_somebody_who_was_faster_is_not_overwritten(two, client):
    entries = Ledger(client, "churn").entries()
    order = two.stages.order
    given = {"order": order, "reason": "x"}
    one = ModelVersion("churn", 1)
    made = _decide(entries, back=one, leaving=2, **given)
    assert (made.version, made.to, made.extra["replaced_to"]) == (1, "production", "archived")
    assert _decide(entries, back=one, leaving=7, **given) is None
    assert _decide(entries, back=ModelVersion("churn", 9), leaving=2, **given) is None


def test_stages_of_ones_own_are_followed(config, client, make):
    named = config.with_values(stages__order="new,checked,production,retired")
    for _ in range(2):
        made = make(order=named.stages.order)
        assert made.stage == "new"
        promote(named, made, to="production", force=True, reason="a test")
    rollback(named, reason="x")
    assert registry.find(client, "churn/2", order=named.stages.order).stage == "retired"


def test_history_is_whole_and_shows_what_was_done_by_hand(two, client):
    told = history(two)
    assert [entry.seq for entry in told.entries] == [1, 2, 3, 4]
    assert [entry.kind for entry in told.entries] == ["register", "register", "stage", "stage"]
    assert all(
        after.prev == before.digest
        for before, after in zip(told.entries, told.entries[1:], strict=False)
    )
    assert told.warnings == ()
    client.set_registered_model_alias("churn", "champion", "1")
    assert "alias champion was set by hand to churn/1" in history(two).warnings[0]
    with pytest.raises(ModelNotFound, match="no model 'chrun'; did you mean 'churn'"):
        history(two.with_values(name="chrun"))
