"""Every request form against MLflow's own scoring server, on the same model and the same bytes."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.models import loading, specs
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols import mlflow as protocol
from lifecycle.serve.slots import SlotTable, slot

ROWS = pd.DataFrame(
    {
        "age": [20.5, 33.0, 47.25, 61.0, 28.0, 55.5] * 5,
        "calls": np.array([0, 1, 4, 3, 2, 5] * 5, dtype="int64"),
        "plan": ["basic", "pro", "plus", "pro", "basic", "plus"] * 5,
        "paperless": [True, False, True, True, False, False] * 5,
    }
)


class Bounds(mlflow.pyfunc.PythonModel):
    """A custom model that answers a frame."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        age = model_input["age"]
        return pd.DataFrame({"low": age - 1, "plan": model_input["plan"], "ok": age > 40})


def pipeline(estimator):
    encode = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    return make_pipeline(encode, estimator)


def logged(folder: Path, target, estimator, **options) -> Path:
    model = pipeline(estimator).fit(ROWS, target)
    answer = getattr(model, options.get("pyfunc_predict_fn", "predict"))(ROWS)
    signature = options.pop("signature", infer_signature(ROWS, answer))
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=signature,
        pip_requirements=[],
        skops_trusted_types=["sklearn.compose._column_transformer._RemainderColsList"],
        **options,
    )
    return folder


def labels(*names):
    return np.array([names[index % len(names)] for index in range(len(ROWS))])


MODELS = {
    "ints": lambda folder: logged(folder, labels(0, 1), LogisticRegression(max_iter=5000)),
    "bools": lambda folder: logged(folder, labels(False, True), LogisticRegression(max_iter=5000)),
    "three strings": lambda folder: logged(
        folder, labels("a", "b", "ü"), LogisticRegression(max_iter=5000)
    ),
    "numbers": lambda folder: logged(folder, ROWS["age"] * 2, LinearRegression()),
    "two numbers": lambda folder: logged(folder, ROWS[["age", "calls"]], LinearRegression()),
    "probabilities": lambda folder: logged(
        folder,
        labels("a", "b"),
        LogisticRegression(max_iter=5000),
        pyfunc_predict_fn="predict_proba",
    ),
    "no signature": lambda folder: logged(
        folder, ROWS["age"] * 2, LinearRegression(), signature=False
    ),
}


def split(frame):
    return json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split"))}).encode()


def named(name):
    return lambda frame: json.dumps({name: json.loads(frame.to_json(orient="records"))}).encode()


def parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


FORMS = {
    "dataframe_split": ("application/json", split),
    "dataframe_records": ("application/json; charset=utf-8", named("dataframe_records")),
    "instances": ("application/json", named("instances")),
    "inputs": (
        "application/json",
        lambda frame: json.dumps({"inputs": frame.to_dict(orient="list")}).encode(),
    ),
    "csv": ("text/csv", lambda frame: frame.to_csv(index=False).encode()),
    "parquet": ("application/vnd.apache.parquet", parquet),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """MLflow's and our loaded model by name, made once."""
    made = {}

    def get(name):
        if name not in made:
            folder = MODELS[name](tmp_path_factory.mktemp("model") / "m")
            made[name] = mlflow.pyfunc.load_model(str(folder)), loaded(folder)
        return made[name]

    return get


def loaded(folder, *, allow_pickle=False):
    spec = specs.from_signature(loading.describe(folder).get("signature"))
    return slot("m", loading.load(folder, spec=spec, digest="", allow_pickle=allow_pickle))


def theirs(model, content_type, body):
    schema = model.metadata.get_input_schema()
    answer = scoring_server.invocations(body, content_type, model, schema)
    return answer.status, json.loads(answer.response)


def ours(one, content_type, body):
    engine = Engine(SlotTable().with_only(one), secret=b"s" * 32)
    rows = protocol.decode(one.decoder, body, protocol.media_type(content_type))
    return 200, json.loads(protocol.success(engine.answer("m", rows).predictions))


def compare(mine, expected):
    assert mine[0] == expected[0]
    assert list(mine[1]) == list(expected[1])
    for one, other in zip(mine[1]["predictions"], expected[1]["predictions"], strict=True):
        if isinstance(other, (list, dict)):
            assert one == pytest.approx(other)
        elif isinstance(other, float):
            assert one == pytest.approx(other, abs=1e-12)
        else:
            assert one == other
            assert type(one) is type(other)


# without a signature MLflow hands such rows on as arrays, which this model refuses
REFUSED_BY_MLFLOW = {("no signature", "instances"), ("no signature", "inputs")}
CASES = [(name, form) for name in MODELS for form in FORMS if (name, form) not in REFUSED_BY_MLFLOW]


@pytest.mark.parametrize(("name", "form"), CASES)
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_answers_are_mlflows(served, name, form):
    content_type, write = FORMS[form]
    model, one = served(name)
    for frame in (ROWS.head(1), ROWS.head(6)):
        body = write(frame)
        compare(ours(one, content_type, body), theirs(model, content_type, body))


def test_a_frame_is_answered_as_records(tmp_path):
    mlflow.pyfunc.save_model(
        tmp_path / "m",
        python_model=Bounds(),
        signature=infer_signature(ROWS, Bounds().predict(None, ROWS)),
        pip_requirements=[],
    )
    model = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    content_type, write = FORMS["dataframe_split"]
    body = write(ROWS.head(3))
    mine = ours(loaded(tmp_path / "m", allow_pickle=True), content_type, body)
    compare(mine, theirs(model, content_type, body))
    assert mine[1]["predictions"][0] == {"low": 19.5, "plan": "basic", "ok": False}


STRICTER = [
    ("a numeric string", {"age": "20.5"}),
    ("a boolean for a number", {"age": True}),
    ("a fraction for a whole number", {"calls": 1.5}),
    ("a number for text", {"plan": 5}),
    ("a number for a boolean", {"paperless": 1}),
    ("null in a required column", {"age": None}),
    ("an unknown column", {"odd": 1}),
]


@pytest.mark.parametrize(("what", "change"), STRICTER)
def test_where_we_are_stricter_we_say_so(served, what, change):
    from lifecycle.errors import DataError
    from lifecycle.serve import decode

    row = {**ROWS.iloc[:1].to_dict("records")[0], **change}
    body = json.dumps({"dataframe_records": [row]}).encode()
    with pytest.raises(DataError, match=next(iter(change))):
        ours(served("ints")[1], "application/json", body)
    assert decode.__doc__ is not None
    assert "Stricter than MLflow" in decode.__doc__
    assert what
