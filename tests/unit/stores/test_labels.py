from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import LabelError, LogError
from lifecycle.records import Feedback
from lifecycle.stores import ids, labels
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionWriter

SECRET = b"k" * 32
NOW = 1_775_044_800_000_000  # 2026-04-01T12:00
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def token(rows=1, model="churn"):
    return ids.issue(SECRET, model=model, version=1, time=NOW, rows=rows)


def batch(names, values, **columns):
    return pl.DataFrame({"prediction_id": names, "label": values, **columns})


@pytest.fixture
def store(tmp_path):
    return LabelStore(tmp_path)


@pytest.fixture
def logged(tmp_path):
    """c1 was answered at 12 by two versions and at 14, c2 at 12; all in one log."""
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as writer:
        for name, key, hours, version in (
            ("a", "c1", 0, 1),
            ("b", "c1", 0, 2),
            ("c", "c1", 2, 2),
            ("d", "c2", 0, 1),
            ("e", None, 0, 1),
            ("f", "7", 0, 1),
        ):
            writer.append(
                "churn",
                version,
                name,
                time=NOW + hours * 3_600_000_000,
                key=key,
                features={"x": np.zeros(1)},
                prediction=np.array([1]),
            )
    return tmp_path


def stored(store, model="churn"):
    rows = store.read(model)
    return dict(zip(rows["prediction_id"], rows["label"], strict=True))


def test_labels_are_stored_by_id_with_their_type(store):
    first, several = token(), token(rows=3)
    given = batch([first, f"{several}.0", f"{several}.2"], [1, 0, 1])
    assert store.add("churn", given, SECRET) == Feedback("churn", 3)
    rows = store.read("churn")
    assert rows.schema == pl.Schema(
        {"prediction_id": pl.String, "label": pl.Int64, "time": pl.Datetime("us", "UTC")}
    )
    assert stored(store) == {first: 1, f"{several}.0": 0, f"{several}.2": 1}


@pytest.mark.parametrize("values", [[1, 0], [True, False], ["late", "on time"], [1.5, -2.0]])
def test_each_type_comes_back(store, values):
    store.add("churn", batch([token(), token()], values), SECRET)
    assert store.read("churn")["label"].to_list() == values


def test_a_repeated_label_is_counted_and_not_stored_again(store):
    names = [token() for _ in range(3)]
    store.add("churn", batch(names[:2], [1, 0]), SECRET)
    again = batch([*names, names[2], f"{names[0]}.0"], [1, 0, 1, 1, 1])
    assert store.add("churn", again, SECRET) == Feedback("churn", 1, repeated=4)
    assert store.add("churn", again, SECRET) == Feedback("churn", 0, repeated=5)
    assert stored(store) == dict(zip(names, [1, 0, 1], strict=True))


def test_a_contradiction_refuses_the_whole_batch_and_names_it(store):
    names = [token() for _ in range(6)]
    store.add("churn", batch(names, [1] * 6), SECRET)
    fresh = token()
    with pytest.raises(LabelError, match="5 labels contradict") as refused:
        store.add("churn", batch([fresh, *names], [1, 1, 0, 0, 0, 0, 0]), SECRET)
    assert min(names[1:]) in str(refused.value)
    assert "and 2 more" in str(refused.value)
    assert fresh not in stored(store)


def test_a_batch_that_contradicts_itself_is_refused(store):
    name = token()
    with pytest.raises(LabelError, match="1 predictions different labels"):
        store.add("churn", batch([name, f"{name}.0"], [1, 0]), SECRET)
    assert stored(store) == {}


@pytest.mark.parametrize("bad", ["forged", "foreign", "row", "text"])
def test_one_bad_id_refuses_the_whole_batch(store, bad):
    good = token()
    wrong = {
        "forged": good[:-4] + "AAAA",
        "foreign": token(model="fraud"),
        "row": f"{token(rows=2)}.2",
        "text": "id",
    }[bad]
    with pytest.raises(LabelError):
        store.add("churn", batch([good, wrong], [1, 1]), SECRET)
    assert stored(store) == {}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"prediction_id": ["x"]}, "no column 'label' or 'churned'"),
        ({"label": [1], "churned": [1], "key": ["a"]}, "both columns 'label' and 'churned'"),
        ({"label": [1]}, "neither a column 'prediction_id' nor 'key'"),
        ({"prediction_id": [None], "label": [1]}, "holds nulls"),
        ({"prediction_id": [5], "label": [1]}, "holds nulls or no text"),
        ({"prediction_id": ["x"], "label": [None]}, "label of row 0 is null"),
        ({"prediction_id": [], "label": []}, "no rows"),
        ({"key": ["a"], "label": [1], "time": ["soon"]}, "times cannot be read"),
        ({"key": ["a"], "label": [1], "time": [None]}, "time of row 0 is null"),
    ],
)
def test_a_batch_that_cannot_be_used_says_why(store, frame, said):
    with pytest.raises(LabelError, match=said):
        store.add("churn", pl.DataFrame(frame), SECRET, target="churned")
    assert stored(store) == {}


def test_labels_not_finite_are_refused(store):
    with pytest.raises(LabelError, match="not finite"):
        store.add("churn", batch([token()], [float("nan")]), SECRET)


def test_the_target_may_name_the_labels(store):
    name = token()
    given = pl.DataFrame({"prediction_id": [name], "churned": [1]})
    store.add("churn", given, SECRET, target="churned")
    assert stored(store) == {name: 1}


@pytest.mark.parametrize(
    ("like", "given", "kept"),
    [
        (pl.Int64(), [1.0, 0.0], [1, 0]),
        (pl.Int64(), [True, False], [1, 0]),
        (pl.Boolean(), [1, 0], [True, False]),
        (pl.Float64(), [3, 4], [3.0, 4.0]),
        (pl.String(), ["a", "b"], ["a", "b"]),
    ],
)
def test_labels_take_the_type_that_the_model_answers(store, like, given, kept):
    store.add("churn", batch([token(), token()], given), SECRET, like=like)
    found = store.read("churn")["label"]
    assert found.dtype == like
    assert found.to_list() == kept


@pytest.mark.parametrize(
    ("like", "given"),
    [(pl.Int64(), ["1"]), (pl.Int64(), [0.5]), (pl.Boolean(), [2]), (pl.String(), [1])],
)
def test_labels_of_another_type_are_refused(store, like, given):
    with pytest.raises(LabelError, match="the labels are"):
        store.add("churn", batch([token()], given), SECRET, like=like)


def test_the_stored_type_binds_later_batches(store):
    store.add("churn", batch([token()], [1]), SECRET)
    store.add("churn", batch([token()], [0.0]), SECRET, like=pl.Boolean())
    assert store.read("churn")["label"].to_list() == [1, 0]
    with pytest.raises(LabelError, match="those of the model are Int64"):
        store.add("churn", batch([token()], ["yes"]), SECRET)


def test_key_and_time_label_all_predictions_of_that_moment(logged):
    store = LabelStore(logged)
    given = pl.DataFrame(
        {"key": ["c1", "c2", "c3", None], "time": [NOON] * 4, "label": [1, 0, 1, 1]}
    )
    assert store.add("churn", given, SECRET) == Feedback("churn", 2, unmatched=2)
    assert stored(store) == {"a": 1, "b": 1, "d": 0}
    assert store.add("churn", given, SECRET) == Feedback("churn", 0, repeated=2, unmatched=2)


@pytest.mark.parametrize(
    "times",
    [
        ["2026-04-01T14:00:00"],
        ["2026-04-01 16:00:00+02:00"],
        [datetime(2026, 4, 1, 14)],  # noqa: DTZ001 - without a zone it is UTC
        pl.Series([NOON + 2 * HOUR]).dt.convert_time_zone("Europe/Berlin"),
        pl.Series([NOON + 2 * HOUR]).dt.cast_time_unit("ns"),
    ],
)
def test_times_are_read_in_each_form(logged, times):
    given = pl.DataFrame({"customer": ["c1"], "ts": times, "label": [1]})
    found = LabelStore(logged).add("churn", given, SECRET, key="customer", time="ts")
    assert found.accepted == 1
    assert stored(LabelStore(logged)) == {"c": 1}


def test_a_time_must_be_exact_unless_a_tolerance_is_given(logged):
    store = LabelStore(logged)
    near = pl.DataFrame({"key": ["c1", "c2"], "time": [NOON + 1.2 * HOUR] * 2, "label": [1, 0]})
    with pytest.raises(LabelError, match="none of the 2 labels met a prediction"):
        store.add("churn", near, SECRET)
    assert store.add("churn", near, SECRET, tolerance=HOUR) == Feedback("churn", 1, unmatched=1)
    assert stored(store) == {"c": 1}
    between = near.with_columns(time=pl.lit(NOON + HOUR))
    store.add("churn", between, SECRET, tolerance=HOUR)  # as near to 12 as to 14: the earlier
    assert stored(store) == {"c": 1, "a": 1, "b": 1, "d": 0}


@pytest.mark.parametrize(
    ("keys", "hours", "said"),
    [
        (["c1", "c2", "7"], [2.5, 0.5, 0.5], "all about 30 min later: is a clock or a time zone"),
        (["c1", "c2", "7"], [-2, -2, -2], "all about 2 h earlier: is a clock or a time zone off"),
        (["c1", "c2", "7"], [-0.5, 0.1, 5], "up to 5 h from the nearest prediction: give a tol"),
        (["c1", "c8", "c9"], [1, 1, 1], "keys that were never predicted: c8, c9"),
        ([None, None], [1, 1], "their keys are null"),
    ],
)
def test_what_meets_no_prediction_says_why(logged, keys, hours, said):
    times = [NOON + hour * HOUR for hour in hours]
    given = pl.DataFrame({"key": keys, "time": times, "label": [1] * len(keys)})
    given = given.with_columns(pl.col("key").cast(pl.String))
    with pytest.raises(LabelError, match=said):
        LabelStore(logged).add("churn", given, SECRET)
    met = pl.DataFrame({"key": ["c2"], "time": [NOON], "label": [1]})
    found = LabelStore(logged).add("churn", pl.concat([given, met]), SECRET)
    assert (found.accepted, found.unmatched) == (1, len(keys))
    assert said in found.hint


def test_days_are_times_too(logged):
    store = LabelStore(logged)
    given = pl.DataFrame({"key": ["c2"], "time": [date(2026, 4, 1)], "label": [1]})
    with pytest.raises(LabelError, match="none of the 1 labels"):
        store.add("churn", given, SECRET)
    assert store.add("churn", given, SECRET, tolerance=24 * HOUR).accepted == 1


def test_keys_alone_do_where_they_were_answered_at_one_time(logged):
    store = LabelStore(logged)
    alone = pl.DataFrame({"key": ["c2", "x"], "label": [1, 1]})
    assert store.add("churn", alone, SECRET) == Feedback("churn", 1, unmatched=1)
    with pytest.raises(LabelError, match="predictions at several times: c1"):
        store.add("churn", pl.DataFrame({"key": ["c1"], "label": [1]}), SECRET)
    assert stored(store) == {"d": 1}


@pytest.mark.parametrize("keys", [[7], [7.0], ["7"]])
def test_keys_may_be_numbers(logged, keys):
    store = LabelStore(logged)
    assert store.add("churn", pl.DataFrame({"key": keys, "label": [1]}), SECRET).accepted == 1
    assert stored(store) == {"f": 1}


def test_keys_that_contradict_each_other_are_refused(logged):
    given = pl.DataFrame({"key": ["c2", "c2"], "label": [1, 0]})
    with pytest.raises(LabelError, match="different labels: d"):
        LabelStore(logged).add("churn", given, SECRET)


def test_models_have_labels_of_their_own(store):
    name = token(model="a/b c")
    store.add("a/b c", batch([name], [1]), SECRET)
    assert stored(store, "a/b c") == {name: 1}
    assert stored(store) == {}


def test_many_batches_become_one_file(store, tmp_path, monkeypatch):
    monkeypatch.setattr(labels, "MANY_FILES", 4)
    names = [token() for _ in range(11)]
    for place, name in enumerate(names):
        store.add("churn", batch([name], [place]), SECRET)
        files = list((tmp_path / "labels" / "model=churn").glob("*.parquet"))
        assert len(files) <= 4
    assert stored(store) == {name: place for place, name in enumerate(names)}
    assert store.read("churn")["time"].n_unique() == len(names)


def test_labels_left_twice_by_a_crash_count_once(store, tmp_path):
    store.add("churn", batch([token()], [1]), SECRET)
    (path,) = (tmp_path / "labels" / "model=churn").glob("*.parquet")
    path.with_name("twin.parquet").write_bytes(path.read_bytes())
    assert len(store.read("churn")) == 1


def test_the_same_batch_from_several_at_once_is_stored_once(tmp_path):
    names = [token() for _ in range(20)]
    with ThreadPoolExecutor(6) as pool:
        taken = list(
            pool.map(
                lambda _: LabelStore(tmp_path).add("churn", batch(names, [1] * 20), SECRET),
                range(6),
            )
        )
    assert sorted(item.accepted for item in taken) == [0] * 5 + [20]
    assert len(LabelStore(tmp_path).read("churn")) == 20


def test_a_damaged_file_is_named(store, tmp_path):
    store.add("churn", batch([token()], [1]), SECRET)
    (path,) = (tmp_path / "labels" / "model=churn").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LogError, match=path.name):
        store.read("churn")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "labels").write_text("")
    with pytest.raises(LogError, match="labels cannot be stored"):
        LabelStore(tmp_path).add("churn", batch([token()], [1]), SECRET)
