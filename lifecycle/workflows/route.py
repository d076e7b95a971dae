"""Answer rows as the open rollout would: here, each by the arm of its key, or by a server.

>>> import pandas as pd
>>> ask("ftp://127.0.0.1", "churn", pd.DataFrame({"age": [41]}))
Traceback (most recent call last):
lifecycle.errors.ServeError: 'ftp://127.0.0.1' is no address of a server. \
Next: write http://HOST:PORT.
"""

import json
import random
import urllib.error
import urllib.request
from typing import Any, cast
from urllib.parse import urlsplit

import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import DataError, ServeError
from lifecycle.records import ModelRef
from lifecycle.rollout.assignment import assign
from lifecycle.rollout.plan import only
from lifecycle.rollout.state import open_rollout, plan_of
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.score import score

SECONDS = 30.0  # that a server may take for an answer


def route(config: Config, frame: pd.DataFrame) -> dict[str, Any]:
    """Answer rows here by the plan in force: a row with a key by the key's arm.

    Rows without a key all go to one arm that is drawn, as those of one request do. They are logged
    as a batch, which no guard counts; a shadow sees none of them.

    Args:
        config: names the model; tracking and log.
        frame: with the model's columns, and its key where rows are to be told apart.

    Returns:
        `predictions`, and for each row its arm in `arms` and its version in `versions`.

    Raises:
        ModelNotFound: nothing is in production.
        DataError: rows or columns that cannot be used.
        RegistryUnavailable: no answer in time.
    """
    if frame.empty:
        raise DataError("there are no rows", where="inputs", fix="give at least one")
    client, order = connect(config), config.stages.order
    champion = registry.find(client, f"{config.name}@champion", order=order)
    made = open_rollout(Ledger(client, config.name).entries(), order)
    plan = only(config.name, champion.version) if made is None else plan_of(made)
    column = config.key or artifacts.spec(client, champion).key
    keys = [str(key) for key in frame[column]] if column in frame.columns else [None] * len(frame)
    draw = random.random()  # noqa: S311 - which arm answers is no secret
    arms = [assign(plan, key, draw=draw) for key in keys]
    answers: dict[int, Any] = {}
    for version in dict.fromkeys(arm.version for arm in arms):
        places = [at for at, arm in enumerate(arms) if arm.version == version]
        found = score(config, ModelRef(config.name, version), frame.iloc[places])
        answers |= zip(places, cast("pd.DataFrame", found)["prediction"].tolist(), strict=True)
    return {
        "predictions": [answers[at] for at in range(len(arms))],
        "arms": [arm.name for arm in arms],
        "versions": [arm.version for arm in arms],
    }


def ask(endpoint: str, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    """What a running server answers to the rows, in MLflow's format.

    Args:
        endpoint: its address, as `http://127.0.0.1:5001`.
        name: which of its models.
        frame: with the model's columns.

    Raises:
        ServeError: it cannot be reached, or answers with an error.
    """
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise ServeError(f"{endpoint!r} is no address of a server", fix="write http://HOST:PORT")
    body = f'{{"dataframe_split": {frame.to_json(orient="split")}}}'
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        f"{endpoint.rstrip('/')}/invocations",
        data=body.encode(),
        headers={"Content-Type": "application/json", "X-Model": name},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace")
        raise ServeError(f"the server answers {error.code}: {said}", where=endpoint) from error
    except (OSError, ValueError) as error:
        raise ServeError(
            f"no answer: {error}", where=endpoint, fix=f"start one: lifecycle serve {name}"
        ) from error
    return found
