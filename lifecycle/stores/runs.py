"""Training runs in MLflow: one run a training, one child run a candidate.

>>> from lifecycle.records import Column, ModelSpec
>>> signature_of(ModelSpec(1, "binary", (Column("age", "double"),)), np.array([0, 1])).inputs
['age': double (required)]
"""

import errno
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lifecycle.errors import LifecycleError, TrainingFailed, UntrustedModel
from lifecycle.models.predicting import Array
from lifecycle.models.trusted import TRUSTED
from lifecycle.records import Metric, ModelSpec
from lifecycle.stores import lineage
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = "lifecycle"
PROCESS_TAG = "lifecycle.process"
CANNOT_WRITE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
}


@contextmanager
def run(
    client: "MlflowClient",
    experiment: str,
    name: str,
    *,
    tags: Mapping[str, str],
    parent: str = "",
) -> Iterator[str]:
    """A run that ends FINISHED, or FAILED where the block raises; gives its id.

    Args:
        client: of the registry.
        experiment: its id.
        name: what the run is called.
        tags: given at creation.
        parent: the run that it belongs to.
    """
    all_tags = {**tags, PROCESS_TAG: lineage.process(), "mlflow.runName": name}
    if parent:
        all_tags["mlflow.parentRunId"] = parent
    with answers(name):
        made = client.create_run(experiment, tags=all_tags)
    run_id = str(made.info.run_id)
    try:
        yield run_id
    except BaseException as error:
        reason = str(error)[:5000] or type(error).__name__
        with answers(name):
            client.set_tag(run_id, "lifecycle.error", reason)
            _end(client, run_id, "FAILED")
        raise
    with answers(name):
        _end(client, run_id, "FINISHED")


def _end(client: "MlflowClient", run_id: str, status: str) -> None:
    with quiet():  # it would print the run's address on standard output
        client.set_terminated(run_id, status)


def close_dead(client: "MlflowClient", experiment: str) -> tuple[str, ...]:
    """Mark as KILLED what processes of this host left RUNNING when they died; gives the ids."""
    with answers("training runs"):
        open_runs = client.search_runs([experiment], "attributes.status = 'RUNNING'")
        dead = [
            item.info.run_id
            for item in open_runs
            if lineage.is_dead(item.data.tags.get(PROCESS_TAG, ""))
        ]
        for run_id in dead:
            _end(client, run_id, "KILLED")
    return tuple(dead)


def log_figures(
    client: "MlflowClient",
    run_id: str,
    metrics: Sequence[Metric],
    params: Mapping[str, Any],
    *,
    model_uri: str = "",
) -> None:
    """Metrics with their intervals and parameters, in one call; the metrics for a model too."""
    from mlflow.entities import Metric as Figure
    from mlflow.entities import Param

    now, model_id = int(time.time() * 1000), model_uri.removeprefix("models:/") or None
    figures = {
        f"{item.name}{suffix}": value
        for item in metrics
        for suffix, value in (("", item.value), ("_low", item.low), ("_high", item.high))
        if value is not None
    }
    with answers("metrics"):
        client.log_batch(
            run_id,
            metrics=[
                Figure(name, value, now, 0, model_id=model_id) for name, value in figures.items()
            ],
            params=[Param(name, value) for name, value in _texts(params).items()],
        )


def log_dataset(
    client: "MlflowClient",
    run_id: str,
    *,
    source: str,
    digest: str,
    rows: int,
    spec_json: str,
    unordered: str = "",
) -> None:
    """The training data as MLflow's dataset input, with our digests as its tags.

    MLflow's own field for a digest takes 36 characters: it holds the first ones of ours.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=Path(source).name or "data",
        digest=digest[:36],
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": json.loads(spec_json)})[:60000],
        profile=json.dumps({"num_rows": rows}),
    )
    with answers("dataset"):
        tags = {"lifecycle.data_digest": digest, "lifecycle.data_unordered": unordered}
        given = [InputTag(key, value) for key, value in tags.items() if value]
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, given)])


def log_model(
    client: "MlflowClient",
    run_id: str,
    estimator: Any,
    spec: ModelSpec,
    *,
    example: pd.DataFrame,
    prediction: Array,
    params: Mapping[str, Any],
    allow_pickle: bool,
) -> str:
    """The fitted estimator in skops's format; gives its address, models:/m-….

    Through the client alone: MLflow's fluent `log_model` would open the run as the active one,
    refuse where the user chose another experiment, and load the model once more to try it.

    Args:
        client: of the registry.
        run_id: the candidate's run.
        estimator: fitted.
        spec: its columns become the signature.
        example: a few input rows.
        prediction: what it answers to some rows, for the signature.
        params: of the logged model.
        allow_pickle: write a pickle where skops cannot.

    Raises:
        UntrustedModel: the model holds types that are not on our list, and pickles are not
            allowed.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    with answers("model"), quiet(), tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
        experiment = client.get_run(run_id).info.experiment_id
        made = client.create_logged_model(
            experiment, "model", source_run_id=run_id, params=_texts(params)
        )
        model_id, folder = str(made.model_id), Path(scratch) / "model"
        described = Model(
            artifact_path=made.artifact_location,
            model_uuid=model_id,
            run_id=run_id,
            model_id=model_id,
            signature=signature_of(spec, prediction),
        )
        try:
            _write_model(folder, estimator, described, example, allow_pickle=allow_pickle)
            client.log_model_artifacts(model_id, str(folder))
        except BaseException as error:
            client.finalize_logged_model(model_id, "FAILED")
            if _os_error(error) and isinstance(error, Exception):
                raise storage_error(error) from error
            raise
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        client.finalize_logged_model(model_id, "READY")
    return f"models:/{model_id}"


def _write_model(
    folder: Path, estimator: Any, described: Any, example: pd.DataFrame, *, allow_pickle: bool
) -> None:
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    common: dict[str, Any] = {
        "path": str(folder),
        "mlflow_model": described,
        "signature": described.signature,
        "input_example": example,
        "pip_requirements": list(lineage.requirements()),
    }
    try:
        mlflow.sklearn.save_model(
            estimator,
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED),
            **common,
        )
    except (MlflowException, TypeError) as error:
        if _os_error(error):
            raise
        if "skops" not in str(error) and not isinstance(error, TypeError):
            raise
        if not allow_pickle:
            raise _untrusted(estimator, error) from error
        shutil.rmtree(folder, ignore_errors=True)
        mlflow.sklearn.save_model(estimator, serialization_format="cloudpickle", **common)


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:6000] for name, value in list(params.items())[:100]}


@contextmanager
def no_autolog() -> Iterator[None]:
    """Fits in the block are ours: a user's `mlflow.autolog()` makes no runs of them."""
    from mlflow.utils.autologging_utils import disable_autologging

    with disable_autologging():
        yield


def warm() -> None:
    """Import what logging needs, once a process, so that no candidate is charged with it."""
    import mlflow.sklearn
    import skops.io

    lineage.requirements()
    assert mlflow.sklearn is not None
    assert skops.io is not None


def _untrusted(estimator: Any, error: Exception) -> UntrustedModel:
    kind = type(estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator)
    return UntrustedModel(
        f"the model cannot be stored safely: {' '.join(str(error).split())[:400]}",
        where=f"{kind.__module__}.{kind.__qualname__}",
        fix="use estimators of scikit-learn, or, if you trust all that train models here, set "
        "[models] allow_pickle = true",
    )


def signature_of(spec: ModelSpec, prediction: Array) -> Any:
    """MLflow's signature: our columns and types, answers as the model gives them."""
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types.schema import ColSpec, Schema

    columns = [ColSpec(item.dtype, item.name, required=item.required) for item in spec.features]
    outputs = infer_signature(model_output=prediction[:10]).outputs
    return ModelSignature(inputs=Schema(columns), outputs=outputs)


def log_files(
    client: "MlflowClient", run_id: str, contents: Mapping[str, str | bytes | pd.DataFrame]
) -> None:
    """Write files into a run's `lifecycle/` folder: text, bytes, or frames as Parquet.

    Args:
        client: of the registry.
        run_id: the run.
        contents: by path inside `lifecycle/`, for instance "data/holdout.parquet".

    Raises:
        TrainingFailed: the disk is full or the folder cannot be written; nothing is registered.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="lifecycle-") as folder:
            for name, content in contents.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, pd.DataFrame):
                    content.to_parquet(path, index=False)
                else:
                    path.write_bytes(content.encode() if isinstance(content, str) else content)
            with quiet():
                client.log_artifacts(run_id, folder, FOLDER)
    except OSError as error:
        raise storage_error(error) from error


def storage_error(error: Exception) -> LifecycleError:
    """What a training that cannot be stored raises: a full disk or a folder that is read-only.

    Other errors of the registry are passed on as they are.
    """
    cause = _os_error(error)
    if isinstance(error, LifecycleError) and (cause is None or cause.errno not in CANNOT_WRITE):
        return error
    detail = getattr(cause, "strerror", None) or cause or error
    return TrainingFailed(
        f"the training cannot be stored: {detail}",
        where=getattr(cause, "filename", None) or "artifact folder",
        fix="free some space or make the folder writable, and train again; nothing was registered",
    )


def _os_error(error: BaseException) -> OSError | None:
    """The system's own error behind one that MLflow or we made of it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return cause


def input_columns(spec: ModelSpec) -> str:
    """The features as MLflow's column JSON.

    >>> from lifecycle.records import Column
    >>> input_columns(ModelSpec(1, "binary", (Column("age", "double"),)))
    '[{"type": "double", "name": "age", "required": true}]'
    """
    return json.dumps(
        [
            {"type": item.dtype, "name": item.name, "required": item.required}
            for item in spec.features
        ]
    )


def seeded_sample(frame: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most `most` rows in their order, the same ones for one seed.

    >>> len(seeded_sample(pd.DataFrame({"x": range(10)}), 3, 0))
    3
    """
    if len(frame) <= most:
        return frame
    rows = np.sort(np.random.default_rng(seed).permutation(len(frame))[:most])
    return frame.iloc[rows].reset_index(drop=True)
