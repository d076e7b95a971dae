"""The commands of rollouts on a real registry: what they print, their JSON, their exit codes."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle.cli import main
from lifecycle.config import Config
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect

Run = Callable[..., tuple[int, str, str]]
FORCED = ("--force", "--reason", "a test")
STATUS = {"name", "rollout", "look", "warnings"}
ROLLOUT = {
    "spec", "seq", "status", "step", "shares", "started", "since", "ended", "reason", "run_id",
    "holder", "generation", "until",
}  # fmt: skip
LOOK = {
    "name", "rollout", "step", "time", "tallies", "evidence", "action", "to_step", "shares",
    "outcome", "reason", "best", "exposed", "coverage",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(champion_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """churn/1 in production, churn/2 its twin."""
    made = tmp_path_factory.mktemp("rollouts")
    shutil.copy(champion_database, made / "mlflow.db")
    uri = f"sqlite:///{made / 'mlflow.db'}"
    (made / "lifecycle.toml").write_text(f'name = "churn"\n[tracking]\nuri = "{uri}"\n')
    client = connect(Config().with_values(tracking__uri=uri))
    first = registry.find(client, "churn/1")
    registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
    return made


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """`run("status", "churn")`: exit code, standard output and standard error."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", sys.argv)

    def call(*arguments: str) -> tuple[int, str, str]:
        sys.argv = ["lifecycle", "rollout", *arguments]
        with pytest.raises(SystemExit) as stop:
            main(["rollout", *arguments])
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    yield call
    sys.argv = ["lifecycle"]
    with pytest.raises(SystemExit):
        main(["rollout", "abort", "churn"])


@pytest.fixture
def started(run: Run) -> Run:
    """The same while a canary of version 2 is open."""
    steps = ("--steps", "5,50,100", "--guard", "errors")
    code, _, err = run("start", "churn/2", *steps, *FORCED)
    assert code == 0, err
    return run


def test_before_the_first_one_it_says_how_to_start(run: Run) -> None:
    code, out, _ = run("status", "churn")
    assert code == 0
    assert [line.strip() for line in out.splitlines()] == [
        "churn: no rollout yet", "start one: lifecycle rollout start churn/VERSION",
    ]  # fmt: skip
    assert json.loads(run("status", "--json")[1]) == {
        "name": "churn", "rollout": None, "look": None, "warnings": [],
    }  # fmt: skip


def test_a_rollout_by_hand_in_json(started: Run) -> None:
    made = json.loads(started("status", "churn", "--json")[1])
    assert set(made) == STATUS
    assert set(made["rollout"]) >= ROLLOUT
    assert set(made["look"]) >= LOOK
    assert made["rollout"]["shares"] == [0.95, 0.05]
    assert [one["guard"] for one in made["look"]["evidence"] if one["certificate"] is not None] == [
        "errors"
    ]
    code, out, _ = started("step", "churn", "--reason", "it is late", "--json")
    moved = json.loads(out)
    assert (code, moved["step"], moved["shares"]) == (0, 1, [0.5, 0.5])
    code, out, _ = started("explain", "churn", "--json")
    look = json.loads(out)
    assert set(look) >= LOOK
    assert (code, look["action"], look["step"]) == (3, "wait", 1)
    code, out, _ = started("abort", "churn", "--json")
    assert (code, json.loads(out)["status"]) == (0, "aborted")
    code, out, _ = started("status", "churn", "--json")
    assert (code, json.loads(out)["rollout"]["reason"]) == (0, "by hand")


def test_a_rollout_by_hand_for_people(started: Run) -> None:
    code, out, _ = started("status", "churn")
    assert code == 0
    assert out.startswith("churn: canary of version 2 against version 1, step 1 of 3, running\n")
    assert "[5] → 50 → 100 %" in out
    assert "0.0 of 3.0" in out, "evidence of harm: one guard, ln(1 / 0.05)"
    code, out, err = started("start", "churn/2")
    assert (code, out) == (1, "")
    assert "a rollout of version 2 is open" in err
    assert "Traceback" not in err
    code, out, err = started("resume", "churn", "--reason", "why not")
    assert code == 1
    assert "it is not held" in err


def test_watching_ends_with_the_rollout(started: Run) -> None:
    started("abort", "churn")
    code, out, _ = started("status", "churn", "--watch")
    assert code == 0
    lines = out.splitlines()
    assert lines[0][8:].startswith(" churn: canary of version 2 against version 1, aborted")
    assert lines[1] == "churn: canary of version 2 against version 1, aborted"
    code, out, err = started("status", "churn", "--watch", "--json")
    assert json.loads(out)["rollout"]["status"] == "aborted"
    assert "aborted" in err, "what is shown meanwhile goes to standard error"


@pytest.mark.parametrize("verb", ["step", "promote", "abort"])
def test_where_none_is_open_it_says_so(run: Run, verb: str) -> None:
    code, out, err = run(verb, "churn")
    assert (code, out) == (1, "")
    assert "lifecycle rollout start churn/VERSION" in err
    code, out, _ = run(verb, "churn", "--json")
    assert (code, set(json.loads(out))) == (1, {"error"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["strat", "churn/2"], "did you mean 'start'"),
        (["start", "churn/2", "--strategy", "canry"], "did you mean 'canary'"),
        (["start", "churn/2", "--steps", "50,5"], "rise"),
        (["start", "churn/2", "--steps", "5,x"], "write a list of numbers"),
        (["start", "churn/2", "--steps", "5,500"], "500"),
        (["start", "churn/2", "--guard", "erors"], "did you mean 'errors'"),
        (["start", "churn/2", "--guard", "error_size<=x"], "no number"),
        (["start", "churn/2", "--sample", "lots"], "rollout.sample"),
        (["start", "churn/1"], "champion itself"),
        (["start", "churn/9"], "9"),
        (["start", "churn/2", "--also", "churn/2", "--strategy", "ab"], "twice"),
        (["start", "churn/2", "--force"], "needs a reason"),
        (["start"], "REF"),
        (["resume", "churn"], "--reason"),
        (["run", "churn", "--every", "often"], "not a valid float"),
        (["explain", "churn", "--rollout", "99"], "99"),
        (["status", "chrun"], "chrun"),
    ],
)
def test_wrong_turns_say_what_to_do(run: Run, arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments)
    assert code == 1
    assert words in err
    assert "Traceback" not in err
    assert out == ""
    code, out, _ = run(*arguments, "--json")
    assert code == 1
    assert words in json.loads(out)["error"]["message"]


def test_the_groups_help_lists_its_verbs_in_order(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    lines = out.split("Commands:")[1].splitlines()
    verbs = [line.split()[0] for line in lines if line.strip()]
    assert verbs == ["start", "status", "step", "promote", "abort", "resume", "run", "explain"]
    assert "..." not in out.split("Commands:")[1], "no sentence is cut short"
    assert run() == (0, out, "")


def test_the_helps_name_the_strategies_and_guards_there_are(run: Run) -> None:
    from lifecycle.rollout.strategies import STRATEGIES

    out = run("start", "--help")[1]
    assert all(name in out for name in STRATEGIES)
