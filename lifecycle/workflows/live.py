"""The live rows of a check: what the champion logged, or a table that is given.

>>> rows = pl.DataFrame({"ts": ["2026-01-02 00:00:00", "2026-01-01 00:00:00"]})
>>> spec = ModelSpec(1, "binary", (), time="ts")
>>> from_table(rows, spec, None).end
'2026-01-02T00:00:00.000001'
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from lifecycle.config import Config
from lifecycle.drift.reasons import plural
from lifecycle.drift.stretches import time_blocks
from lifecycle.errors import DataError
from lifecycle.models import inputs
from lifecycle.models.influence import Array
from lifecycle.models.predicting import LoadedModel
from lifecycle.named import nearest
from lifecycle.records import ModelSpec, ModelVersion
from lifecycle.stores.ids import issued_at
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.sealed import Moment, moment
from lifecycle.workflows.compare import Table, to_polars
from lifecycle.workflows.segments import Segment, unknown, within

TIME = "time"  # the log's own
CLOCKS = timedelta(minutes=5)  # by which clocks may differ without a word
SLACK = timedelta(days=1)  # by which a file system's clock may be off


@dataclass(frozen=True)
class Live:
    """Live rows with what was answered and what turned out to be true.

    Attributes:
        rows: features, `prediction` and `score` where there are, and the model's time column.
        labels: the label of each row, null where it has not come; the same length.
        times: the time of each row, null where it has none.
        notes: what a reader of the report should know.
        empty: what to say when there are no rows.
        scores: (n,) of the positive class, or (n, k); None where there are none.
        label_times: when each label was taken in, UTC; None for a table's.
        late: rows of earlier windows that were logged after their check.
        masked: features that the log does not hold, or as a hash only, and why.
    """

    rows: pl.DataFrame
    labels: pl.Series
    times: pl.Series
    notes: tuple[str, ...] = ()
    empty: str = "there are no live rows"
    scores: np.ndarray | None = field(default=None, compare=False)
    label_times: pl.Series | None = field(default=None, compare=False)
    late: int = 0
    masked: Mapping[str, str] = field(default_factory=dict)

    @property
    def window(self) -> tuple[str, str] | None:
        """First and last time."""
        known = self.times.drop_nulls()
        if not known.len():
            return None
        first, last = known.min(), known.max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        return first.isoformat(), last.isoformat()

    @property
    def end(self) -> str:
        """Where the next window begins; empty where rows have no time."""
        if self.window is None:
            return ""
        return (datetime.fromisoformat(self.window[1]) + timedelta(microseconds=1)).isoformat()

    def blocks(self, spec: ModelSpec) -> Array | None:
        """The stretch of each row, whose labels may go together, of models that know the time."""
        return time_blocks(self.times) if spec.time else None

    def label_bytes(self) -> bytes:
        """The labels, for a digest."""
        return self.labels.cast(pl.String).hash(seed=0).to_numpy().tobytes()


def from_log(
    config: Config,
    version: ModelVersion,
    spec: ModelSpec,
    *,
    since: Moment,
    until: Moment,
    arm: str | None = None,
    segment: Segment | None = None,
    rows: int | None = None,
    checked: Moment = None,
) -> Live:
    """What the version answered in a window, with the labels that came.

    Args:
        config: the log.
        version: whose answers.
        spec: its specification.
        since: start of the window.
        until: its end, exclusive.
        arm: only what this arm of a rollout answered.
        segment: only rows of this segment.
        rows: the oldest so many rows of the window, and all others of the last one's time, so
            that the next window can begin behind them.
        checked: when the last check was; rows before `since` that were logged after it were in no
            check, and are counted in `late`.

    Raises:
        LogError: the log is damaged.
        DataError: `since` or `until` is no time, or no row of the log is of the arm or segment.
    """
    log = PredictionLog(config.log.dir).read(
        version.name, since=since, until=until, version=version.version
    )
    notes = []
    late = _late(config, version, since, checked)
    if late:
        notes.append(
            f"{plural(late, 'row')} came later than the window they belong to: no check has seen"
            f" {'them' if late > 1 else 'it'}"
        )
    if arm is not None:
        log = log.filter(pl.col("arm") == arm)
    answered = log.filter(pl.col("prediction").is_not_null())
    if failed := log.height - answered.height:
        notes.append(f"{failed:,} of {log.height:,} requests failed and are left out")
    once = _once(answered, spec)
    if again := answered.height - once.height:
        notes.append(f"{again:,} rows were answered again, with the same key, time and inputs")
    answered = once
    if segment is not None and answered.height:
        answered = answered.filter(within(_features(answered), segment))
    if (arm is not None or segment is not None) and not answered.height:
        _check_known(config, version, arm, segment)
    if rows is not None and answered.height > rows:
        answered = answered.filter(pl.col(TIME) <= answered[TIME][rows - 1])
    known = _labels(config, version.name, answered["prediction_id"])
    asked = {"by arm": arm, "with": segment, "since": since, "until": until}
    empty = _nothing(config, version, asked)
    times = answered[TIME].dt.replace_time_zone(None) if answered.height else _no_times(0)
    notes += _skewed(times, known["labelled_at"])
    features = _features(answered)
    masked = _masked(config, spec)
    wanted = [name for name in spec.feature_names if name in {*features.columns} - {*masked}]
    features = features.select(wanted)
    extra = [answered["prediction"]] if "prediction" not in wanted else []
    scores = _scores(answered["score"])
    if scores is not None and scores.ndim == 1 and "score" not in wanted:
        extra.append(pl.Series("score", scores))
    if spec.time and spec.time not in wanted:
        extra.append(times.alias(spec.time))
    return Live(
        features.hstack(extra),
        known["label"],
        times,
        tuple(notes),
        empty,
        scores,
        label_times=known["labelled_at"],
        late=late,
        masked=masked,
    )


def _masked(config: Config, spec: ModelSpec) -> dict[str, str]:
    """Features that cannot be compared, since `[log]` keeps them out of the log."""
    dropped = dict.fromkeys(config.log.drop, "the log does not hold it, see [log] drop")
    hashed = dict.fromkeys(config.log.hash, "the log holds a hash of it, see [log] hash")
    return {name: why for name, why in (dropped | hashed).items() if name in spec.feature_names}


def _skewed(times: pl.Series, label_times: pl.Series) -> list[str]:
    """What clocks that do not agree leave behind: rows of the future, labels from before."""
    said = []
    now = datetime.now(UTC).replace(tzinfo=None)
    ahead = times.filter(times > now + CLOCKS)
    last = ahead.max()
    if isinstance(last, datetime):
        said.append(
            f"{plural(ahead.len(), 'row')} from the future, up to {last:%Y-%m-%d %H:%M} UTC:"
            " is a clock or a time zone off? The next window begins behind them"
        )
    early = int((label_times.dt.replace_time_zone(None) < times - CLOCKS).sum())
    if early:
        said.append(
            f"{plural(early, 'label')} came before the time of the row: is a clock or a time"
            " zone off?"
        )
    return said


def _features(answered: pl.DataFrame) -> pl.DataFrame:
    features = answered["features"]
    return features.struct.unnest() if isinstance(features.dtype, pl.Struct) else pl.DataFrame()


def _late(config: Config, version: ModelVersion, since: Moment, checked: Moment) -> int:
    """Rows from before the window that were answered after the last check."""
    seen = moment(checked, "checked")
    if seen is None or since is None:
        return 0
    older = PredictionLog(config.log.dir).read(
        version.name,
        until=since,
        version=version.version,
        columns=["prediction_id"],
        written=seen - SLACK,
    )
    issued = older["prediction_id"].str.extract(r"^([^.]*)").unique(maintain_order=True)
    when = {request: issued_at(request) for request in issued.to_list()}
    fresh = {request for request, at in when.items() if at is not None and at > seen}
    requests = older["prediction_id"].str.extract(r"^([^.]*)")
    return int(requests.is_in(list(fresh)).sum())


def _check_known(
    config: Config, version: ModelVersion, arm: str | None, segment: Segment | None
) -> None:
    """An arm or a segment without rows in the window must be in the log all the same.

    Raises:
        DataError: it is not, while other rows are; lists what there is.
    """
    log = PredictionLog(config.log.dir).read(
        version.name, version=version.version, columns=["arm", "features"]
    )
    if not log.height:
        return
    if arm is not None:
        arms = log["arm"].drop_nulls().unique().sort().to_list()
        if arm not in arms:
            raise DataError(
                f"no arm {arm!r} of {version.ref} has answered; {nearest(arm, arms)}",
                where=config.log.dir,
            )
    if segment is not None:
        features = _features(log)
        if not within(features, segment).any():
            raise unknown(features, segment)


def _once(answered: pl.DataFrame, spec: ModelSpec) -> pl.DataFrame:
    """A row that was scored again is the same row: it counts once, as it was answered last.

    Rows are the same where key, time and inputs are, for models that know both columns; without
    them two equal rows may well be two customers.
    """
    if not (spec.key and spec.time):
        return answered
    same = ["key", TIME, "features"]
    return answered.filter(pl.col("key").is_null() | pl.struct(same).is_last_distinct())


def _nothing(config: Config, version: ModelVersion, asked: Mapping[str, object]) -> str:
    window = "".join(f" {word} {value}" for word, value in asked.items() if value is not None)
    step = "score or serve with it first, or name another window or a table"
    return f"{version.ref} logged no predictions{window} in {config.log.dir}: {step}"


def _scores(values: pl.Series) -> np.ndarray | None:
    if not values.len() or values.null_count():
        return None
    if isinstance(values.dtype, pl.List):
        return np.array(values.to_list(), dtype=np.float64)
    return values.cast(pl.Float64).to_numpy()


def _labels(config: Config, name: str, ids: pl.Series) -> pl.DataFrame:
    """Each id's label and when it came, null where it has not."""
    known = LabelStore(config.log.dir).read(name)
    known = known.select("prediction_id", "label", labelled_at=pl.col(TIME))
    return pl.DataFrame({"prediction_id": ids}).join(
        known, on="prediction_id", how="left", maintain_order="left"
    )


def from_table(
    table: Table,
    spec: ModelSpec,
    load: Callable[[], LoadedModel] | None,
    *,
    since: Moment = None,
    until: Moment = None,
) -> Live:
    """A table's rows, scored unless they have predictions; labels are in the target column.

    Raises:
        DataError: the table cannot be read, or a window is asked of rows that have no time.
    """
    frame = to_polars(table, "live")
    times = table_times(frame, spec.time)
    if since is not None or until is not None:
        if times.null_count() == times.len() and times.len():
            raise DataError(
                "rows without a time have no window",
                where=f"time column {spec.time!r}" if spec.time else "the model has no time column",
                fix="leave out since and until, or give the table the time column",
            )
        kept = _within(times, moment(since, "since"), moment(until, "until"))
        frame, times = frame.filter(kept), times.filter(kept)
    labels = pl.Series("label", [None] * frame.height, dtype=pl.Null)
    if spec.target and spec.target in frame.columns:
        labels = frame[spec.target]
    kept_columns = {*spec.feature_names, "prediction", "score", spec.time}
    rows = frame.select([name for name in frame.columns if name in kept_columns])
    if "prediction" in rows.columns or load is None or not rows.height:
        scores = _scores(rows["score"]) if "score" in rows.columns else None
        return Live(rows, labels, times, scores=scores)
    try:
        output = load().predict(inputs.columns(rows, spec))
    except DataError as error:
        return Live(rows, labels, times, (f"the rows could not be scored: {error.what}",))
    answers = [pl.Series("prediction", output.prediction)]
    if output.score is not None and output.score.ndim == 1:
        answers.append(pl.Series("score", output.score))
    return Live(rows.hstack(answers), labels, times, scores=output.score)


def _no_times(rows: int) -> pl.Series:
    return pl.Series(TIME, [None] * rows, dtype=pl.Datetime("us"))


def table_times(frame: pl.DataFrame, name: str | None) -> pl.Series:
    """The times of a table's rows, null where there are none.

    Raises:
        DataError: the column holds a text that is no time.
    """
    if not name or name not in frame.columns:
        return _no_times(frame.height)
    values = frame[name]
    if values.dtype == pl.String:
        try:
            parsed = values.str.to_datetime(strict=False)
        except pl.exceptions.ComputeError:  # in no known format
            parsed = _no_times(frame.height)
        strange = values.filter(values.is_not_null() & parsed.is_null())
        if strange.len():
            raise DataError(
                f"the time column {name!r} holds {strange[0]!r}, no date or time",
                where="live rows",
                fix="write times as 2026-04-01 12:00:00",
            )
        values = parsed
    if values.dtype not in (pl.Date, pl.Datetime):
        return _no_times(frame.height)
    return values.cast(pl.Datetime("us"))


def _within(times: pl.Series, since: datetime | None, until: datetime | None) -> pl.Series:
    kept = pl.Series([True] * times.len(), dtype=pl.Boolean)
    if since is not None:
        kept = kept & (times >= since.astimezone(UTC).replace(tzinfo=None))
    if until is not None:
        kept = kept & (times < until.astimezone(UTC).replace(tzinfo=None))
    return kept.fill_null(value=False)
