"""The models that are served, their requests, and what scikit-learn answers to them.

>>> SUBJECTS["linear"].columns[:1]
('mean feature 00',)

    work/mlflow.db, mlruns/         the registry, filled through lifecycle
    work/<name>/lifecycle.toml      the configuration that the model is trained and served with
    work/<name>/model.joblib        the fitted model itself, for servers that know no MLflow
    work/<name>/columns.json        the names of its inputs
    work/<name>/<form>-<rows>.txt   requests, one a line
    work/<name>/answers.json        what the model says of the rows, asked directly
"""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TRAINING_ROWS = 4000
ASKED = 100  # rows of the long body, and distinct single-row bodies
TARGET = "bought"
FLOATS = tuple(f"mean feature {place:02}" for place in range(30))
# long names and levels: a body of one row has the same 1.2 kB as that of 30 floats
NUMBERS = tuple(f"sum of all card transactions in month {place:02} before" for place in range(10))
TEXTS = tuple(f"most frequent merchant category in quarter {place}" for place in range(4))
LEVELS = tuple(f"retail, household goods and furniture {place:02}" for place in range(12))
LOADED_WITH = ("mlflow", "scikit-learn", "xgboost", "numpy", "pandas")


@dataclass(frozen=True)
class Subject:
    """A model to be served.

    Attributes:
        name: what it is registered as.
        title: what tables call it.
        texts: whether it takes 4 strings and 10 numbers instead of 30 floats.
        make: an unfitted estimator.
        kind: "trained" by lifecycle, or logged by plain MLflow in a flavour and adopted.
        compiled: whether lifecycle may compile it.
    """

    name: str
    title: str
    texts: bool
    make: Callable[[], Any]
    kind: str = "trained"
    compiled: bool = True

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of its inputs."""
        return TEXTS + NUMBERS if self.texts else FLOATS


def linear() -> Any:
    """A scaler and logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("scale", StandardScaler()), ("model", LogisticRegression(max_iter=1000))])


def mixed() -> Any:
    """One-hot of strings, a scaler of numbers, gradient boosting."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("text", one_hot, list(TEXTS)), ("number", StandardScaler(), list(NUMBERS))]
    model = HistGradientBoostingClassifier(random_state=0)
    return Pipeline([("prepare", ColumnTransformer(parts)), ("model", model)])


def forest() -> Any:
    """A hundred trees."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    return Pipeline([("model", RandomForestClassifier(n_estimators=100, random_state=0))])


def boosted() -> Any:
    """XGBoost's classifier."""
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=100, max_depth=5, random_state=0, n_jobs=1)


SUBJECTS: dict[str, Subject] = {
    one.name: one
    for one in (
        Subject("linear", "linear", False, linear),
        Subject("mixed", "mixed", True, mixed),
        Subject("forest", "forest", False, forest),
        Subject("uncompiled", "mixed, not compiled", True, mixed, compiled=False),
        Subject("uncompiled-linear", "linear, not compiled", False, linear, compiled=False),
        Subject("uncompiled-forest", "forest, not compiled", False, forest, compiled=False),
        Subject("xgboost", "XGBoost", False, boosted, kind="xgboost"),
        Subject("custom", "`PythonModel` on frames", False, linear, kind="custom"),
    )
}


def rows(subject: Subject, count: int, seed: int) -> pd.DataFrame:
    """Rows of a model's columns; numbers with all their digits."""
    rng = np.random.default_rng(seed)
    numbers = NUMBERS if subject.texts else FLOATS
    values = {name: rng.normal(size=count) for name in numbers}
    texts = {name: rng.choice(LEVELS, count) for name in TEXTS} if subject.texts else {}
    return pd.DataFrame({**texts, **values})


def labelled(subject: Subject) -> pd.DataFrame:
    """Rows to train on, with a label that depends on some columns and on chance."""
    frame = rows(subject, TRAINING_ROWS, seed=1)
    numbers = frame.select_dtypes("number").to_numpy()
    z = numbers[:, 0] - numbers[:, 1] + numbers[:, 2] * numbers[:, 3]
    if subject.texts:
        z = z + frame[TEXTS[0]].str[-2:].astype(int).to_numpy() / 4 - 1.4
    noise = np.random.default_rng(2).logistic(size=len(frame))
    return frame.assign(**{TARGET: (z + noise > 0).astype(int)})


def body(form: str, frame: pd.DataFrame) -> str:
    """A request in one of the forms that servers take.

    Args:
        form: `split` is MLflow's, `rows` a list of lists, `v2` the
            Open Inference Protocol's (a tensor, or one a column where there are strings).
        frame: the rows.
    """
    split = frame.to_dict(orient="split", index=False)
    if form == "split":
        return json.dumps({"dataframe_split": split})
    if form == "rows":
        return json.dumps({"rows": split["data"]})
    assert form == "v2"
    if all(dtype.kind == "f" for dtype in frame.dtypes):
        data = frame.to_numpy()
        shape = list(data.shape)
        one = {"name": "rows", "datatype": "FP64", "shape": shape, "data": data.ravel().tolist()}
        return json.dumps({"inputs": [one]})
    inputs = []
    for name in frame.columns:
        text = frame[name].dtype.kind != "f"
        tensor: dict[str, Any] = {
            "name": name,
            "shape": [len(frame), 1],
            "data": frame[name].tolist(),
        }
        tensor["datatype"] = "BYTES" if text else "FP64"
        if text:
            tensor["parameters"] = {"content_type": "str"}
        inputs.append(tensor)
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs})


def prepare(subjects: Sequence[Subject], work: Path) -> None:
    """Train and register what is not there yet from an earlier run with the same versions."""
    made_with = {name: _version(name) for name in LOADED_WITH}
    work.mkdir(parents=True, exist_ok=True)
    mark = work / "versions.json"
    if not mark.exists() or json.loads(mark.read_text(encoding="utf-8")) != made_with:
        for path in ("mlflow.db", "mlruns", *SUBJECTS):
            target = work / path
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        mark.write_text(json.dumps(made_with), encoding="utf-8")
    for subject in subjects:
        folder = work / subject.name
        if not (folder / "answers.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _make(subject, work, folder)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _make(subject: Subject, work: Path, folder: Path) -> None:
    """Train, register, promote; write the requests and the model's own answers."""
    import joblib

    from lifecycle import Project
    from lifecycle.config import load_config

    settings = f"""name = "{subject.name}"
target = "{TARGET}"
task = "{"regression" if subject.kind == "custom" else "binary"}"
[tracking]
uri = "{uri(work)}"
[models]
compile = {str(subject.compiled).lower()}
allow_pickle = {str(subject.kind == "custom").lower()}
"""
    (folder / "lifecycle.toml").write_text(settings, encoding="utf-8")
    config = load_config(folder / "lifecycle.toml")
    project = Project(config=config)
    frame, asked = labelled(subject), rows(subject, ASKED, seed=3)
    if subject.kind == "trained":
        version = project.register(project.train([subject.make()], frame).best)
        model = _registered(version.uri, work)
        answers = model.predict(asked[list(subject.columns)])
    else:
        model = subject.make().fit(frame[list(subject.columns)], frame[TARGET])
        version = project.adopt(_logged(subject, work, model, frame), reference=frame)
        answers = scores(model, asked) if subject.kind == "custom" else model.predict(asked)
    project.promote(version, to="production", force=True, reason="the benchmark serves it")
    joblib.dump(model, folder / "model.joblib")
    columns = json.dumps(subject.columns)
    (folder / "columns.json").write_text(columns, encoding="utf-8")
    for form in ("split", "rows", "v2"):
        singles = [body(form, asked.iloc[[place]]) for place in range(ASKED)]
        (folder / f"{form}-1.txt").write_text("\n".join(singles) + "\n", encoding="utf-8")
        (folder / f"{form}-{ASKED}.txt").write_text(body(form, asked) + "\n", encoding="utf-8")
    said = {"answers": np.asarray(answers).tolist(), "compiled": tag(config)}
    (folder / "answers.json").write_text(json.dumps(said), encoding="utf-8")


def uri(work: Path) -> str:
    """Where the registry is."""
    return f"sqlite:///{(work / 'mlflow.db').resolve()}"


def scores(model: Any, frame: pd.DataFrame) -> Any:
    """What the custom model answers: the probability of the second class."""
    return model.predict_proba(frame)[:, 1]


def tag(config: Any) -> str:
    """What the champion's tag says of its compilation."""
    from lifecycle.stores import registry
    from lifecycle.stores.tracking import connect

    return registry.find(connect(config), config.name).tags.get("lifecycle.compiled", "")


def _registered(model_uri: str, work: Path) -> Any:
    """The fitted estimator as it stands in the registry."""
    import mlflow

    mlflow.set_tracking_uri(uri(work))
    return mlflow.sklearn.load_model(model_uri)


def _logged(subject: Subject, work: Path, model: Any, frame: pd.DataFrame) -> str:
    """Log and register a model with plain MLflow.

    Returns:
        A reference to the version.
    """
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(uri(work))
    asked = frame[list(subject.columns)]
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(subject.name)
    found = experiment.experiment_id if experiment else client.create_experiment(
        subject.name, artifact_location=(work / "mlruns" / subject.name).resolve().as_uri()
    )  # fmt: skip
    with mlflow.start_run(experiment_id=found):
        if subject.kind == "xgboost":
            signature = infer_signature(asked, model.predict(asked))
            info = mlflow.xgboost.log_model(model, name="model", signature=signature)
        else:
            from custom_model import Scored

            signature = infer_signature(asked, scores(model, asked))
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=Scored(model),
                signature=signature,
                code_paths=[str(Path(__file__).with_name("custom_model.py"))],
            )
    return f"{subject.name}/{mlflow.register_model(info.model_uri, subject.name).version}"


if __name__ == "__main__":  # python subjects.py WORK NAME…, in a process and a folder of its own
    prepare([SUBJECTS[name] for name in sys.argv[2:]], Path(sys.argv[1]))
