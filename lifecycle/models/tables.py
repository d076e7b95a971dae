"""What can be trained on: the checks of a training table, and its columns in a model's types.

>>> frame = pd.DataFrame({"age": [31, 42, 53], "late": [0, 1, 0]})
>>> table = check_training(frame, target="late")
>>> table.task, table.classes, [f"{item.name}: {item.dtype}" for item in table.features]
('binary', (0, 1), ['age: double'])
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.errors import DataError
from lifecycle.models.inputs import array
from lifecycle.models.predicting import Array
from lifecycle.named import nearest
from lifecycle.records import Column, Label, Task

# whole numbers with at most so many values are classes, more are amounts
MOST_CLASSES = 10
KINDS = {
    "integer": "double",
    "floating": "double",
    "mixed-integer-float": "double",
    "decimal": "double",
    "boolean": "boolean",
    "string": "string",
    "datetime64": "datetime",
    "datetime": "datetime",
    "date": "datetime",
}


@dataclass(frozen=True)
class Table:
    """A training table that passed all checks.

    Attributes:
        frame: features in the types of `features`, then target, time, key and weight as they
            are used; rows in order of time where there is one.
        features: the model's inputs.
        target: column of what is learned.
        task: binary, multiclass or regression.
        classes: sorted, the positive one last when binary; empty for regression.
        time: column of times, or "".
        key: column that says which rows belong together, or "".
        weight: column of sample weights, or "".
        notes: what was left out or assumed.
        held: which rows are for validation only, shape (n,); None: not said.
        where: the table's origin, for errors.
    """

    frame: pd.DataFrame
    features: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[Label, ...] = ()
    time: str = ""
    key: str = ""
    weight: str = ""
    notes: tuple[str, ...] = ()
    held: Array | None = None
    where: str = ""

    @property
    def names(self) -> list[str]:
        """The features' names."""
        return [column.name for column in self.features]

    @property
    def y(self) -> Array:
        """The target, shape (n,)."""
        return self.frame[self.target].to_numpy()

    @property
    def weights(self) -> Array | None:
        """The sample weights, shape (n,); None where all rows weigh the same."""
        return self.frame[self.weight].to_numpy() if self.weight else None


def check_training(
    frame: pd.DataFrame,
    *,
    target: str,
    time: str = "",
    key: str = "",
    weight: str = "",
    task: Task | str = "",
    positive: str = "",
    held: Array | None = None,
    where: str = "the training data",
) -> Table:
    """Check everything that would make a training fail late or lie.

    Args:
        frame: at least ten rows are sensible, two are needed.
        target: column to learn.
        time: column that orders the rows; never a feature.
        key: column that says which rows belong together; never a feature.
        weight: column of sample weights, not negative; never a feature.
        task: binary, multiclass or regression; empty: seen from the target.
        positive: the positive class, as text; empty: the last in sorted order.
        held: which rows are for validation only, shape (n,).
        where: the table's origin, for errors.

    Raises:
        DataError: names column, row where there is one, and the next step.
    """
    _present(frame, {"target": target, "time": time, "key": key, "weight": weight}, where)
    goal, found, classes, notes = _target(frame[target], target, task, positive, where)
    features, columns, more = _features(frame, {target, time, key, weight}, where)
    parts: dict[str, Any] = {**columns, target: goal}
    if time:
        parts[time] = _time(frame[time], time, where)
    if key:
        parts[key] = _key(frame[key], key, where)
    if weight:
        parts[weight] = _weight(frame[weight], weight, where)
    table = pd.DataFrame(parts)
    if time:
        table = table.sort_values(time, kind="stable")
        held = None if held is None else held[table.index.to_numpy()]
    return Table(
        table.reset_index(drop=True),
        features,
        target,
        found,
        classes,
        time,
        key,
        weight,
        (*notes, *more),
        held,
        where,
    )


def joined(frame: pd.DataFrame, validation: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Training rows and, below them, validation rows; the columns are the training rows' own.

    >>> joined(pd.DataFrame({"x": [1]}), pd.DataFrame({"y": [3], "x": [2]}), where="v.csv").x.sum()
    np.int64(3)

    Raises:
        DataError: a column is missing in the validation rows.
    """
    missing = [str(name) for name in frame.columns if name not in validation.columns]
    if missing:
        raise DataError(
            f"columns of the training data are missing: {', '.join(missing)}",
            where=where,
            fix="add them; validation rows need the same columns",
        )
    parts = [frame, validation[list(frame.columns)]]
    filled = [part.dropna(axis="columns", how="all") for part in parts]
    whole = pd.concat(filled, ignore_index=True)
    return whole.reindex(columns=frame.columns)


def _present(frame: pd.DataFrame, roles: dict[str, str], where: str) -> None:
    known = [str(name) for name in frame.columns]
    if not roles["target"]:
        raise DataError(
            "no target column is named", where=where, fix="set `target` in lifecycle.toml"
        )
    for role, name in roles.items():
        if name and name not in known:
            raise DataError(
                f"the {role} column {name!r} is missing; {nearest(name, known)}",
                where=where,
                fix=f"add it, or set `{role}` to a column that is there",
            )
    taken = [name for name in roles.values() if name]
    if len(set(taken)) < len(taken):
        raise DataError(
            f"one column has two roles: {', '.join(taken)}", where=where, fix="name each once"
        )


def _target(
    values: "pd.Series[Any]", name: str, task: str, positive: str, where: str
) -> tuple[Array, Task, tuple[Label, ...], tuple[str, ...]]:
    null = values.isna().to_numpy()
    if null.any():
        raise DataError(
            f"the target {name!r} is null in {int(null.sum())} of {len(null)} rows, first in row "
            f"{int(np.argmax(null))}",
            where=where,
            fix="drop the rows without a label, or fill them",
        )
    goal = _plain_target(values, name, where)
    found, notes = _task(goal, name, task, where)
    if found == "regression":
        return goal.astype(np.float64), "regression", (), notes
    classes = [item.item() if isinstance(item, np.generic) else item for item in np.unique(goal)]
    if positive:
        chosen = [item for item in classes if str(item) == positive]
        if not chosen or found != "binary":
            raise DataError(
                f"the positive class {positive!r} is none of the target's two classes: "
                + ", ".join(map(str, classes)),
                where=f"{where}, column {name}",
                fix="set `[train] positive` to one of them",
            )
        classes.sort(key=lambda item: item == chosen[0])
    return goal, found, tuple(classes), notes


def _plain_target(values: "pd.Series[Any]", name: str, where: str) -> Array:
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind == "categorical":
        values = values.astype(values.cat.categories.dtype)
        kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind not in KINDS or KINDS[kind] == "datetime":
        types = ", ".join(sorted({type(item).__name__ for item in values}))
        raise DataError(
            f"the target {name!r} holds values of kind {kind} ({types})",
            where=where,
            fix="use one type: numbers, text or true and false",
        )
    if kind == "integer":
        return values.to_numpy(dtype=np.int64)
    if kind == "boolean":
        return values.to_numpy(dtype=bool)
    if kind == "string":
        return values.to_numpy(dtype=object)
    goal = values.to_numpy(dtype=np.float64)
    if not np.isfinite(goal).all():
        row = int(np.argmin(np.isfinite(goal)))
        raise DataError(
            f"the target {name!r} is infinite in row {row}", where=where, fix="drop such rows"
        )
    return goal


def _task(goal: Array, name: str, task: str, where: str) -> tuple[Task, tuple[str, ...]]:
    distinct = len(np.unique(goal))
    place = f"{where}, column {name}"
    if distinct < 2:
        raise DataError(
            f"the target {name!r} is always {goal[0]!s}",
            where=place,
            fix="train on rows of more than one kind",
        )
    numeric = goal.dtype.kind in "if"
    whole = not numeric or bool((goal == np.floor(goal)).all())
    if task == "regression":
        if not numeric:
            raise DataError(
                "a regression needs a target of numbers",
                where=place,
                fix="set `task` to binary or multiclass",
            )
        return "regression", ()
    if task == "binary" and distinct > 2:
        raise DataError(
            f"a binary target has two values, this one has {distinct}",
            where=place,
            fix="set `task` to multiclass or regression",
        )
    if task == "multiclass" or (not task and numeric and whole and 2 < distinct <= MOST_CLASSES):
        note = f"target {name!r}: {distinct} whole numbers taken as classes; set `task` otherwise"
        return "multiclass", () if task else (note,)
    if task == "binary" or (distinct == 2 and whole):
        return "binary", ()
    if not numeric:
        if distinct > len(goal) / 2:
            raise DataError(
                f"the target {name!r} is text with {distinct} values in {len(goal)} rows",
                where=place,
                fix="convert it to numbers for a regression, or to fewer classes",
            )
        return "multiclass", ()
    return "regression", ()


def _features(
    frame: pd.DataFrame, roles: set[str], where: str
) -> tuple[tuple[Column, ...], dict[str, Array], tuple[str, ...]]:
    features, columns, notes = [], {}, []
    for name in [str(item) for item in frame.columns if str(item) not in roles]:
        values = frame[name]
        dtype = column_type(values, name, where=where)
        if dtype is None:
            notes.append(f"column {name!r} is all null: left out")
            continue
        column = Column(name, dtype, required=not bool(values.isna().any()))
        columns[name] = array(values, column, where=where)
        features.append(column)
    if not features:
        raise DataError(
            "there is no feature column", where=where, fix="add columns besides target, time, key"
        )
    return tuple(features), columns, tuple(notes)


def column_type(values: "pd.Series[Any]", name: str, *, where: str = "") -> str | None:
    """A column's type in MLflow's names; whole numbers are double, so that nulls may come later.

    >>> column_type(pd.Series([1, 2]), "age"), column_type(pd.Series([None, None]), "age")
    ('double', None)

    Returns:
        double, boolean, string or datetime; None where all values are null.

    Raises:
        DataError: the column holds more than one type, or one that no model takes.
    """
    if values.isna().all():
        return None
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in KINDS:
        return KINDS[kind]
    seen: dict[str, str] = {}
    for row, item in enumerate(values):
        if not pd.api.types.is_scalar(item) or not pd.isna(item):
            seen.setdefault(type(item).__name__, f"{item!r} in row {row}")
    raise DataError(
        f"column {name!r} holds more than one type: "
        + ", ".join(f"{kind} ({example})" for kind, example in sorted(seen.items()))
        if len(seen) > 1
        else f"column {name!r} holds values of type {next(iter(seen), kind)}, which no model takes",
        where=where,
        fix="convert it to one of: numbers, text, true and false, times; or drop it",
    )


def _time(values: "pd.Series[Any]", name: str, where: str) -> Array:
    null = values.isna().to_numpy()
    if null.any():
        raise DataError(
            f"the time column {name!r} is null in row {int(np.argmax(null))}",
            where=where,
            fix="fill it or drop such rows",
        )
    try:
        return array(values, Column(name, "datetime"), where=where)
    except DataError as error:
        parsed = pd.to_datetime(values.astype(str), utc=True, format="ISO8601", errors="coerce")
        row = int(np.argmax(parsed.isna().to_numpy()))
        raise DataError(
            f"the time column {name!r} does not parse: {values.iloc[row]!r} in row {row}",
            where=where,
            fix="write times as ISO 8601 (2026-01-31T12:00:00), or convert the column first",
        ) from error


def _key(values: "pd.Series[Any]", name: str, where: str) -> "pd.Series[Any]":
    if values.isna().any():
        raise DataError(
            f"the key column {name!r} is null in row {int(np.argmax(values.isna().to_numpy()))}",
            where=where,
            fix="fill it or drop such rows",
        )
    return values.reset_index(drop=True)


def _weight(values: "pd.Series[Any]", name: str, where: str) -> Array:
    weights = array(values, Column(name, "double"), where=where)
    if (weights < 0).any() or not weights.any():
        raise DataError(
            f"the weights in {name!r} are negative or all zero", where=where, fix="correct them"
        )
    return weights
