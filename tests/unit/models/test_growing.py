"""Trees behind scalers ask of the numbers as they are sent, and answer the same to the last bit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.models import growing
from lifecycle.models.compiling import compile_model, thresholds
from lifecycle.models.elements import Unsupported
from lifecycle.models.exact import exact
from lifecycle.models.growing import _goes_left, histogram_trees, of_tree, shares
from lifecycle.models.running import load_onnx
from lifecycle.records import Column, ModelSpec

FEATURES = (Column("a", "double", required=False), Column("b", "double"))
BINARY = ModelSpec(1, "binary", FEATURES, classes=(0, 1))
VALUE = ModelSpec(1, "regression", FEATURES)


def frame(rows, seed=0, nulls=0.0):
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(rng.normal(size=(rows, 2)) * [1.0, 1e3], columns=["a", "b"])
    made.loc[rng.random(rows) < nulls, "a"] = np.nan
    return made


def truth(rows, seed=1):
    noise = np.random.default_rng(seed).normal(size=len(rows))
    return (rows["a"].fillna(1.0) + rows["b"] / 1e3 + noise > 0).astype(int)


def columns(rows):
    return {name: rows[name].to_numpy() for name in rows}


SCALERS = {
    "standard": StandardScaler(),
    "min-max": MinMaxScaler((-3, 5)),
    "clipped": MinMaxScaler(clip=True),
    "robust": RobustScaler(),
    "two": make_pipeline(RobustScaler(), StandardScaler()),
    "bins": KBinsDiscretizer(5, encode="ordinal", strategy="uniform"),
}
TREES = {
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(4, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=3),
}


def around(cuts):
    """Each threshold, and its neighbours in double and in float32."""
    single = cuts.astype(np.float32)
    beside = [np.nextafter(single, np.float32(end)).astype(np.float64) for end in (-np.inf, np.inf)]
    return np.concatenate(
        [cuts, np.nextafter(cuts, -np.inf), np.nextafter(cuts, np.inf), single, *beside]
    )


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("tree", TREES)
def test_every_threshold_is_where_the_original_has_it(scaler, tree):
    rows = frame(200)
    made = make_pipeline(SCALERS[scaler], TREES[tree]).fit(rows, truth(rows))
    content = exact(made, FEATURES)
    edges = thresholds(content)
    assert edges
    model = load_onnx(content, BINARY)
    for name, cuts in edges.items():
        at = around(cuts)
        asked = pd.concat([frame(1)] * len(at), ignore_index=True)
        for seed in range(3):
            asked = asked.assign(a=frame(len(at), seed)["a"], b=frame(len(at), seed)["b"])
            asked[name] = at
            found = model.predict(columns(asked)).scores
            np.testing.assert_allclose(found, made.predict_proba(asked), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tree", TREES)
def test_a_scaler_leaves_no_operator_in_the_graph(tree):
    import onnx

    rows = frame(200)
    made = make_pipeline(SimpleImputer(), StandardScaler(), TREES[tree]).fit(rows, truth(rows))
    model = onnx.load_from_string(exact(made, FEATURES))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[0] == "TreeEnsemble"
    assert not {"Sub", "Where", "Cast"} & set(kinds[:2])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 500), st.integers(20, 120), st.floats(0.0, 0.5), st.booleans())
def test_a_null_takes_the_way_that_training_gave_it(seed, rows, nulls, imputed):
    given_rows = frame(rows, seed, nulls)
    steps = [SimpleImputer(strategy="median", keep_empty_features=True)] if imputed else []
    model = RandomForestRegressor(3, random_state=seed)
    made = make_pipeline(*steps, model).fit(given_rows, given_rows["b"])
    compiled = load_onnx(exact(made, FEATURES), VALUE)
    asked = frame(60, seed + 1, 0.5 if nulls or imputed else 0.0)
    if not steps and not given_rows["a"].isna().any():
        asked = asked.fillna(0.0)
    found = compiled.predict(columns(asked)).prediction
    np.testing.assert_allclose(found, made.predict(asked), rtol=1e-12)


def test_a_fully_grown_forest_trained_with_nulls_is_written_at_once():
    rows = frame(3000, nulls=0.2)
    forest = RandomForestClassifier(40, random_state=0, n_jobs=1)
    made = make_pipeline(forest).fit(rows, truth(rows))
    found = compile_model(made, BINARY, frame(500, 5, nulls=0.2))
    assert found.reason == ""
    assert found.report["how"] == "exact"
    assert found.report["largest_difference"] < 1e-12


def test_too_many_nodes_are_a_reason(monkeypatch):
    rows = frame(200)
    made = make_pipeline(TREES["forest"]).fit(rows, truth(rows))
    monkeypatch.setattr(growing, "MOST_NODES", 100)
    with pytest.raises(Unsupported, match=r"trees of \d+ nodes together \(100 at most\)"):
        exact(made, FEATURES)


def test_a_leaf_alone_is_a_tree():
    rows = frame(30)
    for model in (DecisionTreeRegressor(), HistGradientBoostingRegressor(max_iter=1)):
        made = make_pipeline(model).fit(rows, np.full(30, 2.5))
        found = load_onnx(exact(made, FEATURES), VALUE).predict(columns(frame(4)))
        assert found.prediction.tolist() == [2.5] * 4


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("scaler", ["standard", "min-max"])
def test_columns_of_float32_are_scaled_in_float32(tree, scaler):
    rows = frame(300).astype(np.float32)
    features = tuple(Column(name, "float") for name in rows)
    made = make_pipeline(SCALERS[scaler], TREES[tree]).fit(rows, truth(rows))
    spec = ModelSpec(1, "binary", features, classes=(0, 1))
    found = compile_model(made, spec, frame(900, 3).astype(np.float32))
    assert found.reason == ""
    assert found.report["rows"]["rows at split thresholds"] == 900
    assert found.report["largest_difference"] < 1e-12


# categories -------------------------------------------------------------------------------------


def bits(*places):
    found = np.zeros(8, dtype=np.uint32)
    for place in places:
        found[place // 32] |= np.uint32(1 << place % 32)
    return found


def test_a_category_goes_left_right_or_where_nulls_go():
    values = np.array([0.0, 31.0, 32.0, 255.0, 4.0, -1.0, 256.0, np.nan])
    found = _goes_left(values, bits(0, 32), bits(0, 31, 32, 255))
    assert found.tolist() == [1.0, 0.0, 1.0, 0.0, -1.0, -1.0, -1.0, -1.0]


@pytest.mark.parametrize("levels", [3, 40, 200])
def test_categorical_questions_are_answered_for_each_level(levels):
    rng = np.random.default_rng(levels)
    features = (Column("a", "double"), Column("c", "string", required=False))
    names = np.array([*(f"l{at}" for at in range(levels)), None], dtype=object)
    rows = pd.DataFrame({"a": rng.normal(size=1200), "c": rng.choice(names, 1200)})
    effect = dict(zip(names, rng.normal(size=len(names)), strict=True))
    y = rows["a"] + rows["c"].map(effect).fillna(1.0) * 3
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    prepare = make_column_transformer((encoder, ["c"]), remainder="passthrough")
    model = HistGradientBoostingRegressor(max_iter=20, categorical_features=[0])
    made = make_pipeline(prepare, model).fit(rows, y)
    nodes = made[-1]._predictors[0][0].nodes
    assert nodes["is_categorical"].any()
    compiled = load_onnx(exact(made, features), ModelSpec(1, "regression", features))
    asked = pd.DataFrame({"a": rng.normal(size=len(names) + 1), "c": [*names, "never seen"]})
    found = compiled.predict({"a": asked["a"].to_numpy(), "c": asked["c"].to_numpy(dtype=object)})
    np.testing.assert_allclose(found.prediction, made.predict(asked), rtol=1e-12)


def test_categories_that_are_no_levels_are_named():
    from lifecycle.models.features import Number

    X = np.arange(200.0).reshape(-1, 1) % 7
    model = HistGradientBoostingClassifier(categorical_features=[0]).fit(X, X[:, 0] % 2)
    with pytest.raises(Unsupported, match="a categorical column that no encoder made"):
        histogram_trees(model, [Number(0)])
    found = exact(model, (Column("a", "double"),))
    spec = ModelSpec(1, "binary", (Column("a", "double"),), classes=(0.0, 1.0))
    asked = np.array([0.0, 6.0, 3.0, 17.0])
    answer = load_onnx(found, spec).predict({"a": asked})
    np.testing.assert_allclose(answer.scores, model.predict_proba(asked[:, None]), atol=1e-12)


def test_shares_are_of_classes_and_columns_are_told_apart():
    rows = frame(50)
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(rows[["b"]], truth(rows)).tree_
    assert shares(tree).sum(axis=1).tolist() == pytest.approx([1.0] * tree.node_count)
    placed = of_tree(tree, shares(tree), columns=np.array([1]))
    assert set(placed.features[placed.left >= 0]) == {1}
    assert placed.values.shape == (tree.node_count, 2)
