"""The checks of a model in brief, many to a run, so that hundreds of them are read in one call.

>>> fitted({"effects": {"a": 0.1, "b": 0.9}, "drifted_columns": ["b"]}, most=50)
'{"effects":{"b":0.9},"drifted_columns":["b"]}'

A check's own run holds several figures for every column, and MLflow reads runs with all their
figures: a year of daily checks of a hundred columns takes it many seconds. So each check is also
one parameter, named after its run, of a run in experiment NAME/checks, which takes 500 of them
before the next is begun. Parameters cannot be changed, and two processes that begin a run at the
same moment lose nothing: all runs are read.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lifecycle.errors import RegistryError
from lifecycle.stores.tracking import answers, experiment_id, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

SUFFIX = "/checks"
RUN_NAME = "timeline"
MOST_ENTRIES = 500  # of a run
MOST_TEXT = 6000  # characters of an entry: MLflow's limit for a parameter
PAGE = 10  # runs


def add(client: "MlflowClient", name: str, run_id: str, entry: Mapping[str, Any]) -> None:
    """Enter a check; one that is there already is left as it is.

    Args:
        client: of the registry.
        name: of the model.
        run_id: of the check's own run.
        entry: the check as JSON types; small effects are left out where it is too long.
    """
    experiment = experiment_id(client, f"{name}{SUFFIX}")
    with answers(f"checks of {name}"), quiet():
        found = client.search_runs(
            [experiment], order_by=["attributes.start_time DESC"], max_results=1
        )
        if found and run_id in found[0].data.params:
            return
        if found and len(found[0].data.params) < MOST_ENTRIES:
            target = found[0].info.run_id
        else:
            target = client.create_run(experiment, run_name=RUN_NAME).info.run_id
            client.set_terminated(target)
        client.log_param(target, run_id, fitted(entry))


def read(client: "MlflowClient", name: str, *, most: int | None = None) -> dict[str, Any]:
    """The checks that were entered, by the id of their run.

    Args:
        client: of the registry.
        name: of the model.
        most: no further run is read once there are so many.

    Raises:
        RegistryError: an entry was changed by hand, or the experiment was deleted.
    """
    with answers(f"checks of {name}"):
        experiment = client.get_experiment_by_name(f"{name}{SUFFIX}")
    if experiment is None:
        return {}
    if experiment.lifecycle_stage != "active":
        experiment_id(client, experiment.name)  # raises and says how to restore it
    found: dict[str, str] = {}
    token = ""
    while True:
        with answers(f"checks of {name}"):
            page = client.search_runs(
                [experiment.experiment_id],
                order_by=["attributes.start_time DESC"],
                max_results=2 if most is not None else PAGE,
                page_token=token or None,
            )
        for run in page:
            found.update(run.data.params)
        token = page.token or ""
        if not token or (most is not None and len(found) >= most):
            return {key: _entry(text, name) for key, text in found.items()}


def fitted(entry: Mapping[str, Any], *, most: int = MOST_TEXT) -> str:
    """An entry as JSON of at most so many characters.

    Effects are left out from the smallest on, then names of columns from the last on.
    """
    tree = dict(entry)
    effects = dict(tree.get("effects") or {})
    names = list(tree.get("drifted_columns") or [])
    order = sorted(effects, key=lambda key: abs(effects[key]))
    text = _text(tree)
    while len(text) > most and (order or names):
        for _ in range(max(1, len(order or names) // 10)):
            if order:
                del effects[order.pop(0)]
            elif names:
                names.pop()
        tree |= {"effects": effects, "drifted_columns": names}
        text = _text(tree)
    return text


def _text(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _entry(text: str, name: str) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise RegistryError(
            f"an entry of the checks of {name} cannot be read: {error}",
            where=f"experiment {name}{SUFFIX}",
            fix="delete the run that holds it; the checks' own runs are elsewhere and stay",
        ) from error
    if not isinstance(tree, dict):
        raise RegistryError(
            f"an entry of the checks of {name} is no object",
            where=f"experiment {name}{SUFFIX}",
            fix="delete the run that holds it; the checks' own runs are elsewhere and stay",
        )
    return tree
