"""Where a ledger can be: an sqlite file, an MLflow server on loopback, a Postgres of its own.

    with place("postgres", folder) as uri: ...

Each is real, is made for one measurement, and is gone afterwards.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = ("sqlite", "http", "postgres")
USERS = ("postgres", "nobody")  # Postgres refuses to run as root
START = 120.0  # seconds


class Missing(Exception):
    """What a place needs is not installed here."""


@contextmanager
def place(name: str, folder: Path, *, template: Path | None = None) -> Iterator[str]:
    """The tracking URI of an empty registry.

    Args:
        name: one of NAMES.
        folder: for sqlite files and artifacts.
        template: an sqlite file with MLflow's tables; without one they are made.

    Raises:
        Missing: Postgres or its driver is not installed; says what to install.
    """
    if name == "sqlite":
        yield _sqlite(folder, template)
    elif name == "http":
        with _server(_sqlite(folder, template), folder) as uri:
            yield uri
    else:
        with _postgres() as uri:
            yield uri


def without_postgres() -> str:
    """Why there can be no Postgres here; empty when there can."""
    if not _programs():
        return "Postgres is not installed (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return 'its driver is not installed (pip install "psycopg[binary]")'
    if os.getuid() == 0 and _user() is None:
        return f"Postgres does not run as root, and none of the users {USERS} is there"
    return ""


def _sqlite(folder: Path, template: Path | None) -> str:
    path = folder / "mlflow.db"
    if template is not None:
        shutil.copy(template, path)
    return f"sqlite:///{path}"


@contextmanager
def _server(database: str, folder: Path) -> Iterator[str]:
    port = _free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", database,
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "1"}
    with (folder / "server.log").open("w") as said:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(server, f"{address}/health", folder / "server.log")
            yield address
        finally:
            os.killpg(server.pid, 15)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait(10)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the MLflow server did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def _postgres() -> Iterator[str]:
    """A cluster of its own on a free port of loopback, with a password, as another user."""
    missing = without_postgres()
    if missing:
        raise Missing(missing)
    programs, user = _programs(), _user() if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="lifecycle-postgres-"))
    try:
        password, port = secrets.token_hex(12), _free_port()
        word = folder / "password"
        word.write_text(password)
        if user:
            for path in (folder, word):
                shutil.chown(path, user)
        data = str(folder / "data")

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(Path(programs) / program), *arguments], user=user, group=user and _group(user),
                extra_groups=[] if user else None, cwd=folder, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{program}: {done.stdout[-500:]}{done.stderr[-1000:]}")

        run("initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={word}", "-E",
            "UTF8", "--locale=C")  # fmt: skip
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        log = str(folder / "log")
        run("pg_ctl", "-D", data, "-w", "-t", str(int(START)), "-l", log, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://mlflow:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> str:
    """The folder with initdb and pg_ctl, the newest; empty when there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    return next((str(item) for item in folders if (item / "pg_ctl").exists()), "")


def _user() -> str | None:
    for name in USERS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return None


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
