"""The file of API keys: what it holds, who may read it, what damages it."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError, ServeError
from lifecycle.serve.keys import UNITS, add, changed, make, per, read, remove


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def test_a_key_is_long_random_and_not_in_the_file(path):
    tokens = [add(path, name) for name in ("one", "two")]
    assert len(set(tokens)) == 2
    assert all(token.startswith("lc_") and len(token) >= 46 for token in tokens)
    text = path.read_text()
    assert not any(token in text or token[3:] in text for token in tokens)


def test_the_file_is_its_owners_alone_and_stays_what_it_was_made(path):
    add(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    add(path, "two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(item.name for item in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_one_token_under_two_salts_has_two_hashes():
    first, token = make("a")
    second, other = make("a")
    assert first.salt != second.salt
    assert first.fits(token.encode())
    assert not first.fits(other.encode())
    assert not second.fits(token.encode())


@pytest.mark.parametrize("changed_token", [b"", b"lc_", b"\xff\xfe", b"x" * 100_000])
def test_no_other_token_fits(changed_token):
    key, token = make("a")
    assert not key.fits(changed_token)
    assert not key.fits(token.encode() + b" ")
    assert not key.fits(token.encode()[:-1])


@given(st.integers(1, 10**8), st.sampled_from(sorted(UNITS)), st.sampled_from(["/", " / ", "/ "]))
@settings(max_examples=30, deadline=None)
def test_a_rate_says_how_many_in_how_many_seconds(count, unit, slash):
    assert per(f"{count}{slash}{unit}") == (count, UNITS[unit])


@pytest.mark.parametrize(
    "rate", ["100", "/s", "0/s", "-1/s", "1.5/s", "1/week", "1/ss", "s/1", "1/s 2/s"]
)
def test_what_is_no_rate_is_refused_and_nothing_is_written(path, rate):
    with pytest.raises(ConfigError, match="the rate is"):
        add(path, "web", rate=rate)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "x" * 65, '"'])
def test_a_name_that_would_not_be_one_word_is_refused(path, name):
    with pytest.raises(ConfigError, match="the key's name"):
        add(path, name)


def test_a_key_knows_its_bucket():
    key, _ = make("a", rate="30/min")
    assert (key.burst, key.interval) == (30, 2_000_000_000)
    key, _ = make("a")
    assert (key.burst, key.interval) == (0, 0)


def test_names_are_taken_once_and_removed_by_name(path):
    add(path, "one", rate="5/s")
    add(path, "two")
    with pytest.raises(ConfigError, match="a key named 'one' already") as caught:
        add(path, "one")
    assert "remove the old one" in caught.value.fix
    with pytest.raises(ConfigError, match="no key named 'three'; there are: one, two"):
        remove(path, "three")
    remove(path, "one")
    assert [key.name for key in read(path)] == ["two"]
    remove(path, "two")
    assert read(path) == ()
    with pytest.raises(ConfigError, match="there are: none"):
        remove(path, "two")


def test_a_file_that_is_not_there_or_no_place_for_one_is_said(tmp_path):
    missing = tmp_path / "no" / "keys.json"
    with pytest.raises(ServeError, match="cannot be read: No such file") as caught:
        read(missing)
    assert "lifecycle keys add" in caught.value.fix
    with pytest.raises(ServeError, match="cannot be written: No such file"):
        add(missing, "one")
    with pytest.raises(ServeError, match="cannot be read"):
        remove(missing, "one")
    with pytest.raises(ServeError, match="cannot be read: Is a directory"):
        read(tmp_path)


def entry(**changes):
    return {"name": "a", "salt": "00", "hash": "0" * 64, **changes}


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "nonsense", '{"keys": 1}', '{"keys": ["a"]}', "[" * 100_000,
        json.dumps({"keys": [{"name": "a"}]}),
        json.dumps({"keys": [entry(extra="x")]}),
        json.dumps({"keys": [entry(salt="zz")]}),
        json.dumps({"keys": [entry(salt="")]}),
        json.dumps({"keys": [entry(hash="00")]}),
        json.dumps({"keys": [entry(rate="often")]}),
        json.dumps({"keys": [entry(rate=5)]}),
        json.dumps({"keys": [entry(name="a b")]}),
        json.dumps({"keys": [entry(), entry(hash="1" * 64)]}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_and_never_written_over(path, content):
    path.write_text(content)
    for work in (read, lambda file: add(file, "new"), lambda file: remove(file, "a")):
        with pytest.raises(ServeError, match="is damaged"):
            work(path)
    assert path.read_text() == content


def test_a_file_that_is_no_text_is_refused(path):
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ServeError, match="it is no text"):
        read(path)


def test_many_that_add_at_once_lose_nothing(path):
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda index: add(path, f"k{index}"), range(24)))
    keys = {key.name: key for key in read(path)}
    assert len(keys) == 24
    assert all(keys[f"k{index}"].fits(token.encode()) for index, token in enumerate(tokens))


def test_what_the_command_shows_holds_no_hash(path):
    told, lines = changed(path, "add", "web", rate="9/s")
    assert lines == [told["key"]]
    told, lines = changed(path, "list")
    assert [(item["name"], item["rate"]) for item in told["keys"]] == [("web", "9/s")]
    (key,) = read(path)
    assert key.hash not in json.dumps(told) + "".join(lines) + repr(key)
    assert changed(path, "remove", "web")[0] == {"removed": "web"}
    assert changed(path, "list") == ({"keys": []}, ["no keys"])


# the command ------------------------------------------------------------------------------------


def command(tmp_path, *arguments):
    environment = {key: value for key, value in os.environ.items() if "LIFECYCLE" not in key}
    return subprocess.run(
        [sys.executable, "-m", "lifecycle", "keys", *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=60,
    )  # fmt: skip


def test_the_command_gives_the_key_alone_on_standard_output(tmp_path, path):
    done = command(tmp_path, "add", "keys.json", "--name", "web", "--rate", "100/s")
    assert done.returncode == 0, done.stderr
    assert "shown this once" in done.stderr
    (key,) = read(path)
    assert key.fits(done.stdout.strip().encode())
    again = command(tmp_path, "add", "keys.json", "--name", "web", "--json")
    assert again.returncode == 1
    assert "already" in json.loads(again.stdout)["error"]["what"]


def test_the_command_takes_the_configured_file(tmp_path, path):
    (tmp_path / "lifecycle.toml").write_text('[serve]\napi_keys = "keys.json"\n')
    assert command(tmp_path, "add", "--name", "web").returncode == 0
    listed = command(tmp_path, "list", "--json")
    assert [item["name"] for item in json.loads(listed.stdout)["keys"]] == ["web"]
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "--name", "web"], "no file of keys is named"),
        (["add", "keys.json"], "no key is named"),
        (["remove", "keys.json"], "no key is named"),
        (["rotate", "keys.json"], "rotate"),
        (["list", "keys.json"], "cannot be read"),
    ],
)
def test_what_is_missing_is_said_without_a_traceback(tmp_path, arguments, said):
    done = command(tmp_path, *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
