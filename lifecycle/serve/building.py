"""An application made of a configuration: models loaded, log open, labels taken.

    Config ──> engine, watch over the registry, prediction log ──> Service ──> App

>>> described(SlotTable(), "http://127.0.0.1:5001")
'serving  on http://127.0.0.1:5001'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LabelError
from lifecycle.serve.app import App
from lifecycle.serve.batch import Limits
from lifecycle.serve.counts import Counts
from lifecycle.serve.engine import Engine
from lifecycle.serve.guard import Guard
from lifecycle.serve.hooks import Hooks
from lifecycle.serve.pauses import settle
from lifecycle.serve.reload import Watch
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.state import gauges, state, uncompiled
from lifecycle.serve.telemetry import Telemetry
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
    counts: Counts
    shadow: Shadow
    telemetry: Telemetry | None = None

    def start(self) -> None:
        """Begin to follow the registry."""
        settle()
        self.watch.start()

    def look(self) -> None:
        """What is done once a second: write the figures for the other workers, look for cuts."""
        self.watch.look_for_cuts()
        self.counts.write(self.app.service.gauged())

    def close(self) -> None:
        """End the threads and seal the log; safe to call twice."""
        self.watch.stop()
        self.app.close()
        self.shadow.close()
        self.writer.close()
        self.counts.write()
        if self.telemetry is not None:
            self.telemetry.close()


def build(config: Config, names: Sequence[str], *, shared: Path | None = None) -> Built:
    """The application with its models loaded.

    Args:
        config: `[serve]` and `[log]`.
        names: model references; the first is the one that requests fall to.
        shared: a folder that the workers of one server share; None: there is one worker.

    Raises:
        LifecycleError: what `lifecycle.serve.server.serve` raises.
    """
    guard = Guard(config.serve.api_keys, shared=shared) if config.serve.api_keys else None
    engine = Engine(SlotTable(), secret=ids.secret(config.log.dir))
    watch = Watch(config, engine, names, shared=shared)
    watch.load()
    writer = PredictionWriter.of(config.log)
    engine.writer = writer
    shadow = Shadow(
        lambda: engine.table,
        directory=config.log.dir,
        queue=config.rollout.queue,
        busy=lambda: app.busy,
        seal_seconds=config.log.seal_seconds,
    )
    service = Service(
        engine, add_labels=labeller(engine, config), max_body=config.serve.max_body_mb << 20
    )
    limits = Limits(config.serve.queue, config.serve.batch_rows, config.serve.timeout_seconds)
    early = guard.admit if guard is not None else None
    app = App(service, guard=guard, early=early, limits=limits, shadow=shadow)
    counts = Counts(engine.figures, shared)
    if shared is not None:
        service.total = counts.total
    models = [ref.name for ref in watch.refs if ref.alias]
    service.hook = Hooks(config.serve.webhook_secret, models=models, hurry=watch.hurry).take
    service.gauges += [watch.gauges, lambda: gauges(writer), shadow.gauges]
    service.state = lambda: state(service, watch, writer, guard, shadow)
    telemetry = None
    if config.serve.otlp:
        telemetry = Telemetry(
            config.serve.otlp, engine.figures, app.routes, first=lambda: engine.table.first
        )
        app.trace = telemetry.trace
    return Built(app, watch, writer, counts, shadow, telemetry)


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
            why = uncompiled(loaded)
            models.append(f"{name}/{arm.version} ({loaded.how}{', ' + why if why else ''})")
    return f"serving {', '.join(models)} on {address}"
