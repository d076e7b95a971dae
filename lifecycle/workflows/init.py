"""Write a first `lifecycle.toml` from a data file: guesses, each with the reason it was made.

>>> import pandas as pd
>>> frame = pd.DataFrame({"id": ["a", "b", "c"], "age": [31, 47, 52], "churned": [0, 1, 0]})
>>> guess(frame).target
'churned'

The file is meant to be read and corrected: what was guessed stands beside why, and what else was
possible.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ConfigError, DataError
from lifecycle.stores.datasets import read

if TYPE_CHECKING:
    import pandas as pd

TARGET_NAMES = {"target", "label", "y", "class", "outcome", "response"}
KEY_NAME = re.compile(r"(^|_)(id|key|uuid|guid)$", re.IGNORECASE)
TIME_NAME = re.compile(r"(^|_)(time|timestamp|ts|date|datetime|day|at|on)$", re.IGNORECASE)
PROBED_ROWS = 200  # of a text column, to see whether it holds times

TEMPLATE = """\
# lifecycle.toml, written by `lifecycle init` from {source}: correct what was guessed wrongly.
# All keys and their defaults: docs/configuration.md. LIFECYCLE_SECTION_KEY overrides a key.

# The registered model's name in MLflow.
name = {name}

# {target_reason}
target = {target}

# {time_reason}
time = {time}

# {key_reason}
key = {key}

# What is predicted: "binary", "multiclass" or "regression"; left out, it follows from the target.
# task = {task}

[tracking]
# Where MLflow is: a database, or the address of a server. Left out, MLFLOW_TRACKING_URI counts.
# uri = "sqlite:///mlflow.db"

[train]
# Left out, one candidate of each default kind is tried.
# candidates = ["logistic_regression", "hist_gradient_boosting"]
# holdout = 0.2
# seed = 0

[gates]
# The least a model must reach before it is promoted, by metric.
# floor = {{ {metric} = {floor} }}

[log]
# Where predictions and late labels are kept.
# dir = "lifecycle-log"

[monitor]
# How often an alarm may be false: one check in a hundred.
# alpha = 0.01
"""


@dataclass(frozen=True)
class Guess:
    """What the columns look like; an empty name means that none fits."""

    target: str
    time: str
    key: str
    task: str
    target_reason: str
    time_reason: str
    key_reason: str


def init(source: str | Path, *, output: str | Path = "lifecycle.toml") -> str:
    """Write a commented `lifecycle.toml` for the rows in `source`.

    Args:
        source: a Parquet or CSV file with a header.
        output: the file to write; an existing one is never touched.

    Returns:
        The text that was written.

    Raises:
        ConfigError: `output` exists or its folder cannot be written.
        DataError: `source` cannot be read or has fewer than two columns.
    """
    target = Path(output)
    if target.exists():
        raise ConfigError(
            "the file exists and is not overwritten", where=target, fix="move it, or use --output"
        )
    found = guess(read(source))
    metric, floor = ("rmse", "10.0") if found.task == "regression" else ("roc_auc", "0.65")
    if found.task == "multiclass":
        metric = "roc_auc_ovr"
    text = TEMPLATE.format(
        source=_quoted(Path(source).name),
        name=_quoted(re.sub(r"[^A-Za-z0-9_-]+", "-", Path(source).stem).strip("-") or "model"),
        target=_quoted(found.target),
        time=_quoted(found.time),
        key=_quoted(found.key),
        task=_quoted(found.task),
        target_reason=found.target_reason,
        time_reason=found.time_reason,
        key_reason=found.key_reason,
        metric=metric,
        floor=floor,
    )
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"the file cannot be written: {error.strerror}",
            where=target,
            fix="choose another --output",
        ) from error
    return text


def guess(frame: "pd.DataFrame") -> Guess:
    """Guess target, time and key from names, types and distinct values.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"day": ["2026-01-01"] * 3, "x": [0.5, 1.5, 2.5]})
    >>> guess(frame).time, guess(frame).task
    ('day', 'regression')

    Raises:
        DataError: fewer than two columns.
    """
    if len(frame.columns) < 2:
        raise DataError("a model needs a target and at least one more column", fix="check the file")
    times = [str(name) for name in frame.columns if _holds_times(frame[name], str(name))]
    time = next((name for name in times if TIME_NAME.search(name)), times[0] if times else "")
    keys = [
        str(name)
        for name in frame.columns
        if str(name) not in times and _holds_keys(frame[name], str(name))
    ]
    key = next((name for name in keys if KEY_NAME.search(name)), "")
    left = [str(name) for name in frame.columns if name not in times and name not in keys]
    target, why = _target(frame, [name for name in left if frame[name].nunique() > 1])
    return Guess(
        target=target,
        time=time,
        key=key,
        task=_task(frame[target]) if target else "binary",
        target_reason=why,
        time_reason=_reason(
            time, times, "says when a row happened; it orders the hold-out and is never a feature"
        ),
        key_reason=_reason(key, keys, "says whom a row is about; it is never a feature"),
    )


def _reason(chosen: str, candidates: list[str], use: str) -> str:
    others = [name for name in candidates if name != chosen]
    also = f" Also possible: {', '.join(_quoted(name) for name in others)}." if others else ""
    if not chosen:
        return f"The column that {use}. None was found.{also}"
    return f"The column that {use}.{also}"


def _target(frame: "pd.DataFrame", candidates: list[str]) -> tuple[str, str]:
    named = [name for name in candidates if name.lower() in TARGET_NAMES]
    if named:
        return named[0], "The column to predict: its name says so."
    two = [name for name in candidates if frame[name].nunique() == 2]
    if candidates and candidates[-1] not in two and not two:
        return candidates[-1], "The column to predict: a guess, it is the last one."
    if two:
        others = ", ".join(_quoted(name) for name in two[:-1][:5])
        also = f" Also possible: {others}." if others else ""
        return two[-1], f"The column to predict: a guess, the last with two values.{also}"
    return "", "The column to predict. None was found: every column is constant, a key or a time."


def _task(column: "pd.Series[Any]") -> str:
    kinds = column.nunique()
    if kinds <= 2:
        return "binary"
    words = column.dtype.kind not in "iuf"
    return "multiclass" if words or (column.dtype.kind != "f" and kinds <= 20) else "regression"


def _holds_times(column: "pd.Series[Any]", name: str) -> bool:
    if column.dtype.kind == "M":
        return True
    if column.dtype.kind not in "OUT" or not TIME_NAME.search(name):
        return False
    import pandas as pd

    probe = column.dropna().head(PROBED_ROWS).astype(str)
    parsed = pd.to_datetime(probe, errors="coerce", format="ISO8601", utc=True)
    return bool(len(probe)) and bool(parsed.notna().all())


def _holds_keys(column: "pd.Series[Any]", name: str) -> bool:
    if column.dtype.kind == "f":
        return False
    distinct = column.nunique()
    if KEY_NAME.search(name):
        return distinct > 2
    return column.dtype.kind in "OUT" and distinct > 0.9 * len(column) and distinct > 20


def _quoted(text: str) -> str:
    """A TOML string; the few names that need it are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
