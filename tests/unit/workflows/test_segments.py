import polars as pl
import pytest

from lifecycle.errors import DataError
from lifecycle.workflows.segments import Segment, unknown, within

ROWS = pl.DataFrame(
    {
        "carrier": ["EV", "UA", None, "A=B"],
        "hour": [5, 6, None, 5],
        "share": [0.5, 1.0, None, 0.5],
        "late": [True, False, None, True],
        "plan": pl.Series(["EV", "UA", None, "UA"], dtype=pl.Categorical),
    }
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("carrier=EV", [True, False, False, False]),
        (" carrier = EV ", [True, False, False, False]),
        ("carrier=A=B", [False, False, False, True]),
        ("hour=5", [True, False, False, True]),
        ("hour=5.0", [True, False, False, True]),
        ("share=.5", [True, False, False, True]),
        ("late=True", [True, False, False, True]),
        ("late=false", [False, True, False, False]),
        ("plan=UA", [False, True, False, True]),
        ("carrier=ZZ", [False] * 4),
    ],
)
def test_rows_of_a_segment(text: str, kept: list[bool]):
    assert within(ROWS, Segment.parse(text)).to_list() == kept


@pytest.mark.parametrize("text", ["", "carrier", "=EV", "carrier=", " = "])
def test_what_names_no_column_and_value_is_refused(text: str):
    with pytest.raises(DataError, match=r"names no column and value.*COLUMN=VALUE"):
        Segment.parse(text)


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(DataError, match=r"no column 'carier'.*did you mean 'carrier'.*hour"):
        within(ROWS, Segment("carier", "EV"))


def test_a_text_where_numbers_are_lists_the_numbers():
    with pytest.raises(DataError, match=r"'hour' holds numbers and 'noon' is none.*5, 6"):
        within(ROWS, Segment("hour", "noon"))


def test_an_unknown_value_lists_those_that_there_are():
    error = unknown(ROWS, Segment("carrier", "ZZ"))
    assert "no row has carrier = 'ZZ'" in str(error)
    assert all(name in error.fix for name in ("EV", "UA", "A=B"))


def test_many_values_are_not_all_listed():
    rows = pl.DataFrame({"key": [f"k{number}" for number in range(50)]})
    assert unknown(rows, Segment("key", "x")).fix.endswith("and 30 more")


def test_a_segment_is_written_as_it_is_read():
    assert str(Segment.parse("carrier=EV")) == "carrier=EV"
