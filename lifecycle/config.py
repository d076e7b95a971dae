"""One frozen Config from `lifecycle.toml`, `[tool.lifecycle]` in pyproject.toml and LIFECYCLE_*.

>>> load_config(environ={"LIFECYCLE_NAME": "churn", "LIFECYCLE_TRAIN_SEED": "7"}).train.seed
7

Later sources win: defaults, file, environment, then what a verb is given. `LIFECYCLE_SECTION_KEY`
sets `key` in `[section]`; `LIFECYCLE_NAME` and its like set the keys at the top.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lifecycle.errors import ConfigError
from lifecycle.named import nearest

DEFAULT_URI = "sqlite:///mlflow.db"
FILE = "lifecycle.toml"
# variables that share the prefix and are no settings
RESERVED = {"LIFECYCLE_SECRET", "LIFECYCLE_CONFIG", "LIFECYCLE_ACTOR"}


@dataclass(frozen=True)
class TrackingConfig:
    """`[tracking]`: where MLflow is; `timeout` seconds bound every call."""

    uri: str = ""  # empty: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db
    experiment: str = ""  # empty: the model's name
    timeout: int = 5  # seconds that any call may take


@dataclass(frozen=True)
class TrainConfig:
    """`[train]`: what is tried and how it is judged."""

    candidates: tuple[str, ...] = ()  # names of lifecycle.models.candidates, or "module:attribute"
    metric: str = ""  # empty: roc_auc, roc_auc_ovr or rmse by task
    holdout: float = 0.2  # share of rows
    # auto: by time, else by key, where there is one; else stratified or random by task
    split: Literal["auto", "time", "group", "stratified", "random"] = "auto"
    weight: str = ""  # column of sample weights; never a feature
    seed: int = 0  # of every random choice
    jobs: int = 0  # 0: as many as pay
    tune: int = 0  # Optuna trials per candidate; 0: none
    cost_false_positive: float = 0.0  # both above 0: the threshold minimises expected cost
    cost_false_negative: float = 0.0  # what a missed positive costs, in the same unit
    positive: str = ""  # the positive class; empty: the last in sorted order
    register: bool = True  # the best candidate, after `lifecycle train`
    keep_diff: bool = True  # the uncommitted difference of the code, with whatever stands in it


@dataclass(frozen=True)
class GatesConfig:
    """`[gates]`: which checks run, and the limits of the built-in ones."""

    # names of lifecycle.gates, or "module:attribute"
    use: tuple[str, ...] = (
        "floor",
        "skill",
        "champion",
        "slices",
        "calibration",
        "leakage",
        "signature",
        "traffic",
        "behaviour",
        "latency",
        "size",
        "files",
        "sanity",
    )
    floor: Mapping[str, float] = field(default_factory=dict)  # metric = least (or most) allowed
    margin: float = 0.0  # how much worse than the champion is still allowed
    width: float = 0.05  # a wider half interval of that difference: too few rows (share for errors)
    alpha: float = 0.05  # share of equal candidates that all gates together may refuse
    latency_ms: float = 50.0  # median of one row
    size_mb: float = 0.0  # of the model's files; 0: any
    slices: tuple[str, ...] = ()  # columns whose values are looked at one by one
    slice_margin: float = 0.02  # how much worse a slice may be than the champion's
    invariant: tuple[str, ...] = ()  # columns that must not change an answer
    increasing: tuple[str, ...] = ()  # columns with which the answer may only rise
    decreasing: tuple[str, ...] = ()  # columns with which the answer may only fall
    calibration: float = 0.1  # how far scores may be from what was observed
    protected: tuple[str, ...] = ()  # columns with the groups that are held equal
    unfair: float = 0.1  # largest difference between those groups


@dataclass(frozen=True)
class StagesConfig:
    """`[stages]`: the way a version goes; the first is where it starts, the last its end."""

    # the one named production is the alias champion
    order: tuple[str, ...] = ("none", "staging", "production", "archived")
    # moves that are allowed, each "FROM > TO"; empty: one step on, to the end, back to the start
    ways: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApprovalsConfig:
    """`[approvals]`: who must agree before a version moves."""

    needed: int = 0  # approvers other than the author; 0: nobody is asked
    approvers: tuple[str, ...] = ()  # who may approve; empty: anyone but the author
    stages: tuple[str, ...] = ("production",)  # the moves that need it
    authenticated: bool = False  # only approvers whom the tracking server knows


@dataclass(frozen=True)
class SigningConfig:
    """`[signing]`: who vouches for entries and files."""

    key: str = ""  # file of the private key that signs; empty: nothing is signed
    trusted: tuple[str, ...] = ()  # files of public keys; empty: signatures are not asked for


@dataclass(frozen=True)
class ModelsConfig:
    """`[models]`: what may be loaded."""

    allow_pickle: bool = False  # load files that can run any code
    compile: bool = True  # to ONNX, where answers stay equal


@dataclass(frozen=True)
class ServeConfig:
    """`[serve]`: the server; it binds to loopback unless told otherwise."""

    host: str = "127.0.0.1"  # address to bind
    port: int = 5001  # 0: a free one
    workers: int = 1  # processes
    poll_seconds: float = 2.0  # how often the registry is asked whether the champion moved
    max_body_mb: int = 16  # a larger request is refused
    timeout_seconds: float = 60.0  # a request that takes longer is answered with 504
    queue: int = 1024  # requests that may wait for a prediction; further ones get 503
    batch_rows: int = 1024  # rows that one call of a model takes at most; 1: no requests together
    drain_seconds: float = 5.0  # how long kept connections may still ask after SIGTERM
    grpc_port: int = 0  # the port for gRPC; 0: none
    api_keys: str = ""  # file of hashed API keys; empty: nobody is asked for one
    tls_cert: str = ""  # file of the certificate chain; empty: no TLS
    tls_key: str = ""  # file of its private key
    webhook_secret: str = ""  # what MLflow signs its webhooks with; empty: they are not taken
    logs: Literal["text", "json"] = "text"  # what the server's own log lines look like
    otlp: str = ""  # OpenTelemetry collector that gets traces and metrics; empty: none


@dataclass(frozen=True)
class LogConfig:
    """`[log]`: the prediction log, shared by serve, score, feedback, monitor and rollout."""

    dir: str = "lifecycle-log"  # folder
    seal_seconds: float = 60.0  # unsealed predictions become Parquet at least this often
    policy: Literal["strict", "available"] = "strict"  # disk full: answer 503, or serve and count
    keep_days: float = 0.0  # sealed predictions older than this are deleted; 0: kept
    keep_gb: float = 0.0  # the oldest are deleted beyond this size; 0: kept
    drop: tuple[str, ...] = ()  # features that are not logged
    hash: tuple[str, ...] = ()  # features that are logged as a keyed hash


@dataclass(frozen=True)
class MonitorConfig:
    """`[monitor]`: the verdict."""

    alpha: float = 0.01  # share of checks that may raise a false alarm
    min_rows: int = 30  # fewer live rows: not enough evidence
    min_labels: int = 50  # fewer labelled rows: no word on harm
    sample: int = 5000  # rows in the pictures
    alarms_per_year: float = 0.0  # false alarms of all checks in a year; 0: alpha holds for each
    every: str = ""  # length of a window such as "1d" or "6h"; empty: all since the last check
    rows: int = 0  # or its length in rows
    catch_up: int = 10  # windows that one call checks at most
    segments: tuple[str, ...] = ()  # columns whose values are judged one by one
    notify: tuple[str, ...] = ()  # who hears of incidents, as apprise's addresses


@dataclass(frozen=True)
class RetrainConfig:
    """`[retrain]`: when and how."""

    growth: float = 0.25  # labelled rows since training as a share of the training rows
    promote: bool = False  # promote what passes the gates at once


@dataclass(frozen=True)
class RolloutConfig:
    """`[rollout]`: how a new version reaches users, and on which evidence."""

    strategy: Literal["shadow", "canary", "ab"] = "canary"  # where none is named
    after_retrain: bool = False  # what a retraining made and the gates passed is rolled out
    steps: tuple[float, ...] = (1, 5, 25, 50, 100)  # percent that the challenger answers
    margins: tuple[float, ...] = (5, 2, 1.5, 1.25)  # times worse that is allowed to leave a step
    # names of lifecycle.rollout.guards or "module:attribute", each NAME[:COLUMN[=VALUE]][<=LIMIT]
    guards: tuple[str, ...] = ("errors", "latency", "invalid")
    alpha: float = 0.05  # share of harmless rollouts that may be rolled back
    hold_back: float = 5.0  # percent that the champion keeps at the last step
    step_minutes: float = 0.0  # that a step lasts at least
    max_hours: float = 0.0  # that a rollout lasts at most; 0: any
    at_end: Literal["hold", "rollback", "promote"] = "hold"  # what becomes of it then
    every_seconds: float = 30.0  # between two looks of the controller
    lease_seconds: float = 900.0  # after which another controller takes over
    controller: bool = False  # the server runs the controller by its side
    allocation: Literal["fixed", "thompson"] = "fixed"  # A/B: how shares follow the evidence
    sample: float = 100.0  # shadow: percent of requests that are copied
    queue: int = 1024  # shadow: copies that may wait; further ones are dropped and counted
    differing: float = 0.1  # shadow: largest share of labels that differ
    shift: float = 0.05  # shadow: largest mean difference of scores, or of answers in spreads
    scale: float = 1.25  # shadow: how much wider or narrower scores may be spread


@dataclass(frozen=True)
class Config:
    """Everything that can be set."""

    name: str = ""  # the registered model's name in MLflow
    target: str = ""  # the column to predict
    time: str = ""  # the column with the time of a row; orders the hold-out, never a feature
    key: str = ""  # the column that says whom a row is about; never a feature
    task: Literal["", "binary", "multiclass", "regression"] = ""  # empty: follows from the target
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    stages: StagesConfig = field(default_factory=StagesConfig)
    approvals: ApprovalsConfig = field(default_factory=ApprovalsConfig)
    signing: SigningConfig = field(default_factory=SigningConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    log: LogConfig = field(default_factory=LogConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    path: str = ""  # the file it was read from; empty: none

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI that is in force."""
        return self.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI

    @property
    def experiment(self) -> str:
        """The MLflow experiment that trainings go to."""
        return self.tracking.experiment or self.name

    def with_values(self, **values: Any) -> "Config":
        """A copy with some keys set, `train__seed=1` for those in a section.

        >>> Config().with_values(name="churn", train__seed=1).train.seed
        1

        Raises:
            ConfigError: a key is unknown or a value has the wrong type.
        """
        tree: dict[str, Any] = {}
        for key, value in values.items():
            section, _, inner = key.partition("__")
            if inner:
                tree.setdefault(section, {})[inner] = value
            else:
                tree[section] = value
        merged: Config = _merge(self, tree, where="argument")
        return merged


def load_config(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> Config:
    """Read the configuration that is in force.

    Args:
        path: a TOML file; without one `lifecycle.toml`, then pyproject.toml's
            `[tool.lifecycle]`, are looked for in the working directory.
        environ: the environment; by default the process's own.

    Raises:
        ConfigError: names file, key and what is allowed there.
    """
    env = os.environ if environ is None else environ
    chosen = path or env.get("LIFECYCLE_CONFIG")
    config = Config()
    if chosen and not Path(chosen).is_file():
        raise ConfigError("the configuration file does not exist", where=chosen)
    for candidate in [Path(chosen)] if chosen else [Path(FILE), Path("pyproject.toml")]:
        tree = _read(candidate)
        if tree is not None:
            config = replace(_merge(config, tree, where=str(candidate)), path=str(candidate))
            break
    for variable, value in sorted(env.items()):
        if variable.startswith("LIFECYCLE_") and variable not in RESERVED:
            key = variable.removeprefix("LIFECYCLE_").lower()
            config = _merge(config, _nested(key, value), where=variable)
    return config


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"the file cannot be read: {error}", where=path) from error
    if path.name == "pyproject.toml":
        section: dict[str, Any] | None = tree.get("tool", {}).get("lifecycle")
        return section
    return tree


def _nested(key: str, value: str) -> dict[str, Any]:
    sections = [item.name for item in fields(Config) if is_dataclass(getattr(Config(), item.name))]
    for section in sections:
        if key.startswith(f"{section}_"):
            return {section: {key.removeprefix(f"{section}_"): value}}
    return {key: value}


def _merge(target: Any, tree: Mapping[str, Any], *, where: str, prefix: str = "") -> Any:
    hints = get_type_hints(type(target))
    known = [item.name for item in fields(target) if item.name != "path"]
    changes: dict[str, Any] = {}
    for key, value in tree.items():
        full = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(f"unknown key {full!r}; {nearest(key, known)}", where=where)
        current = getattr(target, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{full!r} is a section, write [{full}]", where=where)
            changes[key] = _merge(current, value, where=where, prefix=f"{full}.")
        else:
            changes[key] = _convert(value, hints[key], full, where)
    return replace(target, **changes)


def _convert(value: Any, hint: Any, key: str, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        allowed = ", ".join(repr(item) for item in arguments if item != "")
        raise ConfigError(f"{key!r} is {value!r}; allowed: {allowed}", where=where)
    if origin in (Union, UnionType):
        hint = next(item for item in arguments if item is not type(None))
        return None if value is None else _convert(value, hint, key, where)
    if origin is tuple:
        return _listed(value, arguments[0], key, where)
    if isinstance(value, Mapping) and origin is not None:
        return {name: _convert(item, float, f"{key}.{name}", where) for name, item in value.items()}
    if isinstance(hint, type):
        for converted in _scalar(value, hint):
            return converted
    expected = getattr(hint, "__name__", "table")
    raise ConfigError(f"{key!r} is {value!r}; expected {expected}", where=where)


def _listed(value: Any, kind: type, key: str, where: str) -> tuple[Any, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if kind is str:
        if isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items):
            return tuple(item.strip() for item in items)
        raise ConfigError(f"{key!r} is {value!r}; write a list of strings", where=where)
    if isinstance(items, (list, tuple)):
        found = [one for item in items for one in _scalar(item, kind)]
        if len(found) == len(items):
            return tuple(found)
    raise ConfigError(f"{key!r} is {value!r}; write a list of numbers", where=where)


def _scalar(value: Any, kind: type) -> Iterator[Any]:
    if kind is bool:
        if isinstance(value, bool):
            yield value
        elif isinstance(value, str) and value.lower() in {"true", "1", "yes", "false", "0", "no"}:
            yield value.lower() in {"true", "1", "yes"}
    elif kind in (int, float) and not isinstance(value, bool):
        if isinstance(value, str):
            try:
                yield kind(value)
            except ValueError:
                return
        elif isinstance(value, kind) or (kind is float and isinstance(value, int)):
            yield kind(value)
    elif kind is str and isinstance(value, (str, Path)):
        yield str(value)
