"""Check an audit folder with nothing but Python (3.8 or later) and the folder itself.

    python3 -I verify.py                    the folder that this file lies in
    python3 -I verify.py DIR                another one
    python3 -I verify.py DIR --head DIGEST  and that an entry which was noted elsewhere is in it

It exits with 0 when everything holds, 2 when something does not (and says where), 3 when all of it
holds but evidence was missing already when the folder was written, 1 when there is no such folder.

>>> check("no/such/folder")["problems"]
[{'where': 'no/such/folder', 'what': 'there is no such folder'}]

This file imports nothing of the package that it lies in: every audit folder gets a copy of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

FORMAT = "lifecycle-audit/1"
SUMS, MANIFEST, LEDGER = "SHA256SUMS", "MANIFEST.json", "ledger.jsonl"
FIRST = "0" * 64  # what the first entry names as the one before it
DIGEST = re.compile(r"[0-9a-f]{64}")
LINE = re.compile(r"([0-9a-f]{64})  ([^\x00-\x1f\\]+)")
LINK = {"left_out", "seq", "prev", "digest"}  # what stands for an entry that is not shown
BIRTHS = ("register", "adopt")  # entries whose `extra` has the digest of a version's files


def check(folder: str, head: str = "") -> dict[str, Any]:
    """Check sums, chain, evidence and model files of an audit folder.

    Args:
        folder: the folder that an export wrote.
        head: digest of an entry that was noted down elsewhere; the chain must contain it.

    Returns:
        `problems` and `missing` (lists of where and what), and what was looked at: `model`,
        `scope`, `entries`, `shown`, `head`, `files`, `seal` (the sha256 of SHA256SUMS).
    """
    told: dict[str, Any] = {
        "model": "",
        "scope": "",
        "entries": 0,
        "shown": 0,
        "head": "",
        "files": 0,
        "seal": "",
        "problems": [],
        "missing": [],
    }
    root = Path(folder)
    if not root.is_dir():
        _problem(told, str(folder), "there is no such folder")
        return told
    if not (root / SUMS).is_file():
        _problem(told, SUMS, "it is missing: this is no audit folder, or one half-written")
        return told
    sums = _sums(root, told)
    told["files"] = len(sums)
    manifest = _manifest(root, told)
    entries = _ledger(root, manifest, told)
    if head and head not in {item["digest"] for item in entries}:
        what = "the ledger does not contain the entry {} that was noted elsewhere: it was rewritten"
        _problem(told, LEDGER, what.format(head))
    shown = [item for item in entries if "entry" in item]
    told["shown"] = len(shown)
    _evidence(root, shown, manifest, told)
    _models(root, sums, shown, manifest, told)
    return told


def _sums(root: Path, told: dict[str, Any]) -> dict[str, str]:
    """The files that SHA256SUMS lists, by name; each must be as listed, and no other be there."""
    content = _read(root, SUMS)
    told["seal"] = hashlib.sha256(content).hexdigest()
    listed: dict[str, str] = {}
    for number, line in enumerate(_lines(content, SUMS, told), start=1):
        where = f"{SUMS} line {number}"
        found = LINE.fullmatch(line)
        if not found:
            _problem(told, where, "it is not a digest, two spaces and a name")
            continue
        digest, name = found.groups()
        if name in listed or name == SUMS or not _inside(name):
            _problem(told, where, f"the name {name!r} is listed twice or not allowed")
            continue
        listed[name] = digest
        _file(root, name, digest, number, told)
    for name in sorted(_present(root) - set(listed) - {SUMS}):
        _problem(told, name, "it is not listed in SHA256SUMS: it was added, or its line removed")
    return listed


def _file(root: Path, name: str, digest: str, number: int, told: dict[str, Any]) -> None:
    path = root / name
    if path.is_symlink() or not path.is_file():
        _problem(told, name, f"the file is missing, SHA256SUMS line {number} lists it")
        return
    found = _sha256(path)
    if found != digest:
        what = f"it is not as SHA256SUMS line {number} lists it: sha256 {found}, listed {digest}"
        _problem(told, name, what)


def _manifest(root: Path, told: dict[str, Any]) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(root, MANIFEST).decode())
        if manifest["format"] != FORMAT:
            raise ValueError("format " + repr(manifest["format"]) + " is not " + FORMAT)
        scope = manifest["scope"]
        told["model"] = str(manifest["model"])
        parts = [f"version {scope['version']}"] if scope["version"] else []
        parts += [f"year {scope['year']}"] if scope["year"] else []
        told["scope"] = ", ".join(parts) or "everything"
        for item in manifest["missing"]:
            told["missing"].append({"where": str(item["where"]), "what": str(item["why"])})
        ready: dict[str, Any] = manifest
        return {**ready, "head": dict(ready["head"]), "versions": dict(ready["versions"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _problem(told, MANIFEST, f"it cannot be read: {type(error).__name__}: {error}")
        return {"head": {}, "versions": {}, "missing": []}


def _ledger(root: Path, manifest: dict[str, Any], told: dict[str, Any]) -> list[dict[str, Any]]:
    """Each line's place in the chain, and the entry itself where the folder shows it."""
    try:
        content = _read(root, LEDGER)
    except OSError as error:
        _problem(told, LEDGER, f"it cannot be read: {error}")
        return []
    found: list[dict[str, Any]] = []
    expected = FIRST
    for number, line in enumerate(_lines(content, LEDGER, told), start=1):
        where = f"{LEDGER} line {number}"
        item = _link(line)
        if item is None:
            _problem(told, where, "it is neither an entry nor the link of one that is left out")
            return found
        if item["seq"] != number:
            _problem(told, where, f"it has number {item['seq']}: entries were removed or added")
        if item["prev"] != expected:
            what = "it does not follow the line before: one of the two was changed"
            _problem(told, where, what)
        expected = item["digest"]
        found.append(item)
    told["entries"], told["head"] = len(found), expected
    noted = manifest["head"]
    if noted and (noted.get("digest") != expected or noted.get("seq") != len(found)):
        what = f"the chain ends with entry {len(found)}, {expected}; {MANIFEST} says {noted}"
        _problem(told, LEDGER, what)
    return found


def _link(line: str) -> dict[str, Any] | None:
    try:
        tree = json.loads(line)
        seq, prev = tree["seq"], tree["prev"]
        if not isinstance(seq, int) or not DIGEST.fullmatch(prev):
            return None
        if "left_out" not in tree:
            digest = hashlib.sha256(line.encode()).hexdigest()
            return {"seq": seq, "prev": prev, "digest": digest, "entry": tree}
        if (
            set(tree) != LINK
            or tree["left_out"] is not True
            or not DIGEST.fullmatch(tree["digest"])
        ):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return {"seq": seq, "prev": prev, "digest": str(tree["digest"])}


def _evidence(
    root: Path, shown: list[dict[str, Any]], manifest: dict[str, Any], told: dict[str, Any]
) -> None:
    """The file that each entry rests on has the digest that the entry names."""
    known = {str(item.get("digest")) for item in manifest["missing"]}
    for item in shown:
        digest = item["entry"].get("evidence_digest")
        if not digest:
            continue
        name = f"evidence/{digest}.json"
        path = root / name
        if not DIGEST.fullmatch(str(digest)):
            _problem(told, f"{LEDGER} line {item['seq']}", "its evidence has no proper digest")
        elif not path.is_file():
            if digest not in known:
                _problem(told, name, f"the evidence of entry {item['seq']} is missing")
        elif _sha256(path) != digest:
            _problem(told, name, f"it is not what entry {item['seq']} of the ledger rests on")


def _models(
    root: Path,
    sums: dict[str, str],
    shown: list[dict[str, Any]],
    manifest: dict[str, Any],
    told: dict[str, Any],
) -> None:
    """What is said of each version's files is what the ledger recorded at its registration."""
    for version in manifest["versions"]:
        _stored(root, sums, _born(shown, version), f"versions/{version}", told)
        where = f"versions/{version}/files.json"
        if where not in sums:
            continue  # the files were gone; it is among what is missing
        try:
            listed = json.loads(_read(root, where).decode())
            found = model_digest([(item["name"], item["sha256"]) for item in listed["files"]])
            copied = {str(item["name"]): str(item["sha256"]) for item in listed["files"]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _problem(told, where, f"it cannot be read: {type(error).__name__}: {error}")
            continue
        born = _born(shown, version)
        if str(born.get("digest") or found) != found:
            what = f"the model's files come to {found}; the ledger has {born['digest']}"
            _problem(told, where, what)
        prefix = f"versions/{version}/model/"
        held = {name[len(prefix) :]: sums[name] for name in sums if name.startswith(prefix)}
        if held and held != copied:
            _problem(told, prefix, f"the files there are not those of {where}")


def _born(shown: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """What the last registration of a version recorded; empty where none is shown."""
    found: dict[str, Any] = {}
    for item in shown:
        entry, extra = item["entry"], item["entry"].get("extra")
        if entry.get("kind") in BIRTHS and str(entry.get("version")) == version:
            found = extra if isinstance(extra, dict) else {}
    return found


def _stored(
    root: Path, sums: dict[str, str], born: dict[str, Any], base: str, told: dict[str, Any]
) -> None:
    """Specification and hold-out are those whose sha256 was recorded with the registration."""
    stored = born.get("stored")
    for address, digest in stored.items() if isinstance(stored, dict) else ():
        if address.endswith("/lifecycle/spec.json"):
            name = f"{base}/spec.json"
            found = sums.get(name, digest)
        elif address.endswith("/lifecycle/data/holdout.parquet"):
            name = f"{base}/holdout.json"
            try:
                found = (
                    json.loads(_read(root, name).decode())["file_sha256"]
                    if name in sums
                    else digest
                )
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                found = "nothing"
        else:
            continue
        if found != digest:
            _problem(told, name, f"it tells of {found}; the ledger has {digest}")


def model_digest(files: list[tuple[str, str]]) -> str:
    """The digest of a model's files from their names and sha256 digests.

    >>> model_digest([("MLmodel", "00" * 32)])[:19]
    'sha256:ccd0299374e0'
    """
    whole = hashlib.sha256()
    for name, digest in sorted(files, key=lambda item: item[0].split("/")):
        whole.update(f"{name}\0sha256:{digest}\n".encode())
    return "sha256:" + whole.hexdigest()


def _lines(content: bytes, name: str, told: dict[str, Any]) -> list[str]:
    """The lines of a file whose every line ends with one line feed."""
    try:
        text = content.decode("utf-8")
    except ValueError:
        _problem(told, name, "it is not UTF-8 text")
        return []
    if text and not text.endswith("\n"):
        _problem(told, name, "its last line is cut off")
    return text[:-1].split("\n") if text else []


def _present(root: Path) -> set[str]:
    """All that lies in the folder, as SHA256SUMS names it; what is no plain file counts, too."""
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _inside(name: str) -> bool:
    return not name.startswith("/") and not {"", ".", ".."} & set(name.split("/"))


def _read(root: Path, name: str) -> bytes:
    return (root / name).read_bytes()


def _sha256(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            whole.update(part)
    return whole.hexdigest()


def _problem(told: dict[str, Any], where: str, what: str) -> None:
    told["problems"].append({"where": where, "what": what})


def main(arguments: list[str]) -> int:
    """Check a folder, print what was found, and give the exit code."""
    given = list(arguments)
    head = ""
    if "--head" in given:
        at = given.index("--head")
        head = "".join(given[at + 1 : at + 2])
        del given[at : at + 2]
    folder = given[0] if given else str(Path(__file__).resolve().parent)
    told = check(folder, head)
    for item in told["problems"]:
        print("DOES NOT HOLD  {where}: {what}".format(**item))
    for item in told["missing"]:
        print("was missing at export  {where}: {what}".format(**item))
    if not Path(folder).is_dir():
        return 1
    print(f"model {told['model']}, {told['scope']}")
    print(f"ledger: {told['entries']} entries, {told['shown']} of them shown")
    print(f"head of the ledger: {told['head']}")
    print(f"files: {told['files']}; sha256 of {SUMS}: {told['seal']}")
    if told["problems"]:
        print(f"RESULT: {len(told['problems'])} problem(s): do not rely on this folder")
        return 2
    if told["missing"]:
        print("RESULT: what is here holds; evidence was missing when it was written")
        return 3
    print("RESULT: everything holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
