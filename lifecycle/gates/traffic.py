"""What callers send is what the model was made with: columns, types, units, answers.

>>> import numpy as np
>>> from lifecycle.gates.given import GateInput, Traffic
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "regression", (Column("price", "double"),), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(columns["price"]))
>>> euros = pd.DataFrame({"price": np.random.default_rng(0).lognormal(3.0, 1.0, 900)})
>>> given = GateInput(model, reference=euros, traffic=Traffic(euros[:300] * 100.0))
>>> [result.outcome.value for result in traffic(given)]
['pass', 'fail']

The rules for units are in `lifecycle.gates.units`. They look for another unit, another coding and
columns in one another's places, and let pass what drifts: that is the monitor's to judge.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.errors import LifecycleError
from lifecycle.gates import units
from lifecycle.gates.given import GateInput, Missing, Traffic, failed, passed, unsure
from lifecycle.models.inputs import array, columns
from lifecycle.models.predicting import Output
from lifecycle.records import Column, GateResult, ModelSpec

NUMBERS = {"double", "float", "long", "integer"}
EMPTY = 0.9  # share of nulls from which on a column is empty
FILLED = 0.5  # … that may not have been so in training
MANY = 60  # columns of numbers that are held against one another
SAME = 1e-3  # by which an answer may differ from the logged one, of its range
FEW = 0.01  # share of answers that may differ by more
YEARS = 5.0  # outside the training's times


def traffic(given: GateInput) -> list[GateResult]:
    """Hold the newest logged requests against the rows that the candidate was made with.

    - `traffic.columns` fails when a request lacks a column that the candidate was trained on, has
      one that it was not, or holds a type or nulls that the candidate refuses.
    - `traffic.units` fails when a column has another unit, coding or place than in training.
      Fewer than 30 rows are not judged, "not enough evidence" only where they look wrong.
    - `traffic.answers` fails when requests that this version answered get another answer now.
    """
    logged = given.traffic
    if logged is None or logged.rows.empty:
        return [passed("traffic", "no requests are logged: there is no traffic to compare with")]
    found = [_columns(given, logged), _units(given, logged)]
    if logged.own is not None and logged.answers is not None and len(logged.own):
        found.append(_answers(given, logged.own, logged.answers))
    return found


def _columns(given: GateInput, logged: Traffic) -> GateResult:
    wrong = schema(given.spec, logged)
    rows = f"{len(logged.rows):,} logged requests"
    if wrong:
        said = "; ".join(wrong)
        return failed("traffic.columns", f"{said} ({rows})", value=float(len(wrong)), limit=0.0)
    new = [column.name for column in given.spec.features if not _logged(column.name, logged)]
    note = f"; not logged yet: {', '.join(new)}" if new else ""
    said = f"{rows} have the candidate's columns and types{note}"
    return passed("traffic.columns", said, value=0.0, limit=0.0)


def schema(spec: ModelSpec, logged: Traffic) -> list[str]:
    """What of the requests' columns the candidate does not fit; empty when it fits them.

    An optional column that the version which answered did not take cannot be in the log: nothing
    is said of it, nor of target, time and key, which a model without a signature is sent, too.
    """
    names = {column.name for column in spec.features}
    if not names:
        return []
    roles = {spec.target, spec.time, spec.key}
    has = {str(name) for name in logged.rows.columns} - logged.hidden - roles
    found = [
        f"requests have {name!r}, which the candidate was not trained on"
        for name in logged.rows.columns
        if str(name) in has - names and logged.rows[name].notna().any()
    ]
    for column in spec.features:
        if column.name in has:
            found += _typed(logged.rows[column.name], column)
        elif column.name not in logged.hidden and (column.required or _logged(column.name, logged)):
            found.append(f"no request has {column.name!r}, which the candidate was trained on")
    return found


def _logged(name: str, logged: Traffic) -> bool:
    """Whether the log would hold the column if requests had it."""
    return name in (logged.rows.columns if logged.known is None else logged.known)


def _typed(values: "pd.Series[Any]", column: Column) -> list[str]:
    null = values.isna()
    if column.required and null.any():
        share = f"{null.mean():.0%} of the requests"
        return [f"{column.name!r} is null in {share}, and the candidate refuses nulls"]
    try:
        array(values, Column(column.name, column.dtype, required=False))
    except LifecycleError as error:
        return [error.what]
    return []


def _units(given: GateInput, logged: Traffic) -> GateResult:
    gate, rows = "traffic.units", len(logged.rows)
    if given.reference is None or given.reference.empty:
        raise Missing(
            "the version has no training rows to hold traffic against",
            fix="`lifecycle adopt REF --reference FILE` stores some",
        )
    found = differences(given.spec, given.reference, logged.rows, hidden=logged.hidden)
    said = f"{rows:,} logged requests against {len(given.reference):,} training rows"
    if found:
        reason = "; ".join(f"{name!r}: {why}" for name, why in found.items())
        return failed(gate, f"{reason} ({said})", value=float(len(found)), limit=0.0)
    if rows < units.FEWEST:
        odd = _suspicious(given.spec, given.reference, logged)
        if odd:
            return unsure(gate, f"{rows} logged requests are too few to tell units by, and {odd}")
        return passed(gate, f"{rows} logged requests look as in training; units are told by 30")
    return passed(gate, f"no column has another unit or coding: {said}", value=0.0, limit=0.0)


def differences(
    spec: ModelSpec,
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    hidden: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """By column, how its unit, coding or place differs between training rows and traffic.

    >>> spec = ModelSpec(1, "regression", (Column("plan", "string"),))
    >>> rows = pd.DataFrame({"plan": ["basic", "pro"] * 50})
    >>> list(differences(spec, rows, rows.apply(lambda column: column.str.upper())))
    ['plan']

    Args:
        spec: the model, whose features are compared; those that a table lacks are not.
        before: training rows, with the time column where the model has one.
        after: logged requests.
        hidden: columns that the log does not hold.
    """
    shared = [
        column
        for column in spec.features
        if column.name in before and column.name in after and column.name not in hidden
    ]
    numbers = {
        column.name: (_finite(before[column.name]), _finite(after[column.name]))
        for column in shared
        if column.dtype in NUMBERS
    }
    found: dict[str, str] = {}
    names = list(numbers)
    pairs = ([numbers[name][side] for name in names] for side in (0, 1))
    for cycle in units.permuted(*pairs):
        for at, other in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            found[names[at]] = f"its values are those that {names[other]!r} had in training"
    for one, two in combinations([name for name in names if name not in found][:MANY], 2):
        was, now = ((_numbers(side[one]), _numbers(side[two])) for side in (before, after))
        if units.turned(was, now):
            found[one] = f"it stands where {two!r} stood: the larger of the two is the smaller"
            found[two] = f"it stands where {one!r} stood"
    for column in shared:
        name = column.name
        if name not in found:
            why = _emptied(before[name], after[name]) or _column(spec, before, after, column)
            if why:
                found[name] = why
    return found


def _column(spec: ModelSpec, before: pd.DataFrame, after: pd.DataFrame, column: Column) -> str:
    was, now = before[column.name], after[column.name]
    if column.dtype in NUMBERS:
        return units.number(_finite(was), _finite(now), moves=_moves(before, spec.time, was))
    if column.dtype == "datetime":
        return _times(was, now)
    return units.levels(_texts(was), _texts(now))


def _numbers(values: "pd.Series[Any]") -> units.Floats:
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _finite(values: "pd.Series[Any]") -> units.Floats:
    numbers = _numbers(values)
    kept: units.Floats = numbers[np.isfinite(numbers)]
    return kept


def _texts(values: "pd.Series[Any]") -> list[str]:
    return [str(item) for item in values[values.notna()]]


def _emptied(was: "pd.Series[Any]", now: "pd.Series[Any]") -> str:
    before, after = float(was.isna().mean()), float(now.isna().mean())
    if len(now) < units.FEWEST or before > FILLED or after < EMPTY:
        return ""
    return f"null in {after:.0%} of the requests, in training in {before:.0%}"


def _moves(rows: pd.DataFrame, time: str | None, values: "pd.Series[Any]") -> bool:
    """Whether a column goes along with time: a counter, a year; later values are always new."""
    if not time or time not in rows:
        return False
    when = pd.to_datetime(rows[time], errors="coerce", utc=True).rank()
    ranks = pd.to_numeric(values, errors="coerce").rank()
    if when.nunique() < units.FEWEST or ranks.nunique() < 2:
        return False
    return bool(abs(when.corr(ranks)) > 0.95)


def _times(was: "pd.Series[Any]", now: "pd.Series[Any]") -> str:
    before, after = (
        pd.to_datetime(side, errors="coerce", utc=True).dropna() for side in (was, now)
    )
    if min(len(before), len(after)) < units.FEWEST:
        return ""
    middle, reach = after.median(), pd.Timedelta(days=365.25 * YEARS)
    if before.min() - reach <= middle <= before.max() + reach:
        return ""
    return f"its times are around {middle:%Y}, in training {before.min():%Y} … {before.max():%Y}"


def _suspicious(spec: ModelSpec, before: pd.DataFrame, logged: Traffic) -> str:
    """A column whose few values all lie where no training row was; empty without one."""
    for column in spec.features:
        if column.name not in before or column.name not in logged.rows:
            continue
        if column.name in logged.hidden or column.dtype not in NUMBERS:
            continue
        was, now = _finite(before[column.name]), _finite(logged.rows[column.name])
        if (
            len(was) < units.FEWEST
            or not len(now)
            or _moves(before, spec.time, before[column.name])
        ):
            continue
        if ((now < was.min()) | (now > was.max())).all():
            return f"{column.name!r} lies outside {was.min():.4g} … {was.max():.4g} in all of them"
    return ""


def _answers(given: GateInput, rows: pd.DataFrame, then: Output) -> GateResult:
    """The same request, the same answer: what the log has against what the candidate says."""
    gate = "traffic.answers"
    try:
        now = given.candidate.predict(columns(rows, given.spec))
    except LifecycleError as error:
        return unsure(gate, f"requests that it answered cannot be asked again: {error.what}")
    differ = _differ(then, now)
    share, worst = float((differ > SAME).mean()), float(differ.max())
    figures = {"value": share, "limit": FEW}
    said = f"of {len(rows):,} requests that this version answered"
    if share > FEW:
        reason = f"{share:.0%} {said} get another answer now, by up to {worst:.3g} of its range"
        return failed(gate, reason, **figures)
    return passed(gate, f"{1.0 - share:.0%} {said} get the same answer now", **figures)


def _differ(then: Output, now: Output) -> units.Floats:
    """How far answers lie apart, as a share of what answers may be; 1 for another label."""
    if then.score is not None and now.score is not None and then.score.shape == now.score.shape:
        apart = np.abs(np.asarray(then.score, dtype=float) - np.asarray(now.score, dtype=float))
        return np.asarray(apart.max(axis=1) if apart.ndim > 1 else apart)
    one, two = np.asarray(then.prediction), np.asarray(now.prediction)
    if one.dtype.kind in "fiu" and two.dtype.kind in "fiu" and now.scores is None:
        spread = float(np.ptp(two)) or float(np.abs(two).max()) or 1.0
        return np.asarray(np.abs(one.astype(float) - two.astype(float)) / spread)
    return np.asarray(one.astype(str) != two.astype(str), dtype=np.float64)
