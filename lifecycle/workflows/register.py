"""Register a candidate: sign its files, compile it, make one version with all its tags at once.

>>> register(Config(), Candidate("knn", error="ValueError: no rows"))
Traceback (most recent call last):
lifecycle.errors.TrainingFailed: the candidate 'knn' was not trained: ValueError: no rows
"""

import json
from dataclasses import replace

from lifecycle.config import Config, SigningConfig
from lifecycle.errors import ConfigError, TrainingFailed
from lifecycle.models import files
from lifecycle.models.compiling import Compiled, compile_model
from lifecycle.models.loading import load
from lifecycle.records import Candidate, ModelRef, ModelVersion
from lifecycle.stores import artifacts, recorded, registry, runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers, connect


def register(config: Config, candidate: Candidate) -> ModelVersion:
    """Make a version of a candidate.

    A process that is killed here leaves either nothing in the registry or a whole version: the
    files and the compiled model are stored first, the version is made with all its tags last.

    Args:
        config: the model's name, `[models]`.
        candidate: one that `train` gave.

    Raises:
        TrainingFailed: the candidate is a failed one, or the disk is full.
        RegistryUnavailable: MLflow does not answer; nothing was registered.
    """
    if candidate.error or not candidate.model_uri or candidate.spec is None:
        raise TrainingFailed(
            f"the candidate {candidate.name!r} was not trained: {candidate.error or 'no run'}"
        )
    if not config.name:
        raise ConfigError("no model name is set", fix="set `name` in lifecycle.toml")
    client = connect(config)
    with artifacts.logged_files(client, candidate.model_uri) as folder:
        digest = files.digest(folder)
        compiled = Compiled(None, {}, "[models] compile is false")
        if config.models.compile:
            estimator = candidate.estimator
            if estimator is None:
                estimator = load(
                    folder,
                    spec=candidate.spec,
                    digest=digest,
                    allow_pickle=config.models.allow_pickle,
                ).estimator
            sample = artifacts.holdout_of_run(client, candidate.spec.data_run_id)
            compiled = compile_model(estimator, candidate.spec, sample)
    stored: dict[str, str | bytes] = {"compiled/report.json": json.dumps(compiled.report, indent=1)}
    if compiled.onnx is not None:
        stored["compiled/model.onnx"] = compiled.onnx
    try:
        runs.log_files(client, candidate.run_id, dict(stored))
    except OSError as error:
        raise runs.storage_error(error) from error
    return registry.register(
        client,
        config.name,
        model_uri=candidate.model_uri,
        order=config.stages.order,
        tags={
            artifacts.DIGEST: digest,
            artifacts.SPEC_RUN: candidate.run_id,
            artifacts.SPEC: artifacts.spec_digest(client, candidate.run_id),
            artifacts.COMPILED: compiled.tag,
            **({artifacts.COMPILED_HOW: compiled.how} if compiled.how else {}),
        },
    )


def sign(config: Config, ref: str | ModelRef | ModelVersion) -> ModelVersion:
    """Vouch for a version that is there already: one from before there was a key, or a new key's.

    Args:
        config: `[signing] key`.
        ref: the version; its files must be those that were registered.

    Raises:
        ConfigError: there is no key, or it cannot be used.
        ModelRefused: the files are not those that were registered; nothing was signed.
        ModelNotFound: no such version, or it is not ours.
    """
    if not config.signing.key:
        raise ConfigError(
            "there is no key to sign with", fix="make one with `lifecycle signing-key FILE`, then"
            " set [signing] key",
        )  # fmt: skip
    client = connect(config)
    version = registry.find(client, ref, order=config.stages.order)
    artifacts.own_run(version)
    artifacts.verify(client, version, replace(config, signing=SigningConfig()))
    with answers(version.ref):
        tags = recorded.vouch(client, version.name, version.version, version.tags)
    entry = draft(
        kind="sign",
        version=version.version,
        extra=recorded.kept(version.source, tags),
    )
    Ledger(client, version.name).append(lambda _: entry)
    return registry.find(client, version, order=config.stages.order)
