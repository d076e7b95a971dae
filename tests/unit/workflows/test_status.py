"""One row a model: what serves, compiled or why not, and what somebody should look at."""

import pytest

from lifecycle.errors import ModelNotFound, RegistryUnavailable
from lifecycle.stores.registry import register
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.workflows.promote import promote
from lifecycle.workflows.status import status

TAGS = {"lifecycle.digest": "", "lifecycle.spec_run": "f" * 32}


@pytest.fixture
def client(config):
    return connect(config)


def test_an_empty_registry_has_no_rows(config):
    assert status(config) == ()
    with pytest.raises(ModelNotFound, match="no model 'churn'; known: none"):
        status(config, "churn")


def test_a_row_says_what_serves_and_whether_it_is_compiled(config, client, logged_model):
    uri = logged_model(client)
    for said, how in (
        ("sha256:" + "a" * 64, ""),
        ("no: KNeighbors is not exact", ""),
        ("sha256:" + "b" * 64, "exact, within 2e-16 on 4,412 rows"),
    ):
        tags = {**TAGS, "lifecycle.compiled": said, "lifecycle.compiled_how": how}
        register(client, "churn", model_uri=uri, tags=tags)
    (row,) = status(config, "churn")
    assert (row.production, row.versions, row.compiled, row.warnings) == (None, 3, "", ())
    promote(config, "churn/1", to="production", force=True, reason="first")
    (row,) = status(config)
    assert (row.production.version, row.compiled) == (1, "yes")
    promote(config, "churn/2", to="production", force=True, reason="second")
    assert status(config)[0].compiled == "no: KNeighbors is not exact"
    promote(config, "churn/3", to="production", force=True, reason="third")
    assert status(config)[0].compiled == "yes: exact, within 2e-16 on 4,412 rows"


def test_plain_models_and_broken_ledgers_have_rows_too(config, client, logged_model):
    uri = logged_model(client)
    register(client, "churn", model_uri=uri, tags=TAGS)
    client.create_registered_model("old")
    client.create_model_version("old", uri)
    client.set_registered_model_alias("old", "champion", "1")
    client.delete_experiment(client.get_experiment_by_name("churn/ledger").experiment_id)
    broken, old = status(config)
    assert (broken.name, broken.production) == ("churn", None)
    assert "was deleted" in broken.warnings[0]
    assert (old.name, old.production.version, old.versions, old.warnings) == ("old", 1, 1, ())
    assert "adopt" in old.compiled


def test_a_champion_that_was_deleted_is_a_warning(config, client, logged_model):
    register(client, "churn", model_uri=logged_model(client), tags=TAGS)
    register(client, "churn", model_uri=logged_model(client), tags=TAGS)
    promote(config, "churn/2", to="production", force=True, reason="first")
    client.delete_model_version("churn", "2")
    (row,) = status(config)
    assert row.production is None
    assert any("although it serves" in text for text in row.warnings)


def test_the_last_check_is_told(config, client, logged_model):
    register(client, "churn", model_uri=logged_model(client), tags=TAGS)
    assert status(config)[0].last_check == ""
    checks = experiment_id(client, "churn/monitoring")
    for scope, outcome in (("champion", "pass"), ("champion", "fail"), ("version 2", "pass")):
        tags = {"lifecycle.outcome": outcome, "lifecycle.scope": scope}
        run = client.create_run(checks, tags=tags)
        client.set_terminated(run.info.run_id)
    client.create_run(checks)  # one that runs now
    said = status(config)[0].last_check
    assert said.startswith("20")
    assert said.endswith("+00:00: fail")


def test_a_dead_registry_has_no_rows(config):
    with pytest.raises(RegistryUnavailable):
        status(config.with_values(tracking__uri="http://127.0.0.1:9"))
