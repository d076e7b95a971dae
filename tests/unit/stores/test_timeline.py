"""Checks in brief, in a real registry: entered once, read at once, never half."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import RegistryError
from lifecycle.stores import timeline
from lifecycle.stores.tracking import connect


@pytest.fixture
def client(config):
    return connect(config)


def test_what_was_entered_is_read(client):
    assert timeline.read(client, "churn") == {}
    timeline.add(client, "churn", "run1", {"version": 1, "effects": {"気温 (°C)": 0.25}})
    timeline.add(client, "churn", "run2", {"version": 2})
    assert timeline.read(client, "churn") == {
        "run1": {"version": 1, "effects": {"気温 (°C)": 0.25}},
        "run2": {"version": 2},
    }
    assert timeline.read(client, "other") == {}


def test_entering_twice_changes_nothing(client):
    timeline.add(client, "churn", "run1", {"version": 1})
    timeline.add(client, "churn", "run1", {"version": 9})
    assert timeline.read(client, "churn") == {"run1": {"version": 1}}


def test_a_full_run_is_followed_by_another(client):
    experiment = timeline.experiment_id(client, f"churn{timeline.SUFFIX}")
    run = client.create_run(experiment)
    from mlflow.entities import Param

    for start in range(0, timeline.MOST_ENTRIES, 100):
        client.log_batch(
            run.info.run_id,
            params=[Param(f"run{at}", '{"version":1}') for at in range(start, start + 100)],
        )
    timeline.add(client, "churn", "last", {"version": 2})
    assert len(client.search_runs([experiment])) == 2
    assert len(timeline.read(client, "churn")) == timeline.MOST_ENTRIES + 1
    assert timeline.read(client, "churn", most=1)["last"] == {"version": 2}


def test_two_runs_that_began_at_the_same_moment_are_both_read(client):
    experiment = timeline.experiment_id(client, f"churn{timeline.SUFFIX}")
    for at in range(2):
        run = client.create_run(experiment)
        client.log_param(run.info.run_id, f"run{at}", "{}")
    assert timeline.read(client, "churn") == {"run0": {}, "run1": {}}


@pytest.mark.parametrize("text", ["{half", "[1]", "null"])
def test_an_entry_that_was_changed_is_an_error_of_ours(client, text):
    timeline.add(client, "churn", "run1", {"version": 1})
    experiment = client.get_experiment_by_name(f"churn{timeline.SUFFIX}").experiment_id
    (run,) = client.search_runs([experiment])
    client.log_param(run.info.run_id, "run2", text)
    with pytest.raises(RegistryError, match="of the checks of churn"):
        timeline.read(client, "churn")


def test_a_deleted_experiment_says_how_to_restore_it(client):
    timeline.add(client, "churn", "run1", {"version": 1})
    experiment = client.get_experiment_by_name(f"churn{timeline.SUFFIX}").experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(RegistryError, match="was deleted"):
        timeline.read(client, "churn")


def test_the_smallest_effects_are_left_out_first():
    effects = {f"column {at}": at / 1000 for at in range(1000)}
    text = timeline.fitted({"effects": effects, "drifted_columns": ["column 999"], "version": 3})
    tree = json.loads(text)
    assert len(text) <= timeline.MOST_TEXT
    assert tree["effects"]["column 999"] == 0.999
    assert "column 1" not in tree["effects"]
    assert len(tree["effects"]) > 150
    assert tree["drifted_columns"] == ["column 999"]
    assert tree["version"] == 3


def test_the_last_names_are_left_out_then():
    names = [f"{at:03} {'x' * 96}" for at in range(200)]
    tree = json.loads(timeline.fitted({"effects": {}, "drifted_columns": names}))
    assert tree["drifted_columns"] == names[: len(tree["drifted_columns"])]
    assert 20 < len(tree["drifted_columns"]) < 60


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(max_size=30), st.floats(-1e6, 1e6), max_size=40),
    st.integers(60, 400),
)
def test_an_entry_fits_and_what_it_keeps_is_as_it_was(effects, most):
    text = timeline.fitted({"effects": effects, "drifted_columns": list(effects)}, most=most)
    assert len(text) <= most
    tree = json.loads(text)
    assert all(effects[name] == size for name, size in tree["effects"].items())
