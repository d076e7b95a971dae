"""Who sends no valid key is answered when the head is there; the body is not read."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager

import pytest

from lifecycle.serve import keys
from lifecycle.serve.guard import Guard
from lifecycle.serve.http import Connection, Http

BODY = b'{"inputs": {"age": [50], "plan": ["pro"]}}'
LONG, SHORT = 8 << 20, len(BODY)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def token(path):
    return keys.add(path, "web").encode()


@pytest.fixture
def app(path, engine, make_app, token):  # noqa: ARG001 - the file holds a key
    guard = Guard(path)
    app = make_app(engine, guard=guard)
    app.early = guard.admit
    return app


@asynccontextmanager
async def listening(app, *, tls=None, **options):
    """`connect()` -> reader, writer; the listener that they reach."""
    admit = app.admit if app.early is not None else None
    http = Http(app.handle, admit=admit, **options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(http), "127.0.0.1", 0, ssl=tls)
    port, writers = server.sockets[0].getsockname()[1], []

    async def connect(**more):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)
        writers.append(writer)
        return reader, writer

    try:
        yield connect, http
    finally:
        for writer in writers:
            writer.close()
        http.abort()
        server.close()
        await asyncio.sleep(0)


def head(*lines, path=b"/invocations", length=SHORT, method=b"POST"):
    more = b"".join(line + b"\r\n" for line in lines)
    if length is not None:
        more += b"Content-Length: %d\r\n" % length
    kind = b"Content-Type: application/json\r\n"
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + kind + more + b"\r\n"


async def answer(reader):
    """Status, headers and body of one answer."""
    text = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode()
    first, *lines = text.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await asyncio.wait_for(reader.readexactly(int(headers.get("content-length", 0))), 20)
    return int(first.split()[1]), headers, body


async def ended(reader):
    return await asyncio.wait_for(reader.read(), 20) == b""


def key(token):
    return b"Authorization: Bearer " + token


@pytest.mark.parametrize("sent", [(), (b"X-API-Key: lc_wrong",), (key(b"lc_wrong"),)])
def test_a_stranger_is_refused_at_the_head_and_the_connection_ends(app, sent):
    async def story():
        async with listening(app) as (connect, http):
            reader, writer = await connect()
            writer.write(head(*sent, length=LONG))
            status, headers, body = await answer(reader)  # no byte of the body was sent
            assert (status, headers["connection"]) == (401, "close")
            assert headers["www-authenticate"].startswith("Bearer")
            assert json.loads(body)["error_code"] == "UNAUTHENTICATED"
            assert await ended(reader)
            assert not http.busy

    asyncio.run(story())
    assert app.engine.figures.refused["/invocations", 401] == 1


def test_what_a_stranger_goes_on_sending_is_thrown_away(app):
    async def story():
        async with listening(app) as (connect, http):
            reader, writer = await connect()
            writer.write(head(length=LONG))
            for _ in range(20):
                writer.write(b"x" * 10_000)
                await asyncio.sleep(0)
            assert (await answer(reader))[0] == 401  # it is not lost by a reset
            (connection,) = http.connections
            assert sum(map(len, connection._body)) <= 2 * 10_000

    asyncio.run(story())


def test_chunks_of_strangers_are_not_gathered(app):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(b"Transfer-Encoding: chunked", length=None) + b"4\r\nabcd\r\n")
            assert (await answer(reader))[0] == 401
            assert await ended(reader)

    asyncio.run(story())


def test_who_asks_before_sending_hears_401_and_not_100(app, token):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(b"Expect: 100-continue", length=LONG))
            assert (await answer(reader))[0] == 401
            assert await ended(reader)
            reader, writer = await connect()
            writer.write(head(b"Expect: 100-continue", key(token)))
            assert (await answer(reader))[0] == 100
            writer.write(BODY)
            assert (await answer(reader))[0] == 200

    asyncio.run(story())


def test_a_known_key_sends_its_body_in_any_pieces_and_is_kept(app, token):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            for size in (1, 7, 40, 1000):
                whole = head(key(token)) + BODY
                for at in range(0, len(whole), size):
                    writer.write(whole[at : at + size])
                    await writer.drain()
                    await asyncio.sleep(0)
                status, headers, _ = await answer(reader)
                assert (status, headers.get("connection")) == (200, None)

    asyncio.run(story())


def test_a_stranger_whose_request_came_whole_may_try_again(app, token):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head() + BODY)
            status, headers, _ = await answer(reader)
            assert (status, headers.get("connection")) == (401, None)
            writer.write(head(key(token)) + BODY)
            assert (await answer(reader))[0] == 200

    asyncio.run(story())


def test_each_request_of_a_connection_shows_its_own_key(app, token):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(key(token)) + BODY[:5])
            await asyncio.sleep(0.05)
            writer.write(BODY[5:] + head(length=LONG) + b"x")
            assert (await answer(reader))[0] == 200  # what came before is answered first
            assert (await answer(reader))[0] == 401
            assert await ended(reader)

    asyncio.run(story())


@pytest.mark.parametrize("path_asked", ["/v2/models/churn/infer", "/v1/models/churn:predict"])
def test_each_protocol_refuses_in_its_own_form(app, path_asked):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(b"X-Request-Id: r-1", path=path_asked.encode(), length=LONG))
            status, headers, body = await answer(reader)
            assert (status, headers["x-request-id"]) == (401, "r-1")
            assert set(json.loads(body)) == {"error"}

    asyncio.run(story())


def test_what_is_open_stays_open_and_a_target_that_is_none_is_refused(app):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(path=b"/hooks/mlflow", length=2))
            await asyncio.sleep(0.05)
            writer.write(b"{}")
            assert (await answer(reader))[0] != 401  # deliveries are signed
            reader, writer = await connect()
            writer.write(head(path=b"http://[", length=LONG))
            assert (await answer(reader))[0] == 400

    asyncio.run(story())


def test_an_answer_to_head_has_no_body(app):
    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(method=b"HEAD", length=LONG))
            text = await asyncio.wait_for(reader.read(), 20)
            assert text.startswith(b"HTTP/1.1 401 ")
            assert text.endswith(b"\r\n\r\n")

    asyncio.run(story())


def test_a_rate_is_counted_once(path, engine, make_app):
    token = keys.add(path, "slow", rate="2/h").encode()
    guarded = Guard(path)
    app = make_app(engine, guard=guarded)
    app.early = guarded.admit

    async def story():
        async with listening(app) as (connect, _):
            found = []
            for _ in range(3):
                reader, writer = await connect()
                writer.write(head(key(token)))
                await asyncio.sleep(0.05)
                writer.write(BODY)
                found.append((await answer(reader))[0])
            assert found == [200, 200, 429]

    asyncio.run(story())


def test_without_keys_nobody_is_looked_at(engine, make_app):
    app = make_app(engine)

    async def story():
        async with listening(app) as (connect, http):
            assert http.admit is None
            reader, writer = await connect()
            writer.write(head(b"Expect: 100-continue"))
            assert (await answer(reader))[0] == 100
            writer.write(BODY)
            assert (await answer(reader))[0] == 200

    asyncio.run(story())


def test_a_trace_follows_the_refusal(app):
    told = []

    def trace(request, reply):
        def end(response):
            told.append((request.path, response.status))
            reply(response)

        return end

    app.trace = trace

    async def story():
        async with listening(app) as (connect, _):
            reader, writer = await connect()
            writer.write(head(length=LONG))
            assert (await answer(reader))[0] == 401

    asyncio.run(story())
    assert told == [("/invocations", 401)]


def test_strangers_are_told_over_tls_too(app, pem):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pem)
    trust = ssl.create_default_context(cafile=str(pem[0]))

    async def story():
        async with listening(app, tls=context) as (connect, _):
            reader, writer = await connect(ssl=trust, server_hostname="127.0.0.1")
            writer.write(head(b"Expect: 100-continue", length=LONG))
            assert (await answer(reader))[0] == 401

    asyncio.run(story())
