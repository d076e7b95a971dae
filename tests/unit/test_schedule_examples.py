"""The examples of a schedule: they can be read, and their commands are ours."""

import configparser
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from lifecycle.cli import main
from lifecycle.config import load_config
from lifecycle.durations import duration

ROOT = Path(__file__).parents[2] / "examples" / "schedule"
CRON = [line for line in (ROOT / "crontab").read_text().splitlines() if re.match(r"[\d*]", line)]
JOB = yaml.safe_load((ROOT / "cronjob.yaml").read_text())
POD = JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str
    read.read_string((ROOT / name).read_text())
    return read


def lifecycle_part(line: str) -> list[str]:
    words = shlex.split(line)
    words = words[words.index("lifecycle") :]
    stops = [words.index(item) for item in ("||", ">>", "&&") if item in words]
    return words[: min(stops, default=None)]


COMMANDS = [*CRON, *CONTAINER["args"], unit("lifecycle-monitor.service")["Service"]["ExecStart"]]


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_is_one_of_ours(line: str) -> None:
    _, verb, *options = lifecycle_part(line)
    context = main.commands[verb].make_context(verb, options)
    assert isinstance(context, click.Context)
    if verb == "monitor":
        assert duration(context.params["every"], "every").days == 1


def test_cron_lines_have_five_fields_and_a_command() -> None:
    assert len(CRON) == 2
    for line in CRON:
        fields = line.split(maxsplit=5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
        assert "%" not in fields[5], "cron would end the line there"


def test_the_job_runs_one_at_a_time_and_catches_up() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("batch/v1", "CronJob")
    assert JOB["spec"]["concurrencyPolicy"] == "Forbid"
    assert JOB["spec"]["timeZone"] == "Etc/UTC"
    assert POD["restartPolicy"] == "Never"
    mounted = {item["name"] for item in CONTAINER["volumeMounts"]}
    assert mounted == {item["name"] for item in POD["volumes"]}


@pytest.mark.parametrize(("code", "job"), [(0, 0), (1, 1), (2, 0), (3, 0)])
def test_only_an_error_fails_the_job(code: int, job: int) -> None:
    (line,) = CONTAINER["args"]
    command, separator, rest = line.partition(" || ")
    assert command.startswith("lifecycle ")
    done = subprocess.run([*CONTAINER["command"], f"(exit {code}){separator}{rest}"], check=False)
    assert done.returncode == job


def test_the_variables_are_settings() -> None:
    given = {item["name"]: item.get("value", "json://example.org") for item in CONTAINER["env"]}
    config = load_config(None, environ={k: v for k, v in given.items() if k.startswith("LIFE")})
    assert config.log.dir == CONTAINER["volumeMounts"][0]["mountPath"]
    assert config.monitor.notify == ("env:HOOK",)
    assert "HOOK" in given


def test_systemd_takes_results_for_success() -> None:
    service = unit("lifecycle-monitor.service")["Service"]
    assert service["SuccessExitStatus"].split() == ["2", "3"]
    assert service["Type"] == "oneshot"
    timer = unit("lifecycle-monitor.timer")["Timer"]
    assert timer["Persistent"] == "true"
    assert timer["OnCalendar"].endswith("UTC")
