"""What the server binds, warns of and refuses, and how it ends while it loads."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

from lifecycle.config import Config
from lifecycle.errors import ModelNotFound, ServeError
from lifecycle.serve.server import bind, serve, warn_if_open
from lifecycle.serve.worker import address_of

# addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("256.1.1.1", 0, "cannot bind"),
        ("no such host", 0, "cannot bind"),
        ("a" * 70, 0, "cannot bind"),
        ("a" * 70 + ".example", 0, "cannot bind"),
        ("local\0host", 0, "cannot bind"),
        ("127.0.0.1:80", 0, "cannot bind"),
        ("203.0.113.7", 0, "cannot bind"),  # an address of nobody, RFC 5737
        ("127.0.0.1", 65536, "must be 0-65535"),
        ("127.0.0.1", -1, "must be 0-65535"),
    ],
)
def test_an_address_that_cannot_be_bound_is_named(host, port, said):
    with pytest.raises(ServeError, match=said) as caught:
        bind(host, port)
    assert caught.value.where == f"{host}:{port}"
    assert "--port" in caught.value.fix


def test_a_port_in_use_is_said_in_plain_words():
    with closing(bind("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is in use"):
            bind("127.0.0.1", port)
    bind("127.0.0.1", port).close()  # free again at once


def test_no_request_is_taken_before_the_models_are_there():
    with closing(bind("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.settimeout(2)
        with pytest.raises(ConnectionRefusedError):
            client.connect(listener.getsockname())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("localhost", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
    ],
)
def test_an_address_is_a_url_that_a_browser_takes(host, url):
    with closing(bind(host, 0)) as listener:
        assert address_of(listener) == f"{url}{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("", True),  # every address of the machine
        ("::", True),
        ("192.168.1.4", True),
        ("box.example.org", True),
        ("localhost.example.org", True),
    ],
)
def test_an_address_that_others_reach_is_warned_of(host, warned, capsys):
    assert warn_if_open(host) is warned
    said = capsys.readouterr().err
    assert ("asks for no key" in said) is warned
    assert host in said or not warned


# starting and stopping --------------------------------------------------------------------------


def test_nothing_named_is_said():
    with pytest.raises(ServeError, match="no model is named") as caught:
        serve(Config(), (), port=0)
    assert "lifecycle serve NAME" in caught.value.fix


@pytest.mark.parametrize("workers", [1, 2])
def test_one_model_named_twice_is_refused(served, workers):
    with pytest.raises(ServeError, match="'churn' is named twice, as churn/1 and churn/2"):
        serve(served, ("churn/1", "churn/2"), port=0, workers=workers)


def test_a_port_is_free_again_after_a_start_that_failed(served):
    with closing(bind("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        with pytest.raises(ModelNotFound):
            serve(served, ("nothing",), port=port)


START = """
import sys
from lifecycle.config import Config
from lifecycle.serve.server import serve
config = Config().with_values(
    tracking__uri=sys.argv[1], tracking__timeout=60, log__dir=sys.argv[2]
)
serve(config, ("churn",), port=0, workers=int(sys.argv[3]))
print("left in order", file=sys.stderr)
"""


def asked(registry):
    """The first connection that asks something; one that only knocks is let go."""
    while True:
        connection, _ = registry.accept()
        connection.settimeout(20)
        if connection.recv(10):
            return connection
        connection.close()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_server_that_waits_for_its_registry_stops_at_once(tmp_path, number, workers):
    environment = {key: value for key, value in os.environ.items() if "MLFLOW_TR" not in key}
    with socket.socket() as registry:  # takes connections, answers never
        registry.bind(("127.0.0.1", 0))
        registry.listen()
        registry.settimeout(60)
        address = f"http://127.0.0.1:{registry.getsockname()[1]}"
        command = [sys.executable, "-c", START, address, str(tmp_path / "log"), str(workers)]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
        ) as process:
            try:
                with closing(asked(registry)):
                    begun = time.monotonic()
                    process.send_signal(number)
                    _, said = process.communicate(timeout=20)
            finally:
                process.kill()
    assert process.returncode == 0, said
    assert time.monotonic() - begun < 10
    assert "told to stop before the models were loaded" in said
    assert said.rstrip().endswith("left in order")
    assert "Traceback" not in said
    left = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {".secret"}
