"""An artifact server that names files where they do not belong writes none of them there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lifecycle.errors import RegistryError
from lifecycle.models import files
from lifecycle.stores.artifacts import _downloaded

NAMES = [
    "../../outside",
    "../outside",
    "/outside",
    "a/../../outside",
    "a/../../../outside",
    "..%2f..%2foutside",
    "%2e%2e/outside",
    "file:///outside",
]


@pytest.fixture(scope="module")
def server():
    """Lists whatever `listed` holds, and gives "evil" for every file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            query = parse_qs(urlsplit(self.path).query)
            listing = "path" in query or urlsplit(self.path).path.endswith("/artifacts")
            deeper = query.get("path", [""])[0] not in ("", "model")
            found = [] if deeper else self.server.listed
            body = json.dumps({"files": found}).encode() if listing else b"evil"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.listed = []
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def download(server, listed):
    server.listed = [{"path": name, "is_dir": False, "file_size": 4} for name in listed]
    port = server.server_address[1]
    address = f"http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/model"
    with _downloaded(address, "churn/1") as folder:
        return {path.name: path.read_bytes() for path in files.listing(folder)}, folder


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Downloads go to a folder of this test, so that all around it can be looked at."""
    inner = tmp_path / "one" / "two" / "three"
    inner.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(inner))
    return tmp_path


@pytest.mark.usefixtures("scratch")
def test_plain_names_are_downloaded_and_removed_again(server):
    found, folder = download(server, ["MLmodel", "data/model.skops"])
    assert found == {"MLmodel": b"evil", "model.skops": b"evil"}
    assert not folder.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_left(server, scratch, name):
    before = set(scratch.rglob("*"))
    with pytest.raises(RegistryError, match="churn/1"):
        download(server, ["MLmodel", name])
    assert set(scratch.rglob("*")) == before
    assert not Path("/outside").exists()
