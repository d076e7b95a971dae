"""The list of types holds what scikit-learn needs and nothing that could run code."""

import functools
import importlib
import inspect
import json
import os
import subprocess
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from lifecycle.errors import ModelRefused, UntrustedModel
from lifecycle.models.candidates import TABLE, find, prepare
from lifecycle.models.loading import load
from lifecycle.models.trusted import TRUSTED
from lifecycle.records import Column, ModelSpec

FEATURES = (
    Column("x", "double", required=False),
    Column("plan", "string", required=False),
    Column("paid", "boolean", required=False),
)
# of older versions of scikit-learn; files that were saved then are still read
OLD = "sklearn.compose._column_transformer._RemainderColsList"
SPEC = ModelSpec(1, "binary", (Column("x", "double"),), classes=(0, 1))
FRAME = pd.DataFrame(
    {
        "x": np.linspace(-1.0, 1.0, 120),
        "plan": pd.Series(["a", "b", "c"] * 40, dtype=object),
        "paid": pd.Series([True, False] * 60, dtype=object),
    }
)


@pytest.mark.parametrize("path", TRUSTED)
def test_each_type_is_there_and_belongs_to_numpy_scipy_or_scikit_learn(path):
    module, _, name = path.rpartition(".")
    assert module.split(".")[0] in ("numpy", "scipy", "sklearn")
    found = getattr(importlib.import_module(module), name, None)
    if path == OLD and found is None:
        return
    assert inspect.isclass(found) or callable(found)


@pytest.mark.parametrize(
    "path",
    ["builtins.eval", "builtins.exec", "os.system", "subprocess.Popen", "functools.partial",
     "operator.methodcaller", "sklearn.preprocessing._function_transformer.FunctionTransformer",
     "numpy.load", "pickle.loads", "importlib.import_module"],
)  # fmt: skip
def test_nothing_that_runs_code_is_on_the_list(path):
    assert path not in TRUSTED


def test_no_name_is_there_twice():
    assert len(set(TRUSTED)) == len(TRUSTED)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in TABLE for name in TABLE[kind]])
def test_every_candidate_is_saved_and_loaded_with_this_list_alone(kind, name, tmp_path):
    task = "binary" if kind == "classifier" else "regression"
    model = find(name, task)
    settings = model.get_params()
    quick = {key: 3 for key in ("n_estimators", "max_iter", "n_neighbors") if key in settings}
    made = prepare("it", model.set_params(**quick), FEATURES, seed=0).estimator
    target = (FRAME["x"] > 0.1).astype(int) if task == "binary" else FRAME["x"] * 3.0 + 5.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(FRAME, target)
    path = tmp_path / "model.skops"
    skops.io.dump(made, path)
    back = skops.io.load(path, trusted=list(TRUSTED))
    assert back.predict(FRAME).tolist() == made.predict(FRAME).tolist()


def folder(tmp_path, content):
    """A model's folder as MLflow writes it, with a file of the attacker's choice."""
    root = tmp_path / "model"
    root.mkdir()
    flavors = {
        "sklearn": {"pickled_model": "model.skops", "serialization_format": "skops"},
        "python_function": {"loader_module": "mlflow.sklearn"},
    }
    (root / "MLmodel").write_text(json.dumps({"flavors": flavors}))
    (root / "model.skops").write_bytes(content)
    return root


def shouts(_values=None):
    raise AssertionError("code of the file's author was run")


@pytest.mark.parametrize(
    "harm",
    [
        FunctionTransformer(shouts),
        FunctionTransformer(os.system),
        FunctionTransformer(functools.partial(subprocess.call, ["true"])),
    ],
    ids=["own function", "os.system", "partial"],
)
def test_a_file_that_names_code_is_refused_and_the_code_is_named(harm, tmp_path):
    made = make_pipeline(harm, LogisticRegression())
    content = skops.io.dumps(made)
    with pytest.raises(UntrustedModel, match="not on our list") as caught:
        load(folder(tmp_path, content), spec=SPEC, digest="")
    assert any(word in str(caught.value) for word in ("shouts", "system", "subprocess", "partial"))


def renamed(path, old, new):
    """A saved model in which one type's name is another's."""
    with zipfile.ZipFile(path) as source:
        parts = {item: source.read(item) for item in source.namelist()}
    assert old in parts["schema.json"]
    parts["schema.json"] = parts["schema.json"].replace(old, new)
    with zipfile.ZipFile(path, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "module"), [(b"Popen", b"subprocess"), (b"system", b"posix"), (b"eval", b"builtins")]
)
def test_a_type_that_was_renamed_in_the_file_is_refused(name, module, tmp_path):
    made = LogisticRegression().fit(FRAME[["x"]], (FRAME["x"] > 0).astype(int))
    path = tmp_path / "model.skops"
    skops.io.dump(made, path)
    renamed(path, b"LogisticRegression", name)
    content = renamed(path, b"sklearn.linear_model._logistic", module)
    with pytest.raises((UntrustedModel, ModelRefused)):
        load(folder(tmp_path, content), spec=SPEC, digest="")


def valid():
    return skops.io.dumps(LogisticRegression().fit(FRAME[["x"]], (FRAME["x"] > 0).astype(int)))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not a zip at all", valid()[:200], valid()[:-30], b"\x80\x05cos\nsystem\n."],
    ids=["empty", "magic", "text", "start", "cut short", "pickle"],
)
def test_a_file_that_is_no_model_is_one_error(content, tmp_path):
    with pytest.raises(ModelRefused, match="cannot be read"):
        load(folder(tmp_path, content), spec=SPEC, digest="")
