"""A server as people write it by hand: FastAPI, a body of their own, scikit-learn.

python fastapi_app.py MODEL-FOLDER PORT
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

folder, port = Path(sys.argv[1]), int(sys.argv[2])
model = joblib.load(folder / "model.joblib")
columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
app = FastAPI()


class Body(BaseModel):
    """Rows in the order of the columns."""

    rows: list[list[float | str]]


@app.get("/ping")
def ping() -> str:
    """Whether it is up."""
    return "pong"


@app.post("/invocations")
def predict(body: Body) -> dict[str, Any]:
    """Labels of the rows; in a thread, so that the event loop goes on."""
    return {"predictions": model.predict(pd.DataFrame(body.rows, columns=columns)).tolist()}


uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")
