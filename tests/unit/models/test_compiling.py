"""A compiled model answers what the original answers, everywhere that matters, or is refused."""

import hashlib
import time

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from lifecycle.models import compiling, foreign
from lifecycle.models.candidates import find, prepare
from lifecycle.models.compiling import compared, compile_model, differs, probes, thresholds
from lifecycle.models.exact import exact
from lifecycle.models.fitting import columns_of, fit
from lifecycle.models.loading import from_estimator, load_onnx
from lifecycle.models.predicting import Output
from lifecycle.models.splits import split
from lifecycle.models.tables import check_training
from lifecycle.records import Column, ModelSpec


@pytest.fixture
def trained(churn):
    def make(candidate, *, target="churned", **options):
        churn["flag"] = pd.Series([True, None, False, True] * 500, dtype=object)
        churn["city"] = [f"c{at * at % 97}" for at in range(len(churn))]
        churn.loc[:50, "city"] = None
        table = check_training(churn, target=target, time="ts", key="customer_id")
        rows = split(table, share=0.2, how="auto", seed=0)
        made = prepare("it", find(candidate, table.task), table.features, seed=0)
        found = fit(made, table, rows, seed=0, **options)
        return found, table.frame.iloc[rows.holdout], columns_of(made, table, rows.holdout)

    return make


@pytest.mark.parametrize(
    "name", ["logistic_regression", "hist_gradient_boosting", "random_forest", "mlp"]
)
def test_common_models_compile_exactly(trained, name):
    found, sample, rows = trained(name)
    compiled = compile_model(found.estimator, found.spec, sample)
    assert compiled.reason == ""
    assert compiled.report["how"] == "exact"
    assert compiled.report["largest_difference"] < 1e-12
    assert "rows with nulls" in compiled.report["rows"]
    assert "rows with new levels" in compiled.report["rows"]
    assert compiled.tag.startswith("sha256:")
    model = load_onnx(compiled.onnx, found.spec)
    assert model.predict(rows).prediction.tolist() == found.output.prediction.tolist()


def test_splits_are_probed_on_both_sides(trained):
    found, sample, _ = trained("hist_gradient_boosting")
    edges = thresholds(exact(found.estimator, found.spec.features))
    assert set(edges) >= {"tenure", "charges", "support_calls"}
    rows = probes(edges, found.spec, sample)["rows at split thresholds"]
    cuts = np.unique(edges["tenure"])
    assert (np.isin(rows["tenure"], cuts)).any(), "exactly at a threshold"
    assert (np.isin(rows["tenure"], np.nextafter(cuts, np.inf))).any(), "one step above"


def test_float32_thresholds_are_caught_where_the_trees_split(trained):
    found, sample, _ = trained("hist_gradient_boosting")
    content = exact(found.estimator, found.spec.features)
    rows = probes(thresholds(content), found.spec, sample)
    original = from_estimator(found.estimator, found.spec)
    rounded = load_onnx(with_float32_splits(content), found.spec)
    assert compared(original, rounded, rows["hold-out rows"], {}) == ""
    assert "scores differ" in compared(original, rounded, rows["rows at split thresholds"], {})


def with_float32_splits(content):
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        for item in node.attribute:
            if item.name == "nodes_splits":
                splits = onnx.numpy_helper.to_array(item.t)
                rounded = splits.astype(np.float32).astype(np.float64)
                item.t.CopyFrom(onnx.numpy_helper.from_array(rounded, "splits"))
    return model.SerializeToString()


def test_a_threshold_is_unwrapped_and_kept(trained):
    found, sample, rows = trained("hist_gradient_boosting", costs=(1.0, 5.0))
    compiled = compile_model(found.estimator, found.spec, sample)
    model = load_onnx(compiled.onnx, found.spec)
    assert found.spec.threshold < 0.5
    assert model.predict(rows).prediction.tolist() == found.output.prediction.tolist()


@pytest.mark.parametrize("name", ["ridge", "hist_gradient_boosting", "decision_tree"])
def test_regressions_compile(trained, name):
    found, sample, rows = trained(name, target="tenure")
    compiled = compile_model(found.estimator, found.spec, sample)
    assert compiled.reason == ""
    answers = load_onnx(compiled.onnx, found.spec).predict(rows)
    assert answers.scores is None
    np.testing.assert_allclose(answers.prediction, found.output.prediction, rtol=1e-9)


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
def test_several_classes_compile(trained, name):
    found, sample, rows = trained(name, target="plan")
    assert found.spec.classes == ("basic", "plus", "pro")
    compiled = compile_model(found.estimator, found.spec, sample)
    assert compiled.reason == ""
    assert load_onnx(compiled.onnx, found.spec).predict(rows).scores.shape == (len(sample), 3)


def test_what_our_writer_does_not_know_goes_through_skl2onnx(trained):
    pipeline = make_pipeline(
        make_column_transformer(
            (make_pipeline(StandardScaler(), Normalizer()), ["tenure", "support_calls"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["plan"]),
        ),
        LogisticRegression(),
    )
    found, sample, _ = trained(pipeline)
    kept = tuple(
        item for item in found.spec.features if item.name in ("tenure", "support_calls", "plan")
    )
    spec = type(found.spec)(**{**found.spec.__dict__, "features": kept})
    compiled = compile_model(found.estimator, spec, sample)
    assert compiled.report["how"] == "skl2onnx"
    assert compiled.report["unknown"] == "Normalizer"
    assert compiled.reason == ""


def test_what_cannot_be_compiled_says_why_in_plain_words(trained, monkeypatch):
    found, sample, _ = trained(make_pipeline(_Pass(), LogisticRegression()), target="churned")
    refused = compile_model(found.estimator, found.spec, sample)
    assert refused.onnx is None
    assert "takes no boolean column" in refused.reason
    assert refused.tag == f"no: {refused.reason}"
    monkeypatch.setattr(compiling, "find_spec", lambda _: None)
    assert "not installed: pip install" in compile_model(None, found.spec, sample).reason


class _Pass(TransformerMixin, BaseEstimator):
    def fit(self, X, _=None):
        self.seen_ = len(X)
        return self

    def transform(self, X):
        return X[["tenure", "support_calls"]]


class _Slow(ClassifierMixin, BaseEstimator):
    def __reduce__(self):
        return (time.sleep, (30,))


def test_a_conversion_that_does_not_end_is_given_up(trained):
    found, _, _ = trained("logistic_regression")
    spec = type(found.spec)(**{**found.spec.__dict__, "features": found.spec.features[:1]})
    start = time.perf_counter()
    with pytest.raises(foreign.CannotCompile, match="had not finished after 1 s"):
        foreign.convert(_Slow(), spec, timeout=1.0)
    assert time.perf_counter() - start < 15.0


def test_a_classifier_without_probabilities_is_not_compiled(trained):
    found, sample, _ = trained(LinearSVC())
    assert found.output.scores is None
    assert "no probabilities" in compile_model(found.estimator, found.spec, sample).reason


def test_differences_are_named():
    scores = np.array([[0.4, 0.6]])
    one, two = Output(np.array([1]), scores), Output(np.array([0]), scores)
    assert differs(one, two, {}) == "1 of 1 labels differ"
    assert "scores differ by up to 0.1" in differs(one, Output(np.array([1]), scores + 0.1), {})
    nan = Output(np.array([1]), scores * np.nan)
    assert "scores differ" in differs(one, nan, {}), "NaN is a difference"


def test_ties_follow_the_original(trained):
    forest = RandomForestClassifier(n_estimators=2, min_samples_leaf=1)
    found, sample, rows = trained(forest)
    original = from_estimator(found.estimator, found.spec).predict(rows)
    assert (original.scores[:, 1] == 0.5).any()
    compiled = compile_model(found.estimator, found.spec, sample)
    again = load_onnx(compiled.onnx, found.spec).predict(rows)
    assert again.prediction.tolist() == original.prediction.tolist()


def small(model, *, features=("x", "z"), task="binary", rows=150):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({name: rng.normal(size=rows) for name in features})
    y = frame["x"] * 2.0 + rng.normal(size=rows)
    target = (y > 0).astype(int) if task == "binary" else y
    spec = ModelSpec(
        1,
        task,
        tuple(Column(name, "double") for name in features),
        classes=(0, 1) if task == "binary" else (),
    )
    made = prepare("it", model, spec.features, seed=0).estimator
    return made.fit(frame, target), spec, frame


def test_the_tag_is_the_digest_of_the_file_that_is_kept():
    found = compile_model(*small(LogisticRegression()))
    assert found.tag == f"sha256:{hashlib.sha256(found.onnx).hexdigest()}"
    assert found.report["accepted"] is True
    assert found.report["bytes"] == len(found.onnx)


def test_a_model_whose_classes_are_turned_is_not_compiled_but_said_so():
    made, spec, frame = small(LogisticRegression())
    turned = ModelSpec(**{**spec.__dict__, "classes": (1, 0)})
    found = compile_model(made, turned, frame)
    assert found.onnx is None
    assert "the positive class is not the last" in found.reason
    assert found.report["accepted"] is False


def test_a_sample_without_the_models_columns_is_a_reason_and_no_error():
    made, spec, frame = small(LogisticRegression())
    found = compile_model(made, spec, frame.drop(columns="z"))
    assert found.onnx is None
    assert "column 'z' is missing" in found.reason


class Biased(LogisticRegression):
    """Of scikit-learn by its module's name, not by what it answers."""

    def predict_proba(self, X):
        return np.clip(super().predict_proba(X) + np.array([[0.001, -0.001]]), 0.0, 1.0)


Biased.__module__ = "sklearn.linear_model"


def test_an_estimator_that_answers_otherwise_than_its_class_is_found_out():
    found = compile_model(*small(Biased()))
    assert found.onnx is None
    assert "it answers differently on hold-out rows: scores differ by up to 0.001" in found.reason


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_any_number_of_rows_is_enough_to_compare_and_not_too_many(rows):
    made, spec, _ = small(HistGradientBoostingClassifier(max_iter=3))
    sample = pd.DataFrame({name: np.linspace(-2.0, 2.0, rows) for name in ("x", "z")})
    found = compile_model(made, spec, sample)
    assert found.reason == ""
    assert found.report["rows"]["hold-out rows"] == min(rows, compiling.ROWS)
    assert found.report["rows"]["one row"] == 1


def test_columns_with_odd_names_are_told_apart():
    names = ("x", "", "x y", "Ünï/cödé", "c0", "v1")
    made, spec, frame = small(RandomForestClassifier(5), features=names)
    found = compile_model(made, spec, frame)
    if found.onnx is None:
        assert found.reason
        return
    rows = {name: frame[name].to_numpy() for name in reversed(names)}
    again = load_onnx(found.onnx, spec).predict(rows)
    np.testing.assert_allclose(again.scores, made.predict_proba(frame), atol=1e-12)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_largest_difference_is_that_of_all_comparisons(task):
    report = {}
    scores = np.array([[0.4, 0.6]])
    if task == "binary":
        one, two = Output(np.array([1]), scores), Output(np.array([1]), scores + 2e-7)
    else:
        one, two = Output(np.array([4.0])), Output(np.array([4.0 + 8e-7]))
    assert differs(one, two, report) == ""
    assert differs(one, one, report) == ""
    assert report["largest_difference"] == pytest.approx(2e-7, rel=1e-3)


def test_large_values_are_compared_by_share_and_small_ones_as_they_are():
    large = Output(np.array([1e9]))
    assert differs(large, Output(np.array([1e9 + 100])), {}) == ""
    assert "values differ" in differs(large, Output(np.array([1e9 + 1e5])), {})
    assert "values differ" in differs(Output(np.array([0.0])), Output(np.array([1e-3])), {})
