"""The one door to MLflow: connect with limits, and turn its failures into our errors.

>>> with answers("churn"):  # doctest: +ELLIPSIS
...     raise TimeoutError("timed out")
Traceback (most recent call last):
    ...
lifecycle.errors.RegistryUnavailable: the registry did not answer: timed out (churn). Next: ...

A registry that is down would hang MLflow's own client for minutes; here every call is bounded by
`[tracking] timeout`. A fresh sqlite file is built beside its final place and moved there in one
step, under a lock, so that several processes may start at once and any of them may be killed.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import socket
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lifecycle.config import Config
from lifecycle.errors import (
    ConfigError,
    LifecycleError,
    ModelNotFound,
    RegistryError,
    RegistryUnavailable,
)
from lifecycle.stores import signing

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASES = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
# MLflow's own limits are minutes (7 retries of 120 s); no retries, because a write that timed out
# may have happened, and a second version of a model is worse than one clear error
_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "{timeout}"}
# links to runs go to standard output, bars to standard error
_SILENT = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_UNAVAILABLE = ("timed out", "Connection refused", "NewConnectionError", "Max retries exceeded")
_set_by_us: dict[str, str] = {}
_ready: set[str] = set()
_quiet = threading.RLock()


def connect(config: Config) -> "MlflowClient":
    """A client of the registry in force, after one call that proves it answers.

    The tracking URI becomes MLflow's global one (registering over HTTP needs that), with relative
    sqlite paths made absolute, so that a later change of folder changes nothing.

    Raises:
        RegistryUnavailable: nothing answers there, within twice `tracking.timeout` at most.
        RegistryError: something answers that is no MLflow, or a database that cannot be used.
        ConfigError: the address is none, or is a folder of files, which MLflow no longer serves.
    """
    address = _absolute(config.tracking_uri)
    scheme = urlsplit(address).scheme.partition("+")[0]
    _limit(config.tracking.timeout)
    _check(address, scheme, config.tracking.timeout)
    with answers(public(address)), quiet():
        import mlflow

        before = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
        if before is None:  # the variable belongs to the user; only MLflow's own state is set
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before
        if scheme == "sqlite" or scheme in DATABASES:
            client = _prepared(address, scheme)
        else:
            client = mlflow.MlflowClient(address, address)
            client.search_registered_models(max_results=1)
    signing.remember(client, config.signing)
    return client


def reachable(config: Config, *, seconds: float = 3.0) -> None:
    """Ask the registry once, with a limit of its own; what `doctor` does first.

    Raises:
        RegistryUnavailable: nothing answered within `seconds`.
        ConfigError: the address cannot be used.
    """
    import requests

    address = _absolute(config.tracking_uri)
    scheme = urlsplit(address).scheme.partition("+")[0]
    _check(address, scheme, seconds)
    if scheme in ("http", "https"):
        with answers(public(address)):
            answer = requests.get(f"{address.rstrip('/')}/health", timeout=seconds)
            if answer.status_code >= 500:
                raise TimeoutError(f"HTTP {answer.status_code}")


@contextlib.contextmanager
def answers(where: str) -> Iterator[None]:
    """Turn what MLflow, its database or the network raise into our errors.

    >>> with answers("churn"):  # doctest: +ELLIPSIS
    ...     raise FileNotFoundError(2, "No such file or directory", "/gone")
    Traceback (most recent call last):
        ...
    lifecycle.errors.RegistryError: a file of the registry is missing: /gone (churn). Next: ...

    Args:
        where: the model, version or address that is asked; it ends up in the message.

    Raises:
        RegistryUnavailable: no answer in time.
        ModelNotFound: MLflow says that it does not exist.
        RegistryError: anything else that is not as it should be.
    """
    try:
        yield
    except LifecycleError:
        raise
    except FileNotFoundError as error:
        raise RegistryError(
            f"a file of the registry is missing: {error.filename or error}",
            where=where,
            fix="check that the artifact folder was not moved or cleaned",
        ) from error
    except PermissionError as error:
        raise RegistryError(
            f"the registry's folder cannot be written: {error.filename or error}",
            where=where,
            fix="check its permissions, or point [tracking] uri to another place",
        ) from error
    except Exception as error:
        ours = _translated(error, where)
        if ours is None:
            raise
        raise ours from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's and alembic's chatter off the terminal; theirs is not ours to print.

    >>> with quiet():
    ...     logging.getLogger("alembic").info("Running upgrade")
    """
    from mlflow.utils import logging_utils

    names = ("alembic", "mlflow.store.db.utils", "mlflow.store.model_registry", "urllib3")
    with _quiet:  # levels and stream are the process's; one at a time
        loggers = [logging.getLogger(name) for name in names]
        levels = [logger.level for logger in loggers]
        enabled = logging_utils.MLFLOW_LOGGING_STREAM.enabled
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        logging_utils.disable_logging()
        before = {key: os.environ.get(key) for key in _SILENT}
        os.environ.update(_SILENT)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if enabled:
                logging_utils.enable_logging()
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, which is created when there is none; safe when several do so.

    Raises:
        RegistryError: the experiment was deleted; the message says how to restore it.
        RegistryUnavailable: no answer in time.
    """
    from mlflow.exceptions import MlflowException

    with answers(name):
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=_beside(client, name)))
            except MlflowException:
                found = client.get_experiment_by_name(name)  # another process was first
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise RegistryError(
                f"the experiment {name!r} was deleted",
                where=name,
                fix=f"mlflow experiments restore --experiment-id {found.experiment_id}",
            )
        return str(found.experiment_id)


def _beside(client: "MlflowClient", name: str) -> str | None:
    """Where an experiment's files go: beside an sqlite file, else where the server says.

    MLflow would put them into `mlruns` of whatever folder the process works in.
    """
    address = str(client.tracking_uri)
    if not address.startswith("sqlite:///") or address.startswith("sqlite:///:"):
        return None
    plain = re.sub(r"[^\w.-]", "-", name)  # MLflow reads some marks in paths as parts of a URL
    return str(_root(_database(address)) / f"{plain}-{uuid.uuid4().hex[:8]}")


def _root(database: Path) -> Path:
    return database.parent / "mlruns"


def public(address: str) -> str:
    """An address without its password.

    >>> public("postgresql://me:secret@db/mlflow")
    'postgresql://me:***@db/mlflow'
    """
    parts = urlsplit(address)
    if parts.password:
        return address.replace(f":{parts.password}@", ":***@")
    return address


def _absolute(address: str) -> str:
    prefix = "sqlite:///"
    path = address.removeprefix(prefix)
    if address.startswith(prefix) and path and not path.startswith(("/", ":", "file:")):
        return f"{prefix}{Path(path).absolute()}"
    return address


def _limit(timeout: int) -> None:
    for key, template in _LIMITS.items():
        if os.environ.get(key) == _set_by_us.get(key):  # never what the user has set
            _set_by_us[key] = os.environ[key] = template.format(timeout=max(1, timeout))


def _check(address: str, scheme: str, seconds: float) -> None:
    """Refuse at once what MLflow would refuse late, in minutes or with a traceback."""
    shown = public(address)
    if scheme in ("", "file"):
        raise ConfigError(
            "this address is a folder of files (`mlruns`), which MLflow no longer serves",
            where=shown or "tracking uri",
            fix="move it with `mlflow migrate-filestore`, then set [tracking] uri or"
            " MLFLOW_TRACKING_URI to sqlite:///mlflow.db",
        )
    if scheme in ("http", "https") or scheme in DATABASES:
        parts = urlsplit(address)
        usual = {"http": 80, "https": 443, **DATABASES}[scheme]
        try:
            host, port = parts.hostname or "localhost", parts.port or usual
        except ValueError as error:
            raise ConfigError(f"the tracking address is wrong: {error}", where=shown) from error
        try:
            socket.create_connection((host, port), timeout=seconds).close()
        except OSError as error:
            raise _unavailable(str(error), shown) from error
    elif scheme == "sqlite":
        folder = _database(address).parent
        if not folder.is_dir():
            raise ConfigError(
                f"the folder {str(folder)!r} of the database does not exist",
                where=shown,
                fix="make it, or point [tracking] uri to another place",
            )
    elif scheme != "databricks":
        raise ConfigError(
            f"{scheme!r} is no kind of registry that MLflow knows",
            where=shown,
            fix="write sqlite:///mlflow.db, http(s)://HOST:PORT or postgresql://USER:PASSWORD@HOST/DB",
        )


def _database(address: str) -> Path:
    return Path(address.partition(":///")[2].partition("?")[0].removeprefix("file:"))


def _prepared(address: str, scheme: str) -> "MlflowClient":
    """A client of a database whose tables were built once, by whoever came first."""
    from mlflow import MlflowClient

    if address in _ready and (scheme != "sqlite" or _database(address).exists()):
        return MlflowClient(address, address)
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"lifecycle-{os.getuid()}-{key}.lock"
    with lock.open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if scheme == "sqlite":
            _build(_database(address))
        client = MlflowClient(address, address)
        client.search_registered_models(max_results=1)
        client.search_experiments(max_results=1)
    _ready.add(address)
    return client


def _build(path: Path) -> None:
    """A new database is made under another name and moved: it is whole or not there."""
    if path.exists() and path.stat().st_size > 0:
        return
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    for left in path.parent.glob(
        f".{path.name}.*.new*"
    ):  # by one that was killed; we hold the lock
        left.unlink(missing_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        utils._initialize_tables(create_engine(f"sqlite:///{fresh}", poolclass=NullPool))
        store = SqlAlchemyStore(f"sqlite:///{fresh}", str(_root(path)))  # with MLflow's Default
        store._dispose_engine()
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _unavailable(detail: str, where: str) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"the registry did not answer: {detail}",
        where=where,
        fix="start it (`mlflow server`) or correct [tracking] uri",
    )


def _translated(error: Exception, where: str) -> LifecycleError | None:
    """Our error for one of MLflow's, the database's or the network's; None: a fault of ours."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, (TimeoutError, ConnectionError)) or "requests" in modules:
        return _unavailable(_short(text), where)
    if "sqlalchemy" in modules or "sqlite3" in modules or "alembic" in modules:
        return _database_error(text, where)
    if "mlflow" not in modules:
        return RegistryError(text, where=where) if isinstance(error, OSError) else None
    code = getattr(error, "error_code", "")
    if "RESOURCE_DOES_NOT_EXIST" in code or code == "NOT_FOUND" or _no_alias(text):
        return ModelNotFound(_short(text), where=where)
    if any(sign in text for sign in _UNAVAILABLE) or code == "TEMPORARILY_UNAVAILABLE":
        said = [line for line in str(error).splitlines() if "sqlite3" in line or "psycopg" in line]
        if said:
            return _database_error(said[0].strip(), where)
        return _unavailable(_short(text), where)
    fix = "check that the address is MLflow's" if "error code 404" in text else ""
    return RegistryError(_short(text), where=where, fix=fix)


def _database_error(text: str, where: str) -> RegistryError:
    fix = "check the file and its folder, or point [tracking] uri to another place"
    for sign, step in (
        ("readonly", "make the database and its folder writable"),
        ("full", "free some space and run it again; nothing was half-written"),
        ("locked", "another process holds the database; run it again"),
        ("not a database", "the file is no sqlite database; point [tracking] uri to another place"),
        ("out-of-date", "run `mlflow db upgrade` with this address"),
    ):
        if sign in text:
            fix = step
    return RegistryError(f"the database failed: {_short(text)}", where=where, fix=fix)


def _no_alias(text: str) -> bool:
    return "alias" in text and "not found" in text


def _short(text: str, *, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
