"""Labels that clients send to a real server, late, twice and forged, in what a rollout counts."""

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lifecycle.config import Config
from lifecycle.records import Arm, Rollout, RolloutSpec
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.workflows.counting import tallies_of

pytestmark = pytest.mark.slow


def post(address, body):
    request = urllib.request.Request(
        f"http://{address}/feedback", json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def answered(log, arm, version, count):
    """Requests that an arm answered 1, in a log that the server shares."""
    tokens = []
    with PredictionWriter(log) as writer:
        for _ in range(count):
            now = time.time_ns() // 1000
            token = ids.issue(ids.secret(log), model="churn", version=version, time=now, arm=arm)
            writer.append(
                "churn", version, token, time=now, arm=arm, features={"plan": np.array(["pro"])},
                prediction=np.array([1]),
            )  # fmt: skip
            tokens.append(token)
    return tokens


@pytest.mark.usefixtures("in_world")
def test_labels_over_http_reach_the_guards_once_and_only_ours_do(serving):
    log = str(Path("shared-log").absolute())
    values = {"log__dir": log, "models__compile": False, "tracking__uri": "sqlite:///mlflow.db"}
    config = Config(name="churn").with_values(**values)
    spec = RolloutSpec(
        "churn", "canary", (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0)),
        steps=(0.5, 1.0), guards=("errors", "label_error"),
    )  # fmt: skip
    rollout = Rollout(spec, seq=9, started=datetime.now(UTC).isoformat())

    def labelled():
        found = tallies_of(config, rollout).tallies
        return {
            item.arm: (item.units, item.events)
            for item in found
            if item.guard == "label_error" and item.units
        }

    mine, theirs = answered(log, "champion", 1, 20), answered(log, "challenger", 2, 20)
    with serving(values) as server:
        assert labelled() == {}
        right = [{"prediction_id": token, "label": 1} for token in mine]
        assert post(server.address, {"labels": right}) == (200, {"accepted": 20})
        assert labelled() == {"champion": (20, 0)}

        wrong = [{"prediction_id": token, "label": 0} for token in theirs[:10]]
        for one in wrong:
            assert post(server.address, one)[0] == 200
        wanted = {"champion": (20, 0), "challenger": (10, 10)}
        assert labelled() == wanted

        # the same again is counted and stored no second time
        assert post(server.address, {"labels": wrong})[0] == 200
        assert labelled() == wanted

        # another label for what has one, a forgery, an id of another log or model: none is taken,
        # nor what comes with it
        fresh = {"prediction_id": theirs[10], "label": 0}
        issued = {"version": 2, "time": time.time_ns() // 1000, "arm": "challenger"}
        foreign = (
            ids.issue(b"the secret of another log, 32 b.", model="churn", **issued),
            ids.issue(ids.secret(log), model="fraud", **issued),
            theirs[11][:-1] + ("A" if theirs[11][-1] != "A" else "Q"),
            "nobody's",
        )
        assert post(server.address, {"prediction_id": theirs[0], "label": 1})[0] >= 400
        for token in foreign:
            bad = {"prediction_id": token, "label": 0}
            assert post(server.address, bad)[0] == 400, token
            assert post(server.address, {"labels": [fresh, bad]})[0] == 400, token
        assert labelled() == wanted

        assert post(server.address, fresh)[0] == 200
        assert labelled() == {"champion": (20, 0), "challenger": (11, 11)}
