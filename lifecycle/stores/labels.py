"""Late labels: what turned out to be true of predictions, stored by prediction id.

>>> import tempfile
>>> from lifecycle.stores.ids import issue
>>> key = b"s" * 32
>>> with tempfile.TemporaryDirectory() as folder:
...     store = LabelStore(folder)
...     late = pl.DataFrame({"prediction_id": [issue(key, model="churn", version=7, time=0)],
...                          "label": [1]})
...     store.add("churn", late, key).accepted, store.add("churn", late, key).repeated
(1, 1)

A batch is one Parquet file of `labels/model=NAME/`, so it is taken whole or not at all. A label
that is given again is counted and not stored twice; one that contradicts what is stored refuses
its batch.
"""

import fcntl
import os
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import polars as pl

from lifecycle.durations import spoken
from lifecycle.errors import LabelError, LogError
from lifecycle.records import Feedback
from lifecycle.stores import ids, sealed
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.rows import TIME

ALIKE = 3  # labels whose times are off alike are those of a clock
MANY_FILES = 64  # so many batches of a model become one file
_SHOWN = 3  # ids or keys that an error names
_EMPTY = pl.DataFrame(schema={"prediction_id": pl.String, "label": pl.Null, "time": TIME})


class LabelStore:
    """The labels of all models of a prediction log; safe for several processes at once."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def add(
        self,
        model: str,
        frame: pl.DataFrame,
        secret: bytes,
        *,
        target: str = "",
        key: str = "key",
        time: str = "time",
        tolerance: timedelta = timedelta(0),
        like: pl.DataType | None = None,
    ) -> Feedback:
        """Take a batch of labels, whole or not at all.

        With a column `prediction_id`, every id must be one that was issued for this model. Without
        one, the key column and the time column name the prediction: all predictions of that key at
        that time get the label (several versions may have answered), or those at the nearest time
        within `tolerance`, the earlier of two as near. Without times, the label goes to the key's
        predictions, which must then have been made at one time only.

        Args:
            model: the registered model's name.
            frame: one row a label; the label stands in `label` or in the target's column.
            secret: what `stores.ids.secret` returned.
            target: the name of the model's target column.
            key: the column of keys.
            time: the column of the predictions' times, UTC without a zone.
            tolerance: how far from a prediction's time a label's time may be.
            like: the type that the model answers; labels become it where no value changes.

        Returns:
            How many rows were accepted, repeated what was known, or met no prediction (those are
            not stored); they add up to the rows of the batch.

        Raises:
            LabelError: a column is missing, a label is null or of another type, an id is forged or
                of another model, a key is ambiguous, or labels contradict each other or what is
                stored; nothing is stored then.
            LogError: the store cannot be read or written.
        """
        chosen = _label_column(frame, target)
        rows = pl.DataFrame({"row": range(len(frame)), "label": frame[chosen]})
        if len(frame) == 0:
            raise LabelError("the batch has no rows", where=model, fix="check the export")
        if rows["label"].null_count():
            row = rows["label"].is_null().arg_max()
            raise LabelError(f"the label of row {row} is null", where=chosen, fix="leave it out")
        if "prediction_id" in frame.columns:
            named = _by_id(frame["prediction_id"], secret, model)
            rows = rows.with_columns(prediction_id=named)
        else:
            rows = rows.join(
                self._by_key(model, frame, key, time, tolerance), on="row", how="inner"
            )
        unmatched = len(frame) - rows["row"].n_unique()
        hint = ""
        if unmatched and {key, time} <= set(frame.columns):
            lost = np.setdiff1d(np.arange(len(frame)), rows["row"].to_numpy())
            hint = self._apart(model, as_keys(frame[key])[lost], _utc(frame[time], time)[lost])
        if unmatched == len(frame):
            raise LabelError(
                f"none of the {unmatched:,} labels met a prediction of {model!r}",
                where=hint,
                fix="check that keys and times are written as in the prediction log",
            )
        with self._locked(model):
            known = self.read(model)
            given = _typed(rows["label"], known.schema["label"], like)
            rows = rows.with_columns(given)
            _no_contradiction(rows, known)
            fresh = rows.join(known, on="prediction_id", how="anti").unique(
                "prediction_id", keep="first", maintain_order=True
            )
            accepted = fresh["row"].n_unique()
            if accepted:
                self._store(model, fresh.select("prediction_id", "label"))
        return Feedback(model, accepted, len(frame) - unmatched - accepted, unmatched, hint)

    def read(self, model: str) -> pl.DataFrame:
        """All labels of a model, in the order they came.

        Returns:
            prediction_id, label (in its own type) and time (when it was taken in, UTC).

        Raises:
            LogError: a file is damaged; names it.
        """
        columns = _EMPTY.columns
        for attempt in range(3):
            paths = sorted(self._folder(model).glob("*.parquet"))
            try:
                frames = sealed.scan(paths, pl.lit(value=True), columns, skip_damaged=False)
                break
            except LogError:
                # batches are put together now and then: look again for what replaced them
                if attempt == 2 or all(path.exists() for path in paths):
                    raise
        if not frames:
            return _EMPTY
        together = sealed.unified(frames, columns).sort("time", maintain_order=True)
        return together.unique("prediction_id", keep="first", maintain_order=True)

    def erase(self, model: str, names: set[str]) -> int:
        """Remove labels for good; how many predictions they were of.

        Args:
            model: the registered model's name.
            names: their predictions' ids.

        Raises:
            LogError: a file is damaged or cannot be written; files are written anew one by one, so
                that some labels may be gone then and others not.
        """
        if not self._folder(model).is_dir():
            return 0
        gone: set[str] = set()
        with self._locked(model):
            for path in sorted(self._folder(model).glob("*.parquet")):
                everything = pl.lit(value=True)
                (frame,) = sealed.scan([path], everything, _EMPTY.columns, skip_damaged=False)
                theirs = frame["prediction_id"].is_in(list(names))
                if theirs.any():
                    gone |= set(frame.filter(theirs)["prediction_id"])
                    if theirs.all():
                        path.unlink()
                    else:
                        sealed.write_whole(frame.filter(~theirs), path)
        return len(gone)

    def _folder(self, model: str) -> Path:
        return self.directory / "labels" / f"model={quote(model, safe='')}"

    @contextmanager
    def _locked(self, model: str) -> Iterator[None]:
        folder = self._folder(model)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise LogError(
                f"labels cannot be stored: {error}", where=folder, fix="make the folder writable"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _store(self, model: str, fresh: pl.DataFrame) -> None:
        now = clock.time_ns()
        name = f"{now:020}-{os.getpid()}.parquet"
        batch = fresh.with_columns(time=pl.lit(now // 1000).cast(TIME))
        old = sorted(self._folder(model).glob("*.parquet"))
        if len(old) < MANY_FILES:
            sealed.write_whole(batch, self._folder(model) / name)
            return
        together = sealed.unified([self.read(model), batch], batch.columns)
        sealed.write_whole(together, self._folder(model) / name)
        for path in old:  # a crash here leaves labels twice, which `read` counts once
            path.unlink()

    def _by_key(
        self, model: str, frame: pl.DataFrame, key: str, time: str, tolerance: timedelta
    ) -> pl.DataFrame:
        """The prediction ids of each row: columns row and prediction_id."""
        if key not in frame.columns:
            raise LabelError(
                f"the batch has neither a column 'prediction_id' nor {key!r}",
                where=", ".join(frame.columns),
                fix="name the predictions by id, or by key and time",
            )
        wanted = pl.DataFrame({"row": range(len(frame)), "key": as_keys(frame[key])})
        columns = ["prediction_id", "time", "key"]
        if time not in frame.columns:
            log = PredictionLog(self.directory).read(model, columns=columns)
            log = log.join(wanted.select("key").unique(), on="key", how="semi")
            times = log.group_by("key").agg(pl.col("time").n_unique())
            several = times.filter(pl.col("time") > 1)["key"].sort()
            if len(several):
                raise LabelError(
                    f"keys have predictions at several times: {_some(several)}",
                    where=model,
                    fix=f"add the column {time!r} with the time of each prediction",
                )
            return wanted.join(log, on="key").select("row", "prediction_id")
        wanted = wanted.with_columns(time=_utc(frame[time], time))
        try:
            first, last = wanted["time"].min(), wanted["time"].max()
            assert isinstance(first, datetime)
            assert isinstance(last, datetime)
            since, until = first - tolerance, last + tolerance + timedelta(microseconds=1)
        except (OverflowError, ValueError) as error:
            raise LabelError(
                "a time is outside the years 1 to 9999", where=time, fix="write ISO 8601, in UTC"
            ) from error
        log = PredictionLog(self.directory).read(model, since=since, until=until, columns=columns)
        moments = log.select("key", "time").unique().with_columns(at="time").sort("time")
        wanted = wanted.drop_nulls("key").sort("time")
        moments = moments.drop_nulls("key")
        joined = [
            wanted.join_asof(
                moments,
                on="time",
                by="key",
                strategy=strategy,
                tolerance=tolerance,
                check_sortedness=False,
            )
            for strategy in ("backward", "forward")
        ]
        near = pl.concat(joined).drop_nulls("at")
        near = near.with_columns(gap=(pl.col("time") - pl.col("at")).abs())
        near = near.sort("gap", "at").unique("row", keep="first", maintain_order=True)
        found = near.join(log, left_on=["key", "at"], right_on=["key", "time"])
        return found.select("row", "prediction_id")

    def _apart(self, model: str, keys: pl.Series, times: pl.Series) -> str:
        """Why labels met no prediction: an unknown key, or a time that is off, and by how much."""
        wanted = pl.DataFrame({"key": keys, "time": times}).drop_nulls("key").sort("time")
        log = PredictionLog(self.directory).read(model, columns=["key", "time"])
        log = log.drop_nulls("key").unique().with_columns(at="time").sort("time")
        met = wanted.join_asof(log, on="time", by="key", strategy="nearest", check_sortedness=False)
        strangers = met.filter(pl.col("at").is_null())["key"].unique().sort()
        if len(strangers):
            return f"keys that were never predicted: {_some(strangers)}"
        gaps = (met["time"] - met["at"]).dt.total_microseconds().to_numpy() / 1e6
        if not len(gaps):
            return "their keys are null"
        low, middle, high = (float(item) for item in np.quantile(gaps, [0.1, 0.5, 0.9]))
        if len(gaps) >= ALIKE and high - low <= max(1.0, 0.02 * abs(middle)):
            side = "later" if middle > 0 else "earlier"
            apart = spoken(timedelta(seconds=abs(middle)))
            return f"their times are all about {apart} {side}: is a clock or a time zone off?"
        far = spoken(timedelta(seconds=float(np.abs(gaps).max())))
        return f"their times are up to {far} from the nearest prediction: give a tolerance"


def _label_column(frame: pl.DataFrame, target: str) -> str:
    names = [name for name in dict.fromkeys(("label", target)) if name in frame.columns]
    if len(names) == 1:
        return names[0]
    wanted = " or ".join(repr(name) for name in dict.fromkeys(("label", target)) if name)
    raise LabelError(
        "the batch has both columns " + " and ".join(map(repr, names))
        if names
        else f"the batch has no column {wanted}",
        where=", ".join(frame.columns),
        fix=f"name the column of labels {wanted}",
    )


def _by_id(tokens: pl.Series, secret: bytes, model: str) -> pl.Series:
    if tokens.dtype != pl.String or tokens.null_count():
        raise LabelError(
            "the column 'prediction_id' holds nulls or no text", where=model, fix="leave those out"
        )
    return pl.Series(
        "prediction_id", [ids.check(secret, token, model=model).id for token in tokens]
    )


def as_keys(keys: pl.Series) -> pl.Series:
    """Keys as the text that the log keeps.

    >>> as_keys(pl.Series([7.0, None])).to_list()
    ['7', None]
    """
    known = keys.drop_nulls()
    if keys.dtype.is_float() and ((known == known.floor()) & (known.abs() < 2**63)).all():
        keys = keys.cast(pl.Int64)  # whole numbers that a null made floats
    return keys.cast(pl.String)


def _utc(times: pl.Series, name: str) -> pl.Series:
    try:
        if times.dtype == pl.String:
            times = pl.select(
                pl.lit(times).str.to_datetime(time_unit="us", time_zone="UTC")
            ).to_series()
        elif times.dtype == pl.Date or getattr(times.dtype, "time_zone", "") is None:
            times = times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        times = times.cast(TIME)
    except pl.exceptions.PolarsError as error:
        raise LabelError(
            f"the times cannot be read: {str(error).partition(chr(10))[0]}",
            where=name,
            fix="write ISO 8601, in UTC",
        ) from error
    if times.null_count():
        row = times.is_null().arg_max()
        raise LabelError(f"the time of row {row} is null", where=name, fix="leave the row out")
    return times


def _typed(labels: pl.Series, stored: pl.DataType, like: pl.DataType | None) -> pl.Series:
    """The labels in the type that is stored, or that the model answers, if no value changes."""
    wanted = stored if stored != pl.Null else (like or pl.Null())
    if labels.dtype.is_integer():
        labels = labels.cast(pl.Int64, strict=False)
        if labels.null_count():
            raise LabelError("a label is past 64 bits", where=labels.name, fix="leave it out")
    elif labels.dtype.is_float():
        labels = labels.cast(pl.Float64)
        if not labels.is_finite().all():
            raise LabelError("a label is not finite", where=labels.name, fix="leave it out")
    elif labels.dtype not in {pl.Boolean, pl.String}:
        labels = labels.cast(pl.String)
    if wanted in {pl.Null, labels.dtype}:
        return labels
    numbers = (pl.Int64, pl.Float64, pl.Boolean)
    if labels.dtype in numbers and wanted in numbers:
        cast = labels.cast(wanted)
        if (cast.cast(pl.Float64) == labels.cast(pl.Float64)).all():
            return cast
    raise LabelError(
        f"the labels are {labels.dtype}, those of the model are {wanted}",
        where=f"for example {labels[0]!r}",
        fix="convert the labels",
    )


def _no_contradiction(rows: pl.DataFrame, known: pl.DataFrame) -> None:
    within = rows.group_by("prediction_id").agg(pl.col("label").n_unique())
    torn = within.filter(pl.col("label") > 1)["prediction_id"].sort()
    if len(torn):
        raise LabelError(
            f"the batch gives {len(torn)} predictions different labels: {_some(torn)}",
            fix="give each prediction one label",
        )
    if not len(known):
        return
    both = rows.join(known, on="prediction_id", suffix="_known")
    against = both.filter(pl.col("label") != pl.col("label_known"))
    if len(against):
        named = against["prediction_id"].unique().sort()
        raise LabelError(
            f"{len(named)} labels contradict those that are stored: {_some(named)}",
            fix="leave them out; a stored label is not changed",
        )


def _some(names: pl.Series) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names.head(_SHOWN).to_list()) + more
