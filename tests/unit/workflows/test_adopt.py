"""Taking over plain MLflow's versions: what is known is stored, what is not is asked for."""

import warnings

import mlflow
import numpy as np
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from lifecycle.drift import Profile
from lifecycle.errors import DataError, ModelNotFound, TransitionRefused, UntrustedModel
from lifecycle.models.inputs import columns
from lifecycle.stores import artifacts
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.registry import find, register
from lifecycle.stores.tracking import connect, experiment_id, quiet
from lifecycle.workflows.adopt import adopt

FEATURES = ["tenure", "support_calls", "paperless"]


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def plain(config):
    """Adopt with nothing known from the configuration."""
    return config.with_values(name="", target="", time="", key="")


@pytest.fixture
def log(client, churn):
    """Log a model by plain MLflow's means and register it as old/N."""

    def version(model, target="churned", *, signature=True, **options):
        fitted = model.fit(churn[FEATURES], churn[target])
        shape = infer_signature(churn[FEATURES], fitted.predict(churn[FEATURES]))
        experiment = experiment_id(client, "elsewhere")
        with quiet(), mlflow.start_run(experiment_id=experiment):
            logged = mlflow.sklearn.log_model(
                fitted,
                name="model",
                signature=shape if signature else False,
                pip_requirements=["scikit-learn"],
                **options,
            )
            return mlflow.register_model(logged.model_uri, "old")

    return version


def test_a_classifier_becomes_ours_with_all_that_the_verbs_need(plain, client, churn, log):
    log(LogisticRegression(max_iter=500))
    version = adopt(plain, "old/1", reference=churn, target="churned", time="ts", key="customer_id")
    assert version.adopted
    assert version.digest.startswith("sha256:")
    assert version.tags["lifecycle.compiled"].startswith(("sha256:", "no: "))
    spec = artifacts.spec(client, version)
    assert (spec.task, spec.classes, spec.threshold) == ("binary", (0, 1), None)
    assert (spec.target, spec.time, spec.key) == ("churned", "ts", "customer_id")
    assert spec.feature_names == tuple(FEATURES)
    assert spec.estimator == "LogisticRegression"
    assert spec.primary_metric == "roc_auc"
    assert 0.6 < spec.metric.low < spec.metric.value < spec.metric.high < 0.95
    assert spec.lineage.data_rows == len(churn)
    held = artifacts.holdout(client, version)
    assert list(held.columns) == [*FEATURES, "churned", "ts", "customer_id"]
    assert (held["churned"].to_numpy() == churn["churned"].to_numpy()).all()
    reference = artifacts.reference(client, version)
    assert list(reference.columns) == [*FEATURES, "ts", "score"]
    profile = Profile.loads(artifacts.profile_text(client, version))
    assert set(profile.columns) >= {*FEATURES, "score"}
    (entry,) = Ledger(client, "old").entries()
    assert (entry.kind, entry.version) == ("adopt", 1)
    assert entry.extra["digest"] == version.digest
    loaded = artifacts.load(client, version, plain)
    answers = loaded.predict(columns(churn, spec))
    expected = mlflow.pyfunc.load_model("models:/old/1").predict(churn[FEATURES])
    assert (answers.prediction == expected).all()
    assert answers.scores.shape == (len(churn), 2)


def test_without_a_reference_the_signature_is_all_there_is(plain, client, log):
    log(LogisticRegression(max_iter=500))
    version = adopt(plain, "old/1", target="churned")
    spec = artifacts.spec(client, version)
    assert (spec.task, spec.classes, spec.target, spec.metrics) == ("binary", (0, 1), "churned", ())
    with pytest.raises(ModelNotFound, match="adopt the version with what is missing"):
        artifacts.holdout(client, version)


def test_a_regression_is_known_by_its_answers(plain, client, churn, log):
    churn["charges_known"] = churn["charges"].fillna(70.0)
    log(LinearRegression(), target="charges_known")
    spec = artifacts.spec(client, adopt(plain, "old/1"))
    assert (spec.task, spec.classes) == ("regression", ())
    again = adopt(plain, "old/1", reference=churn, target="charges_known")
    spec = artifacts.spec(client, again)
    assert (spec.task, spec.primary_metric) == ("regression", "rmse")
    assert [entry.kind for entry in Ledger(client, "old").entries()] == ["adopt", "adopt"]


def test_a_path_and_a_configuration_do_as_well(config, client, churn, log, tmp_path):
    log(LogisticRegression(max_iter=500))
    churn.to_parquet(tmp_path / "train.parquet")
    version = adopt(config, "old/1", reference=tmp_path / "train.parquet")
    spec = artifacts.spec(client, version)
    assert (spec.target, spec.time, spec.key) == ("churned", "ts", "customer_id")
    assert spec.lineage.data_source.endswith("train.parquet")


def test_inputs_without_a_signature_are_the_reference_s_columns(plain, client, churn, log):
    log(LogisticRegression(max_iter=500), signature=False)
    with pytest.raises(DataError, match=r"no signature.*old/1.*--reference"):
        adopt(plain, "old/1", target="churned")
    version = adopt(plain, "old/1", reference=churn[[*FEATURES, "churned"]], target="churned")
    spec = artifacts.spec(client, version)
    assert {item.name: item.dtype for item in spec.features} == {
        "tenure": "double", "support_calls": "double", "paperless": "boolean",
    }  # fmt: skip


def numbers(answer):
    """A model of no known flavour that answers what it is told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow asks for type hints while the class is made

        class Numbers(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's names
                return np.resize(np.asarray(answer), len(model_input))

    return Numbers()


@pytest.mark.parametrize(
    ("answer", "target", "said"),
    [
        ([0, 1], "churned", ("binary", (0, 1))),
        (["basic", "plus"], "plan", ("multiclass", ("basic", "plus", "pro"))),
        ([1.5, 2.5], "tenure", ("regression", ())),
        ([0.2, 0.7], "churned", "probabilities cannot be known"),
        (["gold"], "plan", "answers 'gold', which is no value of 'plan'"),
        ([0, 1], "", "cannot be known.*target column"),
        ([0.5], "", ("regression", ())),
    ],
)
def test_custom_models_say_by_answers_and_target_what_they_are(  # noqa: PLR0917 - a table's row
    plain, client, churn, answer, target, said
):
    own = plain.with_values(models__allow_pickle=True)
    with quiet(), mlflow.start_run(experiment_id=experiment_id(client, "elsewhere")):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=numbers(answer),
            signature=infer_signature(churn[FEATURES], np.asarray(answer)),
            pip_requirements=["numpy"],
        )
        mlflow.register_model(logged.model_uri, "old")
    options = {"reference": churn, "target": target} if target else {}
    if isinstance(said, str):
        with pytest.raises(DataError, match=said):
            adopt(own, "old/1", **options)
        assert not find(client, "old/1").adopted
        assert Ledger(client, "old").entries() == ()
    else:
        spec = artifacts.spec(client, adopt(own, "old/1", **options))
        assert (spec.task, spec.classes) == said


def test_what_cannot_be_loaded_safely_is_not_taken_over(plain, client, log):
    log(RandomForestClassifier(5, max_depth=3), serialization_format="cloudpickle")
    with pytest.raises(UntrustedModel, match="allow_pickle"):
        adopt(plain, "old/1", target="churned")
    allowed = plain.with_values(models__allow_pickle=True)
    assert artifacts.spec(client, adopt(allowed, "old/1")).estimator == "RandomForestClassifier"


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (None, {"target": "churn"}, r"target column 'churn' is missing; did you mean 'churned'"),
        (None, {"target": "churned", "time": "when"}, "time column 'when' is missing"),
        ("tenure", {"target": "churned"}, "'tenure' is missing"),
        (None, {"target": "plan"}, "the target holds 'basic', which the model does not know"),
        (None, {"target": "churned", "task": "regression"}, "made for a binary task"),
        (None, {"target": "churned", "task": "sorting"}, "task is 'sorting'"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(  # noqa: PLR0917 - a table's row
    plain, client, churn, log, change, options, said
):
    log(LogisticRegression(max_iter=500))
    rows = churn.drop(columns=change) if change else churn
    with pytest.raises(DataError, match=said):
        adopt(plain, "old/1", reference=rows, **options)
    assert not find(client, "old/1").adopted
    assert Ledger(client, "old").entries() == ()


def test_a_version_of_our_own_is_left_alone(plain, client, logged_model):
    tags = {"lifecycle.digest": "", "lifecycle.spec_run": "f" * 32}
    register(client, "churn", model_uri=logged_model(client), tags=tags)
    with pytest.raises(TransitionRefused, match="nothing to take over"):
        adopt(plain, "churn/1")


def test_a_model_of_xgboosts_own_flavour_is_compiled(plain, client, churn):
    library = pytest.importorskip("xgboost")
    frame = churn[FEATURES[:2]].astype(float)
    model = library.XGBClassifier(n_estimators=5, max_depth=2).fit(frame, churn["churned"])
    with quiet(), mlflow.start_run(experiment_id=experiment_id(client, "elsewhere")):
        logged = mlflow.xgboost.log_model(
            model,
            name="model",
            signature=infer_signature(frame, model.predict(frame)),
            pip_requirements=["xgboost"],
        )
        mlflow.register_model(logged.model_uri, "old")
    known = frame.assign(churned=churn["churned"])
    version = adopt(plain, "old/1", reference=known, target="churned")
    assert version.tags["lifecycle.compiled"].startswith("sha256:")
    loaded = artifacts.load(client, version, plain)
    assert loaded.how == "onnx"
    answers = loaded.predict(columns(frame, loaded.spec)).prediction
    assert (answers == model.predict(frame)).all()
