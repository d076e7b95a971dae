"""The stand-alone check of an audit folder: whatever is changed in it is found, and where."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.models import files
from lifecycle.stores.ledger import FIRST, draft, dumps
from lifecycle.workflows import offline


def entries(number, *, evidence=b'{"passed":true}', model="sha256:" + "0" * 64):
    """Texts of a ledger whose second entry rests on evidence and whose first is a birth."""
    texts, prev = [], FIRST
    for seq in range(1, number + 1):
        rests = hashlib.sha256(evidence).hexdigest() if seq == 2 else ""
        extra = {"digest": model} if seq == 1 else {}
        made = draft(
            kind="register" if seq == 1 else "gate",
            version=1,
            reason=f"entry {seq} \u00e4\n",
            evidence_digest=rests,
            extra=extra,
        )
        texts.append(dumps(made.__class__(**{**made.__dict__, "seq": seq, "prev": prev})))
        prev = hashlib.sha256(texts[-1].encode()).hexdigest()
    return texts, prev


def link(text):
    tree = json.loads(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    told = {"seq": tree["seq"], "prev": tree["prev"], "digest": digest, "left_out": True}
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def seal(root):
    """Write the sums anew, as somebody would who wants to hide a change."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root).as_posix()}\n"
        for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix())
        if path.is_file() and path.name != offline.SUMS
    ]
    (root / offline.SUMS).write_text("".join(lines))


def build(root, *, number=6, left_out=(4, 5), missing=(), evidence=b'{"passed":true}'):
    """A folder as an export writes it, without MLflow."""
    model = {"MLmodel": b"flavors: {}", "data/model.skops": b"\x00\x01", "data.txt": b"x"}
    for name, content in model.items():
        path = root / "versions" / "1" / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    listed = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in sorted(model.items())
    ]
    digest = files.digest(root / "versions" / "1" / "model")
    (root / "versions/1/files.json").write_text(json.dumps({"digest": digest, "files": listed}))
    texts, head = entries(number, evidence=evidence, model=digest)
    lines = [link(text) if seq in left_out else text for seq, text in enumerate(texts, start=1)]
    (root / offline.LEDGER).write_text("".join(f"{line}\n" for line in lines))
    (root / "evidence").mkdir()
    (root / "evidence" / f"{hashlib.sha256(evidence).hexdigest()}.json").write_bytes(evidence)
    manifest = {
        "format": offline.FORMAT,
        "model": "churn",
        "scope": {"version": 1, "year": None},
        "head": {"seq": number, "digest": head},
        "versions": {"1": digest},
        "missing": list(missing),
    }
    (root / offline.MANIFEST).write_text(json.dumps(manifest))
    shutil.copy(offline.__file__, root / "verify.py")
    seal(root)
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build(tmp_path_factory.mktemp("audit") / "")


@pytest.fixture
def folder(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def where(folder, head=""):
    return [item["where"] for item in offline.check(str(folder), head)["problems"]]


def test_a_whole_folder_holds(whole):
    told = offline.check(str(whole))
    assert told["problems"] == told["missing"] == []
    assert (told["model"], told["scope"], told["entries"], told["shown"]) == (
        "churn", "version 1", 6, 4,
    )  # fmt: skip
    assert told["files"] == len([path for path in whole.rglob("*") if path.is_file()]) - 1
    assert told["seal"] == hashlib.sha256((whole / offline.SUMS).read_bytes()).hexdigest()


NAMES = [
    "MANIFEST.json", "SHA256SUMS", "ledger.jsonl", "verify.py", "versions/1/files.json",
    "versions/1/model/data/model.skops",
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([*NAMES, "evidence"]),
    place=st.integers(0, 10**6),
    how=st.sampled_from(["flip", "insert", "delete", "cut"]),
    value=st.integers(1, 255),
)
def test_any_changed_byte_is_found_and_its_file_named(
    whole, tmp_path_factory, *, name, place, how, value
):
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("tampered") / "copy"))
    path = next(folder.glob("evidence/*")) if name == "evidence" else folder / name
    content = path.read_bytes()
    at = place % len(content)
    changed = {
        "flip": content[:at] + bytes([content[at] ^ value]) + content[at + 1 :],
        "insert": content[:at] + bytes([value]) + content[at:],
        "delete": content[:at] + content[at + 1 :],
        "cut": content[:at],
    }[how]
    path.write_bytes(changed)
    found = [f"{item['where']}: {item['what']}" for item in offline.check(str(folder))["problems"]]
    assert any(path.relative_to(folder).as_posix() in item for item in found), found
    shutil.rmtree(folder.parent)


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(1, 255))
def test_a_forger_who_writes_the_sums_anew_is_found_by_the_chain(
    whole, tmp_path_factory, place, value
):
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("forged") / "copy"))
    path = folder / offline.LEDGER
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= value
    path.write_bytes(bytes(content))
    seal(folder)
    assert any(item.startswith(offline.LEDGER) for item in where(folder))
    shutil.rmtree(folder.parent)


def test_the_line_that_was_changed_is_named(folder):
    path = folder / offline.LEDGER
    path.write_text(path.read_text().replace("entry 2", "entry X"))
    seal(folder)
    assert where(folder) == [f"{offline.LEDGER} line 3"]  # it no longer follows line 2


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (lambda lines: lines[:-1], "ledger.jsonl"),  # the end is cut off
        (lambda lines: lines[:2] + lines[3:], "ledger.jsonl line 3"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "ledger.jsonl line 2"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "ledger.jsonl line 1"),
        (lambda lines: [*lines, lines[-1]], "ledger.jsonl line 7"),
        (lambda lines: ["[]", *lines[1:]], "ledger.jsonl line 1"),
        (lambda lines: ['{"seq":"1"}', *lines[1:]], "ledger.jsonl line 1"),
        (lambda lines: ["[" * 100_000, *lines[1:]], "ledger.jsonl line 1"),
        (lambda _: [], "ledger.jsonl"),
    ],
)
def test_entries_that_were_removed_added_or_moved_are_found(folder, lines, found):
    path = folder / offline.LEDGER
    path.write_text("".join(f"{line}\n" for line in lines(path.read_text().splitlines())))
    seal(folder)
    assert found in where(folder)


def test_a_whole_other_chain_is_found_by_a_head_that_was_kept(folder, tmp_path):
    known = offline.check(str(folder))["head"]
    assert where(folder, known) == []
    (tmp_path / "forged").mkdir()
    forged = build(tmp_path / "forged", evidence=b'{"passed":1}')
    assert where(forged) == [], "by itself it holds"
    assert where(forged, known) == [offline.LEDGER]


def test_an_earlier_head_is_contained_in_a_later_chain(folder):
    second = (folder / offline.LEDGER).read_text().splitlines()[1]
    assert where(folder, hashlib.sha256(second.encode()).hexdigest()) == []


def test_other_evidence_under_the_same_name_is_found(folder):
    path = next(folder.glob("evidence/*"))
    path.write_bytes(b'{"passed":false}')
    seal(folder)
    assert where(folder) == [f"evidence/{path.name}"]


def test_evidence_that_was_taken_away_is_found_unless_it_was_missing_before(folder, tmp_path):
    path = next(folder.glob("evidence/*"))
    path.unlink()
    assert where(folder) == [f"evidence/{path.name}"] * 2
    seal(folder)
    assert where(folder) == [f"evidence/{path.name}"]
    gone = {"where": "evidence of entry 2", "why": "gone", "digest": path.stem}
    (tmp_path / "known").mkdir()
    known = build(tmp_path / "known", missing=[gone])
    (known / "evidence" / path.name).unlink()
    seal(known)
    told = offline.check(str(known))
    assert told["problems"] == []
    assert told["missing"] == [{"where": "evidence of entry 2", "what": "gone"}]


def test_a_swapped_model_is_found_although_its_list_was_rewritten(folder):
    model = folder / "versions/1/model/MLmodel"
    model.write_bytes(b"flavors: {evil: {}}")
    seal(folder)
    assert where(folder) == ["versions/1/model/"], "the copies are not those of the list"
    listed = json.loads((folder / "versions/1/files.json").read_text())
    listed["files"][0]["sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    (folder / "versions/1/files.json").write_text(json.dumps(listed))
    seal(folder)
    assert where(folder) == ["versions/1/files.json"], "the list is not that of the ledger"


def test_files_that_were_added_or_linked_are_found(folder):
    (folder / "versions" / "note.txt").write_text("trust me")
    assert where(folder) == ["versions/note.txt"]
    (folder / "versions" / "note.txt").unlink()
    (folder / "elsewhere").symlink_to("/")
    assert where(folder) == ["elsewhere"]


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../b", "SHA256SUMS", "./x", "a//b"]
)
def test_names_that_lead_elsewhere_are_not_followed(folder, name):
    path = folder / offline.SUMS
    path.write_text(f"{'0' * 64}  {name}\n{path.read_text()}")
    assert where(folder) == [f"{offline.SUMS} line 1"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format":"lifecycle-audit/2"}', "[" * 99_999]
)
def test_a_manifest_that_says_nothing_is_a_problem_and_no_traceback(folder, text):
    (folder / offline.MANIFEST).write_text(text)
    seal(folder)
    assert offline.MANIFEST in where(folder)


def test_half_written_and_absent_folders_are_no_evidence(folder, tmp_path):
    (folder / offline.SUMS).unlink()
    assert where(folder) == [offline.SUMS]
    assert where(tmp_path / "nowhere") == [str(tmp_path / "nowhere")]


def test_the_digest_of_a_model_is_the_one_of_its_registration(tmp_path):
    for name in ("a/z", "a.b", "a-b/c", "Z", "\u00e4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    listed = [
        (path.relative_to(tmp_path).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in tmp_path.rglob("*")
        if path.is_file()
    ]
    assert offline.model_digest(listed) == files.digest(tmp_path)


def alone(folder, *arguments, script="verify.py"):
    """Run the folder's own checker with nothing else that Python could find."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(folder / script), *arguments],
        capture_output=True, text=True, check=False, cwd="/", env={},
    )  # fmt: skip


def test_the_script_runs_alone_and_its_exit_code_says_it(folder, tmp_path):
    done = alone(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("RESULT: everything holds\n")
    head = done.stdout.split("head of the ledger: ")[1].split()[0]
    assert alone(folder, str(folder), "--head", head).returncode == 0
    assert alone(folder, "--head", "0" * 63 + "1").returncode == 2
    path = folder / offline.LEDGER
    path.write_text(path.read_text().replace("entry 6", "entry 7"))
    done = alone(folder)
    assert done.returncode == 2
    assert "DOES NOT HOLD  ledger.jsonl:" in done.stdout
    assert alone(folder, str(tmp_path / "nowhere")).returncode == 1


def test_the_script_imports_nothing_but_the_standard_library():
    source = Path(offline.__file__).read_text()
    imports = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    modules = {line.split()[1].split(".")[0] for line in imports}
    assert modules <= sys.stdlib_module_names
    compile(source, "verify.py", "exec")


def test_the_script_reads_as_python_3_8():
    import ast

    ast.parse(Path(offline.__file__).read_text(), feature_version=(3, 8))
