"""The guarded tracking store in this process: a ledger is only ever added to, by its own name."""

from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.exceptions import MlflowException

from lifecycle.records import Entry
from lifecycle.stores import tracking_store
from lifecycle.stores.ledger import FIRST, Ledger, draft, dumps
from lifecycle.stores.tracking import connect

KNOWN = "authenticated by https://mlflow.example.org"


@pytest.fixture
def client(config, tmp_path):
    connect(config)
    return MlflowClient(f"lifecycle+sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def ledger(client):
    """Two entries, written through the store."""
    made = Ledger(client, "churn")
    made.append(lambda _: draft(kind="flag", reason="one"))
    made.append(lambda _: draft(kind="flag", reason="two"))
    return made


@pytest.fixture
def place(client, ledger):
    """The ledger's experiment and run."""
    found = client.get_experiment_by_name(ledger.experiment)
    return found.experiment_id, found.tags["lifecycle.ledger"]


def following(ledger, **changes):
    last = ledger.entries()[-1]
    made = replace(draft(kind="flag"), seq=last.seq + 1, prev=last.digest)
    return replace(made, **changes)


REFUSED = {
    "deletion": lambda c, at: c.delete_experiment(at[0]),
    "name": lambda c, at: c.rename_experiment(at[0], "churn/old"),
    "run": lambda c, at: c.delete_run(at[1]),
    "root": lambda c, at: c.set_experiment_tag(at[0], "lifecycle.ledger", "f" * 32),
    "no root": lambda c, at: c.delete_experiment_tag(at[0], "lifecycle.ledger"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_ledger_is_not_taken_apart(client, ledger, place, what):
    with pytest.raises(MlflowException, match="refuses this for the ledger of 'churn'") as caught:
        REFUSED[what](client, place)
    assert caught.value.error_code == "PERMISSION_DENIED"
    assert len(ledger.entries()) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prev": FIRST}, "entry 3 does not follow entry 2"),
        ({"seq": 4}, "entry 4 does not follow entry 2"),
        ({"identity": KNOWN}, "says that its actor is authenticated, but this server asks nobody"),
    ],
)
def test_an_entry_that_is_not_the_next_one(client, ledger, place, changes, words):
    text = dumps(following(ledger, **changes))
    key = f"t/{following(ledger, **changes).seq:06d}"
    for write in (
        lambda: client.log_param(place[1], key, text),
        lambda: client.log_batch(place[1], params=[Param(key, text)]),
    ):
        with pytest.raises(MlflowException, match=words):
            write()
    assert len(ledger.entries()) == 2


def test_what_is_no_entry_at_all(client, ledger, place):
    with pytest.raises(MlflowException, match="an entry cannot be read"):
        client.log_param(place[1], "t/000003", "anything")
    two = [Param(f"t/00000{seq}", dumps(following(ledger))) for seq in (3, 4)]
    with pytest.raises(MlflowException, match="written one by one"):
        client.log_batch(place[1], params=two)
    assert len(ledger.entries()) == 2


def test_the_next_entry_and_all_else_passes(client, ledger, place):
    entry = following(ledger)
    client.log_param(place[1], "t/000003", dumps(entry))
    assert ledger.entries()[-1].id == entry.id
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_param(place[1], "t/000003", dumps(replace(entry, reason="another")))
    client.log_param(place[1], "note", "not of the ledger")
    client.set_experiment_tag(place[0], "owner", "ann")
    client.delete_experiment_tag(place[0], "owner")
    client.delete_run(client.create_run(place[0]).info.run_id)
    other = client.create_experiment("other/ledger")  # has no ledger's tag
    client.log_param(client.create_run(other).info.run_id, "t/000001", "a schedule")
    client.rename_experiment(other, "another")
    client.delete_experiment(other)


@pytest.mark.parametrize(
    ("actor", "identity", "user", "words"),
    [
        ("ann", KNOWN, "ann", ""),
        ("ann", "self-declared", "", ""),
        ("ann", KNOWN, "bob", "says that it is by 'ann', but it is by 'bob'"),
        ("ann", KNOWN, "", "this server asks nobody"),
        ("ann", "self-declared", "ann", "the server knows who it is"),
        ("ann", "signed in blood", "", "this server asks nobody"),
        ("ann", "signed in blood", "ann", "the server knows who it is"),
    ],
)
def test_whose_name_an_entry_may_have(actor, identity, user, words):
    said = tracking_store.untrue(Entry(1, "", "", "", actor, "flag", identity=identity), user)
    assert said.endswith(words)
    assert bool(said) == bool(words)


def test_outside_of_a_server_nobody_is_authenticated():
    assert tracking_store.user() == ""
