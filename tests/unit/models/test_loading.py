"""Files are loaded when they are those that were registered and hold nothing that runs code."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from lifecycle.errors import DigestMismatch, ModelNotFound, ModelRefused, UntrustedModel
from lifecycle.models import files
from lifecycle.models.compiling import compile_model
from lifecycle.models.loading import load, load_onnx
from lifecycle.models.running import tensor
from lifecycle.models.trusted import TRUSTED
from lifecycle.records import Column, ModelSpec

SPEC = ModelSpec(1, "binary", (Column("x", "double"),), classes=("no", "yes"))
ROWS = {"x": np.linspace(-1.0, 1.0, 40)}
FRAME = pd.DataFrame(ROWS)
TRUTH = np.where(ROWS["x"] > 0.1, "yes", "no")
PLAIN = {"pip_requirements": []}


def saved(path, model, **options):
    mlflow.sklearn.save_model(
        model, str(path), skops_trusted_types=list(TRUSTED), **PLAIN, **options
    )
    return path


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path / "model", LogisticRegression().fit(FRAME, TRUTH))


def test_a_verified_model_answers_scores_and_labels(folder):
    model = load(folder, spec=SPEC, digest=files.digest(folder))
    output = model.predict(ROWS)
    assert model.how == "sklearn"
    assert output.prediction.tolist() == TRUTH.tolist()
    assert output.scores.shape == (40, 2)
    np.testing.assert_allclose(output.scores.sum(axis=1), 1.0)


def test_scores_follow_the_order_of_the_specification(folder):
    turned = ModelSpec(1, "binary", SPEC.features, classes=("yes", "no"), threshold=0.5)
    one = load(folder, spec=SPEC, digest="").predict(ROWS)
    two = load(folder, spec=turned, digest="").predict(ROWS)
    np.testing.assert_allclose(one.scores, two.scores[:, ::-1])


def test_a_changed_file_is_refused_before_it_is_read(folder):
    known = files.digest(folder)
    (folder / "model.skops").write_bytes(b"changed")
    with pytest.raises(DigestMismatch):
        load(folder, spec=SPEC, digest=known)


def test_types_that_are_not_on_our_list_are_named_even_when_the_file_trusts_them(tmp_path):
    class_path = "pathlib.PosixPath"
    estimator = LogisticRegression().fit(FRAME, TRUTH)
    estimator.note_ = Path("x")
    path = tmp_path / "model"
    mlflow.sklearn.save_model(
        LogisticRegression().fit(FRAME, TRUTH),
        str(path),
        skops_trusted_types=[*TRUSTED, class_path],
        **PLAIN,
    )
    (path / "model.skops").write_bytes(skops.io.dumps(estimator))
    with pytest.raises(UntrustedModel, match=r"types that are not on our list: .*Path"):
        load(path, spec=SPEC, digest="")


def test_forests_load_with_our_list(tmp_path):
    forest = RandomForestClassifier(5, random_state=0).fit(FRAME, TRUTH)
    model = load(saved(tmp_path / "forest", forest), spec=SPEC, digest="")
    np.testing.assert_array_equal(model.predict(ROWS).scores, forest.predict_proba(FRAME))


def test_pickles_need_a_decision(tmp_path):
    scaled = make_pipeline(FunctionTransformer(np.tanh), LogisticRegression()).fit(FRAME, TRUTH)
    path = tmp_path / "pickled"
    mlflow.sklearn.save_model(scaled, str(path), serialization_format="cloudpickle", **PLAIN)
    with pytest.raises(UntrustedModel, match="allow_pickle = true"):
        load(path, spec=SPEC, digest="")
    model = load(path, spec=SPEC, digest="", allow_pickle=True)
    assert model.predict(ROWS).prediction.tolist() == scaled.predict(FRAME).tolist()


@pytest.mark.filterwarnings("ignore")
def test_python_models_need_a_decision_too(tmp_path):
    path = tmp_path / "python"

    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            assert context is not None
            assert params is None
            return model_input["x"].to_numpy() * 2.0

    mlflow.pyfunc.save_model(str(path), python_model=Doubled(), **PLAIN)
    spec = ModelSpec(1, "regression", SPEC.features)
    with pytest.raises(UntrustedModel, match="runs its author's code"):
        load(path, spec=spec, digest="")
    model = load(path, spec=spec, digest="", allow_pickle=True)
    assert model.how == "pyfunc"
    np.testing.assert_allclose(model.predict(ROWS).prediction, ROWS["x"] * 2.0)


def test_damaged_files_are_refused(folder):
    (folder / "model.skops").write_bytes(b"PK damaged")
    with pytest.raises(ModelRefused, match="cannot be read"):
        load(folder, spec=SPEC, digest="")
    (folder / "model.skops").unlink()
    with pytest.raises(ModelNotFound, match="file is missing"):
        load(folder, spec=SPEC, digest="")
    (folder / "MLmodel").write_text("a: [")
    with pytest.raises(ModelRefused, match="MLmodel cannot be read"):
        load(folder, spec=SPEC, digest="")
    (folder / "MLmodel").write_text("text")
    with pytest.raises(ModelRefused, match="MLmodel is damaged"):
        load(folder, spec=SPEC, digest="")


@pytest.fixture
def compiled(tmp_path):
    from lifecycle.models.candidates import prepare

    estimator = prepare("it", LogisticRegression(), SPEC.features, seed=0).estimator
    made = compile_model(estimator.fit(FRAME, TRUTH), SPEC, FRAME)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.onnx)
    return path, made.tag


def test_a_compiled_model_is_verified_by_its_own_digest(folder, compiled):
    path, tag = compiled
    model = load(folder, spec=SPEC, digest="", compiled=path, compiled_digest=tag)
    assert model.how == "onnx"
    assert model.predict(ROWS).prediction.tolist() == TRUTH.tolist()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DigestMismatch, match=r"model\.onnx"):
        load(folder, spec=SPEC, digest="", compiled=path, compiled_digest=tag)


def test_a_damaged_compiled_model_is_refused():
    with pytest.raises(ModelRefused, match="compiled model cannot be loaded"):
        load_onnx(b"no model", SPEC)


def test_a_compiled_model_needs_no_scikit_learn(compiled):
    path, _ = compiled
    program = f"""
import sys, numpy as np
from lifecycle.models.loading import load_onnx
from lifecycle.records import Column, ModelSpec
spec = ModelSpec(1, "binary", (Column("x", "double"),), classes=("no", "yes"))
model = load_onnx(open({str(path)!r}, "rb").read(), spec)
assert model.predict({{"x": np.array([-1.0, 1.0])}}).prediction.tolist() == ["no", "yes"]
assert not {{"sklearn", "mlflow", "pandas"}} & set(sys.modules), "heavy"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("engine", ["sklearn", "onnx"])
def test_many_threads_may_ask_at_once(folder, compiled, engine):
    path, tag = compiled
    options = {"compiled": path, "compiled_digest": tag} if engine == "onnx" else {}
    model = load(folder, spec=SPEC, digest="", **options)
    expected = model.predict(ROWS).prediction.tolist()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.predict(ROWS).prediction.tolist(), range(40)))
    assert all(answer == expected for answer in answers)


def test_nulls_reach_the_compiled_model():
    flags = np.array([True, None, False], dtype=object)
    assert str(tensor(flags, "tensor(double)", None).ravel().tolist()) == "[1.0, nan, 0.0]"
    texts = np.array(["a", None], dtype=object)
    assert tensor(texts, "tensor(string)", "?").ravel().tolist() == ["a", "?"]
