"""BentoML, plain and with its adaptive batching; the model's folder stands in model.txt."""

import json
from pathlib import Path
from typing import Any

import bentoml
import joblib
import pandas as pd

FOLDER = Path((Path(__file__).parent / "model.txt").read_text(encoding="utf-8"))
COLUMNS = json.loads((FOLDER / "columns.json").read_text(encoding="utf-8"))


def labels(model: Any, rows: list[list[Any]]) -> list[Any]:
    """Labels of rows in the order of the columns."""
    return list(model.predict(pd.DataFrame(rows, columns=COLUMNS)).tolist())


@bentoml.service(workers=1, metrics={"enabled": False})
class Plain:
    """A request, a prediction."""

    def __init__(self) -> None:
        self.model = joblib.load(FOLDER / "model.joblib")

    @bentoml.api
    def predict(self, rows: list[list[Any]]) -> list[Any]:
        """Labels of the rows."""
        return labels(self.model, rows)


@bentoml.service(workers=1, metrics={"enabled": False})
class Batching:
    """Requests that wait are predicted together."""

    def __init__(self) -> None:
        self.model = joblib.load(FOLDER / "model.joblib")

    @bentoml.api(batchable=True, max_batch_size=512, max_latency_ms=1000)
    def predict(self, rows: list[list[Any]]) -> list[Any]:
        """Labels of the rows."""
        return labels(self.model, rows)
