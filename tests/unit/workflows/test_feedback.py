import pandas as pd
import polars as pl
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, LabelError
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.workflows.feedback import feedback

NOW = 1_775_044_800_000_000  # 2026-04-01T12:00


@pytest.fixture
def known(config):
    """Ids of two logged predictions, of customers c1 and c2 at 12:00 and 13:00."""
    import numpy as np

    secret = ids.secret(config.log.dir)
    names = [ids.issue(secret, model="churn", version=1, time=NOW) for _ in range(2)]
    with PredictionWriter(config.log.dir, seal_seconds=1e6, background=False) as writer:
        for place, name in enumerate(names):
            writer.append(
                "churn",
                1,
                name,
                time=NOW + place * 3_600_000_000,
                key=f"c{place + 1}",
                features={"x": np.zeros(1)},
                prediction=np.array([True]),
            )
    return names


def stored(config):
    rows = LabelStore(config.log.dir).read("churn")
    return dict(zip(rows["prediction_id"], rows["label"], strict=True))


def test_a_list_of_dicts_is_enough(config, known):
    given = [{"prediction_id": name, "label": 1} for name in known]
    assert feedback(config, given).accepted == 2
    assert stored(config) == dict.fromkeys(known, True)  # the type that the model answers


@pytest.mark.parametrize("kind", ["pandas", "polars", "csv", "parquet"])
def test_frames_and_files_in_each_form(config, known, tmp_path, kind):
    frame = pd.DataFrame(
        {
            "customer_id": ["c1", "c2", "c9"],
            "ts": ["2026-04-01 12:00:00", "2026-04-01 13:00:00", "2026-04-01 12:00:00"],
            "churned": [0, 1, 1],
        }
    )
    given = {"pandas": frame, "polars": pl.from_pandas(frame)}.get(kind, tmp_path / f"late.{kind}")
    if kind == "csv":
        frame.to_csv(given, index=False)
    elif kind == "parquet":
        frame.to_parquet(given)
    done = feedback(config, given)
    assert (done.accepted, done.unmatched) == (2, 1)
    assert stored(config) == {known[0]: False, known[1]: True}


def test_generic_names_do_as_well(config, known):
    given = pd.DataFrame({"key": ["c1"], "time": ["2026-04-01T12:00"], "label": [0]})
    assert feedback(config, given).accepted == 1
    assert stored(config) == {known[0]: False}


def test_a_bad_batch_stores_nothing(config, known):
    for given in (
        [{"prediction_id": known[0], "label": 1}, {"prediction_id": "forged", "label": 1}],
        [{"prediction_id": known[0], "label": 1}, {"prediction_id": known[1], "label": "x"}],
        [{"prediction_id": known[0]}],
        [3],
        [],
    ):
        with pytest.raises(LabelError):
            feedback(config, given)
    assert stored(config) == {}


def test_a_missing_file_and_name_are_said(config):
    with pytest.raises(DataError, match="no such file"):
        feedback(config, "late.csv")
    with pytest.raises(ConfigError, match="no model name"):
        feedback(Config(), [{"label": 1}])


def test_names_are_the_champions_where_the_config_has_none(config, known):
    bare = config.with_values(target="", key="", time="")
    with pytest.raises(LabelError, match="no column 'label'"):
        feedback(bare, [{"prediction_id": known[0], "churned": 1}])  # nothing is registered


def test_the_champions_target_wins_over_the_configs(config, known, logged_model):
    from lifecycle.stores.tracking import connect
    from lifecycle.workflows.adopt import adopt

    client = connect(config)
    client.create_registered_model("churn")
    client.create_model_version("churn", logged_model(client))
    client.set_registered_model_alias("churn", "champion", "1")
    adopt(config.with_values(target="", time="", key=""), "churn/1", target="late")
    unrelated = config.with_values(target="other")
    given = [{"prediction_id": known[0], "late": 1, "other": 0}]
    assert feedback(unrelated, given).accepted == 1
    assert stored(config) == {known[0]: True}


@pytest.mark.parametrize(("tolerance", "accepted"), [("20m", 1), ("1h", 2)])
def test_a_tolerance_is_written_as_a_length(config, known, tolerance, accepted):
    times = ["2026-04-01 12:15", "2026-04-01 13:45"]
    given = pd.DataFrame({"key": ["c1", "c2"], "time": times, "label": [True, False]})
    found = feedback(config, given, tolerance=tolerance)
    assert (found.accepted, found.unmatched) == (accepted, 2 - accepted)
    assert set(stored(config)) == set(known[:accepted])


def test_a_tolerance_that_is_none_is_refused_before_anything(config, known):
    given = [{"prediction_id": known[0], "label": True}]
    with pytest.raises(ConfigError, match=r"'tolerance' is 'soon'.*90s, 5m"):
        feedback(config, given, tolerance="soon")
    assert stored(config) == {}


@pytest.mark.usefixtures("known")
def test_the_command_takes_a_tolerance(config, tmp_path, capsys):
    import json

    from lifecycle.cli import main

    path = tmp_path / "late.csv"
    path.write_text("key,time,label\nc1,2026-04-01 12:15,true\n")
    options = ["feedback", "churn", "--labels", str(path), "--log", config.log.dir, "--json"]
    for more, code in (([], 1), (["--tolerance", "20m"], 0), (["--tolerance", "x"], 1)):
        with pytest.raises(SystemExit) as left:
            main([*options, *more])
        assert left.value.code == code
        said = json.loads(capsys.readouterr().out)
        assert ("error" in said) is bool(code)
    assert "no length of time" in said["error"]["what"]
