"""`lifecycle serve --grpc-port`: a real server process, one and several workers, TLS, its end."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from lifecycle.serve import keys
from lifecycle.serve.rpc.messages import message, methods
from lifecycle.stores.predictions import PredictionLog

V2 = "inference.GRPCInferenceService"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def command(config, port, *more):
    return [
        "serve", "churn", "--port", "0", "--grpc-port", port, "--log", config.log.dir, *more,
    ]  # fmt: skip


@pytest.fixture
def started(serving):
    """`with started(config, *more) as (process, lines, port)`: also the port of its calls."""

    @contextmanager
    def run(config, *more):
        port = free_port()
        brief = {"LIFECYCLE_SERVE_DRAIN_SECONDS": "2"}
        with serving(command=command(config, port, *more), environment=brief) as server:
            yield server.process, server.lines, port

    return run


def request_of(*values):
    request = message("inference.ModelInferRequest")(model_name="churn")
    item = request.inputs.add(name="x", datatype="FP64", shape=[len(values)])
    item.contents.fp64_contents.extend(values)
    return request


def calling(channel, method="ModelInfer"):
    kind = methods(V2)[method].output_type.full_name
    return channel.unary_unary(
        f"/{V2}/{method}",
        request_serializer=lambda made: made.SerializeToString(),
        response_deserializer=message(kind).FromString,
    )


def numbers(answer):
    return [round(value, 9) for value in answer.outputs[0].contents.fp64_contents]


def over_http(line, x):
    address = re.search(r"http://(127\.0\.0\.1:\d+)", line)[1]
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        head = {"Content-Type": "application/json"}
        connection.request("POST", "/invocations", json.dumps({"inputs": {"x": [x]}}), head)
        return round(json.loads(connection.getresponse().read())["predictions"][0], 9)
    finally:
        connection.close()


def _listening(parent, port):
    """The workers of a server that listen on a port (Linux), by process id."""
    inodes = {
        line.split()[9]
        for name in ("tcp", "tcp6")
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    found = set()
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        for item in Path(f"/proc/{child}/fd").iterdir():
            try:
                target = str(item.readlink())
            except OSError:
                continue
            if target.removeprefix("socket:[").rstrip("]") in inodes:
                found.add(child)
    return found


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_calls_and_requests_are_answered_until_the_end_and_none_is_lost(
    config, workers, put, started
):
    """Clients that keep calling: each call is answered, or was never taken; all are in the log."""
    put(config, 3.0)
    answered, refused, ends = [], [], threading.Event()

    def client(number, port):
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            call, turn = calling(channel), 0
            while not ends.is_set():
                turn += 1
                value = number * 1_000_000.0 + turn
                try:
                    found = numbers(call(request_of(value), timeout=20))
                    answered.append((value, found[0]))
                except grpc.RpcError as error:
                    refused.append(error.code().name)
                    return

    more = ("--workers", str(workers))
    with (
        started(config, *more) as (process, lines, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert f", gRPC on 127.0.0.1:{port}" in lines[-1]
        assert over_http(lines[-1], 2.0) == 6.0
        if workers > 1:
            assert len(_listening(process.pid, port)) == workers
        threads = [threading.Thread(target=client, args=(one, port)) for one in range(4)]
        for thread in threads:
            thread.start()
        _until(lambda: len(answered) > 50)
        ready = calling(channel, "ServerReady")
        asked = message("inference.ServerReadyRequest")()
        assert ready(asked, timeout=20).ready
        process.send_signal(signal.SIGTERM)
        _until(lambda: not ready(asked, timeout=20).ready)
        before = len(answered)
        _until(lambda: len(answered) > before)  # what comes while it drains is answered
        assert process.wait(60) == 0
        ends.set()
        for thread in threads:
            thread.join(30)
    assert set(refused) <= {"UNAVAILABLE"}
    logged = PredictionLog(config.log.dir).read("churn")["features"].struct.field("x").to_list()
    assert sorted(logged) == sorted([2.0, *(value for value, _ in answered)])
    assert all(found == pytest.approx(3 * value) for value, found in answered)


def _until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost and its key, of this test alone."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(cert),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_certificate_and_keys_are_those_of_the_server(config, certificate, tmp_path, put, started):
    put(config, 3.0)
    cert, key = certificate
    token = keys.add(tmp_path / "keys.json", "web")
    more = ("--api-keys", tmp_path / "keys.json", "--tls-cert", cert, "--tls-key", key)
    trust = grpc.ssl_channel_credentials(cert.read_bytes())
    with (
        started(config, *map(str, more)) as (process, lines, port),
        grpc.secure_channel(f"localhost:{port}", trust) as channel,
        grpc.insecure_channel(f"127.0.0.1:{port}") as plain,
    ):
        assert "https://" in lines[-1]
        sent = (("authorization", f"Bearer {token}"),)
        answer = calling(channel)(request_of(2.0, 5.0), timeout=20, metadata=sent)
        assert numbers(answer) == [6.0, 15.0]
        with pytest.raises(grpc.RpcError) as caught:
            calling(channel)(request_of(2.0), timeout=20)
        assert caught.value.code().name == "UNAUTHENTICATED"
        with pytest.raises(grpc.RpcError) as caught:
            calling(plain)(request_of(2.0), timeout=20, metadata=sent)
        assert caught.value.code().name == "UNAVAILABLE"
        process.send_signal(signal.SIGINT)  # the channel is open, and nobody waits for it
        assert process.wait(30) == 0


def test_a_port_that_is_taken_is_an_error_before_anything_is_loaded(config, run_command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command(*command(config, port))
    assert done.returncode == 1
    assert f"port {port} is in use" in done.stderr
    assert "--grpc-port" in done.stderr
    assert "Traceback" not in done.stderr


BLOCKED = """
import sys
sys.modules["grpc"] = None
from lifecycle.cli import main
main(["serve", "churn", "--port", "0", "--grpc-port", "1"])
"""


@pytest.mark.usefixtures("config")
def test_without_the_extra_the_message_names_it(run_forked):
    done = run_forked(BLOCKED)
    assert done.returncode == 1
    assert 'pip install "mlflow-lifecycle[grpc]"' in done.stderr
    assert "Traceback" not in done.stderr
