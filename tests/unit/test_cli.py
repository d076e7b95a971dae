"""The command line: exit codes, one JSON object, help that is quick and complete."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from lifecycle.cli import main

COMMANDS = [
    "demo", "init", "train", "evaluate", "gate", "promote", "rollback", "history", "score", "serve",
    "keys", "feedback", "erase", "status", "adopt", "drift", "monitor", "checks", "retrain",
    "verify", "export", "transfer", "card", "reproduce", "sign", "signing-key", "doctor",
    "request", "approve", "reject", "rollout",
]  # fmt: skip
OF_ROLLOUTS = ["start", "status", "step", "promote", "abort", "resume", "run", "explain"]
VERBS = [(name,) for name in COMMANDS if name != "rollout"]
VERBS += [("rollout", name) for name in OF_ROLLOUTS]


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    sys.argv = ["lifecycle", *arguments]
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.fixture(autouse=True)
def _own_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.chdir(tmp_path)


def test_every_command_of_the_surface_is_there():
    assert list(main.commands) == COMMANDS or set(main.commands) == set(COMMANDS)


def command_of(path: tuple[str, ...]) -> click.Command:
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_command_has_help_json_and_config(path: tuple[str, ...], capfd):
    code, out, _ = run(capfd, *path, "--help")
    assert code == 0
    assert "--json" in out
    assert "--config" in out
    assert out.splitlines()[0].startswith("Usage: ")


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_option_has_help_or_speaks_for_itself(path: tuple[str, ...]):
    command = command_of(path)
    plain = {"target", "time", "key", "reason", "to", "output", "port", "workers", "validation"}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.name in plain, parameter.name


def test_help_lists_commands_in_the_order_of_a_models_life(capfd):
    _, out, _ = run(capfd, "--help")
    lines = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
    assert lines[:4] == ["demo", "init", "train", "evaluate"]


def test_help_cuts_no_sentence_short(capfd):
    _, out, _ = run(capfd, "--help")
    assert "..." not in out.split("Commands:")[1]


def test_the_bare_command_shows_the_help_and_nothing_else(capfd):
    _, asked, _ = run(capfd, "--help")
    assert run(capfd) == (0, asked, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mintor"], "did you mean 'monitor'"),
        (["train"], "--data"),
        (["promote", "churn/1"], "--to"),
        (["serve", "--port", "many"], "not a valid integer"),
        (["history", "--nonsense"], "--nonsense"),
        (["history"], "NAME"),
        (["gate", "a@b@c"], "NAME/VERSION"),
        (["--config"], "--config"),
    ],
)
def test_a_usage_error_exits_with_1_and_says_what_to_do(arguments, words, capfd):
    code, out, err = run(capfd, *arguments)
    assert code == 1
    assert words in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--json"],
        ["history", "--json"],
        ["gate", "a@b@c", "--json"],
        ["nonsense", "--json"],
    ],
)
def test_with_json_an_error_is_one_object_on_standard_output(arguments, capfd):
    code, out, _ = run(capfd, *arguments)
    assert code == 1
    assert set(json.loads(out)) == {"error"}
    assert json.loads(out)["error"]["message"]


def test_an_unknown_key_in_the_configuration_is_named(capfd):
    Path("lifecycle.toml").write_text("[trian]\n")
    code, _, err = run(capfd, "history", "churn")
    assert code == 1
    assert "did you mean 'train'" in err


def two_files(shift: float) -> tuple[str, str]:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    for name, move in (("a", 0.0), ("b", shift)):
        frame = pd.DataFrame({"x": rng.normal(move, 1, 1000), "y": rng.normal(0, 1, 1000)})
        frame.to_parquet(f"{name}.parquet")
    return "a.parquet", "b.parquet"


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0), (1.0, 2)])
def test_drift_sets_the_exit_code(shift: float, expected: int, capfd):
    code, out, _ = run(capfd, "drift", *two_files(shift), "--json")
    assert code == expected
    assert json.loads(out)["drifted"] is (expected == 2)


def test_without_json_people_get_a_table(capfd):
    code, out, _ = run(capfd, "drift", *two_files(1.0))
    assert code == 2
    assert "drifted: 1,000 rows against 1,000" in out


def test_the_module_is_the_command():
    answer: Any = subprocess.run(
        [sys.executable, "-m", "lifecycle", "--version"], capture_output=True, text=True, check=True
    )
    assert "lifecycle, version" in answer.stdout
