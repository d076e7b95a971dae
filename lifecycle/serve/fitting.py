"""Requests are read as the champion wants them: whether another version can answer them too.

>>> import numpy as np
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import ModelSpec
>>> from lifecycle.serve.slots import slot
>>> def version(*columns):
...     spec = ModelSpec(1, "regression", columns)
...     return slot("m", LoadedModel(spec, "sklearn", lambda given: Output(given["x"])))
>>> old = version(Column("x", "long"), Column("y", "double"))
>>> turn = fitted(old, version(Column("x", "double"), Column("z", "double", required=False)))
>>> rows = turn(Rows({"x": np.array([3]), "y": np.array([1.5])}, 1))
>>> {name: column.tolist() for name, column in rows.columns.items()}
{'x': [3.0], 'z': [nan]}

A request that the champion cannot read is wrong whoever would have answered it, and one that it
can read every arm must be able to read, or errors of the arms could not be compared. So each
column that another version requires must be one that the champion requires, and of a type that
holds all its values.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lifecycle.errors import ModelRefused
from lifecycle.models.predicting import Array, Columns, Lacking
from lifecycle.records import Column
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import Slot
from lifecycle.serve.typed import nulls

Turn = Callable[[Rows], Rows]

# by MLflow's types: what holds every value of a narrower one, whole numbers as JSON has them
WIDER = {
    ("integer", "long"): np.int64,
    ("integer", "double"): np.float64,
    ("long", "double"): np.float64,
    ("float", "double"): np.float64,
}


def fitted(champion: Slot, other: Slot) -> Turn | None:
    """What turns rows that the champion's decoder read into another version's.

    Returns:
        None where they are the same.

    Raises:
        ModelRefused: the other one needs what requests for the champion do not have, or answers
            something else; says what.
    """
    ours, theirs = champion.loaded.spec, other.loaded.spec
    if ours.task != theirs.task:
        raise _refusal(other, f"its task is {theirs.task}, the champion's is {ours.task}")
    if tuple(ours.classes) != tuple(theirs.classes):
        raise _refusal(other, "its classes are not the champion's, in the same order")
    same = _shape(ours.features) == _shape(theirs.features)
    given = champion.loaded.forms is not None or other.loaded.forms is not None
    if given and not (same and (champion.loaded.forms is None) == (other.loaded.forms is None)):
        raise _refusal(other, "it takes another kind of input than the champion")
    known = {column.name: column for column in ours.features}
    for column in theirs.features:
        _check(other, column, known.get(column.name))
    params = _params(champion, other)
    if same:
        return params

    def turn(rows: Rows) -> Rows:
        made = replace(rows, columns=_columns(rows.columns, rows.count))
        return made if params is None else params(made)

    wanted = [
        (column.name, column.dtype, _cast(known.get(column.name), column))
        for column in theirs.features
    ]

    def _columns(columns: Columns, count: int) -> Columns:
        absent: frozenset[str] = getattr(columns, "absent", frozenset())
        found: dict[str, Array] = {}
        gone = []
        for name, dtype, kind in wanted:
            if name not in known or name in absent:
                found[name] = nulls(dtype, count)
                gone.append(name)
            else:
                found[name] = columns[name] if kind is None else columns[name].astype(kind)
        return Lacking(found, gone) if gone else found

    return turn


def _shape(columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    return [(column.name, column.dtype) for column in columns]


def _check(other: Slot, wanted: Column, given: Column | None) -> None:
    """Whether the champion's column can stand for another version's."""
    if given is None:
        if wanted.required:
            what = f"it needs column {wanted.name!r}, which the champion's requests do not have"
            raise _refusal(other, what)
        return
    if wanted.required and not given.required:
        what = f"it needs column {wanted.name!r}, which the champion's requests may leave out"
        raise _refusal(other, what)
    if wanted.dtype != given.dtype and (given.dtype, wanted.dtype) not in WIDER:
        what = f"column {wanted.name!r} is {wanted.dtype}, and the champion's is {given.dtype}"
        raise _refusal(other, what)


def _cast(given: Column | None, wanted: Column) -> type | None:
    return WIDER.get((given.dtype, wanted.dtype)) if given is not None else None


def _params(champion: Slot, other: Slot) -> Turn | None:
    """What turns the champion's params into another version's; None: they are the same."""
    ours, theirs = champion.loaded.parameters, other.loaded.parameters
    if ours is None:
        return None
    defaults = theirs.defaults if theirs is not None else {}
    lacking = sorted(set(ours.defaults) - set(defaults))
    if lacking:
        raise _refusal(other, f"it does not take the param {lacking[0]!r}")

    def turn(rows: Rows) -> Rows:
        return rows if rows.params is None else replace(rows, params={**defaults, **rows.params})

    return turn if set(defaults) != set(ours.defaults) else None


def _refusal(other: Slot, what: str) -> ModelRefused:
    return ModelRefused(
        f"it cannot answer the champion's requests: {what}",
        where=f"{other.model}/{other.version}",
        fix="serve it by itself, or promote it once clients have changed",
    )
