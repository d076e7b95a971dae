"""The bundled flights: what the demo and the documentation say of them holds."""

import importlib.resources
import importlib.util
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
FLIGHTS = importlib.resources.files("lifecycle") / "data" / "flights.parquet"
AFTER_DEPARTURE = {"dep_delay", "dep_time", "arr_time", "arr_delay", "air_time"}


@pytest.fixture(scope="module")
def flights():
    return pl.read_parquet(str(FLIGHTS))


@pytest.fixture(scope="module")
def build_data():
    path = ROOT / "examples" / "flights" / "build_data.py"
    spec = importlib.util.spec_from_file_location("build_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_row_a_flight_that_arrived_in_order_of_departure(flights):
    assert flights.height == 327_346
    assert flights["flight_id"].n_unique() == flights.height
    assert flights["time"].is_sorted()
    assert flights["time"].dt.year().unique().to_list() == [2013]
    assert flights["time"].dt.month().n_unique() == 12


def test_the_file_is_small_enough_to_ship():
    assert Path(str(FLIGHTS)).stat().st_size < 4_000_000


def test_nothing_that_is_known_only_after_departure(flights, build_data):
    assert flights.columns == build_data.COLUMNS
    assert not AFTER_DEPARTURE & set(flights.columns)


def test_the_target_has_two_values_and_no_gap(flights):
    assert sorted(flights["late"].unique().to_list()) == [0, 1]
    assert 0.24 < flights["late"].mean() < 0.25


def test_the_clock_of_the_departure_is_the_clock_of_its_time(flights):
    clock = flights["time"].dt.hour().cast(pl.Int64) * 60 + flights["time"].dt.minute()
    assert (clock == flights["sched_dep"]).all()
    assert flights["sched_arr"].max() < 24 * 60


def test_weather_joined_at_the_right_hour(flights, build_data):
    frame = flights.to_pandas()
    build_data.check(frame)
    shifted = frame.assign(time=frame["time"] + pd.Timedelta(hours=5))
    with pytest.raises(AssertionError, match="afternoon"):
        build_data.check(shifted)


def test_clock_numbers_become_minutes(build_data):
    assert build_data.minutes(pd.Series([0, 517, 2359])).tolist() == [0, 317, 1439]


def test_build_drops_what_never_arrived_and_joins_by_utc_hour(build_data):
    flights = pd.DataFrame(
        {
            "year": 2013, "month": 11, "day": 3, "carrier": "UA", "flight": [1, 2, 3],
            "origin": ["EWR", "EWR", "LGA"], "dest": "IAH", "distance": 1400,
            "sched_dep_time": [517, 45, 600], "sched_arr_time": [800, 330, 900],
            "arr_delay": [15.0, None, 14.0],
            "time_hour": ["2013-11-03T10:00:00Z", "2013-11-03T04:00:00Z", "2013-11-03T11:00:00Z"],
        }
    )  # fmt: skip
    weather = pd.DataFrame({name: [1.0] for name in build_data.WEATHER}).assign(
        origin="EWR", time_hour="2013-11-03T10:00:00Z", temp=50.0
    )
    frame = build_data.build(flights, weather)
    assert frame["flight_id"].tolist() == ["20131103-UA1-EWR", "20131103-UA3-LGA"]
    assert frame["late"].tolist() == [1, 0]
    assert frame["sched_dep"].tolist() == [317, 360]
    assert frame["weekday"].tolist() == [6, 6]
    assert frame["temp"].fillna(-1).tolist() == [50.0, -1.0]


def test_writing_twice_gives_the_same_bytes(build_data, flights, tmp_path):
    frame = flights.head(1000).to_pandas()
    build_data.write(frame, tmp_path / "a.parquet")
    build_data.write(frame, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "a.parquet").equals(flights.head(1000))
