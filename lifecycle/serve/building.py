"""An application made of a configuration: models loaded, log open, labels taken.

    Config ──> engine, watch over the registry, prediction log ──> Service ──> App

>>> described(SlotTable(), "http://127.0.0.1:5001")
'serving  on http://127.0.0.1:5001'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LabelError
from lifecycle.serve.app import App
from lifecycle.serve.engine import Engine
from lifecycle.serve.guard import Guard
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import AddLabels, Service
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionWriter


@dataclass(frozen=True)
class Built:
    """A server's parts, not started yet."""

    app: App
    watch: Watch
    writer: PredictionWriter

    def start(self) -> None:
        """Begin to follow the registry."""
        self.watch.start()

    def close(self) -> None:
        """End the threads and seal the log; safe to call twice."""
        self.watch.stop()
        self.app.close()
        self.writer.close()


def build(config: Config, names: Sequence[str]) -> Built:
    """The application with its models loaded.

    Args:
        config: `[serve]` and `[log]`.
        names: model references; the first is the one that requests fall to.

    Raises:
        LifecycleError: what `lifecycle.serve.server.serve` raises.
    """
    guard = Guard(config.serve.api_keys) if config.serve.api_keys else None
    engine = Engine(SlotTable(), secret=ids.secret(config.log.dir))
    watch = Watch(config, engine, names)
    watch.load()
    writer = PredictionWriter.of(config.log)
    engine.writer = writer
    service = Service(
        engine, add_labels=labeller(engine, config), max_body=config.serve.max_body_mb << 20
    )
    return Built(App(service, guard=guard), watch, writer)


def labeller(engine: Engine, config: Config) -> AddLabels:
    """What stores the labels that /feedback takes."""
    import polars as pl

    store = LabelStore(config.log.dir)

    def add(model: str, rows: list[dict[str, Any]]) -> int:
        group = engine.table.find(model)
        spec = group.slots[group.plan.arms[0].version].loaded.spec
        given = [
            row[name] for row in rows for name in {"label", spec.target or "label"} & row.keys()
        ]
        if len({isinstance(label, str) for label in given}) > 1:  # polars would make all texts
            raise LabelError("some labels are text and some are not", fix="send those of the model")
        try:
            frame = pl.DataFrame(rows, infer_schema_length=None)
            like = pl.Series(list(spec.classes)).dtype if spec.classes else None
        except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
            raise LabelError(f"the labels are of mixed types: {error}", where=model) from error
        return store.add(
            model,
            frame,
            engine.secret,
            target=spec.target or "",
            key=spec.key or "key",
            time=spec.time or "time",
            like=like,
        ).accepted

    return add


def described(table: SlotTable, address: str) -> str:
    """The line that says what is ready: address, versions, and how they answer."""
    models = []
    for name, group in table.groups.items():
        for arm in group.plan.arms:
            loaded = group.slots[arm.version].loaded
            compiled = loaded.version.tags.get("lifecycle.compiled", "") if loaded.version else ""
            why = compiled.removeprefix("no: ")
            if loaded.how == "onnx":
                why = ""
            elif not compiled:
                why = "not compiled"
            elif compiled.startswith("sha256:"):
                why = "compiled, but compiled models are switched off or onnxruntime is missing"
            models.append(f"{name}/{arm.version} ({loaded.how}{', ' + why if why else ''})")
    return f"serving {', '.join(models)} on {address}"
