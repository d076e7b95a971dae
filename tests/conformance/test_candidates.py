"""Every row of the candidates' table trains, is logged, loaded, compiled, and scores the same."""

import numpy as np
import pytest

from lifecycle.models.candidates import DEFAULTS, TABLE
from lifecycle.models.inputs import columns
from lifecycle.stores import artifacts
from lifecycle.stores.tracking import connect
from lifecycle.workflows.train import register, train

NOT_EXACT = {"knn", "naive_bayes", "calibrated", "dummy"}


@pytest.mark.parametrize("kind", TABLE)
def test_every_candidate_goes_the_whole_way(config, make_churn, kind):
    frame = make_churn(600)
    config = config.with_values(train__holdout=0.3)
    if kind == "regressor":
        config = config.with_values(target="tenure", task="regression")
    training = train(config, frame, candidates=tuple(TABLE[kind]))
    assert {item.name for item in training.candidates} == set(TABLE[kind])
    client = connect(config)
    fast = config.with_values(models__compile=False)
    for candidate in training.candidates:
        assert not candidate.error, candidate
        assert candidate.metrics
        exact = candidate.name not in NOT_EXACT
        version = register(config if exact else fast, candidate)
        held = artifacts.holdout(client, version)
        spec = artifacts.spec(client, version)
        inputs = columns(held, spec)
        original = artifacts.load(client, version, fast)
        assert original.how == "sklearn"
        answers = original.predict(inputs)
        expected = candidate.estimator.predict(held[list(spec.feature_names)])
        assert answers.prediction.tolist() == expected.tolist(), candidate.name
        if kind == "classifier":
            assert answers.scores.shape == (len(held), 2)
        if not exact:
            continue
        compiled = artifacts.load(client, version, config)
        assert compiled.how == "onnx", (candidate.name, version.tags["lifecycle.compiled"])
        again = compiled.predict(inputs)
        wanted = answers.prediction if answers.scores is None else answers.scores
        found = again.prediction if again.scores is None else again.scores
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=candidate.name)


@pytest.mark.parametrize("kind", TABLE)
def test_the_defaults_are_in_the_table(kind):
    assert set(DEFAULTS[kind]) <= set(TABLE[kind])
