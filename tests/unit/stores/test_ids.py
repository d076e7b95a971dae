import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError, LabelError, LogError
from lifecycle.stores import ids

SECRET = b"k" * 32
NOW = 1_760_000_000_123_456


def token(**changes):
    given = {"model": "churn", "version": 7, "time": NOW, "arm": "challenger", "step": 2}
    return ids.issue(SECRET, **{**given, **changes})


def test_an_id_says_what_was_signed():
    issued = ids.check(SECRET, token(key="c1"), model="churn")
    assert (issued.version, issued.arm, issued.step) == (7, "challenger", 2)
    assert issued.time == datetime(2025, 10, 9, 8, 53, 20, 123000, tzinfo=UTC)
    assert issued.key_hash == ids.key_hash(SECRET, "c1")
    assert issued.key_hash != ids.key_hash(b"x" * 32, "c1")


def test_ids_of_equal_requests_differ():
    assert len({token() for _ in range(1000)}) == 1000


@settings(max_examples=50, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "model": st.text(min_size=1, max_size=40),
            "version": st.integers(0, 2**32 - 1),
            "arm": st.text(max_size=20),
            "step": st.integers(0, 2**32 - 1),
            "key": st.none() | st.text(max_size=20),
            "rows": st.integers(1, 2**32 - 1),
        }
    ),
    st.data(),
)
def test_whatever_is_issued_is_accepted(fields, data):
    made = ids.issue(SECRET, time=NOW, **fields)
    row = data.draw(st.integers(0, fields["rows"] - 1))
    issued = ids.check(SECRET, f"{made}.{row}", model=fields["model"])
    for name in ("version", "arm", "step", "rows"):
        assert getattr(issued, name) == fields[name]
    assert issued.row == row
    assert issued.request == made
    assert made.replace("-", "").replace("_", "").isalnum()


def test_a_single_row_has_one_name_however_it_is_called():
    made = token()
    assert ids.check(SECRET, made, model="churn").id == made
    assert ids.check(SECRET, f"{made}.0", model="churn").id == made


def test_rows_of_a_batch_are_named_and_counted():
    made = token(rows=3)
    assert ids.check(SECRET, f"{made}.2", model="churn").id == f"{made}.2"
    for wrong in (f"{made}.3", f"{made}.", f"{made}.-1", f"{made}.01", f"{made}.1.1", f"{made}.²"):
        with pytest.raises(LabelError, match="names no row of a request of 3"):
            ids.check(SECRET, wrong, model="churn")
    with pytest.raises(LabelError, match="stands for 3 rows"):
        ids.check(SECRET, made, model="churn")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_letter_is_never_accepted(data):
    made = token(rows=3)
    place = data.draw(st.integers(0, len(made) - 1))
    letter = data.draw(st.characters(min_codepoint=33, max_codepoint=500))
    forged = made[:place] + letter + made[place + 1 :]
    if forged != made:
        with pytest.raises(LabelError):
            ids.check(SECRET, f"{forged}.1", model="churn")


def test_each_spelling_of_the_same_bytes_but_one_is_refused():
    # spare bits of the last letter, letters outside the alphabet, padding
    made = next(item for item in iter(lambda: token(arm="a"), None) if len(item) % 4 != 0)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = made[:-1] + alphabet[alphabet.index(made[-1]) ^ 1]
    for spelling in (twin, f"{made}=", f"{made} ", f"\n{made}", made.replace("A", "A\n", 1) + "!"):
        with pytest.raises(LabelError):
            ids.check(SECRET, spelling, model="churn")


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 80, -1])
def test_a_truncated_id_is_refused(cut):
    with pytest.raises(LabelError):
        ids.check(SECRET, token()[:cut], model="churn")


@pytest.mark.parametrize("text", ["", ".", "é", "x" * 5000, "A" * 90, "…", "null", "\x00"])
def test_nonsense_is_refused_with_a_short_message(text):
    with pytest.raises(LabelError) as refused:
        ids.check(SECRET, text, model="churn")
    assert len(str(refused.value)) < 250


def test_a_foreign_id_is_refused():
    with pytest.raises(LabelError, match="another model than 'fraud'"):
        ids.check(SECRET, token(), model="fraud")
    with pytest.raises(LabelError, match="not issued by this log"):
        ids.check(b"x" * 32, token(), model="churn")


def test_the_secret_is_made_once_for_its_owner_only(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    folder = tmp_path / "new" / "log"
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: ids.secret(folder), range(32)))
    assert len(made) == 1
    assert len(made.pop()) == 32
    assert (folder / ".secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [".secret"]


def test_processes_that_start_at_once_agree(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    code = f"from lifecycle.stores.ids import secret; print(secret({str(tmp_path)!r}).hex())"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in running}) == 1


def test_the_file_and_the_variable_are_the_same_secret(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    made = ids.secret(tmp_path)
    monkeypatch.setenv("LIFECYCLE_SECRET", (tmp_path / ".secret").read_text().strip())
    assert ids.secret(tmp_path / "elsewhere") == made
    assert not (tmp_path / "elsewhere").exists()


def test_a_short_secret_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_SECRET", "short")
    with pytest.raises(ConfigError, match="5 characters"):
        ids.secret(tmp_path)


def test_a_secret_of_any_length_is_hashed(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_SECRET", "é" * 500)
    assert len(ids.secret(tmp_path)) == 32


def test_a_secret_that_others_read_is_refused_with_the_command(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    ids.secret(tmp_path)
    path = tmp_path / ".secret"
    path.chmod(0o640)
    with pytest.raises(LogError, match=f"chmod 600 {path}"):
        ids.secret(tmp_path)


@pytest.mark.parametrize("content", [b"", b"abc\n", b"\xff" * 64])
def test_a_damaged_secret_is_never_replaced(tmp_path, monkeypatch, content):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    path = tmp_path / ".secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LogError):
        ids.secret(tmp_path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be made or read"):
        ids.secret(tmp_path / "file" / "log")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


ISSUED = (  # by the first release: customers hold such ids for months
    "AeHQRv9VOGzxAAAABwAAAAIAAAADAAABmcgswHtK5SfEFV2Y3hKJDGPdCC-YY2hhbGxlbmdlcqMX6VnSZrDCWLVAhA"
)


def test_an_id_of_an_earlier_release_is_still_read():
    read = ids.check(SECRET, f"{ISSUED}.2", model="churn")
    assert (read.version, read.arm, read.step, read.row, read.rows) == (7, "challenger", 2, 2, 3)
    assert read.time == datetime(2025, 10, 9, 8, 53, 20, 123_000, tzinfo=UTC)
    assert read.key_hash == ids.key_hash(SECRET, "c1")
    assert (read.id, read.request) == (f"{ISSUED}.2", ISSUED)


@pytest.mark.parametrize(
    "row", ["", "-1", "+1", "01", "1.0", "1 ", " 1", "1.1", "3", "4294967296", "1e0", "\u0661", "x"]
)
def test_a_row_has_one_spelling(row):
    with pytest.raises(LabelError, match="names no row of a request of 3") as caught:
        ids.check(SECRET, f"{ISSUED}.{row}", model="churn")
    assert "rows count from 0" in caught.value.fix


@pytest.mark.parametrize(
    ("version", "step", "rows", "time"),
    [(0, 0, 1, 0), (1, 0, 1, -5), (2**32 - 1, 2**32 - 1, 2**32 - 1, 10**15)],
)
def test_the_ends_of_every_field_are_signed(version, step, rows, time):
    made = token(version=version, step=step, rows=rows, time=time)
    read = ids.check(SECRET, made if rows == 1 else f"{made}.{rows - 1}", model="churn")
    assert (read.version, read.step, read.rows) == (version, step, rows)
    assert read.time.timestamp() == max(0, time) / 1e6


def test_an_id_tells_no_stranger_whose_it_is():
    from base64 import urlsafe_b64decode

    made = token(key="customer-12")
    raw = urlsafe_b64decode(made + "=" * (-len(made) % 4))
    assert b"customer" not in raw
    assert b"churn" not in raw
    assert ids.key_hash(b"o" * 32, "customer-12") != ids.key_hash(SECRET, "customer-12")


def test_no_key_and_an_empty_key_differ():
    assert ids.key_hash(SECRET, None) == bytes(8)
    assert ids.key_hash(SECRET, "") != bytes(8)


def test_what_is_refused_is_shown_shortened():
    with pytest.raises(LabelError) as caught:
        ids.check(SECRET, "A" * 100_000, model="churn")
    assert len(str(caught.value)) < 300
    assert caught.value.where.endswith("…")


@pytest.mark.parametrize(
    ("made", "why", "fix"),
    [
        ({"model": "late"}, "is of another model than 'churn'", "its own model"),
        ({"rows": 3}, "stands for 3 rows", "<id>.<row>, from 0"),
    ],
)
def test_a_refusal_names_the_next_step(made, why, fix):
    with pytest.raises(LabelError) as caught:
        ids.check(SECRET, token(**made), model="churn")
    assert why in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("length", "enough"), [(0, False), (15, False), (16, True), (10_000, True)]
)
def test_the_shortest_secret_has_sixteen_characters(tmp_path, monkeypatch, length, enough):
    monkeypatch.setenv("LIFECYCLE_SECRET", "s" * length)
    if enough:
        assert len(ids.secret(tmp_path)) == 32
    else:
        with pytest.raises(ConfigError, match=f"has {length} characters") as caught:
            ids.secret(tmp_path)
        assert caught.value.where == "LIFECYCLE_SECRET"
        assert "openssl rand" in caught.value.fix
    assert list(tmp_path.iterdir()) == []  # the variable needs no file


def test_a_secret_of_any_bytes_is_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_SECRET", os.fsdecode(b"\xff\xfe" * 16))
    first = ids.secret(tmp_path)
    monkeypatch.setenv("LIFECYCLE_SECRET", os.fsdecode(b"\xff\xfd" * 16))
    assert ids.secret(tmp_path) != first


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o601, 0o666])
def test_each_right_of_others_is_too_much(tmp_path, monkeypatch, mode):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    ids.secret(tmp_path)
    (tmp_path / ".secret").chmod(mode)
    with pytest.raises(LogError, match=f"mode {mode:04o}"):
        ids.secret(tmp_path)


def test_a_folder_in_the_secrets_place_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    (tmp_path / ".secret").mkdir()
    with pytest.raises(LogError, match="cannot be made or read") as caught:
        ids.secret(tmp_path)
    assert "LIFECYCLE_SECRET" in caught.value.fix


def test_making_the_secret_leaves_no_draft(tmp_path, monkeypatch):
    monkeypatch.delenv("LIFECYCLE_SECRET", raising=False)
    ids.secret(tmp_path / "new" / "log")
    assert [path.name for path in (tmp_path / "new" / "log").iterdir()] == [".secret"]


def test_an_issuer_issues_what_issue_does():
    made = ids.issuer(SECRET, "churn", 7, "challenger", 3)(
        1_760_000_000_000_000, ids.key_hash(SECRET, "k"), 2
    )
    found = ids.check(SECRET, f"{made}.1", model="churn")
    other = ids.check(
        SECRET,
        token(arm="challenger", step=3, key="k", rows=2, time=1_760_000_000_000_000) + ".1",
        model="churn",
    )
    names = ("rows", "version", "arm", "step", "time", "key_hash")
    assert [getattr(found, name) for name in names] == [getattr(other, name) for name in names]


def test_many_ids_of_one_moment_differ():
    make = ids.issuer(SECRET, "churn", 7, "champion", 0)
    assert len({make(0, bytes(8), 1) for _ in range(1000)}) == 1000


def test_a_forked_process_issues_other_ids():
    story = (
        "import os; from lifecycle.stores import ids\n"
        "reader, writer = os.pipe(); child = os.fork()\n"
        "found = [ids.issue(b's' * 32, model='m', version=1, time=0) for _ in range(50)]\n"
        "if not child: os.write(writer, ' '.join(found).encode()); os._exit(0)\n"
        "os.waitpid(child, 0); others = os.read(reader, 1 << 20).decode().split()\n"
        "print(len({*found, *others}))"
    )
    out = subprocess.run([sys.executable, "-c", story], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "100"
