"""Many clients of one server at once: each gets its own answer, whatever its neighbours send."""

import asyncio
import json
import random
import time

import numpy as np
import pytest

from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan
from lifecycle.serve.app import App
from lifecycle.serve.batch import Limits
from lifecycle.serve.engine import Engine
from lifecycle.serve.http import Connection, Http
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Service
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SPEC = ModelSpec(1, "regression", (Column("x", "double"), Column("kind", "string")), key="id")
CLIENTS, EACH = 24, 25


def model(version, seconds):
    def answer(columns):
        time.sleep(seconds)
        if "poison" in columns["kind"].tolist():
            raise ZeroDivisionError("poison")
        return Output(columns["x"] * version)

    return slot("m", LoadedModel(SPEC, "sklearn", answer, ModelVersion("m", version)))


def asked(random_, client):
    """A request, and what it must be answered: the multiple of each x, or an error's status."""
    rows = [
        {"x": round(random_.uniform(0, 9), 3), "kind": "plain", "id": f"c{client}"}
        for _ in range(random_.choice([1, 1, 1, 2, 5]))
    ]
    kind = random_.random()
    if kind < 0.1:
        rows[-1]["kind"] = "poison"
        return {"dataframe_records": rows}, 500
    if kind < 0.2:
        rows[0]["x"] = "text"
        return {"dataframe_records": rows}, 400
    if kind < 0.5:
        names = ["x", "kind", "id"]
        cells = [[row[name] for name in names] for row in rows]
        return {"dataframe_split": {"columns": names, "data": cells}}, [row["x"] for row in rows]
    return {"dataframe_records": rows}, [row["x"] for row in rows]


async def client(port, number, seen):
    random_ = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(EACH):
        body, wanted = asked(random_, number)
        content = json.dumps(body).encode()
        writer.write(
            b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"x-routing-key: k%d\r\ncontent-length: %d\r\n\r\n%b" % (number, len(content), content)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        answer = json.loads(await reader.readexactly(int(headers["content-length"])))
        seen.append((int(head.split()[1]), headers, answer, wanted, number))
    writer.close()


async def served(app):
    loop = asyncio.get_running_loop()
    http = Http(app.handle)
    server = await loop.create_server(lambda: Connection(http), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    seen = []
    async with asyncio.timeout(60):
        await asyncio.gather(*(client(port, number, seen) for number in range(CLIENTS)))
    server.close()
    http.abort()
    return seen


@pytest.mark.parametrize("seconds", [0.0, 0.003])
def test_each_client_is_told_its_own_answer(tmp_path, seconds):
    plan = Plan("m", (Arm("champion", 1, 0.5), Arm("challenger", 2, 0.5)), salt="r", step=1)
    table = SlotTable().with_group(plan, {1: model(1, seconds), 2: model(2, seconds)})
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = Engine(table, secret=b"s" * 32, writer=writer)
        app = App(Service(engine), limits=Limits(batch_rows=32))
        seen = asyncio.run(served(app))
        app.close()
        log = PredictionLog(tmp_path).read("m")
    assert len(seen) == CLIENTS * EACH
    logged = dict(zip(log["prediction_id"], log["prediction"], strict=True))
    errors = dict(zip(log["prediction_id"], log["error"], strict=True))
    versions = {}
    for status, headers, answer, wanted, number in seen:
        if wanted == 400:
            assert (status, "column 'x'" in answer["message"]) == (400, True)
            continue
        token = headers["x-prediction-id"]
        if wanted == 500:
            assert status == 500
            assert token in answer["message"]
            assert any(
                name.partition(".")[0] == token and error == "ZeroDivisionError: poison"
                for name, error in errors.items()
            )
            continue
        version = int(headers["x-model-version"])
        assert versions.setdefault(number, version) == version  # a key keeps its arm
        assert status == 200
        np.testing.assert_allclose(answer["predictions"], [x * version for x in wanted])
        names = [token] if len(wanted) == 1 else [f"{token}.{row}" for row in range(len(wanted))]
        assert [logged[name] for name in names] == answer["predictions"]
        assert ids.check(engine.secret, names[0], model="m").version == version
    assert set(versions.values()) == {1, 2}
    calls = sum(map(sum, engine.figures.sizes.values()))
    assert calls < CLIENTS * EACH  # some came together
