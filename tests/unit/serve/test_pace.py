import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.pace import BOUNDLESS, INLINE_NS, LONGEST_NS, Pace


def test_one_slow_call_is_no_slow_model():
    pace = Pace()
    for _ in range(5):
        pace.measured(1, 50_000)
        pace.measured(100, 200_000)
    pace.measured(1, 900_000_000)
    pace.measured(100, 900_000_000)
    assert pace.expected(1) == 50_000
    assert pace.expected(100) == 200_000
    for _ in range(10):
        pace.measured(1, 5_000_000)
    assert pace.expected(1) > 2_000_000


def test_a_fast_model_that_the_loop_kept_waiting_comes_back_from_the_thread():
    pace = Pace()
    for _ in range(20):  # as often as it happens
        while pace.expected(1) < INLINE_NS:
            pace.measured(1, 5_000_000)  # the machine is busy
        for _ in range(4):
            assert pace.expected(1) >= INLINE_NS
            pace.measured_in_thread(1, 6_000_000, 20_000)  # it waited for the interpreter
        assert pace.expected(1) < INLINE_NS
        pace.measured(1, 30_000)
        assert pace.expected(1) < INLINE_NS


def test_a_model_that_waits_is_tried_ever_more_rarely():
    pace, tried = Pace(), 0
    pace.measured(1, 50_000_000)
    for _ in range(1000):
        if pace.expected(1) < INLINE_NS:
            pace.measured(1, 50_000_000)  # it stops the loop
            tried += 1
        else:
            pace.measured_in_thread(1, 50_000_000, 20_000)
    assert 1 <= tried <= 8


def test_a_model_that_computes_stays_in_the_thread():
    pace = Pace()
    pace.measured(1, 3_000_000)
    for _ in range(100):
        pace.measured_in_thread(1, 4_000_000, 3_000_000)
        assert pace.expected(1) >= INLINE_NS


def test_pace_knows_long_from_short():
    pace = Pace()
    assert pace.expected(1) == 0
    pace.measured(1, 200_000)
    assert pace.expected(1) == 200_000
    assert pace.expected(10_000) > 1_000_000
    pace.measured(1000, 1_000_000)
    assert pace.expected(100) == 200_000
    assert pace.expected(5000) == pytest.approx(5_000_000)
    pace.measured(1, 100_000)
    assert 100_000 < pace.expected(1) < 200_000


@given(calls=st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10**10)), max_size=8))
@settings(max_examples=100, deadline=None)
def test_more_rows_are_never_expected_to_be_faster(calls):
    pace = Pace()
    for rows, nanoseconds in calls:
        pace.measured(rows, nanoseconds)
    expected = [pace.expected(rows) for rows in (1, 8, 9, 100, 10_000)]
    assert expected == sorted(expected)
    if calls:
        assert min(pace.call, pace.row) >= 0.0
        assert expected[-1] > 0.0


@pytest.mark.parametrize(
    ("pace", "rows"),
    [
        (Pace(), BOUNDLESS),
        (Pace(call=10_000_000.0), 100),  # nothing known of rows: they are taken to cost a little
        (Pace(call=9_000.0, row=7_000.0), 1_428),
        (Pace(call=9_000.0, row=10.0), 1_000_000),
        (Pace(row=1e9), 0),
    ],
)
def test_a_call_may_have_as_many_rows_as_end_in_time(pace, rows):
    assert pace.affordable() == rows
    if rows < BOUNDLESS:
        assert pace.expected(rows) <= LONGEST_NS
