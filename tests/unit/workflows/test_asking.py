"""What a call of monitor asks for is checked as a whole before any work."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, LifecycleError
from lifecycle.workflows.asking import ask
from lifecycle.workflows.segments import Segment

DAILY = Config().with_values(monitor__every="1d")
BY_ROWS = Config().with_values(monitor__rows=500)


def lengths(config: Config, **options: object) -> tuple[str, int]:
    section = ask(config, **options).config.monitor
    return section.every, section.rows


def test_what_a_call_names_wins_over_the_configuration():
    assert lengths(DAILY) == ("1d", 0)
    assert lengths(DAILY, rows=10) == ("", 10)
    assert lengths(BY_ROWS, every="6h") == ("6h", 0)
    assert lengths(DAILY, since="2026-03-01") == ("1d", 0), "windows from there on"
    assert lengths(DAILY, until="2026-03-01") == ("1d", 0), "windows until then"
    asked = ask(DAILY, alarms_per_year=0.0, notify=["json://127.0.0.1/hook"])
    assert asked.config.monitor.alarms_per_year == 0.0
    assert [item.shown for item in asked.receivers] == ["json://127.0.0.1"]
    assert asked.windowed


@pytest.mark.parametrize("config", [DAILY, BY_ROWS])
def test_a_named_window_and_a_table_are_one_window(config):
    assert lengths(config, since="2026-03-01", until="2026-03-02") == ("", 0)
    assert lengths(config, table=True) == ("", 0)
    assert not ask(config, table=True).windowed
    assert lengths(config, since="2026-03-01", until="2026-03-09", every="1d") == ("1d", 0)


def test_times_and_the_segment_are_read():
    asked = ask(Config(), since="2026-03-01T12:00+02:00", until="2026-03-02", segment="plan=pro")
    assert asked.since == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert asked.until == datetime(2026, 3, 2, tzinfo=UTC)
    assert asked.segment == Segment("plan", "pro")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"since": "2026-03-02", "until": "2026-03-01"}, "before it begins"),
        ({"since": "2026-03-02", "until": "2026-03-02"}, "before it begins"),
        ({"since": "yesterday-ish"}, "since is 'yesterday-ish'"),
        ({"until": "32 March"}, "until is '32 March'"),
        ({"segment": "pro"}, "no column and value"),
        ({"every": "0d"}, "no length of time"),
        ({"every": "-1d"}, "no length of time"),
        ({"every": "1d", "rows": 2}, "both given"),
        ({"rows": -1}, "'rows' is -1"),
        ({"alarms_per_year": float("inf")}, "'alarms_per_year' is inf"),
        ({"html": "no/such/folder/page.html"}, "no such folder"),
        ({"table": True, "every": "1d"}, "not from a table"),
        ({"table": True, "arm": "shadow"}, "not from a table"),
        ({"notify": ["slack://x"]}, "slack://…"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_a_next_step(options, said):
    with pytest.raises(LifecycleError, match=said) as told:
        ask(Config(), **options)
    assert isinstance(told.value, ConfigError | DataError)
    assert told.value.fix
    assert told.value.exit_code == 1


def test_a_setting_that_cannot_be_used_is_named_with_its_file():
    for key, value in (("catch_up", 0), ("rows", -1), ("alarms_per_year", -2.0)):
        wrong = replace(Config().with_values(**{f"monitor__{key}": value}), path="here.toml")
        with pytest.raises(ConfigError, match=f"'{key}' is {value:g}") as told:
            ask(wrong)
        assert told.value.where == "here.toml"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["", "1d", "90m"]),
    st.sampled_from([0, 7]),
    st.sampled_from([None, "6h"]),
    st.sampled_from([None, 5]),
    st.sampled_from([None, "2026-04-01"]),
)
def test_a_call_is_refused_or_has_one_kind_of_window(every, rows, given_every, given_rows, until):
    config = Config().with_values(monitor__every=every, monitor__rows=rows)
    since = until and "2026-03-01"
    try:
        found = lengths(config, every=given_every, rows=given_rows, since=since, until=until)
    except ConfigError:
        assert (given_every and given_rows) or (every and rows and not until)
        return
    assert not all(found)
    if given_every or given_rows:
        assert found == (given_every or "", given_rows or 0)
