"""Evidence, cards and transfers on the command line: one object, and exit codes that say it."""

import json
import shutil
import sys

import pytest

from lifecycle.cli import main

pytestmark = pytest.mark.usefixtures("serving")


@pytest.fixture
def cli(monkeypatch, capfd):
    """Run a command under `--json` in a folder with churn/1; gives its code and its object."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lifecycle", *arguments, "--json"])
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(stop.value.code or 0), json.loads(out)

    return run


def test_evidence_is_written_and_checked(cli, tmp_path):
    place = str(tmp_path / "evidence")
    code, done = cli("export", "churn/1", "--audit", place)
    assert (code, done["scope"], done["missing"]) == (0, "version 1", [])
    code, found = cli("verify", "--folder", place, "--head", done["head"])
    assert (code, found["problems"], found["seal"]) == (0, [], done["seal"])
    path = tmp_path / "evidence" / "ledger.jsonl"
    path.write_text(path.read_text().replace("a test", "a joke"))
    code, found = cli("verify", "--folder", place)
    assert code == 2
    assert found["problems"][0]["check"] == "ledger.jsonl"
    code, found = cli("verify", "--folder", str(tmp_path / "nowhere"))
    assert (code, found["error"]["type"]) == (1, "DataError")
    code, found = cli("export", "churn/1", "--audit", place)
    assert (code, found["error"]["type"]) == (1, "DataError")
    code, found = cli("verify", "churn", "--folder", place)
    assert code == 1
    assert "not both" in found["error"]["what"]


def test_a_year_of_the_configured_model(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_NAME", "churn")
    code, done = cli("export", "--audit", str(tmp_path / "all"))
    assert (code, done["scope"]) == (0, "everything")
    code, done = cli("export", "--audit", str(tmp_path / "old"), "--year", "1999")
    assert (code, done["error"]["type"]) == (1, "DataError")
    assert "it goes from" in done["error"]["what"]


def test_a_card_is_printed_and_written(cli, tmp_path):
    code, made = cli("card", "churn@champion", "--output", str(tmp_path / "card.html"))
    assert (code, made["version"], made["stage"]) == (0, 1, "production")
    assert "Metrics" in [item["title"] for item in made["sections"]]
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    code, made = cli("card", "churn/7")
    assert (code, made["error"]["type"]) == (1, "ModelNotFound")


@pytest.mark.slow
def test_a_version_is_carried_to_another_registry(cli, tmp_path, template_database):
    (tmp_path / "prod").mkdir()
    shutil.copy(template_database, tmp_path / "prod" / "mlflow.db")
    address = f"sqlite:///{tmp_path / 'prod' / 'mlflow.db'}"
    code, done = cli("transfer", "churn/1", "--registry", address, "--name", "prod")
    assert (code, done["target"], done["repeated"]) == (0, "prod/1", False)
    code, done = cli("transfer", "churn/1", "--registry", address, "--name", "prod")
    assert (code, done["repeated"]) == (0, True)
    code, done = cli("transfer", "churn/1", "--registry", "sqlite:///mlflow.db")
    assert (code, done["error"]["type"]) == (1, "TransitionRefused")
