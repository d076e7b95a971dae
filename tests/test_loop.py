"""The loop of one model's life, on sqlite with no server and through `mlflow server`."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import lifecycle as lc
from lifecycle.config import Config


@pytest.fixture(params=["sqlite", "http"])
def project(request: pytest.FixtureRequest, config: Config) -> lc.Project:
    if request.param == "http":
        uri = request.getfixturevalue("mlflow_server")
        name = "churn-loop"  # the server is shared; the model is this test's own
        return lc.Project(config=config.with_values(name=name, tracking__uri=uri))
    return lc.Project(config=config)


def moved(frame: pd.DataFrame) -> pd.DataFrame:
    """The same customers in a world where charges rose and calls mean something else."""
    rng = np.random.default_rng(5)
    frame = frame.copy()
    frame["charges"] = frame["charges"] + 40
    frame["churned"] = (rng.random(len(frame)) < 0.5).astype(int)
    return frame


def test_the_loop(project: lc.Project, make_churn: Callable[..., pd.DataFrame]):
    known = make_churn(3000)
    training = project.train(["logistic_regression", "hist_gradient_boosting"], known)
    assert [c.error for c in training.candidates] == ["", ""]
    first = project.register(training.best)
    assert first.digest
    assert project.gate(first).passed
    project.promote(first, to="staging")
    assert project.promote(first, to="production").stage == "production"

    bad = known.copy()
    bad["churned"] = bad["churned"].sample(frac=1, random_state=0).to_numpy()
    shuffled = project.register(
        project.train(["logistic_regression"], bad, validation=make_churn(1000, seed=9)).best
    )
    with pytest.raises(lc.GateRefused) as refusal:
        project.promote(shuffled, to="staging")
    assert refusal.value.exit_code == 2
    assert not refusal.value.report.passed

    calm = make_churn(1500, seed=1, start="2026-02-01")
    scores = project.score(calm.drop(columns="churned"))
    assert len(scores) == len(calm)
    assert scores["prediction_id"].is_unique
    quiet = project.monitor()
    assert not quiet.drifted, quiet.reasons

    live = moved(make_churn(1500, seed=2, start="2026-03-01"))
    project.score(live.drop(columns="churned"))
    told = project.feedback(live[["customer_id", "ts", "churned"]])
    assert (told.accepted, told.unmatched) == (len(live), 0)
    flagged = project.monitor(since="2026-03-01")
    assert flagged.drifted
    assert flagged.columns["charges"].drifted
    assert flagged.harmed
    assert flagged.exit_code == 2
    assert project.monitor(since="2026-03-01").repeated

    fresh = moved(make_churn(3000, seed=3, start="2026-03-10"))
    outcome = project.retrain(pd.concat([known, fresh]), if_flagged=True)
    assert outcome.version is not None
    assert outcome.training is not None

    third = project.register(project.train(["hist_gradient_boosting"], known).best)
    project.promote(third, to="production", force=True, reason="an emergency")
    assert project.status().production is not None
    assert project.status().production.version == third.version
    assert project.rollback(reason="not an emergency after all").version == first.version

    kinds = [entry.kind for entry in project.history().entries]
    assert kinds.count("register") >= 4
    assert {"gate", "stage", "flag", "retrain", "rollback"} <= set(kinds)
    assert project.history().warnings == ()

    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{project.name}@champion")
    features = [column.name for column in model.metadata.get_input_schema().inputs]
    answers = model.predict(calm[features].astype({"support_calls": float}).head(50))
    assert list(answers) == list(project.score(calm.head(50))["prediction"])
