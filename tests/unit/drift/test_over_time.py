import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.over_time import MOST, over_time
from lifecycle.models import metrics
from lifecycle.records import ModelSpec

SPEC = ModelSpec(1, "regression", (), primary_metric="mae")
FIRST = dt.datetime.fromisoformat("2026-01-01")


def hourly(rows, step=1.0):
    return pl.Series([FIRST + dt.timedelta(hours=step * row) for row in range(rows)])


@pytest.mark.parametrize(
    ("days", "stretches", "second"),
    [
        (0.5, 12, "2026-01-01T01:00:00"),
        (3, 12, "2026-01-01T06:00:00"),
        (7, 14, "2026-01-01T12:00:00"),
        (14, 14, "2026-01-02T00:00:00"),
        (60, 9, "2026-01-05T00:00:00"),
        (365, 12, "2026-02-01T00:00:00"),
        (1000, 11, "2026-04-01T00:00:00"),
    ],
)
def test_stretches_are_those_of_a_calendar(days, stretches, second):
    y = np.zeros(int(days * 24))
    points = over_time(y, y + 1.0, None, hourly(len(y)), spec=SPEC)
    assert len(points) == stretches <= MOST
    assert points[1].start == second
    assert sum(point.rows for point in points) == len(y)


def test_each_point_is_the_metric_of_its_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=480)
    guess = y + rng.normal(size=480) * np.repeat([1.0, 3.0], 240)
    points = over_time(y, guess, None, hourly(480), spec=SPEC)
    day = metrics.evaluate("mae", y[48:96], guess[48:96])
    assert points[1].start == "2026-01-03T00:00:00" or points[2].start == "2026-01-03T00:00:00"
    found = next(point for point in points if point.start == "2026-01-03T00:00:00")
    assert (found.value, found.low, found.high) == (day.value, day.low, day.high)
    assert found.end == "2026-01-04T23:00:00"
    assert points[-1].value > 2 * points[0].value


def test_a_stretch_with_few_labels_has_no_value():
    y = np.zeros(24 * 14).astype(object)
    y[24:40] = None
    points = over_time(y, np.ones(len(y)), None, hourly(len(y), 1.0), spec=SPEC)
    assert {point.rows for point in points} == {24}
    assert all(point.value is None for point in points), "24 labels are too few"
    many = over_time(np.repeat(y, 2), np.ones(2 * len(y)), None, hourly(2 * len(y), 0.5), spec=SPEC)
    assert [point.labelled for point in many][:3] == [48, 16, 48]
    assert [point.value is None for point in many][:3] == [False, True, False]


def test_rows_without_time_are_cut_by_count():
    y = np.zeros(1050)
    points = over_time(y, y, None, None, spec=SPEC)
    assert [point.rows for point in points] == [100] * 9 + [150]
    assert (points[1].start, points[1].end) == ("100", "199")


def test_a_stretch_of_one_class_has_no_area():
    spec = ModelSpec(1, "binary", (), classes=(0, 1), primary_metric="roc_auc")
    truth = np.repeat([0, 1], 200) * (np.arange(400) % 2)
    scores = np.random.default_rng(0).random(400)
    points = over_time(truth, scores > 0.5, scores, None, spec=spec)
    assert [point.value is None for point in points] == [True, True, False, False]


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_one_stretch_is_no_course(rows):
    y = np.zeros(rows)
    assert over_time(y, y, None, None, spec=SPEC) == ()
