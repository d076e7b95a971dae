"""Windows of the log by arm, segment and count, and rows that came too late for theirs."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import DataError
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.stores import ids
from lifecycle.stores import rows as log_rows
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.workflows.live import from_log
from lifecycle.workflows.segments import Segment

VERSION = ModelVersion("churn", 3)
SPEC = ModelSpec(
    1, "regression", (Column("x", "double"), Column("carrier", "string")), target="y", time="ts"
)
HOUR = np.timedelta64(1, "h")
START = np.datetime64("2026-01-01", "us")


def log(config, carriers, *, times=None, arm="champion", issued="2026-03-01"):
    """One row an hour of the given carriers; the ids in the order of the rows."""
    rows = len(carriers)
    at = int(np.datetime64(issued, "us").astype(int))
    token = ids.issue(
        ids.secret(config.log.dir), model="churn", version=3, time=at, arm=arm, rows=rows
    )
    times = START + np.arange(rows) * HOUR if times is None else times
    made = log_rows.frame(
        "churn", 3, token, rows=rows, time=times.astype("M8[us]"),
        features={"x": np.arange(float(rows)), "carrier": np.array(carriers, dtype=object)},
        prediction=np.arange(float(rows)), score=None, arm=arm, key=None, types={},
    )  # fmt: skip
    PredictionLog(config.log.dir).write("churn", made)
    return made["prediction_id"].to_list()


def read(config, **options):
    return from_log(config, VERSION, SPEC, **{"since": None, "until": None, **options})


def test_a_segment_is_a_part_of_the_window(config):
    log(config, ["EV", "UA"] * 10)
    live = read(config, segment=Segment("carrier", "EV"), until="2026-01-01T10:00")
    assert live.rows["x"].to_list() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert live.rows["prediction"].to_list() == live.rows["x"].to_list()


def test_an_arm_is_a_part_of_the_window(config):
    log(config, ["EV"] * 5)
    log(config, ["UA"] * 3, arm="challenger")
    assert read(config, arm="challenger").rows["carrier"].unique().to_list() == ["UA"]
    assert read(config).rows.height == 8


def test_an_unknown_arm_lists_the_arms(config):
    log(config, ["EV"])
    with pytest.raises(DataError, match=r"no arm 'challanger' of churn/3.*champion"):
        read(config, arm="challanger")


@pytest.mark.parametrize(
    ("segment", "match"),
    [(Segment("carrier", "ZZ"), "EV, UA|UA, EV"), (Segment("carier", "EV"), "did you mean")],
)
def test_an_unknown_segment_lists_what_there_is(config, segment, match):
    log(config, ["EV", "UA"])
    with pytest.raises(DataError, match=match):
        read(config, segment=segment)


def test_a_segment_without_rows_in_this_window_is_no_error(config):
    log(config, ["EV"] * 5 + ["UA"] * 5)
    live = read(config, segment=Segment("carrier", "UA"), until="2026-01-01T03:00")
    assert live.rows.height == 0
    assert "with carrier=UA until 2026-01-01T03:00" in live.empty


def test_nothing_logged_is_no_error_for_a_segment_either(config):
    live = read(config, segment=Segment("carrier", "UA"), arm="champion")
    assert live.rows.height == 0
    assert "by arm champion with carrier=UA" in live.empty


@pytest.mark.parametrize(("rows", "found"), [(1, 1), (7, 7), (10, 10), (99, 10)])
def test_the_oldest_rows_of_a_window(config, rows, found):
    log(config, ["EV"] * 10)
    assert read(config, rows=rows).rows["x"].to_list() == list(map(float, range(found)))


def test_rows_of_one_moment_stay_in_one_window(config):
    times = START + np.array([0, 1, 1, 1, 2]) * HOUR
    log(config, ["EV"] * 5, times=times)
    first = read(config, rows=2)
    assert first.rows.height == 4
    assert read(config, rows=2, since=first.end).rows.height == 1


def test_a_window_by_count_counts_rows_of_the_segment(config):
    log(config, ["EV", "UA"] * 10)
    live = read(config, rows=3, segment=Segment("carrier", "UA"))
    assert live.rows["x"].to_list() == [1.0, 3.0, 5.0]


def test_rows_that_came_after_the_check_of_their_window_are_counted(config):
    log(config, ["EV"] * 10, issued="2026-03-01")
    log(config, ["EV"] * 12, issued="2026-03-03")
    since = "2026-01-01T08:00"
    live = read(config, since=since, checked="2026-03-02")
    assert live.late == 8
    assert "8 rows came later than the window they belong to" in live.notes[0]
    assert read(config, since=since, checked="2026-03-04").late == 0
    assert read(config, since=since, checked="2026-02-01").late == 16
    assert read(config, since=since).late == 0


def test_late_rows_count_before_they_are_sealed(config):
    at = int(np.datetime64("2026-03-03", "us").astype(int))
    with PredictionWriter(config.log.dir, background=False) as writer:
        token = ids.issue(ids.secret(config.log.dir), model="churn", version=3, time=at)
        writer.append(
            "churn", 3, token, time=int(START.astype(int)), features={"x": np.array([1.0])},
            prediction=np.array([1.0]),
        )  # fmt: skip
        live = read(config, since="2026-01-02", checked="2026-03-02")
    assert live.late == 1
    assert "1 row came later" in live.notes[0]


def test_each_label_has_the_time_when_it_came(config):
    names = log(config, ["EV"] * 4)
    store = LabelStore(config.log.dir)
    before = dt.datetime.now(dt.UTC)
    late = pl.DataFrame({"prediction_id": names[:2], "label": [1.0, 2.0]})
    store.add("churn", late, ids.secret(config.log.dir))
    live = read(config)
    assert live.labels.to_list() == [1.0, 2.0, None, None]
    assert live.label_times.null_count() == 2
    assert live.label_times.min() >= before


def test_rows_from_the_future_and_labels_from_before_are_named(config):
    ahead = np.datetime64(
        dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(hours=3), "us"
    )
    names = log(config, ["EV"] * 3, times=np.array([START, ahead, ahead + HOUR]))
    late = pl.DataFrame({"prediction_id": names[:2], "label": [1.0, 2.0]})
    LabelStore(config.log.dir).add("churn", late, ids.secret(config.log.dir))
    live = read(config)
    assert live.rows.height == 3, "nothing is lost"
    assert live.labels.null_count() == 1
    future = next(note for note in live.notes if "from the future" in note)
    assert future.startswith("2 rows from the future, up to ")
    assert any(note.startswith("1 label came before the time of the row") for note in live.notes)


def test_clocks_that_differ_by_minutes_are_left_alone(config):
    soon = np.datetime64(
        dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(minutes=3), "us"
    )
    names = log(config, ["EV"], times=np.array([soon]))
    given = pl.DataFrame({"prediction_id": names, "label": [1.0]})
    LabelStore(config.log.dir).add("churn", given, ids.secret(config.log.dir))
    assert read(config).notes == ()
