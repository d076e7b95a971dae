"""Each trap is found, said with its fix, and mended where that is safe."""

import os
import socket
import subprocess
import time

import pytest

from lifecycle.records import Outcome
from lifecycle.stores.registry import find, register
from lifecycle.stores.tracking import connect
from lifecycle.workflows import doctor as module
from lifecycle.workflows.doctor import doctor
from lifecycle.workflows.promote import promote

TAGS = {"lifecycle.digest": "", "lifecycle.spec_run": "f" * 32}


@pytest.fixture
def client(config):
    return connect(config)


def look(config, check, *, fix=False):
    """One finding by its name."""
    findings = {item.check: item for item in doctor(config, fix=fix).findings}
    return findings[check]


def versions(monkeypatch, **known):
    """Pretend to what is installed: the one thing that a test cannot bring about."""
    real = module._version
    monkeypatch.setattr(
        module, "_version", lambda name: known[name] if name in known else real(name)
    )


def test_a_good_set_up_has_no_findings_that_fail(config):
    diagnosis = doctor(config)
    assert [item for item in diagnosis.findings if item.outcome is Outcome.FAIL] == []
    assert diagnosis.exit_code == 0
    checks = [item.check for item in diagnosis.findings]
    assert len(checks) == len(set(checks)) >= 12
    assert all(item.fix for item in diagnosis.findings if item.outcome is not Outcome.PASS)


def test_what_is_not_installed_is_no_failure_but_said(config, monkeypatch):
    versions(monkeypatch, evidently=None, uvloop=None)
    found = look(config, "extra monitor")
    assert (found.outcome, found.detail) == (Outcome.UNSURE, "not installed: evidently")
    assert found.fix == 'pip install "mlflow-lifecycle[monitor]"'
    assert look(config, "extra serve").detail == "not installed: uvloop"
    assert doctor(config).exit_code == 0


def test_versions_that_do_not_work_together_fail(config, monkeypatch):
    versions(monkeypatch, pandas="3.0.1", protobuf="7.35.0")
    assert look(config, "pandas").fix == 'pip install "pandas<3"'
    assert look(config, "protobuf").fix == 'pip install "protobuf<7"'
    assert doctor(config).exit_code == 1


def test_an_old_file_store_in_this_folder_is_found(config, tmp_path):
    assert look(config, "file store").outcome is Outcome.PASS
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    assert look(config, "file store").outcome is Outcome.PASS, "a folder of artifacts is none"
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default")
    found = look(config, "file store")
    assert found.outcome is Outcome.FAIL
    assert "migrate-filestore" in found.fix
    chosen = look(config.with_values(tracking__uri="./mlruns"), "registry")
    assert chosen.outcome is Outcome.FAIL
    assert "migrate-filestore" in chosen.fix


def test_a_dead_server_is_found_within_three_seconds(config):
    with socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(8)
        address = f"http://127.0.0.1:{black_hole.getsockname()[1]}"
        started = time.monotonic()
        found = look(config.with_values(tracking__uri=address), "registry")
    assert time.monotonic() - started < 5
    assert found.outcome is Outcome.FAIL
    assert "did not answer" in found.detail
    assert address in found.detail
    assert "mlflow server" in found.fix


def test_a_log_that_cannot_be_written_or_read_is_found(config, tmp_path):
    folder = tmp_path / "lifecycle-log"
    assert "first prediction" in look(config, "prediction log").detail
    damaged = folder / "model=churn" / "date=2026-01-01" / "x.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"PAR1 no more")
    found = look(config, "prediction log")
    assert found.outcome is Outcome.FAIL
    assert "x.parquet" in found.detail
    found = look(config.with_values(log__dir="/proc/lifecycle-log"), "prediction log")
    assert found.outcome is Outcome.FAIL
    assert "cannot be written" in found.detail
    assert "[log] dir" in found.fix


def test_aliases_moved_by_hand_are_found_and_mended(config, client, logged_model):
    uri = logged_model(client)
    for _ in range(2):
        register(client, "churn", model_uri=uri, tags=TAGS)
    promote(config, "churn/1", to="production", force=True, reason="first")
    assert look(config, "model churn").outcome is Outcome.PASS
    client.set_registered_model_alias("churn", "champion", "2")
    found = look(config, "model churn")
    assert found.outcome is Outcome.FAIL
    assert "set by hand to churn/2" in found.detail
    assert found.fix == "lifecycle doctor --fix"
    assert str(client.get_model_version_by_alias("churn", "champion").version) == "2"
    mended = look(config, "model churn", fix=True)
    assert mended.outcome is Outcome.PASS
    assert "mended" in mended.detail
    assert str(client.get_model_version_by_alias("churn", "champion").version) == "1"


def test_an_interrupted_registration_is_found_and_mended(config, client, logged_model):
    uri = logged_model(client)
    register(client, "churn", model_uri=uri, tags=TAGS)
    client.create_model_version("churn", uri, tags=TAGS)
    assert "churn/2 was registered without an entry" in look(config, "model churn").detail
    assert look(config, "model churn", fix=True).outcome is Outcome.PASS
    assert look(config, "model churn").detail == "ledger and aliases agree"


def test_a_plain_alias_on_an_adopted_model_is_shown_and_left(config, client, logged_model):
    register(client, "churn", model_uri=logged_model(client), tags=TAGS)
    client.set_registered_model_alias("churn", "champion", "1")
    found = look(config, "model churn", fix=True)
    assert found.outcome is Outcome.UNSURE
    assert "nothing was promoted" in found.detail
    assert find(client, "churn").version == 1


def test_a_deleted_ledger_is_found_with_its_restore(config, client, logged_model):
    register(client, "churn", model_uri=logged_model(client), tags=TAGS)
    client.delete_experiment(client.get_experiment_by_name("churn/ledger").experiment_id)
    found = look(config, "model churn", fix=True)
    assert found.outcome is Outcome.FAIL
    assert "mlflow experiments restore" in found.fix


@pytest.fixture
def path_of(tmp_path, monkeypatch):
    """A PATH with just these programs, each a script that prints something."""

    def make(**programs):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, said in programs.items():
            script = folder / name
            script.write_text(f"#!/bin/sh\necho '{said}'\n")
            script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


def test_which_environment_managers_work_and_why(config, path_of):
    path_of()
    for check, said in (
        ("mlflow run (virtualenv)", "no pyenv on PATH"),
        ("mlflow run (uv)", "no uv on PATH"),
        ("mlflow run (local)", "not on PATH"),
        ("git", "no git"),
    ):
        found = look(config, check)
        assert found.outcome is Outcome.UNSURE
        assert said in found.detail
        assert found.fix
    path_of(pyenv="3.9.1", uv="uv", lifecycle="", git="")
    found = look(config, "mlflow run (virtualenv)")
    assert "pyenv has no Python" in found.detail
    assert "pyenv install" in found.fix
    assert look(config, "mlflow run (uv)").outcome is Outcome.PASS
    assert look(config, "mlflow run (local)").outcome is Outcome.PASS
    running = ".".join(str(part) for part in __import__("sys").version_info[:3])
    path_of(pyenv=f"3.9.1\n{running}")
    assert look(config, "mlflow run (virtualenv)").outcome is Outcome.PASS


def test_what_doctor_says_of_git_is_true(config):
    found = look(config, "git")
    works = subprocess.run(["git", "--version"], capture_output=True, check=False).returncode == 0
    assert (found.outcome is Outcome.PASS) == works
    assert os.access(found.detail, os.X_OK) == works
