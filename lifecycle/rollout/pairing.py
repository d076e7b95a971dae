"""Count what a shadow's answers have in common with the champion's, pair by pair.

>>> import polars as pl
>>> pairs = pl.DataFrame({"prediction": ["no", "yes"], "shadow_prediction": ["no", "no"],
...                       "again_prediction": [None, "yes"]})
>>> [(one.guard, one.arm, one.units, one.events) for one in tallied(pairs, {})][:2]
[('differs', 'shadow', 2, 1), ('differs', 'champion', 1, 0)]

What the tallies of each comparison hold is said at its function; `shadowing.judge` weighs them.
Sums of squares are about zero, so that tallies of disjoint rows add up, but for `scale` and for a
regression, whose units are spreads of the champion's answers in all rows that are given.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lifecycle.records import Tally
from lifecycle.rollout.shadowing import CHAMPION, LIMITS, SHADOW

if TYPE_CHECKING:
    import polars as pl

# a frame without one of these is read as if all its cells were null
COLUMNS = (
    "prediction", "score", "error", "shadow_prediction", "shadow_score", "shadow_error",
    "shadow_latency_ms", "again_prediction", "again_score", "again_latency_ms", "label",
)  # fmt: skip


def tallied(
    pairs: "pl.DataFrame", limits: Mapping[str, float], *, classes: bool | None = None
) -> tuple[Tally, ...]:
    """What is compared, counted.

    Args:
        pairs: one row for each row that both answered, as `stores.tallies.pairs` gives them: the
            champion's answer, the shadow's as `shadow_…`, and where the champion answered twice
            its second answer as `again_…`; `label` where there is one.
        limits: of the spec.
        classes: whether the answers are classes; None: they are unless they are numbers with
            fractions and without scores.
    """
    import polars as pl

    if pairs.is_empty():
        return ()
    limits = {**LIMITS, **limits}
    missing = [name for name in COLUMNS if name not in pairs.columns]
    pairs = pairs.with_columns(pl.lit(None).alias(name) for name in missing)
    if classes is None:
        numbers = pairs["prediction"].dtype.is_float()
        classes = not numbers or pairs["score"].null_count() < len(pairs)
    rows = pairs.with_columns(
        bad=_none("prediction", "error", pairs),
        shadow_bad=_none("shadow_prediction", "shadow_error", pairs),
    )
    both = rows.filter(~pl.col("bad") & ~pl.col("shadow_bad"))
    twice = both.filter(pl.col("again_prediction").is_not_null())
    found = _classes(both, twice) if classes else _answers(both, twice, limits)
    found += _scores(both, twice, limits, classes=classes)
    found += _errors(rows)
    found += _latency(rows)
    found += _labelled(rows, classes=classes)
    return tuple(found)


def _none(prediction: str, error: str, rows: "pl.DataFrame") -> "pl.Series":
    """Whether there is no answer: the model raised, or said nothing or no finite number."""
    bad = rows[error].is_not_null() | rows[prediction].is_null()
    if rows[prediction].dtype.is_float():
        bad |= (~rows[prediction].is_finite()).fill_null(value=True)
    return bad


def _classes(both: "pl.DataFrame", twice: "pl.DataFrame") -> list[Tally]:
    """`differs`: rows, and those whose labels differ; the champion's are those answered twice."""
    told = {
        SHADOW: _text(both["prediction"]) != _text(both["shadow_prediction"]),
        CHAMPION: _text(twice["prediction"]) != _text(twice["again_prediction"]),
    }
    return [
        Tally("differs", arm, 0, len(differ), int(differ.sum() or 0))
        for arm, differ in told.items()
    ]


def _answers(
    both: "pl.DataFrame", twice: "pl.DataFrame", limits: Mapping[str, float]
) -> list[Tally]:
    """`differs` of a regression: rows, and those whose answers lie far apart."""
    far = limits["beyond"] * _spread(both["prediction"])
    told = {
        SHADOW: (both["prediction"] - _number(both["shadow_prediction"])).abs() > far,
        CHAMPION: (twice["prediction"] - _number(twice["again_prediction"])).abs() > far,
    }
    return [
        Tally("differs", arm, 0, len(differ), int(differ.sum() or 0))
        for arm, differ in told.items()
    ]


def _scores(
    both: "pl.DataFrame", twice: "pl.DataFrame", limits: Mapping[str, float], *, classes: bool
) -> list[Tally]:
    """`shift`: the sums of differences from the champion's scores, of the shadow and of itself.

    `scale`: with a and b the scores less their means and c the limit, the sums of b² - c²a² (the
    shadow's) and a² - c²b² (the champion's): one is positive on average where the ratio of spreads
    lies outside 1/c … c.
    """
    unit = 1.0
    if not classes:
        unit = _spread(both["prediction"]) or 1.0
    ours, theirs = _pair(both, "shadow_", classes=classes)
    second, first = _pair(twice, "again_", classes=classes)
    if not len(ours):
        return []
    change, noise = (ours - theirs) / unit, (second - first) / unit
    found = [
        _of("shift", SHADOW, change, total=_sum(ours) / unit),
        _of("shift", CHAMPION, noise, total=_sum(first) / unit),
    ]
    a, b = ((theirs - theirs.mean()) / unit) ** 2, ((ours - ours.mean()) / unit) ** 2
    edge = limits["scale"] ** 2
    found.append(_of("scale", SHADOW, b - edge * a, total=_sum(b)))
    found.append(_of("scale", CHAMPION, a - edge * b, total=_sum(a)))
    return found


def _pair(rows: "pl.DataFrame", other: str, *, classes: bool) -> tuple["pl.Series", "pl.Series"]:
    """The scores of another answer and of the champion's first one, where both are numbers.

    Of several classes, the score of that which the champion answers.
    """
    import polars as pl

    names = ("score", f"{other}score") if classes else ("prediction", f"{other}prediction")
    theirs, ours = (rows[name] for name in names)
    if isinstance(theirs.dtype, pl.List) and isinstance(ours.dtype, pl.List):
        best = theirs.list.arg_max()
        theirs, ours = (each.list.get(best, null_on_oob=True) for each in (theirs, ours))
    frame = pl.DataFrame({"ours": _number(ours), "theirs": _number(theirs)})
    frame = frame.filter(pl.all_horizontal(pl.all().is_finite().fill_null(value=False)))
    return frame["ours"], frame["theirs"]


def _errors(rows: "pl.DataFrame") -> list[Tally]:
    """`errors`: rows, those that only the one failed on, and all that it failed on."""
    ours, theirs = rows["shadow_bad"], rows["bad"]
    return [
        Tally("errors", arm, 0, len(rows), int((one & ~other).sum()), float(one.sum()))
        for arm, one, other in ((SHADOW, ours, theirs), (CHAMPION, theirs, ours))
    ]


def _latency(rows: "pl.DataFrame") -> list[Tally]:
    """`latency`: calls that both answered, their milliseconds, and the logarithms of the ratio."""
    import polars as pl

    columns = ["shadow_latency_ms", "again_latency_ms"]
    calls = rows.filter(pl.all_horizontal(pl.col(columns).is_not_null())).select(
        pl.col(columns).cast(pl.Float64).clip(1e-3)
    )
    calls = calls.unique(maintain_order=True)  # one call answers many rows
    if not len(calls):
        return []
    ours, theirs = (calls[name] for name in columns)
    ratio = (ours / theirs).log()
    return [
        _of("latency", SHADOW, ratio, total=_sum(ours)),
        Tally("latency", CHAMPION, 0, len(calls), total=_sum(theirs)),
    ]


def _labelled(rows: "pl.DataFrame", *, classes: bool) -> list[Tally]:
    """`label_error`: labelled rows, those only the one was wrong on, and all it was wrong on.

    `error_size` of a regression: the sums of errors, and of the shadow's less the champion's.
    """
    import polars as pl

    known = rows.filter(pl.col("label").is_not_null())
    if not len(known):
        return []
    if classes:
        label = _text(known["label"])
        theirs, ours = (
            _text(known[name]).ne_missing(label) for name in ("prediction", "shadow_prediction")
        )
        return [
            Tally("label_error", arm, 0, len(known), int((one & ~other).sum()), float(one.sum()))
            for arm, one, other in ((SHADOW, ours, theirs), (CHAMPION, theirs, ours))
        ]
    known = known.filter(~pl.col("bad") & ~pl.col("shadow_bad"))
    label = _number(known["label"])
    theirs, ours = (
        (_number(known[name]) - label).abs() for name in ("prediction", "shadow_prediction")
    )
    finite = (ours - theirs).is_finite().fill_null(value=False)
    ours, theirs = ours.filter(finite), theirs.filter(finite)
    return [
        _of("error_size", SHADOW, ours - theirs, total=_sum(ours)),
        Tally("error_size", CHAMPION, 0, len(theirs), total=_sum(theirs)),
    ]


def _of(guard: str, arm: str, values: "pl.Series", *, total: float) -> Tally:
    """A tally of numbers with their sum and the sum of their squares."""
    s, v = _sum(values), _sum(values**2)
    return Tally(guard, arm, 0, len(values), 0, total, s, v, float(len(values)))


def _sum(values: "pl.Series") -> float:
    found = values.sum()
    return float(found) if found is not None else 0.0


def _spread(values: "pl.Series") -> float:
    found: Any = values.std()
    return float(found) if found is not None and math.isfinite(found) else 0.0


def _number(values: "pl.Series") -> "pl.Series":
    import polars as pl

    return values.cast(pl.Float64, strict=False)


def _text(values: "pl.Series") -> "pl.Series":
    """Classes as text: 1, 1.0 and true are one class, as models and people write them."""
    import polars as pl

    if values.dtype.is_float():
        whole = values.drop_nulls()
        if (whole == whole.floor()).all():
            values = values.cast(pl.Int64, strict=False)
    elif values.dtype == pl.Boolean:
        values = values.cast(pl.Int64)
    return values.cast(pl.String)
