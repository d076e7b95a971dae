"""MLflow's own command for rollouts: `mlflow deployments create -t lifecycle:/churn …`.

>>> steps = settings({"steps": "1,5,25", "hold_back": "0"})
>>> steps["rollout__steps"], steps["rollout__hold_back"]
('1,5,25', '0')

A deployment is the rollout of a model and has the model's name. MLflow finds the client and the
functions in this module by their names, through the entry point `mlflow.deployments`
(https://mlflow.org/docs/latest/plugins.html).
"""

# ruff: noqa: ARG001, ARG002 - MLflow calls its plugins with these arguments

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from textwrap import fill
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import click
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

from lifecycle.config import RolloutConfig, load_config
from lifecycle.errors import ConfigError, DataError, LifecycleError, ModelNotFound
from lifecycle.named import nearest
from lifecycle.project import Project
from lifecycle.records import GuardEvidence, ModelRef, RolloutStatus

FLAVOR = "python_function"
ASKED = ("strategy", "guards", "others", "metric", "reason", "force", "log")  # not of [rollout]
MOVES = ("step", "promote", "resume")
YES, NO = {"true", "1", "yes"}, {"false", "0", "no", ""}


class Refused(MlflowException, click.ClickException):
    """What lifecycle refused, as MLflow's API and its command expect it: no traceback there."""

    def __init__(self, error: LifecycleError) -> None:
        code = (
            RESOURCE_DOES_NOT_EXIST if isinstance(error, LookupError) else INVALID_PARAMETER_VALUE
        )
        MlflowException.__init__(self, str(error), error_code=code)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LifecycleError as error:
        raise Refused(error) from error


class LifecycleDeploymentClient(BaseDeploymentClient):
    """Rollouts of one model, as deployments.

    >>> LifecycleDeploymentClient("lifecycle:/churn").model
    'churn'

    Args:
        target_uri: `lifecycle:/NAME`; without a name each call names the model.
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        target = urlsplit(target_uri)
        self.model = unquote(target.path).strip("/") if target.scheme else ""

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Start a rollout of a version beside the champion.

        Args:
            name: the model's.
            model_uri: a registered version, as `models:/churn/3`.
            flavor: any; a rollout serves what is registered.
            config: see `target_help`.
            endpoint: there is none.

        Raises:
            Refused: what `lifecycle rollout start` refuses; or another rollout is open.
        """
        with _told():
            project, asked = self._asked(name, config)
            made = project.rollout(_version(project, model_uri), **asked)
            return _described(RolloutStatus(project.name, made))

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Move the rollout (`step`, `promote` or `resume`), or try another version instead.

        With a `model_uri` the open rollout is aborted and one of that version begins; of the
        version that is tried already nothing happens.

        Raises:
            Refused: nothing to do was named, or the verb refuses.
        """
        with _told():
            given = dict(config or {})
            moves = [key for key in MOVES if _yes(key, given.pop(key, ""))]
            project, asked = self._asked(name, given)
            if model_uri:
                if moves:
                    raise ConfigError(f"{moves[0]!r} and a model are two things", fix="do one")
                self._replace(project, _version(project, model_uri), asked)
            elif len(moves) == 1:
                wanted = {"reason": asked["reason"]}
                if moves[0] == "promote":
                    wanted["force"] = asked["force"]
                cast("Callable[..., Any]", getattr(project, f"rollout_{moves[0]}"))(**wanted)
            else:
                raise ConfigError(
                    "name one thing to do"
                    if not moves
                    else f"{' and '.join(moves)} are two things",
                    where=f"-t {self.target_uri}",
                    fix="write -C step=true, -C promote=true, -C resume=true, or -m models:/NAME/N",
                )
            return _described(project.rollout_status())

    def delete_deployment(
        self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None
    ) -> None:
        """Abort the open rollout: the champion answers everything; nothing where none is open."""
        with _told():
            project, asked = self._asked(name, config)
            made = project.rollout_status().rollout
            if made is not None and made.open:
                project.rollout_abort(reason=asked["reason"] or "deleted by mlflow deployments")

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """The open rollouts: of the target's model, else of all models."""
        from lifecycle.workflows.status import status

        with _told():
            config = load_config()
            names = [self.model] if self.model else [row.name for row in status(config)]
            found = [Project(name, config=config).rollout_status() for name in names]
            return [_described(one) for one in found if one.rollout and one.rollout.open]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """The open rollout, else the last one, with what its last look found.

        Raises:
            Refused: there never was one.
        """
        with _told():
            found = self._project(name).rollout_status()
            if found.rollout is None:
                raise ModelNotFound(
                    f"there never was a rollout of {found.name!r}",
                    fix=f"mlflow deployments create -t lifecycle:/{found.name} …",
                )
            return _described(found)

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: str | None = None,
    ) -> PredictionsResponse:
        """Answer rows as the open rollout would, or have a running server answer them.

        Without an endpoint the versions are loaded here: each row goes to the arm of its key, and
        rows without a key all go to one arm that is drawn. These rows are logged as a batch, and no
        guard counts them.

        Args:
            deployment_name: the model's name.
            inputs: a frame, or what pandas makes one of.
            endpoint: a server's address, as `http://127.0.0.1:5001`.

        Returns:
            `predictions`, and for each row its `arms` and `versions`; of a server what it answered.

        Raises:
            Refused: nothing is in production, rows that cannot be used, or no answer.
        """
        import pandas as pd

        from lifecycle.workflows.route import ask, route

        with _told():
            project = self._project(deployment_name or self.model)
            try:
                frame = inputs if isinstance(inputs, pd.DataFrame) else pd.DataFrame(inputs)
            except (TypeError, ValueError) as error:
                raise DataError(f"the inputs are no table: {error}", where="inputs") from error
            if endpoint:
                return PredictionsResponse(ask(endpoint, project.name, frame))
            return PredictionsResponse(route(project.config, frame))

    def explain(
        self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None
    ) -> None:
        """Not offered: why a model answered as it did is not what a rollout knows.

        Raises:
            Refused: always; names the command that explains the rollout's decision.
        """
        name = deployment_name or self.model or "NAME"
        raise Refused(
            LifecycleError(
                "the target lifecycle explains no predictions",
                where=self.target_uri,
                fix=f"lifecycle rollout explain {name} says why a rollout was decided as it was",
            )
        )

    def _project(self, name: str) -> Project:
        if self.model and name and name != self.model:
            raise ConfigError(
                f"the deployment is named {name!r}, the model {self.model!r}",
                where=f"-t {self.target_uri}",
                fix=f"write --name {self.model}: a model has one rollout, which has its name",
            )
        return Project(self.model or name)

    def _asked(self, name: str, config: Mapping[str, Any] | None) -> tuple[Project, dict[str, Any]]:
        """The project with the settings of `[rollout]`, and what else `rollout` takes."""
        given, project = dict(config or {}), self._project(name)
        values = settings(given)
        force = _yes("force", given.get("force", ""))
        asked = {key: str(given.get(key, "")) for key in ("strategy", "metric", "reason")}
        lists: dict[str, Any] = {
            key: _listed(given.get(key, "")) for key in ("guards", "others", "log")
        }
        configured = Project(config=project.config.with_values(**values))
        if "steps" in given:
            lists["steps"] = configured.config.rollout.steps
        return configured, {**asked, **lists, "force": force}

    def _replace(self, project: Project, version: ModelRef, asked: dict[str, Any]) -> None:
        now = project.rollout_status().rollout
        if now is not None and now.open:
            if version.version == now.challenger.version:
                return
            known = {key: asked[key] for key in asked if key not in ("reason", "force")}
            project.rollout_plan(version, **known)  # what cannot begin ends nothing
            project.rollout_abort(reason=f"version {version.version} is tried instead")
        project.rollout(version, **asked)


def target_help() -> str:
    """What `mlflow deployments help -t lifecycle` prints.

    >>> "lifecycle:/NAME" in target_help()
    True
    """
    keys = fill(", ".join(sorted(_SETTINGS)), 90, initial_indent="  ", subsequent_indent="  ")
    return f"""\
Rollouts of registered models, decided by evidence. Target: lifecycle:/NAME, the model's name; the
deployment has the same name. The registry is MLFLOW_TRACKING_URI, else that of ./lifecycle.toml.

create   starts a rollout of -m models:/NAME/VERSION beside the champion
update   -C step=true, -C promote=true or -C resume=true; or -m models:/NAME/OTHER: another version
delete   aborts: the champion answers everything again
get      shares, evidence and users exposed; list: the rollouts that are open
predict  answers rows as the rollout would, by key; --endpoint http://HOST:PORT asks a server

Config (-C KEY=VALUE) of create and update:
  strategy=shadow|canary|ab, guards=errors,latency<=50, metric=label, others=models:/NAME/5,
  reason=TEXT, force=true, log=DIR,DIR
  and each key of [rollout], with lists as a,b,c:
{keys}

    mlflow deployments create -t lifecycle:/churn --name churn -m models:/churn/3 \\
        -C strategy=canary -C steps=1,5,25,50,100

The controller (`lifecycle rollout run NAME`) steps up, promotes and rolls back by itself.
"""


def run_local(
    target: str,
    name: str,
    model_uri: str,
    flavor: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Serve one version on this machine, without a rollout, until it is stopped.

    Args:
        target: `lifecycle:/NAME`.
        name: the model's name.
        model_uri: the version.
        flavor: any.
        config: keys of `[serve]`, as `port=5002`.
    """
    from lifecycle.serve.server import serve

    with _told():
        project = LifecycleDeploymentClient(target)._project(name)
        version = _version(project, model_uri)
        values = {f"serve__{key}": value for key, value in (config or {}).items()}
        serve(project.config.with_values(**values), (str(version),))


_SETTINGS = set(RolloutConfig.__dataclass_fields__) - {"strategy", "guards", "after_retrain"}


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values of `-C` that are settings of `[rollout]`, as `Config.with_values` takes them.

    Raises:
        ConfigError: a key is neither one of them nor what a rollout is asked for.
    """
    known = {*_SETTINGS, *ASKED}
    for key in config:
        if key not in known:
            raise ConfigError(f"unknown config {key!r}; {nearest(key, known)}", where="-C")
    return {f"rollout__{key}": value for key, value in config.items() if key in _SETTINGS}


def _version(project: Project, model_uri: str) -> ModelRef:
    """A version of the project's model."""
    found = ModelRef.parse(model_uri)
    if found.name != project.name:
        raise ConfigError(
            f"{model_uri!r} is not a version of {project.name!r}",
            where=f"lifecycle:/{project.name}",
            fix=f"write -m models:/{project.name}/VERSION",
        )
    if found.version is None:
        from lifecycle.stores import registry
        from lifecycle.stores.tracking import connect

        order = project.config.stages.order
        made = registry.find(connect(project.config), found, order=order)
        return ModelRef(made.name, made.version)
    return found


def _listed(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    return tuple(str(item).strip() for item in items if str(item).strip())


def _yes(key: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in YES | NO:
        raise ConfigError(f"{key!r} is {value!r}; write true or false", where="-C")
    return text in YES


def _described(status: RolloutStatus) -> dict[str, Any]:
    """What MLflow shows of a deployment: plain values, the most telling first."""
    made, look = status.rollout, status.look
    assert made is not None
    arms = zip(made.spec.arms, made.shares, strict=False)
    return {
        "name": status.name,
        "flavor": FLAVOR,
        "status": made.status,
        "strategy": made.spec.strategy,
        "arms": {arm.name: {"version": arm.version, "share": share} for arm, share in arms},
        "step": made.step,
        "steps": list(made.spec.steps),
        "rollout": made.seq,
        "run_id": made.run_id,
        "reason": made.reason,
        "decision": {"action": look.action, "reason": look.reason} if look else None,
        "exposed": dict(look.exposed) if look else {},
        "evidence": [_evidence(one) for one in look.evidence] if look else [],
        "warnings": list(status.warnings),
    }


def _evidence(one: GuardEvidence) -> dict[str, Any]:
    return {key: str(value) if key == "outcome" else value for key, value in one.to_dict().items()}
