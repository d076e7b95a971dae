"""The rows that the arms of a rollout answered, small enough to hold all of them.

>>> from lifecycle.records import Arm, RolloutSpec
>>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
>>> rollout = Rollout(RolloutSpec("churn", "ab", arms), seq=3, started="2026-04-01T00:00:00Z")
>>> answered(["nowhere"], rollout, ()).height
0

Rows are those that came after the rollout had begun, by when they were answered (see
`stores.arrivals`), of its arms' versions. Each file becomes a frame of codes and of the measures'
values before the next one is read: an id, a request and a unit (the key, or the request where it
has none) are hashes of 64 bits, so that two of a million are the same once in thirty million logs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from lifecycle.records import Rollout
from lifecycle.stores.arrivals import arrivals
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.log import PredictionLog
from lifecycle.stores.rows import TIME
from lifecycle.stores.sealed import moment, unified

SLACK = timedelta(days=1)  # by which a file system's clock may be off
CODES: dict[str, pl.DataType] = {
    "id": pl.UInt64(), "request": pl.UInt64(), "unit": pl.UInt64(), "keyed": pl.Boolean(),
    "at": pl.Int64(), "arm": pl.Int32(), "step": pl.Int64(), "labelled": pl.Boolean(),
}  # fmt: skip
_ALWAYS = ("prediction_id", "time", "arm", "version", "step", "key")
_LOGGED = ("latency_ms", "features", "prediction", "score", "error")


@dataclass(frozen=True)
class Measure:
    """What is counted of each row.

    Attributes:
        text: what the tallies are named after.
        values: a frame of rows, of one file, to one value a row: booleans for events, else
            numbers; null where a row does not count.
        kind: `event` or `number`.
        needs: the columns that `values` reads: those of the log, `label`, and `known`, whether
            the answer is one of the classes.
        labelled: only rows with a label count.
        by_request: a request is one row, however many rows it has.
        column: the feature of the segment; empty: all rows.
        value: its value, as text.
        source: measures with the same source have the same values, which are computed once.
    """

    text: str
    values: Callable[[pl.DataFrame], pl.Series]
    kind: str = "event"
    needs: tuple[str, ...] = field(default=_LOGGED)
    labelled: bool = False
    by_request: bool = False
    column: str = ""
    value: str | None = None
    source: str = ""

    @property
    def held(self) -> str:
        """The column of its values."""
        return f"value:{self.source or self.text}"


def segments(measures: Sequence[Measure]) -> dict[str, list[str]]:
    """The columns of segments and the values that are looked at, in the order of their places."""
    found: dict[str, list[str]] = {}
    for measure in measures:
        if measure.column:
            values = found.setdefault(measure.column, [])
            if measure.value is not None and measure.value not in values:
                values.append(measure.value)
    return found


def folders(directories: Sequence[str | Path]) -> list[Path]:
    """Each folder once, however often and by whichever path it is named."""
    return list({Path(item).resolve(): Path(item) for item in directories}.values())


def labels_of(directories: Sequence[str | Path], model: str) -> pl.DataFrame:
    """The labels in all folders: prediction_id and label; the first that came counts.

    Raises:
        LogError: a file is damaged; names it.
    """
    columns = ["prediction_id", "label", "time"]
    found = [LabelStore(folder).read(model) for folder in folders(directories)]
    if not found:
        return pl.DataFrame(schema={"prediction_id": pl.String, "label": pl.Null})
    together = unified([frame for frame in found if len(frame)] or found[:1], columns)
    first = together.sort("time", maintain_order=True).unique(
        "prediction_id", keep="first", maintain_order=True
    )
    return first.select("prediction_id", "label")


def answered(
    directories: Sequence[str | Path],
    rollout: Rollout,
    measures: Sequence[Measure],
    *,
    classes: Sequence[object] = (),
) -> pl.DataFrame:
    """One row for each row that an arm answered, in the order of nothing.

    Returns:
        The columns of `CODES` (`arm` is the place in the spec, `at` microseconds since 1970 UTC),
        `value:…` for each source of measures and `segment:…` for each column: the place of the
        row's value among those that measures name, -1 for any other.

    Raises:
        LogError: a file is damaged; names it.
    """
    name = rollout.spec.name
    labels = labels_of(directories, name) if any(map(_wants_label, measures)) else None
    made = _Piece(rollout, measures, labels, classes)
    frames = [
        PredictionLog(folder).read(
            name,
            columns=made.columns,
            written=began(rollout) - SLACK,
            where=made.where,
            each=made,
            fields=made.fields,
        )
        for folder in folders(directories)
    ]
    if not frames:
        return made.nothing
    if len(frames) > 1:  # a folder may hold a copy of what another one holds
        return pl.concat(frames).unique(["id", "arm"], keep="first", maintain_order=True)
    return frames[0]


def of_arms(rollout: Rollout) -> pl.Expr:
    """Whether a row was answered by an arm's version under its name."""
    found = pl.lit(value=False)
    for arm in rollout.spec.arms:
        found |= (pl.col("arm") == arm.name) & (pl.col("version") == arm.version)
    return found


def began(rollout: Rollout) -> datetime:
    """When a rollout began, UTC."""
    return moment(rollout.started or None, "started") or datetime.fromtimestamp(0, UTC)


def within(rollout: Rollout) -> pl.Expr:
    """Whether a row of `at` came while the rollout was open."""
    start = ticks(began(rollout)) // 1000 * 1000  # ids are issued in whole milliseconds
    open_ = pl.col("at") >= start
    end = moment(rollout.ended or None, "ended")
    return open_ if end is None else open_ & (pl.col("at") <= ticks(end))


def ticks(when: datetime) -> int:
    """A moment in microseconds since 1970 UTC."""
    return (when - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _wants_label(measure: Measure) -> bool:
    return measure.labelled or "label" in measure.needs


class _Piece:
    """Makes codes and values of the rows of one file."""

    def __init__(
        self,
        rollout: Rollout,
        measures: Sequence[Measure],
        labels: pl.DataFrame | None,
        classes: Sequence[object],
    ) -> None:
        self.rollout, self.labels, self.classes = rollout, labels, classes
        self.sources = {measure.held: measure for measure in measures}
        self.segments = segments(measures)
        needs = {name for measure in measures for name in measure.needs}
        needs |= {"prediction"} if "known" in needs else set()
        narrow = self.segments and "features" not in needs
        self.fields = list(self.segments) if narrow else None
        needs |= {"features"} if self.segments else set()
        self.columns = [*_ALWAYS, *(name for name in _LOGGED if name in needs)]
        self.codes = {arm.name: at for at, arm in enumerate(rollout.spec.arms)}
        self.where = of_arms(rollout)
        self.where &= pl.col("step").is_between(0, rollout.step)

    @property
    def nothing(self) -> pl.DataFrame:
        """The frame of no rows."""
        return pl.DataFrame(schema=self._schema())

    def _schema(self) -> Mapping[str, pl.DataType]:
        values = {
            name: pl.Boolean() if measure.kind == "event" else pl.Float64()
            for name, measure in self.sources.items()
        }
        return {**CODES, **values, **{f"segment:{name}": pl.Int32() for name in self.segments}}

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.with_columns(arrivals(self.rollout.spec.name)).filter(within(self.rollout))
        if not len(rows):
            return self.nothing
        rows = rows.with_columns(time=pl.col("at").cast(TIME))  # the order that guards may look at
        several = rows["prediction_id"].str.contains(".", literal=True)
        request = rows["prediction_id"]
        if several.any():
            request = request.str.replace(r"\.\d+$", "")
        hashed = request.hash(seed=1)
        unit = rows["key"].hash(seed=2)
        keyed = rows["key"].is_not_null()
        label = self._labels(rows["prediction_id"])
        made = {
            "id": rows["prediction_id"].hash(seed=0),
            "request": hashed,
            "unit": unit.zip_with(keyed, hashed),
            "keyed": keyed,
            "at": rows["at"],
            "arm": rows["arm"].replace_strict(self.codes, return_dtype=pl.Int32),
            "step": rows["step"],
            "labelled": label.is_not_null(),
        }
        shown = rows.with_columns(label.alias("label"))
        if "prediction" in rows.columns:
            shown = shown.with_columns(self._known(rows["prediction"]).alias("known"))
        for name, measure in self.sources.items():
            made[name] = _valued(measure, shown, made["labelled"])
        for name, values in self.segments.items():
            made[f"segment:{name}"] = _places(field_of(rows, name), values)
        schema = self._schema()
        return pl.DataFrame({name: made[name].cast(schema[name]) for name in schema})

    def _labels(self, ids: pl.Series) -> pl.Series:
        if self.labels is None:
            return pl.Series("label", [None], dtype=pl.Null).new_from_index(0, len(ids))
        asked = pl.DataFrame({"prediction_id": ids})
        return asked.join(self.labels, on="prediction_id", how="left", maintain_order="left")[
            "label"
        ]

    def _known(self, answers: pl.Series) -> pl.Series:
        if not self.classes:
            return pl.Series([None], dtype=pl.Boolean).new_from_index(0, len(answers))
        written = [_written(item, answers.dtype) for item in self.classes]
        return texts(answers).is_in(pl.Series(written, dtype=pl.String).implode())


def _valued(measure: Measure, rows: pl.DataFrame, labelled: pl.Series) -> pl.Series:
    """A measure's values, null where a row does not count."""
    if not measure.labelled:
        return measure.values(rows)
    if not labelled.any():
        dtype = pl.Boolean if measure.kind == "event" else pl.Float64
        return pl.Series([None], dtype=dtype).new_from_index(0, len(rows))
    found = measure.values(rows.filter(labelled))
    places = labelled.cast(pl.Int64).cum_sum() - 1
    return found.gather(places.set(~labelled, None))


def field_of(rows: pl.DataFrame, name: str) -> pl.Series:
    """A feature's values; null where the version of the rows has no such feature."""
    dtype = rows.schema.get("features")
    if isinstance(dtype, pl.Struct) and any(item.name == name for item in dtype.fields):
        return rows["features"].struct.field(name)
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))


def _places(values: pl.Series, wanted: Sequence[str]) -> pl.Series:
    places = {_written(value, values.dtype): at for at, value in enumerate(wanted)}
    return texts(values).replace_strict(places, default=-1, return_dtype=pl.Int32).fill_null(-1)


def texts(values: pl.Series) -> pl.Series:
    """Values as text; of numbers, 1, 1.0 and true are the same.

    >>> texts(pl.Series([1.0, None, 0.5])).to_list()
    ['1', None, '0.5']
    """
    if values.dtype == pl.Boolean:
        values = values.cast(pl.Int64)
    if isinstance(values.dtype, (pl.Struct, pl.List)):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(values))
    texts = values.cast(pl.String)
    return texts.str.strip_suffix(".0") if values.dtype.is_float() else texts


def _written(value: object, dtype: pl.DataType) -> str:
    """One value as `_texts` writes those of a type.

    >>> _written(True, pl.Int64()), _written("1.0", pl.String()), _written("1.0", pl.Int64())
    ('1', '1.0', '1')
    """
    text = str(value)
    if dtype == pl.String:
        return text
    if text.lower() in ("true", "false"):
        return str(int(text.lower() == "true"))
    return text.removesuffix(".0")
