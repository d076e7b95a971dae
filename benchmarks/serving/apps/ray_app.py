"""Ray Serve, plain or with its batching: python ray_app.py MODEL-FOLDER PORT [BATCH]."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import ray
from ray import serve
from starlette.requests import Request

folder, port = Path(sys.argv[1]), int(sys.argv[2])
size = int(sys.argv[3]) if len(sys.argv) > 3 else 1


@serve.deployment(max_ongoing_requests=256)
class Model:
    """One replica."""

    def __init__(self, folder: str) -> None:
        self.model = joblib.load(Path(folder) / "model.joblib")
        self.columns = json.loads((Path(folder) / "columns.json").read_text(encoding="utf-8"))

    def labels(self, rows: list[Any]) -> list[Any]:
        """Labels of rows."""
        return list(self.model.predict(pd.DataFrame(rows, columns=self.columns)).tolist())

    @serve.batch(max_batch_size=max(size, 2), batch_wait_timeout_s=0.002)
    async def together(self, requests: list[list[Any]]) -> list[list[Any]]:
        """Labels of several requests' rows, apart again."""
        found = iter(self.labels([row for rows in requests for row in rows]))
        return [[next(found) for _ in rows] for rows in requests]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """One request."""
        rows = (await request.json())["rows"]
        return {"predictions": await self.together(rows) if size > 1 else self.labels(rows)}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port, "access_log": False})
    serve.run(Model.bind(str(folder)), route_prefix="/invocations")
    signal.pause()
