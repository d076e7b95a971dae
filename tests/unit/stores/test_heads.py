"""A head that was kept elsewhere: what it shows of a ledger that was cut, changed or replaced."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.records import History
from lifecycle.stores import heads
from lifecycle.stores.entries import FIRST, draft, dumps, faults, loads, sha256, unsigned, verify


def texts(count, *, reasons=()):
    """A whole chain; `reasons` replaces those of its first entries."""
    made, prev = [], FIRST
    for seq in range(1, count + 1):
        reason = reasons[seq - 1] if seq <= len(reasons) else f"reason {seq}"
        entry = replace(
            draft(kind="flag", version=seq, reason=reason),
            id=f"id-{seq}", time="2026-03-01T00:00:00.000+00:00", seq=seq, prev=prev,
        )  # fmt: skip
        made.append(dumps(entry))
        prev = sha256(made[-1])
    return made


def chained(stored):
    """The same entries with the chain computed anew, as one who can write the database would."""
    made, prev = [], FIRST
    for text in stored:
        made.append(dumps(replace(loads(text), prev=prev)))
        prev = sha256(made[-1])
    return made


def saved(tmp_path, stored, *, full=False):
    path = tmp_path / ("history.json" if full else "churn.head")
    entries = verify(stored)
    if full:
        path.write_text(json.dumps(History("churn", entries).to_dict()))
    else:
        heads.save(path, "churn", entries)
    return path


@pytest.mark.parametrize("full", [False, True])
def test_a_ledger_that_went_on_is_a_continuation_of_its_head(tmp_path, full):
    whole = texts(8)
    noted = heads.noted(saved(tmp_path, whole[:5], full=full))
    assert (noted.seq, noted.name, noted.digest) == (5, "churn", sha256(whole[4]))
    assert heads.differences(noted, whole) == []
    assert heads.differences(noted, whole[:5]) == []


def test_a_digest_alone_is_a_head_too_as_text_and_in_a_file(tmp_path):
    whole = texts(3)
    file = tmp_path / "note.txt"
    file.write_text(f"{sha256(whole[1])}\n")
    for given_as in (
        sha256(whole[1]),
        sha256(whole[1]).upper(),
        f"sha256:{sha256(whole[1])}",
        file,
    ):
        noted = heads.noted(given_as)
        assert heads.differences(noted, whole) == []
        [(seq, said)] = heads.differences(noted, whole[:1])
        assert (seq, said) == (
            0,
            "no entry has the digest that was noted: cut off, or written anew",
        )


@pytest.mark.parametrize("full", [False, True])
def test_a_tail_that_was_cut_off_shows_and_where(tmp_path, full):
    whole = texts(6)
    noted = heads.noted(saved(tmp_path, whole, full=full))
    assert verify(whole[:4]), "the rest is a perfect chain"
    assert heads.differences(noted, whole[:4]) == [
        (5, "entries 5 to 6 are gone: the end was cut off")
    ]
    assert heads.differences(noted, []) == [(1, "entries 1 to 6 are gone: the end was cut off")]


def test_a_chain_that_was_written_anew_shows_where_and_which_field(tmp_path):
    whole = texts(6)
    short = heads.noted(saved(tmp_path, whole))
    full = heads.noted(saved(tmp_path, whole, full=True))
    edited = chained([*whole[:2], whole[2].replace("reason 3", "a better reason"), *whole[3:]])
    assert verify(edited), "the forged chain holds in itself"
    assert heads.differences(short, edited) == [
        (3, "it is another than was noted: the ledger was written anew from here")
    ]
    [(seq, said)] = heads.differences(full, edited)
    assert seq == 3
    assert said.endswith("from here: 'reason' is 'a better reason', was 'reason 3'")


def test_a_ledger_that_was_replaced_shows(tmp_path):
    noted = heads.noted(saved(tmp_path, texts(3)))
    other = texts(4, reasons=["another", "life"])
    assert heads.differences(noted, other)[0] == (
        1, "the first entry is another: the ledger was replaced",
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_forged_chain_passes_as_a_continuation(data):
    whole = texts(6)
    entries = verify(whole)
    noted = heads.Head(
        entries[-1].digest, 6, "churn", tuple(item.digest[: heads.SHORT] for item in entries)
    )
    at = data.draw(st.integers(0, 5))
    how = data.draw(st.sampled_from(["edit", "drop", "cut", "insert"]))
    forged = list(whole)
    if how == "edit":
        forged[at] = forged[at].replace('"reason ', '"raison ')
    elif how == "drop":
        del forged[at]
    elif how == "cut":
        forged = forged[:at]
    else:
        forged.insert(at, dumps(draft(kind="flag", reason="slipped in")))
    forged = [
        dumps(replace(loads(text), seq=seq)) for seq, text in enumerate(chained(forged), start=1)
    ]
    forged = chained(forged)
    found = heads.differences(noted, forged)
    assert found
    assert found[0][0] == at + 1, "the place is that of the first difference"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no head"),
        ("abc", "holds no head"),
        ("[]", "holds no head"),
        ("{}", "holds no head"),
        ('{"format": "lifecycle-head/9"}', "'lifecycle-head/9' is not lifecycle-head/1"),
        ('{"entries": [], "name": "churn"}', "holds no head"),
        (
            json.dumps({"format": "lifecycle-head/1", "name": "x", "seq": 2, "digest": "a" * 64,
                        "chain": ["a" * 16]}),
            "do not fit each other",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_head_is_refused(tmp_path, content, said):
    path = tmp_path / "head"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        heads.noted(path)


def test_what_is_neither_digest_nor_file_is_refused(tmp_path):
    for given_as in ("no/such/file", "ab" * 31, tmp_path):
        with pytest.raises(DataError, match="64 digits of a digest"):
            heads.noted(given_as)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no head can be read"):
        heads.noted(binary)


def test_an_empty_ledger_has_no_head_and_a_file_is_written_whole_or_not(tmp_path):
    with pytest.raises(DataError, match="no entry, so it has no head"):
        heads.save(tmp_path / "head", "churn", ())
    with pytest.raises(DataError, match="cannot be written"):
        heads.write(tmp_path / "no" / "folder", "x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        heads.write(tmp_path / "taken", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"], "no draft is left"


def numbered(stored):
    return dict(enumerate(stored, start=1))


def test_a_whole_chain_has_no_faults():
    assert faults({}) == {}
    assert faults(numbered(texts(5))) == {}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_edited_entry_is_named_itself_not_the_one_after_it(at):
    stored = texts(5)
    stored[at - 1] = stored[at - 1].replace('"reason ', '"raison ')
    assert faults(numbered(stored)) == {at: [f"it was changed: entry {at + 1} seals another"]}


def test_of_the_last_two_it_cannot_be_told_which():
    stored = texts(5)
    stored[3] = stored[3].replace('"reason ', '"raison ')
    assert faults(numbered(stored)) == {
        5: ["it does not follow the one before: one of the two was changed"]
    }


def test_every_fault_is_told_with_its_field_where_that_shows():
    stored = numbered(texts(9))
    stored[2] = stored[2].replace('"seq":2', '"seq":7')
    stored[4] = "no json"
    stored[6] = stored[6].replace('"version":6', '"version":"6"')
    stored[7] = json.dumps(json.loads(stored[7]))
    del stored[8]
    found = faults(stored)
    assert list(found) == [2, 3, 4, 6, 7, 8]
    assert "its field 'seq' says 7" in found[2]
    assert "cannot be read" in found[4][0]
    assert "its field 'version' is '6'" in found[6]
    assert any("not in the form that is written" in said for said in found[7])
    assert found[8] == ["it is missing"]


def test_a_copied_entry_is_told():
    stored = texts(3)
    stored.append(dumps(replace(loads(stored[1]), seq=4, prev=sha256(stored[2]))))
    assert faults(numbered(stored)) == {4: ["it has the id of entry 2: it was copied"]}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_change_of_any_field_but_in_the_last_entry_is_found(data):
    stored = texts(4)
    at = data.draw(st.integers(1, 3))
    values = json.loads(stored[at - 1])
    name = data.draw(st.sampled_from(sorted(set(values) - {"v"})))
    values[name] = data.draw(st.text(max_size=5).filter(lambda text: text != values[name]))
    stored[at - 1] = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert faults(numbered(stored))


def test_what_a_signature_is_over_has_no_signature():
    entry = replace(draft(kind="flag"), seq=1, prev=FIRST)
    signed = dumps(replace(entry, signature="ed25519:ab:cd"))
    assert unsigned(signed) == dumps(entry) != signed
    assert loads(signed).signature == "ed25519:ab:cd"
