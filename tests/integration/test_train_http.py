"""The same training through `mlflow server`: files go over HTTP and come back verified."""

import numpy as np

from lifecycle.models.inputs import columns
from lifecycle.stores import artifacts
from lifecycle.stores.tracking import connect
from lifecycle.workflows.train import register, train


def test_a_training_over_http_is_the_same(over_http, churn):
    config = over_http.with_values(name="churn-trained-over-http", tracking__timeout=30)
    training = train(config, churn, candidates=("logistic_regression", "decision_tree"))
    version = register(config, training.best)
    client = connect(config)
    assert version.tags["lifecycle.compiled"].startswith("sha256:")
    spec, held = artifacts.spec(client, version), artifacts.holdout(client, version)
    assert spec == training.best.spec
    model = artifacts.load(client, version, config)
    assert model.how == "onnx"
    reference = artifacts.reference(client, version)["score"].dropna().to_numpy()
    np.testing.assert_allclose(model.predict(columns(held, spec)).score, reference, atol=1e-9)
    plain = artifacts.load(client, version, config.with_values(models__compile=False))
    assert plain.how == "sklearn", "downloaded and verified"
