"""Who the server says that we are, asked of small real servers on loopback."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from lifecycle.errors import RegistryError, RegistryUnavailable
from lifecycle.stores.identities import CURRENT, authenticated, username

ANN = json.dumps({"user": {"id": 2, "username": "ann", "is_admin": False}})


@pytest.fixture
def answering(monkeypatch):
    """A server that gives one answer to everything; tells its address, and what it was asked."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    running = []

    def start(status, body):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        return SimpleNamespace(tracking_uri=address, asked=asked)

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_the_server_names_us_by_our_password(answering, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    client = answering(200, ANN)
    found = authenticated(client)
    assert (found.actor, found.authenticated) == ("ann", True)
    assert found.how == f"authenticated by {client.tracking_uri}"
    ((path, credentials),) = client.asked
    assert path == CURRENT
    assert credentials.startswith("Basic ")


def test_a_token_is_sent_too(answering, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    client = answering(200, ANN)
    assert authenticated(client).actor == "ann"
    assert client.asked[0][1] == "Bearer a-token"


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, "not found"), (405, ""), (501, ""), (200, "<html>sign in</html>"), (200, "[]"),
     (200, '{"user": null}'), (200, '{"user": {"username": ""}}')],
)  # fmt: skip
def test_a_server_that_asks_nobody_names_nobody(answering, status, body):
    assert authenticated(answering(status, body)) is None


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_server_that_refuses_is_an_error(answering, status):
    with pytest.raises(RegistryError):
        authenticated(answering(status, "no"))


def test_no_answer_is_an_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RegistryUnavailable):
        authenticated(SimpleNamespace(tracking_uri=f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("address", ["sqlite:///mlflow.db", "postgresql://db/mlflow", "databricks"])
def test_a_database_asks_nobody(address):
    assert authenticated(SimpleNamespace(tracking_uri=address)) is None


@pytest.mark.parametrize("text", ["", "null", "7", '{"user": 7}', '{"users": []}'])
def test_no_name_is_found_in_other_answers(text):
    assert username(text) == ""
