"""Versions of plain MLflow, of several kinds: used as they are, taken over, and the whole loop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from lifecycle.config import load_config
from lifecycle.records import ModelRef
from lifecycle.serve.copies import copy, warmed
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect, experiment_id, quiet

Cli = Callable[..., tuple[int, dict[str, Any]]]
FEATURES = ["tenure", "support_calls"]


def rule(model_input: pd.DataFrame) -> Any:
    return (model_input["support_calls"].to_numpy() > 2).astype(int)


def log(kind: str, frame: pd.DataFrame) -> None:
    """Log and register a model named old by plain MLflow's means."""
    features, target = frame[FEATURES].astype(float), frame["churned"]
    shape = infer_signature(features, target.to_numpy())
    known: dict[str, Any] = {"name": "model", "signature": shape}
    client = connect(load_config())
    with quiet(), mlflow.start_run(experiment_id=experiment_id(client, "elsewhere")):
        if kind == "function":
            known |= {"python_model": rule, "pip_requirements": ["pandas"]}
            logged = mlflow.pyfunc.log_model(**known)
        elif kind == "xgboost":
            boosted = pytest.importorskip("xgboost").XGBClassifier(n_estimators=5, n_jobs=1)
            known |= {"xgb_model": boosted.fit(features, target), "pip_requirements": ["xgboost"]}
            logged = mlflow.xgboost.log_model(**known)
        elif kind == "lightgbm":
            boosted = pytest.importorskip("lightgbm").LGBMClassifier(n_jobs=1, verbose=-1)
            known |= {"lgb_model": boosted.fit(features, target), "pip_requirements": ["lightgbm"]}
            logged = mlflow.lightgbm.log_model(**known)
        else:
            forest = RandomForestClassifier(5, max_depth=3, random_state=0)
            model = forest if kind == "pickle" else LogisticRegression(max_iter=500)
            known |= {"pip_requirements": ["scikit-learn"]}
            known |= {"signature": False} if kind == "no signature" else {}
            known |= {"serialization_format": "cloudpickle" if kind == "pickle" else "skops"}
            logged = mlflow.sklearn.log_model(model.fit(features, target), **known)
        mlflow.register_model(logged.model_uri, "old")


@pytest.fixture
def rows(new_world: Path, make_churn: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    (new_world / "lifecycle.toml").write_text("")
    frame = make_churn(600)[["ts", *FEATURES, "churned"]]
    frame = frame.assign(support_calls=frame["support_calls"].astype(float))
    frame.to_parquet("train.parquet")
    frame.drop(columns="churned").tail(200).to_parquet("live.parquet")
    return frame


ADOPT = ["adopt", "old/1", "--reference", "train.parquet", "--target", "churned", "--time", "ts"]
SCORE = ["score", "old/1", "--input", "live.parquet", "--output", "scores.csv"]


@pytest.mark.parametrize(
    "kind",
    [
        *["skops", "pickle", "function", "no signature"],
        *[pytest.param(kind, marks=pytest.mark.slow) for kind in ("xgboost", "lightgbm")],
    ],
)
def test_the_loop_on_what_people_have(
    kind: str, rows: pd.DataFrame, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(kind, rows)
    if kind in ("pickle", "function"):
        for arguments in (SCORE, ADOPT):
            code, told = cli(*arguments)
            assert code == 1
            assert "allow_pickle = true" in told["error"]["fix"]
        monkeypatch.setenv("LIFECYCLE_MODELS_ALLOW_PICKLE", "true")
    code, told = cli(*SCORE)
    assert code == 0, told
    before = pd.read_csv("scores.csv")["prediction"]
    Path("scores.csv").unlink()
    code, told = cli("gate", "old/1")
    assert code == 3, told
    assert "lifecycle adopt" in told["results"][0]["reason"]
    code, told = cli("monitor", "old")
    assert code == 1
    assert "no version of 'old' is in production" in told["error"]["message"]
    code, told = cli(*ADOPT)
    assert code == 0, told
    code, told = cli("gate", "old/1")
    assert code == 0, told
    for stage in ("staging", "production"):
        code, told = cli("promote", "old/1", "--to", stage)
        assert code == 0, told
    code, told = cli(*SCORE)
    assert code == 0, told
    assert pd.read_csv("scores.csv")["prediction"].tolist() == before.tolist()
    code, told = cli("monitor", "old", "--live", "live.parquet")
    assert code == 0, told
    client = connect(load_config())
    version = registry.find(client, "old/1")
    one = warmed(ModelRef("old", 1), copy(client, version, load_config()), load_config())
    assert one.loaded.together
    body = b'{"dataframe_split": {"columns": ["tenure", "support_calls"], "data": [[3.5, 1.0]]}}'
    assert len(one.loaded.predict(one.decoder.json(body).columns).prediction) == 1


def test_rows_that_a_model_without_a_signature_fails_on(rows: pd.DataFrame, cli: Cli) -> None:
    log("no signature", rows)
    rows[["tenure"]].to_parquet("live.parquet")
    code, told = cli(*SCORE)
    assert code == 1
    assert told["error"]["type"] == "DataError"
    assert "the model fails on these rows: ValueError" in told["error"]["what"]
    assert not Path("scores.csv").exists()


def test_a_version_without_an_example_is_warmed_by_a_plain_row(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    log("skops", rows)
    client, config = connect(load_config()), load_config()
    folder = copy(client, registry.find(client, "old/1"), config)
    assert not (folder / "model" / "serving_input_example.json").exists()
    seen = []
    predict = LogisticRegression.predict
    monkeypatch.setattr(
        LogisticRegression, "predict", lambda self, X: seen.append(X) or predict(self, X)
    )
    warmed(ModelRef("old", 1), folder, config)
    assert seen
    assert np.asarray(seen[0]).tolist() == [[0.0, 0.0]]
