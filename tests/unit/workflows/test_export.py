"""The folder of evidence: what is in it, that it is whole or not there, and that it checks out."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError, LedgerError, ModelNotFound
from lifecycle.models import files as model_files
from lifecycle.records import Entry, Outcome
from lifecycle.stages import ORDER
from lifecycle.stores import artifacts, datasets, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.views.terminal import text
from lifecycle.workflows import offline
from lifecycle.workflows.dossier import evidence
from lifecycle.workflows.export import export_audit, ledger_lines, selected, verify_folder
from lifecycle.workflows.gate import gate


def entry(seq, time, kind="stage", version=1, **values):
    return Entry(seq, "", f"id{seq}", time, "ann", kind, version, **values)


LIFE = (
    entry(1, "2024-05-01T00:00:00+00:00", "register"),
    entry(2, "2024-06-01T00:00:00+00:00", to="production", source="none"),
    entry(3, "2025-02-01T00:00:00+00:00", "flag"),
    entry(4, "2025-03-01T00:00:00+00:00", "register", 2),
    entry(5, "2025-04-01T00:00:00+00:00", "gate", 2),
    entry(6, "2025-12-31T23:59:59+00:00", version=2, to="production", extra={"replaced": 1}),
    entry(7, "2026-01-01T00:00:00+00:00", "erase", None),
    entry(8, "2026-02-01T00:00:00+00:00", "register", 3),
    entry(9, "2026-03-01T00:00:00+00:00", "rollback", 1, to="production", extra={"replaced": 2}),
)


@pytest.mark.parametrize(
    ("version", "year", "numbers"),
    [
        (None, None, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1, None, [1, 2, 3, 6, 9]),  # what replaced it is about it, too
        (2, None, [4, 5, 6, 9]),
        (3, None, [8]),
        (None, 2023, []),
        (None, 2024, [1, 2]),
        (None, 2025, [1, 2, 3, 4, 5, 6]),  # 2 served when it began; 1 is that one's birth
        (None, 2026, [1, 4, 6, 7, 8, 9]),
        (None, 2027, [1, 9]),  # nothing happened, but version 1 served
        (2, 2025, [4, 5, 6]),
        (1, 2026, [1, 6, 9]),  # 6: what served when it began had replaced it
        (4, None, []),
    ],
)
def test_the_entries_of_a_version_and_of_a_year(version, year, numbers):
    found = selected(LIFE, version=version, year=year, order=ORDER)
    assert [item.seq for item in found] == numbers


@settings(max_examples=50, deadline=None)
@given(
    version=st.none() | st.integers(1, 4),
    year=st.none() | st.integers(2023, 2028),
    until=st.integers(0, len(LIFE)),
)
def test_a_selection_is_in_order_and_has_all_that_happened(version, year, until):
    ledger = LIFE[:until]
    found = [item.seq for item in selected(ledger, version=version, year=year, order=ORDER)]
    assert found == sorted(set(found))
    for item in ledger:
        mine = version in (None, item.version)
        then = year is None or item.time.startswith(str(year))
        assert item.seq in found or not (mine and then)


@pytest.fixture(scope="module")
def world(champion_database, tmp_path_factory):
    """A registry with churn/1: gated, in production, flagged; and entries about a lost version."""
    from lifecycle.config import Config

    folder = tmp_path_factory.mktemp("audited")
    shutil.copy(champion_database, folder / "mlflow.db")
    config = Config().with_values(
        name="churn", target="churned", time="ts", key="customer_id", models__compile=False,
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}", log__dir=str(folder / "log"),
    )  # fmt: skip
    client = connect(config)
    gate(config, "churn/1")
    run_id = registry.find(client, "churn/1").run_id
    digest, link = artifacts.evidence(client, run_id, "monitor", {"drifted": True})
    ledger = Ledger(client, "churn")
    for made in (
        draft(kind="flag", version=1, evidence_digest=digest, evidence_link=link, reason="moved"),
        draft(kind="gate", version=2, evidence_digest="0" * 64, evidence_link="runs:/gone/x/y"),
        draft(kind="erase", reason="ticket 4711"),
    ):  # fmt: skip
        ledger.append(lambda _, made=made: made)
    return config


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """Version 1's evidence, with its files."""
    place = tmp_path_factory.mktemp("evidence") / "churn-1"
    return export_audit(world, place, ref="churn/1", files=True)


def read(record, name):
    return json.loads((Path(record.folder) / name).read_text())


def test_a_versions_evidence_checks_out_here_alone_and_by_sha256sum(whole, world):
    ledger = Ledger(connect(world), "churn").entries()
    assert (whole.scope, whole.entries, whole.missing, whole.exit_code) == ("version 1", 6, (), 0)
    assert whole.head == ledger[-1].digest
    found = verify_folder(whole.folder, head=whole.head)
    assert (found.outcome, found.exit_code, found.problems) == (Outcome.PASS, 0, ())
    assert (found.seal, found.shown, found.entries) == (whole.seal, whole.shown, whole.entries)
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=whole.folder, check=False
    )
    assert done.returncode == 0
    done = subprocess.run(
        [sys.executable, "-I", "-S", f"{whole.folder}/verify.py"],
        capture_output=True, text=True, check=False, env={}, cwd="/",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert whole.seal in done.stdout


def test_shown_entries_are_byte_for_byte_those_that_mlflow_stores(whole, world):
    client = connect(world)
    experiment = client.get_experiment_by_name("churn/ledger")
    stored = client.get_run(experiment.tags["lifecycle.ledger"]).data.params
    lines = (Path(whole.folder) / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == len(stored)
    for number, line in enumerate(lines, start=1):
        text_ = stored[f"t/{number:06d}"]
        if json.loads(text_).get("version") == 1:
            assert line == text_
        else:
            digest = hashlib.sha256(text_.encode()).hexdigest()
            told = {"seq": number, "prev": json.loads(text_)["prev"], "digest": digest}
            assert json.loads(line) == {**told, "left_out": True}
    assert sum("left_out" in line for line in lines) == 2


def test_the_folder_has_the_evidence_and_the_facts(whole, world):
    client, base = connect(world), "versions/1"
    version = registry.find(client, "churn/1")
    rows = artifacts.holdout(client, version)
    told = read(whole, f"{base}/holdout.json")
    assert (told["rows"], told["sha256"]) == (len(rows), datasets.digest(rows))
    born = Ledger(client, "churn").entries()[0].extra["stored"]
    assert told["file_sha256"] in born.values()
    listed = read(whole, f"{base}/files.json")
    assert listed["digest"] == version.digest
    copied = Path(whole.folder) / base / "model"
    assert model_files.digest(copied) == version.digest
    spec = (Path(whole.folder) / base / "spec.json").read_bytes()
    assert spec == artifacts.run_file(client, version.tags["lifecycle.spec_run"], "spec.json")
    gates = [item for item in Ledger(client, "churn").entries() if item.kind == "gate"]
    report = read(whole, f"evidence/{gates[0].evidence_digest}.json")
    assert report["results"]
    assert read(whole, "MANIFEST.json")["versions"] == {"1": version.digest}
    assert read(whole, f"{base}/checks.json") == []
    names = {path.name for path in Path(whole.folder).rglob("*")}
    assert {"README.md", "index.html", "card.md", "version.json"} <= names
    assert not any(path.suffix == ".parquet" for path in Path(whole.folder).rglob("*")), "no rows"


def test_the_readme_and_the_page_say_what_is_there(whole):
    words = (Path(whole.folder) / "README.md").read_text()
    assert whole.head in words
    assert "4 of 6 entries" in " ".join(words.split())
    for name in ("verify.py", "ledger.jsonl", "SHA256SUMS", "MANIFEST.json", "index.html"):
        assert f"| {name} |" in words
    page = (Path(whole.folder) / "index.html").read_text()
    for said in ("Which version served when", "ticket 4711", "a test", "Gate report of entry"):
        assert (said in page) == (said != "ticket 4711"), said
    assert "entry left out" in page or "entries left out" in page
    assert "<script" not in page
    assert 'src="http' not in page


def test_without_the_option_files_are_listed_and_not_copied(world, tmp_path):
    done = export_audit(world, tmp_path / "plain", ref="churn@champion")
    assert read(done, "versions/1/files.json")["files"]
    assert not (tmp_path / "plain" / "versions" / "1" / "model").exists()
    assert verify_folder(tmp_path / "plain").exit_code == 0


def test_a_models_whole_evidence_says_what_is_missing(world, tmp_path):
    done = export_audit(world, tmp_path / "all", ref="churn")
    assert (done.scope, done.shown, done.exit_code) == ("everything", 6, 3)
    assert [item.split(":")[0] for item in done.missing] == ["evidence of entry 5", "version 2"]
    found = verify_folder(tmp_path / "all")
    assert (found.outcome, found.exit_code) == (Outcome.UNSURE, 3)
    assert "missing" in text(done)
    assert "evidence was missing" in text(found)


def test_a_year_has_its_own_name_and_none_but_its_entries(world, tmp_path):
    year = int(Ledger(connect(world), "churn").entries()[0].time[:4])
    done = export_audit(world, tmp_path / "year", year=year)
    assert (done.scope, done.shown) == (f"year {year}", 6)
    with pytest.raises(DataError, match="no entry of 1999; it goes from"):
        export_audit(world, tmp_path / "1999", year=1999)
    with pytest.raises(DataError, match="no year"):
        export_audit(world, tmp_path / "0", year=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["year"]


def test_evidence_is_never_written_over(world, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("used", "file"):
        with pytest.raises(DataError, match="not empty"):
            export_audit(world, tmp_path / name, ref="churn/1")
    assert (tmp_path / "used" / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export_audit(world, tmp_path / "empty", ref="churn/1").files
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o755


def test_what_cannot_be_exported_leaves_nothing(world, tmp_path):
    for ref in ("churn/7", "nothing", "nothing/1"):
        with pytest.raises(ModelNotFound):
            export_audit(world, tmp_path / "out", ref=ref)
    (tmp_path / "closed").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        export_audit(world, tmp_path / "closed" / "out", ref="churn/1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed"]


def test_files_that_are_not_as_registered_are_shown_and_found(world, tmp_path):
    """The folder says what is there now; the ledger says what was registered."""
    client = connect(world)
    version = registry.find(client, "churn/1")
    with artifacts.files(client, version) as folder:
        path, before = folder / "MLmodel", (folder / "MLmodel").read_bytes()
        path.write_bytes(before + b"\n")
        try:
            export_audit(world, tmp_path / "swapped", ref="churn/1")
        finally:
            path.write_bytes(before)
    found = verify_folder(tmp_path / "swapped")
    assert (found.exit_code, [item.check for item in found.problems]) == (
        2, ["versions/1/files.json"],
    )  # fmt: skip
    assert "1 problem" in text(found)
    assert (
        "they are not those that were registered"
        in (tmp_path / "swapped" / "versions" / "1" / "card.md").read_text()
    )


def reseal(folder):
    """Write the sums anew, as somebody would who wants to hide a change."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in [line[66:] for line in (folder / offline.SUMS).read_text().splitlines()]
    ]
    (folder / offline.SUMS).write_text("".join(lines))


@pytest.mark.parametrize("name", ["spec.json", "holdout.json", "files.json"])
def test_what_the_registration_recorded_cannot_be_rewritten(whole, tmp_path, name):
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    path = folder / "versions" / "1" / name
    tree = json.loads(path.read_text())
    if name == "files.json":
        tree["files"][0]["sha256"] = "0" * 64
        shutil.rmtree(folder / "versions" / "1" / "model")
        sums = folder / offline.SUMS
        kept = [line for line in sums.read_text().splitlines() if "/model/" not in line]
        sums.write_text("".join(f"{line}\n" for line in kept))
    else:
        tree |= {"target": "other", "file_sha256": "0" * 64}
    path.write_text(json.dumps(tree))
    reseal(folder)
    assert [item.check for item in verify_folder(folder).problems] == [f"versions/1/{name}"]


def test_evidence_that_was_changed_is_not_shown_as_evidence(world, tmp_path):
    client = connect(world)
    judged = next(item for item in Ledger(client, "churn").entries() if item.kind == "gate")
    run_id, _, name = judged.evidence_link.removeprefix("runs:/").partition("/")
    path = artifacts.local(client.get_run(run_id).info.artifact_uri) / name
    before = path.read_bytes()
    path.write_bytes(before.replace(b"pass", b"fail"))
    try:
        done = export_audit(world, tmp_path / "out", ref="churn/1")
    finally:
        path.write_bytes(before)
    assert done.exit_code == 3
    (why,) = done.missing
    assert why.startswith(f"evidence of entry {judged.seq}: the evidence is not what was stored")
    assert not (tmp_path / "out" / "evidence" / f"{judged.evidence_digest}.json").exists()
    found = verify_folder(tmp_path / "out")
    assert (found.exit_code, len(found.missing), found.problems) == (3, 1, ())


def test_evidence_without_an_address_is_missing():
    made = entry(4, "2026-01-01T00:00:00+00:00", "gate", evidence_digest="0" * 64)
    with pytest.raises(DataError, match="no address"):
        evidence(None, made)


def test_two_exports_to_one_place_leave_one_whole_folder(world, tmp_path):
    said = []

    def write():
        try:
            said.append(export_audit(world, tmp_path / "out", ref="churn/1").seal)
        except DataError as error:
            said.append(error.what)

    both = [threading.Thread(target=write) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len([item for item in said if len(item) == 64]) == 1, said
    found = verify_folder(tmp_path / "out")
    assert found.exit_code == 0
    assert found.seal in said
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_check_wants_a_folder_and_a_digest(tmp_path, whole):
    with pytest.raises(DataError, match="no such folder"):
        verify_folder(tmp_path / "nowhere")
    with pytest.raises(DataError):
        verify_folder(whole.folder, head="not a digest")
    (tmp_path / "half").mkdir()
    assert verify_folder(tmp_path / "half").exit_code == 2
    other = verify_folder(whole.folder, head="ab" * 32)
    assert [item.check for item in other.problems] == ["ledger.jsonl"]


def test_an_entry_of_another_form_is_not_shown_as_if_it_were_ours():
    made = entry(1, "2026-01-01T00:00:00+00:00")
    with pytest.raises(LedgerError, match="entry 1 was written by another version"):
        ledger_lines([made], [])


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_that_passes_for_evidence(world, tmp_path):
    code = (
        "import sys; from lifecycle.config import Config; import lifecycle.workflows.export as e\n"
        "from lifecycle.stores.tracking import connect\n"
        "import lifecycle.views.audit_pages, mlflow.artifacts\n"
        "c = Config().with_values(name='churn', tracking__uri=sys.argv[1]); connect(c)\n"
        "print('ready', flush=True)\n"
        "e.export_audit(c, sys.argv[2], ref='churn/1', files=True)\n"
    )
    for at, delay in enumerate((0.05, 0.3)):
        place = tmp_path / f"out-{at}"
        process = subprocess.Popen(
            [sys.executable, "-c", code, world.tracking_uri, str(place)], stdout=subprocess.PIPE
        )
        assert process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if place.exists():
            assert verify_folder(place).exit_code == 0
        for left in tmp_path.glob(".*.part"):
            assert not (left / offline.SUMS).exists() or verify_folder(left).exit_code == 0
    assert export_audit(world, tmp_path / "again", ref="churn/1").exit_code == 0
