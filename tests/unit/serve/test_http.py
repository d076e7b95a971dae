"""HTTP/1.1 over real sockets on loopback: every way that bytes may come, and what goes back."""

import asyncio
import re
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.http import HEAD_BYTES, PIPELINED, Connection, Http, head, target
from lifecycle.serve.wire import Response

GET = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body, path=b"/echo", more=b""):
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + length + more + b"\r\n" + body


class Echo:
    """Answers a request with what it was; keeps those that are to be answered later."""

    def __init__(self):
        self.requests, self.later = [], []

    def handle(self, request, reply):
        self.requests.append(request)
        if request.path == "/later":
            self.later.append(reply)
            return
        text = f"{request.method} {request.path}|".encode() + request.body
        reply(Response(200, text, b"text/plain", ((b"x-n", b"%d" % len(self.requests)),)))


@asynccontextmanager
async def serving(echo=None, *, tls=None, **options):
    """A listener on loopback; gives `open()` -> reader, writer, and the Http and the Echo."""
    echo = echo or Echo()
    refused = []
    http = Http(echo.handle, refused=lambda path, status: refused.append((path, status)), **options)
    http.told = refused
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(http), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    writers = []

    async def connect(**more):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)
        writers.append(writer)
        return reader, writer

    try:
        yield connect, http, echo
    finally:
        for writer in writers:
            writer.close()
        http.abort()
        server.close()
        await asyncio.sleep(0)


async def answer(reader, *, bodyless=False):
    """One answer: status, headers, body."""
    text = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    first, *lines = text.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = 0 if bodyless else int(headers.get("content-length", 0))
    return int(first.split()[1]), headers, await asyncio.wait_for(reader.readexactly(length), 10)


def run(story):
    """On asyncio's own loop, and on the one that serves."""
    for loop in (None, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(asyncio.wait_for(story(), 60))


# what is asked ----------------------------------------------------------------------------------


def test_requests_on_one_connection_are_answered_in_turn():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            for index in range(3):
                writer.write(post(b"a%d" % index))
                status, headers, body = await answer(reader)
                assert (status, body) == (200, b"POST /echo|a%d" % index)
                assert headers["content-type"] == "text/plain"
                assert headers["x-n"] == str(index + 1)
                assert "connection" not in headers
            assert all(request.begun for request in echo.requests)

    run(story)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_bytes_may_come_in_any_pieces(data):
    stream = post(b'{"x": 1}', more=b"X-Model: churn\r\n") + GET + post(b"second" * 40)
    cuts = data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=12, unique=True))
    places = [0, *sorted(cuts), len(stream)]

    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            for start, end in pairwise(places):
                writer.write(stream[start:end])
                await asyncio.sleep(0)
            bodies = [(await answer(reader))[2] for _ in range(3)]
            assert bodies == [
                b'POST /echo|{"x": 1}',
                b"GET /ping|",
                b"POST /echo|" + b"second" * 40,
            ]
            assert echo.requests[0].headers[b"x-model"] == b"churn"

    run(story)


def test_a_chunked_body_is_put_together():
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"one", b"two and a half"):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            assert (await answer(reader))[2] == b"POST /echo|onetwo and a half"

    run(story)


@pytest.mark.parametrize(
    ("url", "path", "query"),
    [
        (b"/a/b", "/a/b", b""),
        (b"/a%20b?c=%20d", "/a b", b"c=%20d"),
        (b"/v2/models/%E4%B8%AD/infer", "/v2/models/中/infer", b""),
        (b"/%ff", "/\ufffd", b""),
        (b"http://host:80/x?y", "/x", b"y"),
        (b"http://host", "/", b""),
        (b"/?", "/", b""),
    ],
)
def test_a_target_is_path_and_query(url, path, query):
    assert target(url) == (path, query)


def test_repeated_headers_are_joined_and_names_are_lower_case():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            writer.write(post(b"", more=b"Accept: a\r\nACCEPT: b\r\nX-Key:  spaced \r\n"))
            await answer(reader)
            headers = echo.requests[0].headers
            assert headers[b"accept"] == b"a, b"
            assert headers[b"x-key"].strip() == b"spaced"

    run(story)


def test_head_has_the_length_and_no_body():
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            writer.write(b"HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
            status, headers, body = await answer(reader, bodyless=True)
            assert (status, headers["content-length"], body) == (200, "11", b"")
            assert (await answer(reader))[2] == b"GET /ping|"

    run(story)


def test_who_expects_to_be_told_is_told_to_go_on():
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            whole = post(b"x" * 10, more=b"Expect: 100-continue\r\n")
            writer.write(whole[:-10])
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(whole[-10:])
            assert (await answer(reader))[2] == b"POST /echo|" + b"x" * 10

    run(story)


def test_who_expects_to_send_too_much_is_not_told_to_go_on():
    async def story():
        async with serving(max_body=5) as (connect, _, echo):
            reader, writer = await connect()
            writer.write(post(b"x" * 10, more=b"Expect: 100-continue\r\n")[:-10])
            assert (await answer(reader))[0] == 413
            assert echo.requests == []

    run(story)


# keeping and closing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "header", "kept", "said"),
    [
        (b"1.1", b"", True, None),
        (b"1.1", b"Connection: close\r\n", False, "close"),
        (b"1.0", b"", False, "close"),
        (b"1.0", b"Connection: keep-alive\r\n", True, "keep-alive"),
    ],
)
def test_a_connection_is_kept_as_its_version_and_header_say(version, header, kept, said):
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            ask = b"GET /ping HTTP/" + version + b"\r\nHost: x\r\n" + header + b"\r\n"
            writer.write(ask)
            _, headers, _ = await answer(reader)
            assert headers.get("connection") == said
            if kept:
                writer.write(ask)
                assert (await answer(reader))[0] == 200
            else:
                assert await reader.read() == b""

    run(story)


def test_answers_of_a_closing_server_say_so():
    async def story():
        async with serving() as (connect, http, _echo):
            reader, writer = await connect()
            writer.write(GET)
            assert "connection" not in (await answer(reader))[1]
            http.closing = True
            writer.write(GET)  # on a connection that was kept
            status, headers, _ = await answer(reader)
            assert (status, headers["connection"]) == (200, "close")
            assert await reader.read() == b""
            assert http.connections == set()

    run(story)


def test_who_stops_sending_still_gets_the_answer():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            writer.write(post(b"", path=b"/later"))
            writer.write_eof()
            while not echo.later:
                await asyncio.sleep(0.01)
            echo.later.pop()(Response(200, b"late"))
            assert (await answer(reader))[2] == b"late"
            assert await reader.read() == b""

    run(story)


def test_an_answer_for_a_client_that_left_goes_nowhere():
    async def story():
        async with serving() as (connect, http, echo):
            _, writer = await connect()
            writer.write(post(b"", path=b"/later") + GET)
            while not echo.later:
                await asyncio.sleep(0.01)
            linger = struct.pack("ii", 1, 0)  # reset the connection, not only stop sending
            client = writer.get_extra_info("socket")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            while http.connections:
                await asyncio.sleep(0.01)
            echo.later.pop()(Response(200, b"late"))
            await asyncio.sleep(0.05)
            assert len(echo.requests) == 1, "what waited behind it is not asked any more"

    run(story)


def test_connections_are_busy_while_they_are_asked_or_answer():
    async def story():
        async with serving() as (connect, http, echo):
            reader, writer = await connect()
            writer.write(GET)
            await answer(reader)
            assert not http.busy
            writer.write(post(b"", path=b"/later"))
            while not echo.later:
                await asyncio.sleep(0.01)
            assert http.busy
            http.close_idle()
            echo.later.pop()(Response(200, b"late"))
            assert (await answer(reader))[2] == b"late"
            assert not http.busy
            http.close_idle()
            assert await reader.read() == b""

    run(story)


def test_a_connection_that_was_just_opened_is_given_a_moment_to_ask():
    async def story():
        async with serving() as (connect, http, _echo):
            reader, writer = await connect()
            while not http.connections:
                await asyncio.sleep(0.01)
            assert http.busy
            http.closing = True
            http.close_idle()
            writer.write(GET)
            assert (await answer(reader))[0] == 200
            silent, _ = await connect()
            while not http.connections:
                await asyncio.sleep(0.01)
            while http.busy:  # for a second, not for ever
                await asyncio.sleep(0.05)
            http.close_idle()
            assert await asyncio.wait_for(silent.read(), 5) == b""

    run(story)


# many at once -----------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            writer.write(post(b"", path=b"/later") + b"".join(post(b"%d" % i) for i in range(50)))
            while not echo.later:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert len(echo.requests) == 1, "the others wait for the first"
            echo.later.pop()(Response(200, b"first"))
            bodies = [(await answer(reader))[2] for _ in range(51)]
            assert bodies == [b"first", *(b"POST /echo|%d" % i for i in range(50))]

    run(story)


def test_thousands_of_pipelined_requests_do_not_nest_or_pile_up():
    async def story():
        async with serving() as (connect, http, _echo):
            reader, writer = await connect()
            sending = asyncio.ensure_future(send(writer, GET * 3000))
            for _ in range(3000):
                assert (await answer(reader))[0] == 200
                held = [len(item._waiting) for item in http.connections]
                assert held == [] or max(held) <= PIPELINED + 3000
            await sending

    async def send(writer, stream):
        writer.write(stream)
        await writer.drain()

    run(story)


def test_a_client_that_does_not_read_is_not_read_from():
    async def story():
        big = b"x" * 200_000

        class Big(Echo):
            def handle(self, request, reply):
                self.requests.append(request)
                reply(Response(200, big))

        async with serving(Big()) as (connect, _, echo):
            reader, writer = await connect(limit=1)
            for _ in range(200):
                writer.write(GET)
            await asyncio.sleep(0.3)
            assert len(echo.requests) < 200, "not all are answered into the void"
            total = 0
            while total < 200 * len(big):
                total += len(await asyncio.wait_for(reader.read(1 << 20), 10))
            assert len(echo.requests) == 200

    run(story)


# what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS spoken to a plain port
        b"hello\r\n\r\n",
        b"GET /ping\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"POST /e HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /e HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /e HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /e HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ping HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nX: a\rb\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_once_and_closed(stream):
    async def story():
        async with serving() as (connect, http, echo):
            reader, writer = await connect()
            writer.write(stream)
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (400, "close")
            assert b"not HTTP/1.1" in body
            assert b"Traceback" not in body
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert http.told == [("other", 400)]
            assert echo.requests == []
            reader, writer = await connect()  # and the next is served
            writer.write(GET)
            assert (await answer(reader))[0] == 200

    run(story)


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_do_no_harm(stream):
    async def story():
        async with serving() as (connect, _, _echo):
            _, writer = await connect()
            writer.write(stream)
            await asyncio.sleep(0)
            reader, writer = await connect()
            writer.write(GET)
            assert (await answer(reader))[0] == 200

    run(story)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_long_is_refused_and_the_answer_arrives(chunked):
    async def story():
        async with serving(max_body=1000) as (connect, http, echo):
            reader, writer = await connect()
            if chunked:
                writer.write(b"POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"800\r\n" + b"x" * 0x800 + b"\r\n" * 1)
            else:
                writer.write(b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
            for _ in range(50):  # the client goes on sending
                writer.write(b"x" * 10_000)
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (413, "close")
            assert b"longer than 1000 bytes" in body
            assert http.told == [("other", 413)]
            assert echo.requests == []

    run(story)


def test_a_length_of_absurd_size_is_refused():
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            writer.write(b"POST /e HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n")
            assert (await answer(reader))[0] in (400, 413)

    run(story)


def test_a_body_of_exactly_the_limit_is_taken():
    async def story():
        async with serving(max_body=1000) as (connect, _, _echo):
            reader, writer = await connect()
            writer.write(post(b"x" * 1000))
            assert (await answer(reader))[0] == 200

    run(story)


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_head_without_end_is_refused(pieces):
    async def story():
        async with serving() as (connect, http, echo):
            reader, writer = await connect()
            writer.write(b"GET /ping HTTP/1.1\r\nX-Long: ")
            for _ in range(pieces):
                writer.write(b"x" * (2 * HEAD_BYTES // pieces))
                await asyncio.sleep(0)
            status, _, body = await answer(reader)
            assert status == 431
            assert b"head of the request" in body
            assert (http.told, echo.requests) == ([("other", 431)], [])

    run(story)


@pytest.mark.parametrize(
    ("part", "begun"), [("head", GET[:-4]), ("body", post(b"x" * 10)[:-5]), ("head", b"G")]
)
def test_a_request_that_does_not_arrive_is_given_up(part, begun):
    async def story():
        async with serving(request_seconds=0.05) as (connect, http, echo):
            reader, writer = await connect()
            writer.write(begun)
            for _ in range(100):
                await asyncio.sleep(0.02)
                http.look()
                if http.told:
                    break
            status, headers, body = await answer(reader)
            assert (status, headers["connection"]) == (408, "close")
            assert f"the {part} of the request did not arrive in time".encode() in body
            assert (http.told, echo.requests) == ([("other", 408)], [])

    run(story)


def test_a_trickle_does_not_buy_time():
    async def story():
        async with serving(request_seconds=0.2) as (connect, http, _echo):
            reader, writer = await connect()
            writer.write(b"POST /e HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(200):
                if http.told:
                    break
                writer.write(b"x")
                await asyncio.sleep(0.01)
                http.look()
            assert (await answer(reader))[0] == 408

    run(story)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not():
    async def story():
        async with serving(idle_seconds=0.05) as (connect, http, echo):
            idle, writer = await connect()
            writer.write(GET)
            await answer(idle)
            reader, writer = await connect()
            writer.write(post(b"", path=b"/later"))
            while not echo.later:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            http.look()
            assert await asyncio.wait_for(idle.read(), 5) == b""
            echo.later.pop()(Response(200, b"late"))
            assert (await answer(reader))[2] == b"late"

    run(story)


def test_a_refusal_waits_for_the_answer_before_it():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            writer.write(post(b"", path=b"/later") + b"nonsense\r\n\r\n")
            while not echo.later:
                await asyncio.sleep(0.01)
            echo.later.pop()(Response(200, b"first"))
            assert (await answer(reader))[2] == b"first"
            assert (await answer(reader))[0] == 400
            assert await asyncio.wait_for(reader.read(), 5) == b""

    run(story)


def test_a_refusal_waits_for_all_that_came_before_it():
    async def story():
        async with serving() as (connect, _, echo):
            reader, writer = await connect()
            writer.write(GET * 5 + b"nonsense\r\n\r\n")
            statuses = [(await answer(reader))[0] for _ in range(6)]
            assert statuses == [200] * 5 + [400]
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert len(echo.requests) == 5

    run(story)


def test_another_protocol_is_not_spoken():
    async def story():
        async with serving() as (connect, _, _echo):
            reader, writer = await connect()
            wish = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n" + wish)
            status, _, body = await answer(reader)
            assert (status, body) == (200, b"GET /ping|")  # answered as if it had not asked

    run(story)


# answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "phrase"), [(200, "OK"), (503, "Service Unavailable"), (599, "")]
)
def test_the_status_line_has_the_phrase(status, phrase):
    assert head(status, b"a/b", 3, ()).decode().startswith(f"HTTP/1.1 {status} {phrase}\r\n")


def test_further_headers_follow():
    text = head(429, b"a/b", 3, ((b"retry-after", b"1"), (b"x", b"y"))).decode()
    assert re.findall(r"^([\w-]+): (.*)\r$", text, re.MULTILINE) == [
        ("content-type", "a/b"),
        ("content-length", "3"),
        ("retry-after", "1"),
        ("x", "y"),
    ]


def test_a_route_may_close_its_connection():
    class Closing(Echo):
        def handle(self, _request, reply):
            reply(Response(200, b"bye", close=True))

    async def story():
        async with serving(Closing()) as (connect, _, _echo):
            reader, writer = await connect()
            writer.write(GET + GET)
            assert (await answer(reader))[1]["connection"] == "close"
            assert await reader.read() == b""

    run(story)


def test_the_same_over_tls(pem):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pem)
    trusting = ssl.create_default_context(cafile=pem[0])

    async def story():
        async with serving(tls=context, max_body=100) as (connect, _, _echo):
            reader, writer = await connect(ssl=trusting)
            for index in range(3):
                writer.write(post(b"%d" % index))
                assert (await answer(reader))[2] == b"POST /echo|%d" % index
            writer.write(post(b"x" * 200))
            assert (await answer(reader))[0] == 413
            writer.close()

    run(story)


def test_what_begins_behind_another_request_is_given_up_too():
    async def story():
        async with serving(request_seconds=0.1) as (connect, http, _):
            reader, writer = await connect()
            writer.write(GET + post(b"x" * 10)[:-5])
            assert (await answer(reader))[0] == 200
            assert http.busy
            await asyncio.sleep(0.2)
            http.look()
            assert (await answer(reader))[0] == 408
            assert not http.busy

    run(story)
