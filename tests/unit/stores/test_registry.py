"""The registry: the ledger decides, aliases follow, and what others did by hand is shown."""

import pytest
from mlflow.exceptions import MlflowException

from lifecycle.errors import ModelNotFound, RegistryError
from lifecycle.records import ModelRef, ModelVersion
from lifecycle.stores import registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import (
    alias_warnings,
    find,
    heal,
    project,
    register,
    survey,
    versions,
)
from lifecycle.stores.tracking import connect

TAGS = {
    "lifecycle.digest": "ab" * 32,
    "lifecycle.spec_run": "f" * 32,
    "lifecycle.compiled": "no: x",
}


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def model(client, logged_model):
    """Three versions of churn that are ours, none of them promoted."""
    uri = logged_model(client)
    return [register(client, "churn", model_uri=uri, tags=TAGS) for _ in range(3)]


def move(client, version, to, *, kind="stage", **extra):
    return Ledger(client, "churn").append(
        lambda _: draft(kind=kind, version=version, to=to, extra=extra)
    )


def aliases(client):
    found = client.get_registered_model("churn").aliases
    return {alias: int(version) for alias, version in found.items()}


def test_registering_gives_a_version_with_tags_and_an_entry(client, model, capfd):
    version = model[0]
    assert (version.name, version.version, version.stage, version.aliases) == (
        "churn",
        1,
        "none",
        (),
    )
    assert version.digest == TAGS["lifecycle.digest"]
    assert version.adopted
    assert version.source.startswith("models:/m-")
    assert version.run_id
    assert version.created.startswith("20")
    entries = Ledger(client, "churn").entries()
    assert [(entry.kind, entry.version) for entry in entries] == [
        ("register", n) for n in (1, 2, 3)
    ]
    assert entries[0].extra["source"] == version.source
    assert entries[0].extra["digest"] == version.digest
    assert "registered model" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("ref", ["churn/2", "models:/churn/2", ModelRef("churn", 2)])
def test_a_version_is_found_by_every_spelling(client, model, ref):
    assert find(client, ref) == find(client, model[1]) == model[1]


def test_all_versions_oldest_first(client, model):
    assert versions(client, "churn") == tuple(model)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("chrun", r"no model 'chrun'; did you mean 'churn'"),
        ("churn/9", r"no version 9; existing: 1, 2, 3"),
        ("churn@nobody", r"no alias 'nobody'; known: none"),
        ("churn", r"no version of 'churn' is in production.*churn/1"),
        ("a/b/c", "not a model reference"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(client, model, ref, said):
    assert model
    with pytest.raises(ModelNotFound, match=said):
        find(client, ref)


def test_a_plain_mlflow_model_just_follows_its_aliases(client, logged_model):
    client.create_registered_model("old")
    client.create_model_version("old", logged_model(client))
    client.set_registered_model_alias("old", "champion", "1")
    client.set_registered_model_alias("old", "Beta-2", "1")
    for ref in ("old", "old@Beta-2"):
        version = find(client, ref)
        assert (version.version, version.stage, version.adopted) == (1, "none", False)
        assert version.aliases == ("Beta-2", "champion")
    assert alias_warnings(client, "old") == ()
    with pytest.raises(ModelNotFound, match="did you mean 'champion'"):
        find(client, "old@champoin")


def test_an_alias_by_hand_before_any_promotion_is_followed_and_shown(client, model):
    client.set_registered_model_alias("churn", "champion", "2")
    assert find(client, "churn") == find(client, model[1])
    assert [text for text in alias_warnings(client, "churn") if "by hand to churn/2" in text]


def test_projecting_writes_aliases_and_tags(client, model):
    assert len(model) == 3
    move(client, 1, "production")
    move(client, 2, "production", replaced=1, replaced_to="archived")
    move(client, 3, "staging")
    project(client, "churn")
    assert aliases(client) == {"champion": 2, "previous": 1, "staging": 3}
    found = versions(client, "churn")
    assert [item.tags["lifecycle.stage"] for item in found] == ["archived", "production", "staging"]
    assert [item.stage for item in found] == ["archived", "production", "staging"]
    assert [item.aliases for item in found] == [("previous",), ("champion",), ("staging",)]
    assert client.get_registered_model("churn").tags["lifecycle.projected"] == "6"
    assert alias_warnings(client, "churn") == ()
    assert find(client, "churn@previous").version == 1
    assert find(client, "churn@staging").version == 3


def test_an_alias_whose_stage_is_empty_is_taken_away(client, model):
    assert model
    move(client, 1, "staging")
    project(client, "churn")
    assert aliases(client) == {"staging": 1}
    move(client, 1, "production")
    project(client, "churn")
    assert aliases(client) == {"champion": 1}
    move(client, 1, "archived")
    project(client, "churn")
    assert aliases(client) == {"previous": 1}
    with pytest.raises(ModelNotFound, match="in production"):
        find(client, "churn")


def test_a_reader_finishes_what_a_killed_writer_left(client, model):
    assert model
    move(client, 1, "production")
    project(client, "churn")
    move(client, 2, "production", replaced=1, replaced_to="archived")  # killed before projecting
    assert aliases(client) == {"champion": 1}
    assert "lag behind entry 5" in alias_warnings(client, "churn")[0]
    assert find(client, "churn").version == 2
    assert aliases(client) == {"champion": 2, "previous": 1}
    assert alias_warnings(client, "churn") == ()


class Killed(BaseException):
    """What stands for the end of the process in this one."""


class Interrupted:
    """A client that ends before its n-th write; all else is MLflow's own."""

    def __init__(self, client, writes):
        self.client, self.left = client, writes

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if not name.startswith(("set_registered", "set_model", "delete_registered")):
            return method

        def write(*args, **kwargs):
            if self.left == 0:
                raise Killed
            self.left -= 1
            return method(*args, **kwargs)

        return write


@pytest.mark.parametrize("writes", range(7))
def test_every_prefix_of_the_projection_is_safe(client, model, writes):
    assert model
    move(client, 1, "production")
    move(client, 2, "staging")
    project(client, "churn")
    assert aliases(client) == {"champion": 1, "staging": 2}
    move(client, 2, "production", replaced=1, replaced_to="archived")
    try:
        project(Interrupted(client, writes), "churn")
        done = True
    except Killed:
        done = False
    assert done == (writes == 6), "previous, champion, staging, two tags, projected"
    left = aliases(client)
    assert left["champion"] in (1, 2), "plain MLflow always finds a champion that was decided upon"
    assert left.get("previous", 1) == 1
    assert bool(alias_warnings(client, "churn")) is not done
    assert find(client, "churn").version == 2
    assert aliases(client) == {"champion": 2, "previous": 1}
    assert [item.tags["lifecycle.stage"] for item in versions(client, "churn")[:2]] == [
        "archived",
        "production",
    ]
    assert alias_warnings(client, "churn") == ()


def test_an_alias_moved_by_hand_is_not_followed_but_shown(client, model):
    assert model
    move(client, 1, "production")
    project(client, "churn")
    client.set_registered_model_alias("churn", "champion", "3")
    assert find(client, "churn").version == 1
    assert find(client, "churn/3").aliases == ()
    assert aliases(client)["champion"] == 3, "not mended silently"
    (warning,) = alias_warnings(client, "churn")
    assert "champion was set by hand to churn/3; the ledger says churn/1" in warning
    project(client, "churn")
    assert aliases(client)["champion"] == 1
    client.delete_registered_model_alias("churn", "champion")
    assert "was removed by hand" in alias_warnings(client, "churn")[0]
    assert find(client, "churn").version == 1


def test_other_aliases_are_not_ours(client, model):
    assert model
    move(client, 1, "production")
    project(client, "churn")
    client.set_registered_model_alias("churn", "challenger", "2")
    client.set_registered_model_alias("churn", "mine", "3")
    assert alias_warnings(client, "churn") == ()
    project(client, "churn")
    assert aliases(client) == {"champion": 1, "challenger": 2, "mine": 3}
    assert find(client, "churn@challenger").version == 2


def test_a_version_whose_registration_was_interrupted_is_entered_later(client, model):
    made = client.create_model_version("churn", model[0].source, tags=TAGS)
    client.create_model_version("churn", model[0].source)  # plain MLflow's: not ours to enter
    assert heal(client, "churn") == (int(made.version),)
    assert heal(client, "churn") == ()
    assert [entry.version for entry in Ledger(client, "churn").entries()] == [1, 2, 3, 4]


def test_a_champion_that_was_deleted_in_mlflow_is_missed_by_name(client, model):
    assert model
    move(client, 3, "production")
    project(client, "churn")
    client.delete_model_version("churn", "3")
    with pytest.raises(ModelNotFound, match=r"no version 3; existing: 1, 2.*although it serves"):
        find(client, "churn")


def test_a_model_that_was_deleted_and_made_again_begins_anew(client, model, logged_model):
    assert model
    move(client, 1, "production")
    project(client, "churn")
    client.delete_registered_model("churn")
    again = register(client, "churn", model_uri=logged_model(client, slope=2.0), tags=TAGS)
    assert (again.version, again.stage) == (1, "none")
    with pytest.raises(ModelNotFound, match="in production"):
        find(client, "churn")


def test_the_record_is_the_same_whoever_reads(client, model):
    assert isinstance(model[0], ModelVersion)
    assert model[0].tags == {**TAGS}
    assert registry.names(client) == ("churn",)
    found, entries, warnings = registry.survey(client, "churn")
    assert found == tuple(model)
    assert len(entries) == 3
    assert warnings == ()


NEW = ("new", "staging", "production", "archived")


@pytest.mark.usefixtures("model")
def test_a_version_that_never_moved_is_in_the_configured_first_stage(client, logged_model):
    made = register(client, "churn", model_uri=logged_model(client), tags=TAGS, order=NEW)
    assert made.stage == "new"
    assert Ledger(client, "churn").entries()[-1].to == "new"
    move(client, 1, "production", replaced=None)
    project(client, "churn", order=NEW)
    shown = [version.stage for version in versions(client, "churn", order=NEW)]
    assert shown == ["production", "new", "new", "new"]
    assert [item.stage for item in survey(client, "churn", order=NEW)[0]] == shown
    assert find(client, "churn/2", order=NEW).stage == "new"  # registered under another order
    assert find(client, "churn", order=NEW).stage == "production"


def test_a_plain_mlflow_version_starts_in_the_first_stage_too(client, logged_model):
    client.create_registered_model("plain")
    client.create_model_version("plain", logged_model(client))
    assert find(client, "plain/1", order=NEW).stage == "new"
    assert heal(client, "plain", order=NEW) == ()


class Clashing:
    """A client whose tags are written by somebody else at the same moment, so many times."""

    def __init__(self, client, times, said):
        self.client, self.times, self.said = client, times, said

    def __getattr__(self, name):
        return getattr(self.client, name)

    def set_model_version_tag(self, *given):
        if self.times:
            self.times -= 1
            raise MlflowException(self.said)
        self.client.set_model_version_tag(*given)


UNIQUE = "(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint"


@pytest.mark.usefixtures("model")
def test_two_that_write_one_tag_at_once_both_come_to_an_end(client):
    move(client, 1, "production")
    project(Clashing(client, 3, UNIQUE), "churn")
    assert aliases(client) == {"champion": 1}
    assert find(client, "churn/1").tags["lifecycle.stage"] == "production"
    assert alias_warnings(client, "churn") == ()


@pytest.mark.usefixtures("model")
def test_a_write_that_is_refused_for_good_is_told(client):
    move(client, 1, "production")
    with pytest.raises(RegistryError, match="not allowed here"):
        project(Clashing(client, 99, "not allowed here"), "churn")
    with pytest.raises(RegistryError, match="duplicate key"):
        project(Clashing(client, 99, UNIQUE), "churn")
