"""A compiled model is read as it was written, old or new, and refuses what the original refuses."""

import contextlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler, TargetEncoder

from lifecycle.errors import DataError, ModelRefused
from lifecycle.models.exact import exact
from lifecycle.models.flat import flat
from lifecycle.models.graphs import Graph
from lifecycle.models.predicting import Layout, Table
from lifecycle.models.running import Flat, filled, finisher, load_onnx
from lifecycle.records import Column, ModelSpec

FEATURES = (
    Column("age", "double"),
    Column("visits", "long"),
    Column("plan", "string", required=False),
)
BINARY = ModelSpec(1, "binary", FEATURES, classes=("no", "yes"))
DOUBLES = (Column("a", "double"), Column("b", "double"), Column("plan", "string"))


def columns(rows, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "age": rng.normal(40.0, 9.0, rows),
        "visits": rng.integers(0, 9, rows),
        "plan": rng.choice(np.array(["a", "b", "c", None], dtype=object), rows),
    }


def fitted(model, encoder=None):
    rows = columns(300)
    frame = pd.DataFrame(rows)
    encoder = OneHotEncoder(handle_unknown="ignore") if encoder is None else encoder
    prepare = make_column_transformer(
        (StandardScaler(), ["age", "visits"]), (encoder, ["plan"]), sparse_threshold=0
    )
    signal = frame["age"] / 9.0 + (frame["plan"] == "a") + frame["visits"] / 5.0
    noise = np.random.default_rng(1).normal(size=300)
    truth = signal + noise
    if hasattr(model, "predict_proba"):
        truth = np.where(truth > np.median(truth), "yes", "no")
    return make_pipeline(prepare, model).fit(frame, truth)


MODELS = {"flat": LogisticRegression(), "graph": RandomForestClassifier(5, random_state=0)}


@pytest.fixture(params=MODELS)
def pair(request):
    made = fitted(MODELS[request.param])
    return made, load_onnx(exact(made, FEATURES), BINARY)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(0, 1000))
def test_any_number_of_rows_is_answered_alike(rows, seed):
    for made, model in PAIRS:
        asked = columns(rows, seed)
        found = model.predict(asked)
        frame = pd.DataFrame(asked)
        np.testing.assert_allclose(found.scores, made.predict_proba(frame), atol=1e-12)
        assert found.prediction.tolist() == made.predict(frame).tolist()
        assert found.prediction.dtype == object


PAIRS = [(made, load_onnx(exact(made, FEATURES), BINARY)) for made in map(fitted, MODELS.values())]


def test_rows_together_and_alone_have_the_same_answer(pair):
    _, model = pair
    asked = columns(20, 3)
    together = model.predict(asked)
    for row in range(20):
        alone = model.predict({name: item[row : row + 1] for name, item in asked.items()})
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-15)
        assert alone.prediction[0] == together.prediction[row]


def test_an_answer_may_be_changed_without_changing_the_next(pair):
    _, model = pair
    asked = columns(1, 5)
    first = model.predict(asked)
    before = first.prediction.tolist(), first.scores.tolist()
    first.scores[:] = -1.0
    with contextlib.suppress(ValueError):  # labels that all answers share cannot be written to
        first.prediction[0] = "changed"
    again = model.predict(asked)
    assert (again.prediction.tolist(), again.scores.tolist()) == before


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rows", [1, 5])
def test_a_table_of_a_request_is_taken_as_its_blocks(kind, rows):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    frame["plan"] = rng.choice(np.array(["x", "y"], dtype=object), 200)
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough"
    )
    made = make_pipeline(prepare, MODELS[kind]).fit(
        frame, (frame["a"] > 0).map({False: "no", True: "yes"})
    )
    model = load_onnx(exact(made, DOUBLES), ModelSpec(1, "binary", DOUBLES, classes=("no", "yes")))
    part = frame.iloc[:rows]
    asked = Table(
        Layout(["a", "b", "plan"], ["plan"]), list(part.itertuples(index=False, name=None))
    )
    found = model.predict(asked)
    np.testing.assert_allclose(found.scores, made.predict_proba(part), atol=1e-12)
    plain = {name: part[name].to_numpy(dtype=object if name == "plan" else None) for name in part}
    assert model.predict(plain).scores.tolist() == found.scores.tolist()


def test_another_order_of_a_tables_columns_is_no_other_model():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    made = LogisticRegression().fit(frame, np.where(frame["a"] - frame["b"] > 0, "yes", "no"))
    model = load_onnx(
        exact(made, DOUBLES[:2]), ModelSpec(1, "binary", DOUBLES[:2], classes=("no", "yes"))
    )
    turned = Table(Layout(["b", "a"]), [(1.0, -2.0), (3.0, 4.0)])
    wanted = made.predict_proba(pd.DataFrame({"a": [-2.0, 4.0], "b": [1.0, 3.0]}))
    np.testing.assert_allclose(model.predict(turned).scores, wanted, atol=1e-12)


def test_a_level_that_the_original_raises_for_is_refused_by_name():
    made = fitted(LogisticRegression(), OneHotEncoder())
    model = load_onnx(exact(made, FEATURES), BINARY)
    asked = columns(5, 1)
    asked["plan"] = np.array(["a", None, "b", "zz", "a"], dtype=object)
    with pytest.raises(ValueError, match="unknown categories"):
        made.predict(pd.DataFrame(asked))
    with pytest.raises(DataError, match="column 'plan' is 'zz' in row 3") as raised:
        model.predict(asked)
    assert "handle_unknown" in str(raised.value)
    asked["plan"] = np.array(["a", None, "b", "c", "a"], dtype=object)
    assert len(model.predict(asked).prediction) == 5


def by_column():
    """A file as older releases wrote it: an input of shape (n, 1) for each column."""
    graph = Graph()
    names = [graph.input(name, kind) for name, kind in (("x", "double"), ("z", "double"))]
    text = graph.input("plan", "string")
    known = graph.constant(np.array(["(missing)", "pro"], dtype=object)[None, :])
    hot = graph.cast(graph.add("Equal", text, known), "DOUBLE")
    table = graph.add("Concat", *names, hot, axis=1)
    weights = graph.constant(np.array([[1.0], [10.0], [100.0], [1000.0]]))
    return graph.build(graph.add("MatMul", table, weights), notes={"null": "(missing)"})


def test_files_of_older_releases_still_answer():
    features = (
        Column("x", "double"),
        Column("z", "boolean", required=False),
        Column("plan", "string", required=False),
    )
    model = load_onnx(by_column(), ModelSpec(1, "regression", features))
    asked = {
        "x": np.array([1.0, 2.0, 3.0]),
        "z": np.array([True, False, True], dtype=object),
        "plan": np.array([None, "pro", "other"], dtype=object),
    }
    assert model.predict(asked).prediction.tolist() == [111.0, 1002.0, 13.0]


def test_a_file_that_is_no_model_is_refused():
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        load_onnx(b"no model", BINARY)


# linear models ----------------------------------------------------------------------------------


def test_only_what_is_a_line_is_written_flat():
    assert flat(FEATURES, ["a"], fitted(MODELS["graph"])) == {}
    curved = make_pipeline(PolynomialFeatures(2), LinearRegression())
    frame = pd.DataFrame(columns(80))[["age", "visits"]]
    assert flat(FEATURES, [], curved.fit(frame, frame["age"] ** 2)) == {}
    note = flat(FEATURES, ["a", "b", "c"], fitted(LogisticRegression()))["flat"]
    assert note["link"] == "sigmoid"
    assert np.shape(note["weights"]) == (2, 1)
    assert list(note["texts"]) == ["plan"]
    assert np.shape(note["texts"]["plan"]) == (5, 1), "three levels, null, any other"


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_and_graph_agree(classes):
    rows = columns(200)
    made = make_pipeline(
        make_column_transformer((TargetEncoder(), ["plan"]), (StandardScaler(), ["age"])),
        LogisticRegression(),
    )
    frame = pd.DataFrame(rows)
    made.fit(frame, rows["visits"] % classes)
    spec = ModelSpec(
        1, "binary" if classes == 2 else "multiclass", FEATURES, classes=tuple(range(classes))
    )
    content = exact(made, FEATURES)
    weights, graph = load_onnx(content, spec), load_onnx(content, spec, graph=True)
    for count in (1, 2, 150):
        asked = columns(count, 7)
        one, two = weights.predict(asked), graph.predict(asked)
        np.testing.assert_allclose(one.scores, two.scores, atol=1e-14)
        assert one.prediction.tolist() == two.prediction.tolist()
        assert one.prediction.dtype == two.prediction.dtype


@pytest.mark.parametrize("total", [-1e5, -800.0, -700.5, 0.0, 36.0, 1e5])
@pytest.mark.parametrize("rows", [1, 3])
def test_extreme_sums_are_scores_and_no_overflow(total, rows):
    note = {"weights": [[1.0]], "shift": [0.0], "fill": None, "texts": {}, "levels": []}
    model = Flat({**note, "link": "sigmoid"})
    answer = model.answering(lambda columns: (columns["x"][:, None], None), BINARY)
    with np.errstate(over="raise", invalid="raise"):
        found = answer({"x": np.full(rows, total)})
    assert found.scores.sum(axis=1).tolist() == [1.0] * rows
    assert np.isfinite(found.scores).all()
    assert found.prediction.tolist() == ["yes" if total > 0 else "no"] * rows


def test_a_null_without_an_imputer_is_null_in_the_scores():
    note = {"weights": [[1.0]], "shift": [0.0], "fill": None, "texts": {}, "levels": []}
    model = Flat({**note, "link": "none"})
    assert np.isnan(model.raw(np.array([[np.nan]]), None)).all()
    told = Flat({**note, "fill": [2.0], "link": "none"})
    assert told.raw(np.array([[np.nan]]), None).tolist() == [[2.0]]


# answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [None, 0.3, 0.5])
def test_ties_go_where_the_common_rule_sends_them(threshold):
    spec = ModelSpec(1, "binary", FEATURES, classes=(0, 1), threshold=threshold)
    found = finisher(spec)(np.array([[0.5, 0.5], [0.7, 0.3], [0.4, 0.6]]))
    wanted = [0, 0, 1] if threshold is None else [1, int(threshold <= 0.3), 1]
    assert found.prediction.tolist() == wanted


def test_null_becomes_the_text_that_stands_for_it_and_nothing_else_changes():
    texts = np.array([["a", None], ["", "b"]], dtype=object)
    assert filled(texts, "?").tolist() == [["a", "?"], ["", "b"]]
    assert texts[0, 1] is None
    whole = np.array([["a"]], dtype=object)
    assert filled(whole, "?") is whole
    assert filled(None, "?") is None


ALONE = """
import sys, numpy as np
from lifecycle.models.running import load_onnx
from lifecycle.records import Column, ModelSpec
names = {"age": "double", "visits": "long", "plan": "string"}
spec = ModelSpec(1, "binary", tuple(Column(*item) for item in names.items()), classes=("a", "b"))
model = load_onnx(open(sys.argv[1], "rb").read(), spec)
text = np.array(["a"], dtype=object)
model.predict({"age": np.array([3.0]), "visits": np.array([2]), "plan": text})
heavy = {"sklearn", "scipy", "pandas", "onnx", "mlflow"} & set(sys.modules)
assert not heavy, heavy
"""


def test_running_needs_neither_scikit_learn_nor_pandas(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(exact(fitted(MODELS["graph"]), FEATURES))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("required", [True, False])
def test_a_model_of_texts_alone_has_one_block(required):
    features = (Column("plan", "string", required=required),)
    levels = ["a", "b", "c"] if required else ["a", "b", None]
    frame = pd.DataFrame({"plan": levels * 20}, dtype=object)
    made = make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), RandomForestClassifier(3, random_state=0)
    ).fit(frame, np.array(["no", "yes", "yes"] * 20))
    spec = ModelSpec(1, "binary", features, classes=("no", "yes"))
    model = load_onnx(exact(made, features), spec)
    for asked in (levels, levels[2:], ["never seen"]):
        found = model.predict({"plan": np.array(asked, dtype=object)})
        wanted = made.predict_proba(pd.DataFrame({"plan": asked}, dtype=object))
        np.testing.assert_allclose(found.scores, wanted, atol=1e-12)
