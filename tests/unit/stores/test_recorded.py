"""A version is what was registered: its tags cannot change it, and trusted keys vouch for it."""

import json
import shutil

import pytest

from lifecycle.errors import DigestMismatch, ModelNotFound, ModelRefused, TransitionRefused
from lifecycle.models import files
from lifecycle.records import Entry, ModelVersion
from lifecycle.serve import copies
from lifecycle.stores import artifacts, recorded, registry, signing
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.evaluate import evaluate
from lifecycle.workflows.gate import gate
from lifecycle.workflows.promote import promote
from lifecycle.workflows.register import sign
from lifecycle.workflows.rollback import rollback
from lifecycle.workflows.score import score

TAGS = {
    recorded.DIGEST: "sha256:aa",
    recorded.COMPILED: "sha256:bb",
    recorded.SPEC: "sha256:cc",
    recorded.SPEC_RUN: "f" * 32,
}


def birth(source="models:/m-1", tags=TAGS) -> Entry:
    return draft(kind="register", version=1, extra=recorded.kept(source, tags))


# rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", [recorded.DIGEST, recorded.COMPILED, recorded.SPEC,
                                 recorded.SPEC_RUN])  # fmt: skip
def test_the_entry_outvotes_a_tag_that_was_changed(tag):
    changed = {**TAGS, tag: "sha256:evil", "mine": "stays"}
    found = recorded.tags(changed, "models:/m-1", birth())
    assert found == {**TAGS, "mine": "stays"}
    removed = {key: value for key, value in TAGS.items() if key != tag}
    assert recorded.tags(removed, "models:/m-1", birth()) == TAGS


def test_an_entry_of_other_files_or_none_says_nothing():
    changed = {**TAGS, recorded.DIGEST: "sha256:other"}
    assert recorded.tags(changed, "models:/m-2", birth()) == changed
    assert recorded.tags(changed, "models:/m-1", None) == changed
    old = draft(kind="register", version=1, extra={"source": "models:/m-1", "digest": ""})
    assert recorded.tags(changed, "models:/m-1", old) == changed


def test_why_it_was_not_compiled_stays_and_a_compiled_file_cannot_be_added():
    plain = {**TAGS, recorded.COMPILED: "no: a forest of 4,000 trees"}
    entry = birth(tags=plain)
    assert recorded.tags(plain, "models:/m-1", entry) == plain
    added = {**plain, recorded.COMPILED: "sha256:evil"}
    assert not recorded.tags(added, "models:/m-1", entry)[recorded.COMPILED].startswith("sha256:")


def test_the_last_birth_of_a_number_counts():
    again = draft(kind="adopt", version=1, extra={"source": "models:/m-2"})
    other = draft(kind="stage", version=1, to="staging")
    assert recorded.births([birth(), again, other]) == {1: again}


def test_the_statement_holds_all_that_a_signature_vouches_for():
    told = json.loads(recorded.statement("churn", 3, TAGS))
    assert told == {"name": "churn", "version": 3, "digest": "sha256:aa", "compiled": "sha256:bb",
                    "spec": "sha256:cc"}  # fmt: skip
    plain = {**TAGS, recorded.COMPILED: "no: x"}
    other = {**TAGS, recorded.COMPILED: "no: y", "lifecycle.gate": "pass"}
    assert recorded.statement("churn", 3, plain) == recorded.statement("churn", 3, other)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {name: (str(folder / name), signing.make(folder / name)) for name in ("ours", "other")}


def signing_with(config, keys, name="ours"):
    return config.with_values(signing__key=keys[name][0], signing__trusted=(keys["ours"][1],))


CHANGES = {
    "other files": {recorded.DIGEST: "sha256:evil"},
    "another compiled file": {recorded.COMPILED: "sha256:evil"},
    "no compiled file": {recorded.COMPILED: ""},
    "another specification": {recorded.SPEC: "sha256:evil"},
    "no signature": {recorded.SIGNATURE: ""},
    "half a signature": {recorded.SIGNATURE: "ed25519:00"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_signature_vouches_for_nothing_else(change, config, keys):
    trust = signing_with(config, keys).signing
    text = recorded.statement("churn", 3, TAGS)
    tags = {**TAGS, recorded.SIGNATURE: signing.sign(trust, text, purpose="model")}
    good = ModelVersion("churn", 3, digest="sha256:aa", tags=tags)
    recorded.check(trust, good)
    for name, version in (("churn", 4), ("price", 3)):
        with pytest.raises(ModelRefused, match="another content"):
            recorded.check(trust, ModelVersion(name, version, digest="sha256:aa", tags=tags))
    changed = {**tags, **CHANGES[change]}
    other = ModelVersion("churn", 3, digest=changed[recorded.DIGEST], tags=changed)
    with pytest.raises(ModelRefused, match="nobody who is trusted vouches") as told:
        recorded.check(trust, other)
    assert "lifecycle sign churn/3" in told.value.fix
    recorded.check(config.signing, ModelVersion("churn", 3))


# a registry -------------------------------------------------------------------------------------


@pytest.fixture
def client(serving):
    return connect(serving)


def second(client, first):
    """Another version of the same files, as somebody might register it."""
    tags = {key: value for key, value in first.tags.items() if key != recorded.SIGNATURE}
    return registry.register(client, "churn", model_uri=first.source, tags=tags)


def test_a_registration_records_files_and_specification(serving, client):
    version = registry.find(client, "churn/1")
    entry = recorded.births(Ledger(client, "churn").entries())[1]
    assert entry.extra["digest"] == version.digest == version.tags[recorded.DIGEST]
    assert entry.extra["spec"] == version.tags[recorded.SPEC]
    text = artifacts.spec_text(client, version)
    assert artifacts.digest_of(text.encode()) == version.tags[recorded.SPEC]
    artifacts.verify(client, version, serving)


def test_a_changed_tag_changes_nothing(serving, client):
    before = registry.find(client, "churn/1")
    for tag in (recorded.DIGEST, recorded.SPEC, recorded.SPEC_RUN):
        client.set_model_version_tag("churn", "1", tag, "sha256:" + "0" * 64)
    after = registry.find(client, "churn/1")
    assert after.digest == before.digest
    assert after.tags == before.tags
    assert registry.versions(client, "churn")[0].digest == before.digest
    artifacts.load(client, after, serving)


@pytest.mark.slow
def test_a_changed_specification_is_refused_at_every_load(serving, client, churn):
    version = registry.find(client, "churn/1")
    path = artifacts.local(client.get_run(version.tags[recorded.SPEC_RUN]).info.artifact_uri)
    spec = path / "lifecycle" / "spec.json"
    before = spec.read_bytes()
    folder = copies.copy(client, version, serving)
    try:
        changed = json.loads(before) | {"threshold": 0.99}
        spec.write_text(json.dumps(changed))
        artifacts._cached.cache_clear()
        for use in (
            lambda: artifacts.load(client, version, serving),
            lambda: artifacts.verify(client, version, serving),
            lambda: gate(serving, version),
            lambda: evaluate(serving, version, churn),
            lambda: score(serving, version, churn.drop(columns="churned")),
        ):
            with pytest.raises(DigestMismatch, match="specification is not the one"):
                use()
        assert copies.open_copy(folder, serving).spec.threshold != 0.99
        (folder / "spec.json").write_text(json.dumps(changed))
        with pytest.raises(DigestMismatch, match="specification is not the one"):
            copies.open_copy(folder, serving)
    finally:
        spec.write_bytes(before)
        artifacts._cached.cache_clear()


def test_a_changed_byte_is_refused_by_every_verb_that_loads(serving, client, churn):
    version = registry.find(client, "churn/1")
    again = second(client, version)
    with artifacts.files(client, version) as folder:
        path = folder / "model.skops"
        before = path.read_bytes()
        try:
            path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            for use in (
                lambda: artifacts.load(client, version, serving),
                lambda: artifacts.verify(client, version, serving),
                lambda: gate(serving, again),
                lambda: evaluate(serving, version, churn),
                lambda: score(serving, version, churn.drop(columns="churned")),
                lambda: copies.open_copy(copies.copy(client, version, serving), serving),
            ):
                with pytest.raises(DigestMismatch, match="not those that were registered"):
                    use()
        finally:
            path.write_bytes(before)


def test_signing_begins_later_and_then_every_load_asks_for_it(serving, client, keys, churn):
    ours = signing_with(serving, keys)
    version = registry.find(client, "churn/1")
    folder = copies.copy(client, version, serving)
    for use in (
        lambda: artifacts.load(client, version, ours),
        lambda: gate(ours, version),
        lambda: evaluate(ours, version, churn),
        lambda: score(ours, version, churn.drop(columns="churned")),
        lambda: copies.open_copy(folder, ours),
    ):
        with pytest.raises(ModelRefused, match="it is not signed"):
            use()
    done = sign(ours, "churn/1")
    assert done.tags[recorded.SIGNATURE].startswith("ed25519:")
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version) == ("sign", 1)
    assert artifacts.load(client, done, ours).version == done
    assert copies.copy(connect(ours), done, ours) == folder
    assert copies.open_copy(folder, ours).version.ref == "churn/1"
    with pytest.raises(ModelRefused, match="which is not one of"):
        artifacts.load(client, sign(signing_with(serving, keys, "other"), "churn/1"), ours)


def test_what_a_key_holder_registers_is_signed_at_once_and_a_swap_is_refused(serving, client, keys):
    ours = signing_with(serving, keys)
    sign(ours, "churn/1")
    first = registry.find(client, "churn/1")
    own = second(connect(ours), first)
    assert own.tags[recorded.SIGNATURE] != first.tags[recorded.SIGNATURE]
    artifacts.load(client, own, ours)
    entry = recorded.births(Ledger(client, "churn").entries())[own.version]
    assert entry.extra["signature"] == own.tags[recorded.SIGNATURE]
    swapped = second(client, first)  # by somebody without the key
    client.set_model_version_tag(
        "churn", str(swapped.version), recorded.SIGNATURE, first.tags[recorded.SIGNATURE]
    )
    with pytest.raises(ModelRefused, match="another content"):
        artifacts.load(client, registry.find(client, swapped.ref), ours)


@pytest.mark.slow
def test_rollback_does_not_return_to_what_nobody_vouches_for(serving, client, keys):
    ours = signing_with(serving, keys)
    again = second(client, registry.find(client, "churn/1"))
    promote(serving, again, to="production", force=True, reason="a test")
    with pytest.raises(TransitionRefused, match=r"cannot be returned to.*not signed"):
        rollback(ours, reason="x")
    sign(ours, "churn/1")
    assert rollback(ours, reason="x").ref == "churn/1"


@pytest.mark.slow
def test_only_what_is_ours_and_unchanged_is_signed(serving, client, keys, logged_model):
    import mlflow

    with pytest.raises(ValueError, match="no key"):
        sign(serving, "churn/1")
    ours = signing_with(serving, keys)
    mlflow.register_model(logged_model(client), "plain")
    with pytest.raises(ModelNotFound, match="not ours yet"):
        sign(ours, "plain/1")
    version = registry.find(client, "churn/1")
    with artifacts.files(client, version) as folder:
        extra = folder / "extra.py"
        extra.write_text("x = 1")
        try:
            with pytest.raises(DigestMismatch):
                sign(ours, version)
        finally:
            extra.unlink()
    assert recorded.SIGNATURE not in registry.find(client, "churn/1").tags


def test_a_copy_cannot_vouch_for_itself(serving, client, keys):
    """Who can write the log's folder changes files and notes, and still has no signature."""
    ours = signing_with(serving, keys)
    folder = copies.copy(client, sign(ours, "churn/1"), ours)
    note = folder / "version.json"
    known = json.loads(note.read_text())
    (folder / "model" / "requirements.txt").write_text("# changed")
    changed = files.digest(folder / "model")
    note.write_text(json.dumps(known | {"copied_digest": changed}))
    with pytest.raises(DigestMismatch, match="not those that were registered"):
        copies.open_copy(folder, ours)
    tags = known["tags"] | {recorded.DIGEST: changed}
    note.write_text(json.dumps(known | {"digest": changed, "tags": tags}))
    with pytest.raises(ModelRefused, match="another content"):
        copies.open_copy(folder, ours)
    note.write_text(json.dumps(known | {"digest": changed, "copied_digest": changed}))
    with pytest.raises(ModelRefused):
        copies.open_copy(folder, ours)
    shutil.rmtree(folder)
