"""One application of several models, asked as JSON."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle.models.predicting import Columns, Output
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.app import App
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import Slot, SlotTable

NUMBERS = ModelSpec(
    1, "regression", (Column("x", "double"), Column("n", "long"), Column("z", "float", False))
)


def total(columns: Columns) -> Output:
    """x + n, and z where it is there."""
    z = np.nan_to_num(columns["z"].astype(np.float64))
    return Output(columns["x"] + columns["n"] + z)


def frame(columns: Columns) -> Output:
    """A custom model's frame."""
    table = pd.DataFrame({"low": columns["x"] - 1, "name": [f"r{n}" for n in columns["n"]]})
    return Output(table["low"].to_numpy(), raw=table)


@pytest.fixture
def several(make_slot: Callable[..., Slot]) -> SlotTable:
    """churn/7, which comes first, total/3 and frame/1."""
    table = SlotTable().with_only(replace(make_slot(), example=EXAMPLE))
    table = table.with_only(make_slot(3, total, NUMBERS, "total"))
    return table.with_only(make_slot(1, frame, NUMBERS, "frame"))


EXAMPLE = b'{"dataframe_records": [{"age": 50, "plan": "pro"}, {"age": 20, "plan": "it\'s <b>"}]}'


@pytest.fixture
def app(several: SlotTable, make_app: Callable[..., App]) -> App:
    """The application of `several`; bodies of up to 100,000 bytes."""
    return make_app(Engine(several, secret=b"s" * 32), max_body=100_000, state=dict)


@pytest.fixture
def post(app: App, ask: Callable[..., Any]) -> Callable[..., Any]:
    """`post(path, body, **headers)` -> status, what the JSON says."""

    def run(path: str, body: Any, **headers: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, answer = ask(app, "POST", path, content, headers=given)
        return status, json.loads(answer)

    return run


@pytest.fixture
def get(app: App, ask: Callable[..., Any]) -> Callable[..., Any]:
    """`get(path)` -> status, what the JSON says."""

    def run(path: str) -> tuple[int, Any]:
        status, _, answer = ask(app, "GET", path)
        return status, json.loads(answer)

    return run
