"""API keys on requests: who passes, how often, and what a changed file does."""

import contextlib
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ServeError
from lifecycle.serve import keys
from lifecycle.serve.guard import LOOK_NS, OPEN, Guard
from lifecycle.serve.server import warn_if_open
from lifecycle.serve.wire import Refused, Request

SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def bearer(token, *, path="/invocations", at=0):
    headers = {b"authorization": b"Bearer " + token.encode()}
    return Request("POST", path, headers=headers, begun=at)


def refused(guard, request):
    with pytest.raises(Refused) as caught:
        guard(request)
    return caught.value


def later(guard, path):
    """A time at which the guard looks at its file again; its mark is sure to be another."""
    if path.exists():
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    return guard._looked + LOOK_NS + 1


# who passes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER  {} "])
def test_a_key_passes_as_bearer_in_any_case(path, form):
    token = keys.add(path, "web")
    headers = {b"authorization": form.format(token).encode()}
    Guard(path)(Request("POST", "/invocations", headers=headers))


def test_a_key_passes_in_its_own_header_also_beside_another_scheme(path):
    token = keys.add(path, "web").encode()
    guard = Guard(path)
    guard(Request("GET", "/metrics", headers={b"x-api-key": token}))
    basic = {b"x-api-key": token, b"authorization": b"Basic dXNlcjpwYXNz"}
    guard(Request("GET", "/metrics", headers=basic))


@pytest.mark.parametrize("place", sorted(OPEN))
def test_health_is_open(path, place):
    keys.add(path, "web")
    Guard(path)(Request("GET", place))


@pytest.mark.parametrize(
    "place",
    ["/invocations", "/metrics", "/status", "/docs", "/feedback", "/nothing", "/ping/", "//ping",
     "/v2/models/churn/infer", "/PING", ""],
)  # fmt: skip
def test_all_else_needs_a_key(path, place):
    keys.add(path, "web")
    error = refused(Guard(path), Request("GET", place))
    assert (error.status, dict(error.headers)) == (401, {b"www-authenticate": b"Bearer"})


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Basic dXNlcjpwYXNz"},
        {b"x-api-key": b""},
    ],
)
def test_no_key_is_asked_for(path, headers):
    keys.add(path, "web")
    error = refused(Guard(path), Request("POST", "/invocations", headers=headers))
    assert error.status == 401
    assert "send an API key" in str(error)


@pytest.mark.parametrize("token", [b"lc_guess", b"\xff\x00", b"x" * 60_000, b"a, b"])
def test_a_wrong_key_is_refused_and_not_told(path, token):
    keys.add(path, "web")
    guard = Guard(path)
    error = refused(guard, Request("POST", "/invocations", headers={b"x-api-key": token}))
    assert error.status == 401
    assert str(error) == "the API key is not valid here"
    assert guard._known == {}  # what does not fit is not kept, so it cannot fill the memory


def test_a_key_with_more_behind_it_is_no_key(path):
    token = keys.add(path, "web")
    for more in ("x", "x" * 200, "\x00", ", other"):
        assert refused(Guard(path), bearer(token + more)).status == 401


def test_a_hash_of_the_file_is_no_key(path):
    keys.add(path, "web")
    (key,) = keys.read(path)
    error = refused(Guard(path), bearer(key.hash))
    assert error.status == 401


# rates ------------------------------------------------------------------------------------------


def test_a_rate_lets_a_burst_pass_then_one_an_interval(path):
    token = keys.add(path, "web", rate="5/s")
    guard, now = Guard(path), 100 * SECOND
    for _ in range(5):
        guard(bearer(token, at=now))
    error = refused(guard, bearer(token, at=now))
    assert (error.status, dict(error.headers)) == (429, {b"retry-after": b"1"})
    assert "5/s" in str(error)
    guard(bearer(token, at=now + SECOND // 5))
    assert refused(guard, bearer(token, at=now + SECOND // 5)).status == 429


def test_a_refused_request_costs_nothing_of_the_rate(path):
    token = keys.add(path, "web", rate="1/s")
    guard, now = Guard(path), 100 * SECOND
    guard(bearer(token, at=now))
    for _ in range(50):
        refused(guard, bearer(token, at=now + 1))
    guard(bearer(token, at=now + SECOND))


def test_retry_after_is_the_time_until_one_more_may_come(path):
    token = keys.add(path, "web", rate="2/min")
    guard, now = Guard(path), 100 * SECOND
    for _ in range(2):
        guard(bearer(token, at=now))
    wait = int(dict(refused(guard, bearer(token, at=now)).headers)[b"retry-after"])
    assert wait == 30
    assert refused(guard, bearer(token, at=now + (wait - 1) * SECOND)).status == 429
    guard(bearer(token, at=now + wait * SECOND))


def test_each_key_has_a_rate_of_its_own(path):
    one, two, free = keys.add(path, "1", rate="1/h"), keys.add(path, "2", rate="1/h"), ""
    free = keys.add(path, "free")
    guard, now = Guard(path), 100 * SECOND
    guard(bearer(one, at=now))
    guard(bearer(two, at=now))
    assert refused(guard, bearer(one, at=now)).status == 429
    for _ in range(100):
        guard(bearer(free, at=now))


def test_health_and_wrong_keys_do_not_count(path):
    token = keys.add(path, "web", rate="1/h")
    guard, now = Guard(path), 100 * SECOND
    for _ in range(3):
        guard(bearer(token, path="/ping", at=now))
        refused(guard, bearer(token + "x", at=now))
    guard(bearer(token, at=now))


@given(
    st.integers(1, 20),
    st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=60),
)
@settings(max_examples=40, deadline=None)
def test_no_second_sees_more_than_burst_and_refill(tmp_path_factory, count, gaps):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    token = keys.add(path, "web", rate=f"{count}/s")
    guard, now, passed = Guard(path), 100 * SECOND, []
    guard._looked = 1 << 62
    for gap in gaps:
        now += gap // 20
        with contextlib.suppress(Refused):
            guard(bearer(token, at=now))
            passed.append(now)
    for index, begin in enumerate(passed):
        for further, end in enumerate(passed[index:]):
            assert further + 1 <= count + (end - begin) * count // SECOND + 1


def test_workers_share_one_rate(path, tmp_path):
    token = keys.add(path, "web", rate="4/h")
    workers = [Guard(path, shared=tmp_path) for _ in range(2)]
    now = time.perf_counter_ns()
    for turn in range(4):
        workers[turn % 2](bearer(token, at=now))
    for worker in workers:
        assert refused(worker, bearer(token, at=now)).status == 429


# the file changes -------------------------------------------------------------------------------


def test_a_file_without_keys_stops_the_start(path):
    with pytest.raises(ServeError, match="cannot be read"):
        Guard(path)
    path.write_text('{"keys": []}')
    with pytest.raises(ServeError, match="holds none") as caught:
        Guard(path)
    assert "lifecycle keys add" in caught.value.fix


def test_keys_come_and_go_without_a_restart(path):
    old = keys.add(path, "old")
    guard = Guard(path)
    guard(bearer(old))
    new = keys.add(path, "new")
    at = later(guard, path)
    guard(bearer(new, at=at))
    guard(bearer(old, at=at))
    keys.remove(path, "old")
    at = later(guard, path)
    assert refused(guard, bearer(old, at=at)).status == 401
    guard(bearer(new, at=at))
    keys.remove(path, "new")
    assert refused(guard, bearer(new, at=later(guard, path))).status == 401


def test_between_two_looks_the_file_is_left_alone(path):
    old = keys.add(path, "old")
    guard = Guard(path)
    guard._looked = at = 100 * SECOND
    keys.remove(path, "old")
    guard(bearer(old, at=at + LOOK_NS))
    assert refused(guard, bearer(old, at=at + LOOK_NS + 1)).status == 401


@pytest.mark.parametrize("damage", ["cut", "gone", "nonsense", "binary"])
def test_a_damaged_file_keeps_the_last_good_keys_and_says_so_once(path, caplog, damage):
    token = keys.add(path, "web")
    guard, whole = Guard(path), path.read_text()
    if damage == "gone":
        path.unlink()
    elif damage == "binary":
        path.write_bytes(b"\xff\xfe")
    else:
        path.write_text(whole[:40] if damage == "cut" else "nonsense")
    for _ in range(3):
        guard(bearer(token, at=guard._looked + LOOK_NS + 1))
    assert refused(guard, bearer("lc_other", at=1)).status == 401
    assert guard.trouble
    said = [record.message for record in caplog.records]
    assert len(said) == 1
    assert "the last good keys stay in force" in said[0]
    path.write_text(whole)
    guard(bearer(token, at=later(guard, path)))
    assert guard.trouble == ""


def test_a_new_rate_holds_at_the_next_look(path):
    token = keys.add(path, "web", rate="1/h")
    guard, at = Guard(path), 100 * SECOND
    guard._looked = at
    guard(bearer(token, at=at))
    assert refused(guard, bearer(token, at=at)).status == 429
    tree = json.loads(path.read_text())
    tree["keys"][0]["rate"] = ""
    path.write_text(json.dumps(tree))
    guard(bearer(token, at=later(guard, path)))


# in an application ------------------------------------------------------------------------------


def test_an_application_refuses_before_the_body_is_read(path, engine, make_app, ask):
    token = keys.add(path, "web", rate="2/h")
    app = make_app(engine, guard=Guard(path))
    body, kind = b'{"inputs": {"age": [50], "plan": ["pro"]}}', {"Content-Type": "application/json"}
    status, headers, said = ask(app, "POST", "/invocations", b"\xff nonsense", headers=kind)
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(said)["error_code"] == "UNAUTHENTICATED"
    assert ask(app, "GET", "/nothing")[0] == 401  # what is there is not told either
    assert ask(app, "GET", "/ping")[0] == 200
    kind["X-API-Key"] = token
    assert ask(app, "POST", "/invocations", body, headers=kind)[0] == 200
    assert ask(app, "GET", "/nothing", headers=kind)[0] == 404
    status, headers, said = ask(app, "POST", "/invocations", body, headers=kind)
    assert (status, headers["retry-after"]) == (429, "1800")
    assert json.loads(said)["error_code"] == "RESOURCE_EXHAUSTED"
    assert token not in said.decode()
    text = engine.figures.text()
    assert 'lifecycle_refused_total{path="/invocations",status="401"} 1' in text
    assert 'lifecycle_refused_total{path="/invocations",status="429"} 1' in text


@pytest.mark.parametrize(
    ("host", "keys_asked", "tls", "said"),
    [
        ("0.0.0.0", False, False, "warning: 0.0.0.0 is reachable by others, and the server asks"),
        ("0.0.0.0", False, True, "warning: 0.0.0.0 is reachable by others, and the server asks"),
        ("::", True, False, "note: :: is reachable by others, and keys travel unencrypted"),
        ("0.0.0.0", True, True, ""),
        ("127.0.0.1", True, False, ""),
    ],
)
def test_what_others_could_do_is_said(host, keys_asked, tls, said, capsys):
    assert warn_if_open(host, keys=keys_asked, tls=tls) is bool(said)
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    "asked",
    [
        ("/invocations", {"error_code", "message"}),
        ("/feedback", {"error_code", "message"}),
        ("/v2/models/churn/infer", {"error"}),
        ("/v2/models/nothing/infer", {"error"}),
        ("/v1/models/churn:predict", {"error"}),
    ],
)
def test_each_protocol_refuses_in_its_own_form(path, engine, make_app, ask, asked):
    path_asked, form = asked
    token = keys.add(path, "web", rate="1/d")
    app, headers = make_app(engine, guard=Guard(path)), {"X-API-Key": token}
    status, _, said = ask(app, "POST", path_asked)
    assert (status, set(json.loads(said))) == (401, form)
    ask(app, "POST", path_asked, headers=headers)
    status, found, said = ask(app, "POST", path_asked, headers=headers)
    assert (status, set(json.loads(said))) == (429, form)
    assert int(found["retry-after"]) > 80_000
