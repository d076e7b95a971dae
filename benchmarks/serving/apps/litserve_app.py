"""LitServe, plain or with its batching: python litserve_app.py MODEL-FOLDER PORT [BATCH]."""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import litserve
import pandas as pd

folder, port = Path(sys.argv[1]), int(sys.argv[2])
batch = int(sys.argv[3]) if len(sys.argv) > 3 else 1


class Api(litserve.LitAPI):
    """One model; requests of several rows are put together and taken apart again."""

    def setup(self, device: str) -> None:
        """Load in the worker."""
        del device
        self.model = joblib.load(folder / "model.joblib")
        self.columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))

    def decode_request(self, request: dict[str, Any]) -> list[list[Any]]:
        """The rows."""
        return list(request["rows"])

    def batch(self, inputs: list[list[list[Any]]]) -> list[list[list[Any]]]:
        """Requests as they are; `predict` joins their rows."""
        return inputs

    def predict(self, x: Any) -> Any:
        """Labels: of one request's rows, or a list of them for each request."""
        requests = x if batch > 1 else [x]
        rows = [row for request in requests for row in request]
        labels = iter(self.model.predict(pd.DataFrame(rows, columns=self.columns)).tolist())
        parts = [[next(labels) for _ in request] for request in requests]
        return parts if batch > 1 else parts[0]

    def unbatch(self, output: list[list[Any]]) -> list[list[Any]]:
        """The parts."""
        return output

    def encode_response(self, output: list[Any]) -> dict[str, Any]:
        """The answer."""
        return {"predictions": output}


if __name__ == "__main__":
    api = Api(
        max_batch_size=batch, batch_timeout=0.002 if batch > 1 else 0, api_path="/invocations"
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
