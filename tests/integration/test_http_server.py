"""The same registry, ledger and promotion through a real `mlflow server`."""

import os
import signal
import time

import mlflow
import pandas as pd
import pytest

from lifecycle.errors import DigestMismatch, ModelNotFound, RegistryUnavailable, TransitionRefused
from lifecycle.models import files
from lifecycle.records import Outcome
from lifecycle.stores import artifacts
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import alias_warnings, find, register, versions
from lifecycle.stores.tracking import connect
from lifecycle.workflows.doctor import doctor
from lifecycle.workflows.history import history
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollback import rollback
from lifecycle.workflows.status import status

PROMOTER = """
import sys
from lifecycle.config import load_config
from lifecycle.workflows.promote import promote
name = sys.argv[1]
config = load_config().with_values(name=name)
for turn in range(2):
    for version in (1, 2, 3):
        promote(config, f"{name}/{version}", to="production", force=True, reason=f"turn {turn}")
"""


@pytest.fixture
def model(over_http, logged_model, with_spec, request):
    """A model of the test's own with three versions; its configuration and client."""
    name = request.node.name.removeprefix("test_")[:60]
    config = over_http.with_values(name=name)
    client = connect(config)
    for slope in (1.0, 2.0, 3.0):
        uri = logged_model(client, experiment=name, slope=slope)
        with artifacts.logged_files(client, uri) as folder:
            digest = files.digest(folder)
        run_id = with_spec(client, uri)
        tags = {"lifecycle.digest": digest, "lifecycle.spec_run": run_id}
        register(client, name, model_uri=uri, tags=tags)
    return config, client


def judge(client, name, version, outcome=Outcome.PASS):
    Ledger(client, name).append(
        lambda _: draft(kind="gate", version=version, extra={"outcome": str(outcome)})
    )


def test_register_gate_promote_roll_back_over_http(model):
    config, client = model
    name = config.name
    for version in (1, 2):
        judge(client, name, version)
        assert promote(config, f"{name}/{version}", to="staging").aliases == ("staging",)
        judge(client, name, version)
        assert promote(config, f"{name}@staging", to="production").aliases == ("champion",)
    with pytest.raises(TransitionRefused, match="staging or archived"):
        promote(config, f"{name}/3", to="production")
    assert find(client, name).version == 2
    assert find(client, f"{name}@previous").version == 1
    served = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert served.predict(pd.DataFrame({"x": [2.0], "z": [0.0]})).round(6).tolist() == [4.0]
    assert rollback(config, reason="worse").version == 1
    assert [item.stage for item in versions(client, name)] == ["production", "archived", "none"]
    told = history(config)
    assert [entry.kind for entry in told.entries if entry.kind != "register"] == [
        *["gate", "stage"] * 4, "rollback",
    ]  # fmt: skip
    assert told.warnings == ()
    (row,) = status(config, name)
    assert (row.production.version, row.versions) == (1, 3)


def test_every_version_is_a_number_whatever_mlflow_says(model):
    config, client = model
    client.set_registered_model_alias(config.name, "mine", "2")
    assert find(client, f"{config.name}@mine").version == 2
    assert [item.version for item in versions(client, config.name)] == [1, 2, 3]
    with pytest.raises(ModelNotFound, match="no version 9; existing: 1, 2, 3"):
        find(client, f"{config.name}/9")
    with pytest.raises(ModelNotFound, match="no alias 'mein'; did you mean 'mine'"):
        find(client, f"{config.name}@mein")


def test_files_come_through_the_server_and_are_verified(model):
    config, client = model
    version = find(client, f"{config.name}/1")
    with artifacts.files(client, version) as folder:
        files.verify(folder, version.digest)
        with pytest.raises(DigestMismatch):
            files.verify(folder, "sha256:" + "0" * 64)


def test_two_that_promote_at_once_leave_one_champion(model, forked):
    config, client = model
    running = [forked(PROMOTER, config.name) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    entries = Ledger(client, config.name).entries()
    moves = [entry for entry in entries if entry.kind == "stage"]
    assert 6 <= len(moves) <= 12
    serving = None
    for entry in moves:
        assert entry.extra["replaced"] == serving, "each entry names the one that it replaces"
        serving = entry.version
    champion = find(client, config.name)
    assert champion.version == serving
    stages = [item.stage for item in versions(client, config.name)]
    assert sorted(stages) == ["archived", "archived", "production"]
    assert alias_warnings(client, config.name) == ()


def test_a_hand_moved_alias_is_found_and_mended(model):
    config, client = model
    name = config.name
    promote(config, f"{name}/1", to="production", force=True, reason="first")
    client.set_registered_model_alias(name, "champion", "3")
    assert find(client, name).version == 1
    assert "by hand" in alias_warnings(client, name)[0]
    assert {item.check: item for item in doctor(config).findings}[f"model {name}"].fix
    doctor(config, fix=True)
    assert alias_warnings(client, name) == ()


@pytest.mark.slow
def test_a_server_that_stops_in_between_is_an_answer_and_no_hang(model, mlflow_process):
    config, client = model
    group = mlflow_process[1]
    before = Ledger(client, config.name).entries()
    os.killpg(group, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            promote(config, f"{config.name}/1", to="production", force=True, reason="now")
        with pytest.raises(RegistryUnavailable):
            find(client, config.name)
        assert time.monotonic() - started < 20
    finally:
        os.killpg(group, signal.SIGCONT)
    time.sleep(0.5)
    assert Ledger(client, config.name).entries() == before
