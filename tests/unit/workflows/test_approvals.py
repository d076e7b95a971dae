"""Request, approve, reject and promote on a real registry; who acts is LIFECYCLE_ACTOR."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from lifecycle.cli import main
from lifecycle.config import Config
from lifecycle.errors import ApprovalRefused, ConfigError, DigestMismatch, TransitionRefused
from lifecycle.models import files
from lifecycle.records import Outcome
from lifecycle.stores import artifacts
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import find, register
from lifecycle.stores.tracking import connect
from lifecycle.workflows.approvals import approve, reject, request
from lifecycle.workflows.history import history
from lifecycle.workflows.promote import promote
from lifecycle.workflows.retrain import _promote
from lifecycle.workflows.status import status

POLICY = {
    "approvals__needed": 2,
    "approvals__approvers": ("bob", "eve", "kim"),
    "approvals__stages": ("production",),
}


@pytest.fixture(scope="module")
def staged_database(template_database, tmp_path_factory, logged_model):
    """A registry in which churn/1, registered by ann, is in staging with gates that passed."""
    folder = tmp_path_factory.mktemp("staged")
    shutil.copy(template_database, folder / "mlflow.db")
    config = Config().with_values(name="churn", tracking__uri=f"sqlite:///{folder}/mlflow.db")
    client = connect(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIFECYCLE_ACTOR", "ann")
        uri = logged_model(client)
        with artifacts.logged_files(client, uri) as found:
            digest = files.digest(found)
        run_id = client.get_logged_model(uri.removeprefix("models:/")).source_run_id
        tags = {"lifecycle.digest": digest, "lifecycle.spec_run": run_id}
        register(client, "churn", model_uri=uri, tags=tags)
        judge(client)
        promote(config, "churn/1", to="staging")
    return folder / "mlflow.db"


@pytest.fixture
def act(monkeypatch):
    """Act as somebody."""

    def become(name):
        monkeypatch.setenv("LIFECYCLE_ACTOR", name)

    return become


@pytest.fixture
def policy(config, staged_database, tmp_path, act):
    """Two of bob, eve and kim must approve what goes to production; ann acts."""
    shutil.copy(staged_database, tmp_path / "mlflow.db")
    act("ann")
    return config.with_values(**POLICY)


@pytest.fixture
def staged(policy):
    return connect(policy)


def judge(client, outcome=Outcome.PASS):
    """What a gate run leaves in the ledger."""
    written = Ledger(client, "churn").append(
        lambda _: draft(kind="gate", version=1, extra={"outcome": str(outcome)})
    )
    return written.seq


def agree(policy, act, *names):
    for name in names:
        act(name)
        found = approve(policy, "churn/1", reason=f"{name} says yes")
    return found


def last(client):
    return Ledger(client, "churn").entries()[-1]


def test_two_others_approve_and_it_is_promoted(policy, staged, act):
    with pytest.raises(ApprovalRefused, match="nobody has asked for them") as caught:
        promote(policy, "churn/1", to="production")
    assert caught.value.exit_code == 2
    assert "lifecycle request churn/1 --to production" in str(caught.value)

    asked = request(policy, "churn/1", to="production", reason="better on the new tariff")
    assert (asked.actor, asked.missing, asked.approvals) == ("ann", 2, ())
    assert "ann" in asked.authors
    assert asked.digest == find(staged, "churn/1").digest
    entry = last(staged)
    assert (entry.kind, entry.source, entry.to) == ("request", "staging", "production")
    assert entry.identity == "self-declared"
    assert request(policy, "churn/1", to="production") == asked
    assert last(staged) == entry

    assert agree(policy, act, "bob").missing == 1
    with pytest.raises(ApprovalRefused, match="so far bob agreed") as caught:
        promote(policy, "churn/1", to="production")
    assert [item.actor for item in caught.value.request.approvals] == ["bob"]
    assert caught.value.to_dict()["request"]["missing"] == 1
    assert status(policy, "churn")[0].requests == history(policy).requests
    assert history(policy).requests[0].approvals[0].reason == "bob says yes"

    done = agree(policy, act, "eve")
    assert done.missing == 0
    act("ann")
    assert promote(policy, "churn/1", to="production").stage == "production"
    entry = last(staged)
    assert entry.extra["approvals"] == [item.seq for item in done.approvals]
    assert history(policy).requests == ()
    with pytest.raises(TransitionRefused, match="in stage 'production' already"):
        request(policy, "churn/1", to="production")


def test_who_may_not_approve(policy, staged, act):
    act("bob")
    with pytest.raises(ApprovalRefused, match=r"nothing is asked for .*lifecycle request churn/1"):
        approve(policy, "churn/1")
    request(policy, "churn/1", to="production")
    before = last(staged)
    for name, words in (
        ("bob", "'bob' made or requested it"),
        ("ann", "'ann' is no approver .*ask one of eve, kim"),
        ("mallory", "'mallory' is no approver .*ask one of eve, kim"),
    ):
        act(name)
        with pytest.raises(ApprovalRefused, match=words):
            approve(policy, "churn/1")
    agree(policy, act, "eve")
    with pytest.raises(ApprovalRefused, match="'eve' approved it already"):
        approve(policy, "churn/1")
    assert last(staged).seq == before.seq + 1


def test_whoever_trained_it_does_not_approve(policy, staged, act):
    run_id = find(staged, "churn/1").run_id
    staged.set_tag(run_id, "mlflow.user", "eve")
    asked = request(policy, "churn/1", to="production")
    assert asked.authors == ("ann", "eve")
    act("eve")
    with pytest.raises(ApprovalRefused, match="ask one of bob, kim"):
        approve(policy, "churn/1")


def test_names_that_one_gives_oneself_are_not_authenticated(policy, staged, act):
    strict = policy.with_values(approvals__authenticated=True)
    request(strict, "churn/1", to="production")
    act("bob")
    with pytest.raises(ApprovalRefused, match="'bob' is self-declared"):
        approve(strict, "churn/1")
    agree(policy, act, "bob", "eve")
    with pytest.raises(ApprovalRefused, match="so far nobody agreed"):
        promote(strict, "churn/1", to="production")
    forged = draft(kind="flag")
    written = Ledger(staged, "churn").append(
        lambda _: type(forged)(**{**vars(forged), "identity": "authenticated by me"})
    )
    assert written.identity == "self-declared"


def test_a_rejection_voids_what_was_agreed(policy, staged, act):
    request(policy, "churn/1", to="production")
    agree(policy, act, "bob", "eve")
    act("kim")
    with pytest.raises(ApprovalRefused, match="needs a reason"):
        reject(policy, "churn/1", reason=" ")
    found = reject(policy, "churn/1", reason="wrong for leap days")
    assert found.rejected == f"kim in entry {last(staged).seq}: wrong for leap days"
    with pytest.raises(ApprovalRefused, match=r"void, kim rejected it in entry \d+: wrong for"):
        promote(policy, "churn/1", to="production")
    with pytest.raises(ApprovalRefused, match="nothing is asked for: kim rejected it"):
        approve(policy, "churn/1")
    act("ann")
    assert request(policy, "churn/1", to="production").missing == 2


def test_a_new_gate_report_voids_approvals_and_a_bad_one_refuses(policy, staged, act):
    request(policy, "churn/1", to="production")
    agree(policy, act, "bob", "eve")
    seq = judge(staged)
    with pytest.raises(ApprovalRefused, match=f"the gates ran again in entry {seq}"):
        promote(policy, "churn/1", to="production")
    asked = request(policy, "churn/1", to="production")
    assert (asked.gate, asked.approvals) == (seq, ())


def test_other_files_void_approvals(policy, staged, act):
    request(policy, "churn/1", to="production")
    agree(policy, act, "bob", "eve")
    source = find(staged, "churn/1").source.removeprefix("models:/")
    folder = staged.get_logged_model(source).artifact_location.removeprefix("file://")
    (changed,) = [item for item in _model_files(folder) if item.name == "MLmodel"]
    kept = changed.with_name("kept")
    shutil.copy(changed, kept)
    changed.write_text(changed.read_text() + "\n# changed\n")
    for work in (
        lambda: promote(policy, "churn/1", to="production"),
        lambda: request(policy, "churn/1", to="production"),
        lambda: approve(policy, "churn/1"),
    ):
        act("kim")
        with pytest.raises(DigestMismatch):
            work()
    kept.rename(changed)
    assert promote(policy, "churn/1", to="production").stage == "production"


def _model_files(folder):
    return [item for item in Path(folder).rglob("*") if item.is_file()]


def test_force_steps_over_and_is_recorded(policy, staged, act):
    request(policy, "churn/1", to="production")
    agree(policy, act, "bob")
    promote(policy, "churn/1", to="production", force=True, reason="the old one is down")
    extra = last(staged).extra
    assert extra["forced"] is True
    assert extra["unapproved"].startswith("2 approvals are needed; so far bob agreed")
    assert "approvals" not in extra


def test_what_cannot_be_asked_for(policy, staged, config):
    with pytest.raises(TransitionRefused, match=r"unknown stage 'prod'; did you mean"):
        request(policy, "churn/1", to="prod")
    with pytest.raises(TransitionRefused, match="nobody has to approve a move to 'staging'"):
        request(policy, "churn/1", to="staging")
    with pytest.raises(TransitionRefused, match="nobody has to approve a move to 'production'"):
        request(config, "churn/1", to="production")
    unmet = policy.with_values(approvals__needed=4)
    for work in (
        lambda: request(unmet, "churn/1", to="production"),
        lambda: approve(unmet, "churn/1"),
        lambda: promote(unmet, "churn/1", to="production"),
    ):
        with pytest.raises(ConfigError, match="only bob, eve, kim may approve"):
            work()
    assert last(staged).kind == "stage"


@pytest.fixture
def cli(monkeypatch, capfd):
    """Run a command with the policy in the environment; its code and its JSON."""
    monkeypatch.setenv("LIFECYCLE_APPROVALS_NEEDED", "2")
    monkeypatch.setenv("LIFECYCLE_APPROVALS_APPROVERS", "bob,eve,kim")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lifecycle", *arguments, "--json"])
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        return stop.value.code, json.loads(capfd.readouterr().out)

    return run


@pytest.mark.usefixtures("staged")
def test_the_commands_and_their_exit_codes(cli, act):
    code, said = cli("promote", "churn/1", "--to", "production")
    assert (code, said["error"]["type"]) == (2, "ApprovalRefused")
    assert cli("request", "churn/1", "--to", "staging")[0] == 1
    code, asked = cli("request", "churn/1", "--to", "production", "--reason", "better")
    assert (code, asked["missing"], asked["reason"]) == (0, 2, "better")
    code, said = cli("approve", "churn/1")
    assert (code, said["error"]["what"]) == (2, "'ann' is no approver")
    act("bob")
    assert cli("approve", "churn/1")[1]["missing"] == 1
    code, said = cli("promote", "churn/1", "--to", "production")
    assert (code, said["error"]["request"]["approvals"][0]["actor"]) == (2, "bob")
    assert cli("history", "churn")[1]["requests"][0]["missing"] == 1
    assert cli("status", "churn")[1]["models"][0]["requests"][0]["needed"] == 2
    assert (
        "bob in entry" in cli("reject", "churn/1", "--reason", "on second thought")[1]["rejected"]
    )
    assert cli("reject", "churn/1", "--reason", "once more")[0] == 2


def test_a_retraining_that_may_promote_asks_for_approvals(policy, staged):
    del staged
    said = _promote(policy, find(connect(policy), "churn/1"), "drift")
    assert said.startswith("2 approvals are needed and nobody has asked for them; requested as")
    (asked,) = history(policy).requests
    assert (asked.to, asked.reason) == ("production", "retrained: drift")
    assert f"entry {asked.seq}" in said
