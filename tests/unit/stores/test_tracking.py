"""Connecting: every way in which a registry can be away, half-made or wrong."""

import http.server
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, ModelNotFound, RegistryError, RegistryUnavailable
from lifecycle.stores import tracking
from lifecycle.stores.tracking import answers, connect, experiment_id, public, reachable

CONNECT = """
import sys
from lifecycle.config import Config
from lifecycle.stores.tracking import connect, experiment_id
client = connect(Config().with_values(tracking__uri=sys.argv[1]))
print(experiment_id(client, "churn"))
"""


def at(address: object) -> Config:
    return Config(name="churn").with_values(tracking__uri=str(address), tracking__timeout=2)


class Unavailable(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *args):
        pass


@pytest.fixture
def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def black_hole():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield listening.getsockname()[1]


@pytest.fixture
def overloaded():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unavailable)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("kind", ["closed_port", "black_hole", "overloaded"])
def test_a_registry_that_is_down_is_said_to_be_down(kind, request):
    port = request.getfixturevalue(kind)
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=r"did not answer.*127\.0\.0\.1.*mlflow server"):
        connect(at(f"http://127.0.0.1:{port}"))
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("kind", ["closed_port", "black_hole", "overloaded"])
def test_doctor_s_question_is_answered_within_its_own_limit(kind, request):
    port = request.getfixturevalue(kind)
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        reachable(at(f"http://127.0.0.1:{port}"), seconds=1)
    assert time.monotonic() - started < 3


def test_a_dead_database_server_is_not_retried_for_an_hour(closed_port):
    with pytest.raises(RegistryUnavailable, match=r"me:\*\*\*@"):
        connect(at(f"postgresql://me:secret@127.0.0.1:{closed_port}/mlflow"))


def test_the_user_s_own_limits_are_kept(config, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    connect(config)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


@pytest.mark.parametrize("address", ["./mlruns", "file:///tmp/mlruns", "mlruns"])
def test_a_folder_of_files_is_explained(address):
    with pytest.raises(ConfigError, match=r"migrate-filestore.*sqlite:///mlflow.db"):
        connect(at(address))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://somewhere", "'ftp' is no kind of registry"),
        ("http://host:port", "address is wrong"),
        ("sqlite:////no/such/folder/mlflow.db", "'/no/such/folder'.*does not exist"),
    ],
)
def test_a_wrong_address_is_named(address, said):
    with pytest.raises(ConfigError, match=said):
        connect(at(address))


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(RegistryError, match=r"/proc/.*(permissions|folder|another place)"):
        connect(at("sqlite:////proc/mlflow.db"))


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_text("these are notes, not tables\n" * 50)
    with pytest.raises(RegistryError, match=r"not a database.*another place"):
        connect(at(f"sqlite:///{path}"))
    assert path.read_text().startswith("these are notes")


def test_a_relative_database_stays_where_it_was(config, tmp_path, monkeypatch):
    client = connect(config)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    client.create_registered_model("churn")
    assert not (elsewhere / "mlflow.db").exists()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT name FROM registered_models").fetchall() == [("churn",)]
    database.close()


def test_the_environment_is_left_as_it_was(config, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    connect(config.with_values(tracking__uri=f"sqlite:///{tmp_path}/mlflow.db"))
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert config.tracking_uri == "sqlite:///mlflow.db"


def test_experiments_are_made_once_and_a_deleted_one_is_explained(config):
    client = connect(config)
    first = experiment_id(client, "churn")
    assert experiment_id(client, "churn") == first
    client.delete_experiment(first)
    with pytest.raises(RegistryError, match=f"deleted.*restore --experiment-id {first}"):
        experiment_id(client, "churn")


def test_several_processes_may_start_on_a_fresh_database(tmp_path, forked):
    address = f"sqlite:///{tmp_path}/mlflow.db"
    running = [forked(CONNECT, address) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1, "all of them see one experiment"
    assert [err for _, err in said] == ["", "", ""], "MLflow's chatter is not ours to print"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_whose_making_was_killed_is_made_again(tmp_path, forked):
    path = tmp_path / "mlflow.db"
    process = forked(CONNECT, f"sqlite:///{path}")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".mlflow.db.*.new")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.close()
    assert not path.exists(), "half a database is never in its place"
    path.touch()  # what sqlite leaves when it is killed on its first connection
    assert connect(at(f"sqlite:///{path}")).search_registered_models() == []
    assert [item.name for item in tmp_path.iterdir()] == ["mlflow.db"]


def test_what_mlflow_says_becomes_one_of_our_errors(config):
    client = connect(config)
    client.create_registered_model("churn")
    for ask in (
        lambda: client.get_registered_model("chrun"),
        lambda: client.get_model_version("churn", "7"),
        lambda: client.get_model_version_by_alias("churn", "champion"),
    ):
        with pytest.raises(ModelNotFound, match="churn"), answers("churn"):
            ask()
    with pytest.raises(RegistryError, match="churn"), answers("churn"):
        client.create_registered_model("churn")


def test_a_fault_of_ours_stays_one():
    with pytest.raises(ZeroDivisionError), answers("churn"):
        _ = 1 / 0


def test_a_full_disk_is_named():
    full = sqlite3.OperationalError("database or disk is full")
    with pytest.raises(RegistryError, match="free some space"), answers("churn"):
        raise full
    with pytest.raises(RegistryError, match="No space left"), answers("churn"):
        raise OSError(28, "No space left on device")


def test_passwords_are_not_shown():
    assert public("http://me:secret@host:5000") == "http://me:***@host:5000"
    assert public("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
    assert tracking.DATABASES["postgresql"] == 5432


def test_files_land_beside_the_database_wherever_one_works(tmp_path, monkeypatch, config):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    client = connect(config.with_values(tracking__uri=f"sqlite:///{home}/mlflow.db"))
    for number in ("0", experiment_id(client, "churn/monitoring")):
        run = client.create_run(number)
        client.log_text(run.info.run_id, "said", "note.txt")
        assert Path(run.info.artifact_uri, "note.txt").is_relative_to(home / "mlruns")
        assert Path(run.info.artifact_uri, "note.txt").read_text() == "said"
    assert not list(elsewhere.iterdir())
    assert {path.name for path in home.iterdir()} == {"mlflow.db", "mlruns"}
