"""A first lifecycle.toml: the guesses, and that what is written can be read."""

import re
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import load_config
from lifecycle.errors import ConfigError, DataError
from lifecycle.workflows.init import guess, init

FLIGHTS = str(files("lifecycle") / "data" / "flights.parquet")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def uncommented(text):
    """The file with every suggested key switched on, as a user would do it."""
    return re.sub(r"^# (\w+ = .+)$", r"\1", text, flags=re.MULTILINE)


def test_the_flights_are_guessed_right():
    init(FLIGHTS)
    config = load_config("lifecycle.toml", environ={})
    assert (config.name, config.target, config.time, config.key) == (
        "flights", "late", "time", "flight_id",
    )  # fmt: skip


def test_every_suggested_key_is_a_key(churn):
    churn.to_csv("churn.csv", index=False)
    text = init("churn.csv")
    Path("all.toml").write_text(uncommented(text), encoding="utf-8")
    config = load_config("all.toml", environ={})
    assert uncommented(text) != text
    assert config.task == "binary"
    assert config.gates.floor == {"roc_auc": 0.65}
    assert config.train.candidates == ("logistic_regression", "hist_gradient_boosting")


def test_what_is_written_is_what_is_returned_and_says_why(churn):
    churn.to_parquet("churn.parquet")
    text = init("churn.parquet", output="other.toml")
    assert Path("other.toml").read_text(encoding="utf-8") == text
    config = load_config("other.toml", environ={})
    assert (config.target, config.time, config.key) == ("churned", "ts", "customer_id")
    assert "the last with two values" in text
    assert '"paperless"' in text  # the other column with two values
    assert "never a feature" in text


def test_an_existing_file_is_never_touched(churn):
    churn.to_csv("churn.csv", index=False)
    Path("lifecycle.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="not overwritten"):
        init("churn.csv")
    assert Path("lifecycle.toml").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_does_not_exist_is_a_clear_error(churn):
    churn.to_csv("churn.csv", index=False)
    with pytest.raises(ConfigError, match="cannot be written"):
        init("churn.csv", output="nowhere/lifecycle.toml")


def test_a_missing_data_file_writes_nothing():
    with pytest.raises(DataError, match=r"nothing\.csv"):
        init("nothing.csv")
    assert not Path("lifecycle.toml").exists()


def test_one_column_is_not_enough():
    with pytest.raises(DataError, match="at least one more column"):
        guess(pd.DataFrame({"y": [0, 1]}))


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1] * 20, "binary"),
        ([True, False] * 20, "binary"),
        (["a", "b", "c", "d"] * 10, "multiclass"),
        ([1, 2, 3, 4] * 10, "multiclass"),
        (list(range(40)), "regression"),
        ([0.5, 1.5, 2.5, 3.5] * 10, "regression"),
    ],
)
def test_the_task_follows_from_the_target(values, task):
    assert guess(pd.DataFrame({"x": range(40), "target": values})).task == task


def test_a_name_that_says_target_wins_over_two_values():
    frame = pd.DataFrame({"label": ["a", "b", "c"] * 10, "x": range(30), "flag": [0, 1] * 15})
    assert guess(frame).target == "label"
    assert guess(frame.drop(columns="label")).target == "flag"


def test_constant_and_key_columns_are_no_target():
    frame = pd.DataFrame({"user_id": range(30), "one": 1})
    found = guess(frame)
    assert (found.target, found.key) == ("", "user_id")
    assert "None was found" in found.target_reason


def test_several_times_are_named():
    frame = pd.DataFrame(
        {
            "booked": pd.date_range("2026-01-01", periods=3),
            "departure_time": ["2026-02-01T10:00:00", "2026-02-01T11:00:00", None],
            "late": [0, 1, 0],
        }
    )
    found = guess(frame)
    assert found.time == "departure_time"
    assert '"booked"' in found.time_reason


def test_text_that_only_sounds_like_a_time_is_none():
    frame = pd.DataFrame({"day": ["Monday", "Tuesday", "Friday"], "late": [0, 1, 0]})
    assert guess(frame).time == ""


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=30, deadline=None)
@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_any_column_names_give_a_file_that_can_be_read(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("names")
    frame = pd.DataFrame({name: [0, 1, index] for index, name in enumerate(names)})
    frame.to_parquet(folder / "rows.parquet")
    init(folder / "rows.parquet", output=folder / "lifecycle.toml")
    config = load_config(folder / "lifecycle.toml", environ={})
    assert config.target in {*names, ""}
