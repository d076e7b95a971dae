"""Hold-outs respect time, keys and classes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.splits import split
from lifecycle.models.tables import check_training


def table(rows=100, *, time=False, key=None, y=None):
    made = pd.DataFrame({"x": np.arange(rows), "late": np.arange(rows) % 2 if y is None else y})
    if time:
        made["ts"] = pd.date_range("2026-01-01", periods=rows, freq="h")
    if key is not None:
        made["id"] = key
    return check_training(
        made, target="late", time="ts" if time else "", key="id" if key is not None else ""
    )


def test_auto_prefers_time_then_keys_then_classes():
    keys = np.arange(100) // 5
    assert split(table(time=True, key=keys), share=0.2, how="auto", seed=0).how == "time"
    assert split(table(key=keys), share=0.2, how="auto", seed=0).how == "group"
    assert split(table(key=np.arange(100)), share=0.2, how="auto", seed=0).how == "stratified"
    amounts = table(y=np.linspace(0.5, 9.7, 100))
    assert split(amounts, share=0.2, how="auto", seed=0).how == "random"


def test_a_time_split_holds_out_the_last_rows_and_parts_no_instant():
    made = table(time=True)
    found = split(made, share=0.2, how="time", seed=0)
    assert found.holdout.tolist() == list(range(80, 100))
    ties = made.frame.copy()
    ties.loc[78:82, "ts"] = ties.loc[80, "ts"]
    tied = check_training(ties, target="late", time="ts")
    cut = split(tied, share=0.2, how="time", seed=0)
    assert cut.holdout.min() == 78


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 120), st.floats(0.1, 0.5), st.integers(0, 5), st.integers(2, 9))
def test_every_split_is_a_partition_and_no_key_is_on_both_sides(rows, share, seed, size):
    made = table(rows, key=np.random.default_rng(seed).permutation(rows) // size)
    for how in ("group", "stratified", "random"):
        try:
            found = split(made, share=share, how=how, seed=seed)
        except DataError:
            continue  # one side would be empty or hold one class
        assert sorted([*found.train, *found.holdout]) == list(range(rows))
        again = split(made, share=share, how=how, seed=seed)
        assert again.holdout.tolist() == found.holdout.tolist()
        if how == "group":
            keys = made.frame["id"].to_numpy()
            assert not set(keys[found.train]) & set(keys[found.holdout])


def test_a_stratified_split_keeps_the_shares_of_the_classes():
    rare = (np.arange(200) % 10 == 0).astype(int)
    found = split(table(200, y=rare), share=0.2, how="stratified", seed=3)
    assert rare[found.holdout].sum() == 4
    assert len(found.holdout) == 40


@pytest.mark.parametrize(
    ("how", "share", "message"),
    [
        ("time", 0.2, "needs a time column"),
        ("group", 0.2, "needs a key column"),
        ("random", 1.0, "leaves one side empty"),
        ("random", 0.0, "leaves one side empty"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(how, share, message):
    with pytest.raises(DataError, match=message):
        split(table(), share=share, how=how, seed=0)


def test_one_class_in_the_hold_out_is_refused_with_the_way_out():
    late = np.array([0, 1] * 40 + [1] * 20)
    with pytest.raises(DataError, match="hold-out rows hold one class only, 1") as caught:
        split(table(time=True, y=late), share=0.2, how="auto", seed=0)
    assert "stratified" in caught.value.fix
    assert "late" in caught.value.where


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=20, max_size=120),
    st.floats(0.05, 0.6),
    st.integers(0, 9),
)
def test_no_instant_is_on_both_sides_and_training_comes_first(hours, share, seed):
    moments = pd.Timestamp("2026-01-01") + pd.to_timedelta(hours, unit="h")
    frame = pd.DataFrame({"x": np.arange(len(hours)), "y": np.arange(len(hours)) * 1.5 + 0.25})
    made = check_training(
        frame.assign(ts=moments).sample(frac=1.0, random_state=seed), target="y", time="ts"
    )
    try:
        found = split(made, share=share, how="time", seed=seed)
    except DataError as error:
        said = error.what
        found = None
    if found is None:
        assert "leaves one side empty" in said
        return
    times = made.frame["ts"].to_numpy()
    assert times[found.train].max() < times[found.holdout].min()
    assert len(found.holdout) >= round(len(hours) * share) - 1, "the last instant is kept whole"


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 200), st.floats(0.1, 0.4), st.integers(0, 99))
def test_large_keys_are_not_cut_and_the_share_is_reached(rows, share, seed):
    keys = np.random.default_rng(seed).zipf(1.5, rows) % 25
    made = table(rows, key=keys, y=np.linspace(0.0, 1.0, rows) + 0.001)
    if len(set(keys)) < 3:
        return
    try:
        found = split(made, share=share, how="group", seed=seed)
    except DataError:
        return  # one key holds nearly all rows
    own = made.frame["id"].to_numpy()
    assert not set(own[found.holdout]) & set(own[found.train])
    assert len(found.holdout) >= share * rows, "never less than was asked for"


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 300), st.integers(2, 4), st.integers(0, 99))
def test_every_class_is_held_out_in_its_own_share(rows, classes, seed):
    y = np.random.default_rng(seed).integers(0, classes, rows)
    if np.bincount(y, minlength=classes).min() < 5:
        return
    found = split(table(rows, y=y), share=0.25, how="stratified", seed=seed)
    for label in range(classes):
        held = int((y[found.holdout] == label).sum())
        assert held == round(int((y == label).sum()) * 0.25)


def test_another_seed_holds_out_other_rows_and_the_same_seed_the_same():
    made = table(200)
    for how in ("random", "stratified"):
        one, two, again = (split(made, share=0.2, how=how, seed=seed) for seed in (1, 2, 1))
        assert one.holdout.tolist() == again.holdout.tolist()
        assert one.holdout.tolist() != two.holdout.tolist()
