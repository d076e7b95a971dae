"""Load a model's files: verify the digest, then the fastest engine that answers the same.

    folder with MLmodel ── digest ──> compiled ONNX given?    onnxruntime, no scikit-learn
                                      skops file?             scikit-learn, our list of types
                                      pickle?                 refused, unless allow_pickle
                                      another flavour?        mlflow.pyfunc

>>> from lifecycle.records import ModelSpec
>>> load("no/such/folder", spec=ModelSpec(1, "regression", ()), digest="")
Traceback (most recent call last):
lifecycle.errors.ModelNotFound: there is no MLmodel file (no/such/folder)
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.errors import ModelNotFound, ModelRefused, UntrustedModel
from lifecycle.models import files
from lifecycle.models.flavours import danger
from lifecycle.models.parameters import Parameters
from lifecycle.models.predicting import Array, Columns, LoadedModel, Output, labels
from lifecycle.models.running import load_onnx
from lifecycle.models.trusted import TRUSTED
from lifecycle.records import ModelSpec

LONGEST = 32 * 2**20  # bytes of an MLmodel that are read; one of 10,000 columns has 1 MB


def load(
    folder: str | Path,
    *,
    spec: ModelSpec,
    digest: str,
    compiled: str | Path | None = None,
    compiled_digest: str = "",
    allow_pickle: bool = False,
) -> LoadedModel:
    """Load a model that answers as it did at training.

    Args:
        folder: the folder that holds `MLmodel`.
        spec: what the model is.
        digest: what `files.digest` said of the folder at registration; empty: not verified,
            for versions that were registered without us.
        compiled: the ONNX file, where the model was compiled.
        compiled_digest: the ONNX file's own "sha256:…"; needed with `compiled`.
        allow_pickle: load pickles too; they run code when they are loaded.

    Raises:
        ModelNotFound: there is no model in the folder.
        DigestMismatch: a file is not the one that was registered.
        UntrustedModel: a pickle, or types that are not on our list.
        ModelRefused: the files are damaged.
    """
    root = Path(folder)
    if digest:
        files.verify(root, digest)
    described = describe(root)
    if compiled is not None:
        files.verify_file(Path(compiled), compiled_digest)
        return _checking(load_onnx(Path(compiled).read_bytes(), spec), described)
    flavors = described.get("flavors", {})
    sklearn = flavors.get("sklearn")
    if sklearn and sklearn.get("serialization_format") == "skops":
        path = files.inside(root, sklearn.get("pickled_model"))
        return _estimator(_skops(path), spec, root, described)
    why = danger(root, described)
    if why:
        if not allow_pickle:
            raise UntrustedModel(
                "the model is a pickle or its like, which runs its author's code when it is "
                f"loaded: {why}",
                where=root,
                fix="log it with mlflow.sklearn's skops format, or, if you trust its author, set "
                "[models] allow_pickle = true",
            )
        if sklearn:
            path = files.inside(root, sklearn.get("pickled_model"))
            return _estimator(_pickle(path), spec, root, described)
    from lifecycle.models import pyfunc

    return pyfunc.load(root, spec, described, _parameters(described))


def _estimator(
    estimator: Any, spec: ModelSpec, root: Path, described: dict[str, Any]
) -> LoadedModel:
    from lifecycle.models import pyfunc

    flavor = described["flavors"].get("python_function", {})
    method = flavor.get("predict_fn") or "predict"
    for name in ("predict", method):
        if not isinstance(name, str) or not callable(getattr(estimator, name, None)):
            raise ModelRefused(
                f"the model is a {type(estimator).__name__}, which has no method {name!r}",
                where=root,
                fix="log an estimator that predicts",
            )
    model = from_estimator(estimator, spec, method=method)
    return _checking(pyfunc.with_forms(model, root, described, method=method), described)


def _parameters(described: dict[str, Any]) -> Parameters | None:
    """The params of the signature; None where it has none."""
    params = (described.get("signature") or {}).get("params")
    return Parameters(params) if params else None


def _checking(model: LoadedModel, described: dict[str, Any]) -> LoadedModel:
    """A model that checks the params of its signature and uses none, as MLflow's do."""
    parameters = _parameters(described)
    if parameters is None:
        return model
    plain = model.answer
    return replace(model, answer=lambda columns, _params: plain(columns), parameters=parameters)


def describe(folder: Path) -> dict[str, Any]:
    """What `MLmodel` says.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: it cannot be read.
    """
    import yaml

    path = folder / "MLmodel"
    try:
        if path.stat().st_size > LONGEST:
            raise ModelRefused(f"MLmodel is larger than {LONGEST:,} bytes", where=path)
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound("there is no MLmodel file", where=folder) from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ModelRefused(f"MLmodel cannot be read: {error}", where=path) from error
    flavors = described.get("flavors", {}) if isinstance(described, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(it, dict) for it in flavors.values()):
        raise ModelRefused("MLmodel is damaged", where=path, fix="restore the file")
    return described  # type: ignore[no-any-return]  # it was seen to be a dict


def from_estimator(estimator: Any, spec: ModelSpec, *, method: str = "predict") -> LoadedModel:
    """A model that answers through a fitted scikit-learn estimator.

    Args:
        estimator: the fitted estimator.
        spec: what the model is; without features it is given the columns as they come.
        method: the estimator's method that plain MLflow answers with (its `pyfunc_predict_fn`).
    """
    from lifecycle.models.inputs import table

    order = _order(estimator, spec)
    raw = None if method == "predict" else getattr(estimator, method)
    own = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))

    def answer(columns: Columns) -> Output:
        names = spec.feature_names or (own if own and set(own) <= set(columns) else tuple(columns))
        frame = table({name: columns[name] for name in names})
        other = None if raw is None else raw(frame)
        if order is None:
            return Output(np.asarray(estimator.predict(frame)), raw=other)
        scores: Array = np.asarray(estimator.predict_proba(frame))[:, order]
        return Output(labels(scores, spec.classes, threshold=spec.threshold), scores, other)

    return LoadedModel(spec, "sklearn", answer, estimator=estimator)


def _order(estimator: Any, spec: ModelSpec) -> list[int] | None:
    """Where the specification's classes stand in the estimator's scores; None: no scores."""
    if spec.task == "regression" or not spec.classes or not hasattr(estimator, "predict_proba"):
        return None
    own = list(np.asarray(estimator.classes_).tolist())
    return [own.index(label) for label in spec.classes]


def _skops(path: Path) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    files.check_zip(path)
    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
        raise UntrustedModel(
            f"the model holds types that are not on our list: {', '.join(unknown)}",
            where=path,
            fix="use estimators of scikit-learn; own types cannot be loaded safely",
        ) from error
    except FileNotFoundError as error:
        raise ModelNotFound("the model's file is missing", where=path) from error
    except Exception as error:
        raise ModelRefused(
            f"the model's file cannot be read: {type(error).__name__}: {error}",
            where=path,
            fix="restore it, or check that the installed scikit-learn is the one it was "
            "trained with",
        ) from error


def _pickle(path: Path) -> Any:
    import cloudpickle

    try:
        with path.open("rb") as stream:
            return cloudpickle.load(stream)
    except FileNotFoundError as error:
        raise ModelNotFound("the model's file is missing", where=path) from error
    except Exception as error:
        raise ModelRefused(
            f"the model's pickle cannot be read: {type(error).__name__}: {error}", where=path
        ) from error
