"""What `verify` finds: nothing where all is as recorded, and each thing that was changed, where."""

import json
import shutil
import sqlite3
from contextlib import contextmanager

import pytest

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import GateReport, GateResult, Outcome
from lifecycle.stores import artifacts, contents, heads, recorded, registry, signing
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.views.notebook import html
from lifecycle.views.terminal import text
from lifecycle.workflows.history import history
from lifecycle.workflows.verify import verify


@pytest.fixture
def client(serving):
    return connect(serving)


@pytest.fixture
def judged(serving, client):
    """churn/1 with a gate verdict, its evidence, and a flag behind it."""
    version = registry.find(client, "churn/1")
    report = GateReport("churn", 1, (GateResult("floor", Outcome.PASS, "0.8"),))
    digest, link = artifacts.evidence(client, version.run_id, "gate-test", report.to_dict())
    ledger = Ledger(client, "churn")
    ledger.append(
        lambda _: draft(
            kind="gate", version=1, evidence_digest=digest, evidence_link=link,
            extra={"outcome": "pass"},
        )
    )  # fmt: skip
    ledger.append(lambda _: draft(kind="flag", version=1, reason="the last one"))
    registry.project(client, "churn")
    return serving


def failed(found):
    return {item.check: item.detail for item in found.findings if item.outcome is Outcome.FAIL}


def missing(found):
    return {item.check: item.detail for item in found.findings if item.outcome is Outcome.UNSURE}


def change(path, statement, *values, rows=1):
    database = sqlite3.connect(path)
    with database:
        assert database.execute(statement, values).rowcount == rows
    database.close()


@contextmanager
def changed(path, extra=b" "):
    """A file with something added, for as long as the block runs; others share it."""
    whole = path.read_bytes()
    path.write_bytes(whole + extra)
    try:
        yield
    finally:
        path.write_bytes(whole)


def test_what_is_as_recorded_passes_and_says_what_was_looked_at(judged, client):
    found = verify(judged)
    assert failed(found) == missing(found) == {}
    assert (found.exit_code, found.passed, found.entries) == (0, True, 4)
    assert found.head == Ledger(client, "churn").entries()[-1].digest == history(judged).head
    looked_at = [item.detail for item in found.findings]
    for name in ("spec.json", "holdout.parquet", "reference.parquet", "profile.json", "gate-test"):
        assert any(name in item for item in looked_at), name
    assert any("its files are those of entry 1" in item for item in looked_at)
    assert any("no head was given" in item for item in looked_at)
    assert found.to_dict()["passed"] is True
    assert "as it was recorded" in text(found)
    assert "lifecycle" in html(found)


def test_a_model_that_nothing_was_recorded_of_passes(serving, client):
    client.create_registered_model("plain")
    found = verify(serving.with_values(name="plain"))
    assert (found.exit_code, found.entries, found.head) == (0, 0, "")
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        verify(serving.with_values(name="chrun"))


@pytest.mark.parametrize(
    ("seq", "field", "said"),
    [
        (1, '"version":1', "entry 2 seals another"),
        (2, "a test", "entry 3 seals another"),
    ],
)
def test_an_entry_edited_by_hand_is_named(judged, tmp_path, seq, field, said):
    change(
        tmp_path / "mlflow.db",
        "UPDATE params SET value = replace(value, ?, ?) WHERE key = ?",
        field, field.replace("1", "7").replace("a test", "a better reason"), f"t/{seq:06d}",
    )  # fmt: skip
    found = verify(judged)
    assert found.exit_code == 2
    assert said in failed(found)[f"entry {seq}"]
    assert "restore the tracking database" in text(found)


def test_each_of_several_faults_is_told(judged, tmp_path):
    path = tmp_path / "mlflow.db"
    change(path, "UPDATE params SET value = ? WHERE key = ?", "no entry", "t/000001")
    change(path, "DELETE FROM params WHERE key = ?", "t/000003")
    found = failed(verify(judged))
    assert "cannot be read" in found["entry 1"]
    assert found["entry 3"] == "it is missing"


def test_a_field_that_the_evidence_contradicts_is_named(judged, tmp_path):
    change(
        tmp_path / "mlflow.db",
        "UPDATE params SET value = replace(value, ?, ?) WHERE key = ?",
        '"outcome":"pass"', '"outcome":"fail"', "t/000003",
    )  # fmt: skip
    found = failed(verify(judged))
    said = found["evidence of entry 3"]
    assert "'outcome' of entry 3 says 'fail', its evidence 'pass'" in said


def test_a_head_shows_an_edited_last_entry_with_its_field(judged, tmp_path):
    kept = tmp_path / "history.json"
    kept.write_text(json.dumps(history(judged).to_dict()))
    assert failed(verify(judged, head=kept)) == {}
    change(
        tmp_path / "mlflow.db",
        "UPDATE params SET value = replace(value, ?, ?) WHERE key = ?",
        "the last one", "never mind", "t/000004",
    )  # fmt: skip
    assert failed(verify(judged)) == {}, "nothing follows it, so nothing in the ledger tells"
    said = failed(verify(judged, head=kept))["head, entry 4"]
    assert "'reason' is 'never mind', was 'the last one'" in said


def test_a_tail_that_was_cut_off_shows(judged, client, tmp_path):
    kept = tmp_path / "churn.head"
    history(judged, head=kept)
    digest = heads.noted(kept).digest
    change(tmp_path / "mlflow.db", "DELETE FROM params WHERE key = ?", "t/000004")
    found = failed(verify(judged, head=kept))
    assert found["head, entry 4"] == "entries 4 to 4 are gone: the end was cut off"
    assert "no entry has the digest" in failed(verify(judged, head=digest))["head"]
    assert "followed entry 4, the ledger ends with 3" in failed(verify(judged))["ledger's end"]
    Ledger(client, "churn").append(lambda _: draft(kind="flag", reason="in its place"))
    assert failed(verify(judged)) == {}, "a new tail hides it"
    assert "another than was noted" in failed(verify(judged, head=kept))["head, entry 4"]


def test_a_ledger_that_was_replaced_or_deleted_shows(judged, client, tmp_path):
    kept = tmp_path / "churn.head"
    history(judged, head=kept)
    experiment = client.get_experiment_by_name("churn/ledger").experiment_id
    client.delete_experiment(experiment)
    found = verify(judged, head=kept)
    assert found.exit_code == 2
    assert "was deleted" in failed(found)["ledger"]
    change(
        tmp_path / "mlflow.db",
        "UPDATE experiments SET name = ? WHERE name = ?", "elsewhere", "churn/ledger",
    )  # fmt: skip
    assert "ends with 0" in failed(verify(judged))["ledger's end"]
    Ledger(client, "churn").append(lambda _: draft(kind="register", version=1, to="none"))
    found = failed(verify(judged, head=kept))
    assert "the ledger was replaced" in found["head, entry 1"]


def test_a_head_of_another_model_and_no_head_at_all_are_refused(judged, tmp_path):
    kept = tmp_path / "churn.head"
    history(judged, head=kept)
    with pytest.raises(DataError, match="that of 'churn', not of 'other'"):
        verify(judged.with_values(name="other"), head=kept)
    with pytest.raises(DataError, match="no head can be read"):
        verify(judged, head="nowhere")


def test_changed_files_are_named(judged, client):
    version = registry.find(client, "churn/1")
    with artifacts.files(client, version) as folder, changed(folder / "MLmodel"):
        found = failed(verify(judged))
        assert list(found) == ["version 1"]
        assert "not those that were registered" in found["version 1"]
    stored = Ledger(client, "churn").entries()[0].extra["stored"]
    link = next(item for item in stored if item.endswith("holdout.parquet"))
    run_id, _, name = link.removeprefix("runs:/").partition("/")
    root = artifacts.local(client.get_run(run_id).info.artifact_uri)
    with changed(root / name):
        found = failed(verify(judged))
        assert list(found) == ["version 1"]
        assert f"{link} was changed: sha256" in found["version 1"]
    entry = next(item for item in history(judged).entries if item.kind == "gate")
    run_id, _, name = entry.evidence_link.removeprefix("runs:/").partition("/")
    with changed(artifacts.local(client.get_run(run_id).info.artifact_uri) / name):
        assert list(failed(verify(judged))) == ["evidence of entry 3"]
    assert verify(judged).exit_code == 0


def test_what_is_gone_is_not_enough_evidence(judged, client, tmp_path):
    entry = next(item for item in history(judged).entries if item.kind == "gate")
    run_id, _, name = entry.evidence_link.removeprefix("runs:/").partition("/")
    path = artifacts.local(client.get_run(run_id).info.artifact_uri) / name
    shutil.move(path, tmp_path / "away")
    try:
        found = verify(judged)
        assert (found.exit_code, found.passed, failed(found)) == (3, False, {})
        assert "the file is gone" in missing(found)["evidence of entry 3"]
        assert "could not be looked at" in text(found)
    finally:
        shutil.move(tmp_path / "away", path)


def test_tags_that_differ_from_the_entry_are_told(judged, client):
    client.set_model_version_tag("churn", "1", recorded.DIGEST, "sha256:" + "0" * 64)
    assert recorded.DIGEST in failed(verify(judged))["version 1"]


def test_aliases_and_stages_that_were_moved_by_hand_are_told_and_mended(judged, client):
    from lifecycle.workflows.doctor import doctor

    again = registry.find(client, "churn/1")
    other = client.create_model_version("churn", again.source)
    client.set_registered_model_alias("churn", "champion", other.version)
    found = verify(judged)
    assert found.exit_code == 2
    assert "set by hand to churn/2; the ledger says churn/1" in failed(found)["aliases"]
    doctor(judged, fix=True)
    assert verify(judged).exit_code == 0
    client.set_model_version_tag("churn", "1", registry.STAGE, "archived")
    assert "says 'archived', the ledger 'production'" in failed(verify(judged))["version 1"]
    doctor(judged, fix=True)


def test_a_champion_that_was_deleted_is_told_and_other_deletions_are_noted(judged, client):
    again = registry.find(client, "churn/1")
    made = registry.register(client, "churn", model_uri=again.source, tags=dict(again.tags))
    client.delete_model_version("churn", str(made.version))
    found = verify(judged)
    assert found.exit_code == 0
    assert any("versions 2 were deleted" in item.detail for item in found.findings)
    client.delete_model_version("churn", "1")
    assert "churn/1 is in production and was deleted" in failed(verify(judged))["production"]


def test_a_move_from_where_the_version_was_not_is_told(judged, client):
    Ledger(client, "churn").append(
        lambda _: draft(kind="stage", version=1, source="staging", to="archived")
    )
    registry.project(client, "churn")
    found = failed(verify(judged))
    assert found == {
        "entry 5": "its field 'source' says 'staging'; version 1 was in 'production' by then"
    }


def signed(config, tmp_path, name="key.pem"):
    public = signing.make(tmp_path / name)
    return config.with_values(signing__key=str(tmp_path / name), signing__trusted=(public,))


def test_entries_are_signed_and_unsigned_ones_behind_them_are_told(judged, tmp_path):
    config = signed(judged, tmp_path)
    assert "no entry is signed" in failed(verify(config))["signatures"]
    Ledger(connect(config), "churn").append(lambda _: draft(kind="flag", reason="mine"))
    found = verify(config)
    told = [item for item in found.findings if item.check == "signatures"]
    assert [item.outcome for item in told] == [Outcome.PASS]
    assert "signed from entry 5 on; entries 1 to 4 are sealed by it" in told[0].detail
    assert found.signed == 1
    Ledger(connect(judged), "churn").append(lambda _: draft(kind="flag", reason="unsigned"))
    assert "not signed" in failed(verify(config))["entry 6"]
    assert "entry 6" not in failed(verify(judged)), "without trusted keys nobody asks"


def test_a_forged_last_entry_of_a_signed_ledger_is_found(judged, tmp_path):
    config = signed(judged, tmp_path)
    Ledger(connect(config), "churn").append(lambda _: draft(kind="flag", reason="mine"))
    change(
        tmp_path / "mlflow.db",
        "UPDATE params SET value = replace(value, ?, ?) WHERE key = ?",
        '"reason":"mine"', '"reason":"ours"', "t/000005",
    )  # fmt: skip
    assert "its signature is of another content" in failed(verify(config))["entry 5"]
    other = signed(judged, tmp_path, "other.pem")
    assert "not one of [signing] trusted" in failed(verify(other))["entry 5"]


def test_the_digests_of_what_is_stored_stand_in_the_registration(client):
    entry = Ledger(client, "churn").entries()[0]
    names = {item.rpartition("lifecycle/")[2] for item in entry.extra["stored"]}
    assert {"spec.json", "data/holdout.parquet", "data/profile.json"} <= names
    assert contents.digests(client, "f" * 32) == {}, "a run that is gone has none"
    with pytest.raises(ModelNotFound):
        contents.content(client, f"runs:/{'f' * 32}/lifecycle/spec.json")


def test_forced_promotions_and_their_place_in_time_are_shown(judged):
    from lifecycle.workflows.history import history_at

    entry = next(item for item in history(judged).entries if item.to == "production")
    found = history_at(judged, entry.time)
    assert found.version == 1
    assert "was forced" in text(found)
