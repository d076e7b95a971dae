"""What the server says of itself: which versions, how they answer, and what is wrong.

>>> uncompiled(LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: columns))
'not compiled'
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from lifecycle.models.predicting import LoadedModel
from lifecycle.records import ModelSpec  # noqa: F401 - is used above
from lifecycle.serve.guard import Guard
from lifecycle.serve.outward import outward
from lifecycle.serve.reload import Watch
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.slots import Group
from lifecycle.serve.wire import Gauge, Service
from lifecycle.stores.predictions import PredictionWriter

_WAIT = {"queue", "waiting"}  # gauges of requests that wait


def uncompiled(loaded: LoadedModel) -> str:
    """Why a model does not answer through its compiled form; empty when it does."""
    if loaded.how == "onnx":
        return ""
    compiled = loaded.version.tags.get("lifecycle.compiled", "") if loaded.version else ""
    if compiled.startswith("sha256:"):
        return "compiled, but compiled models are switched off or onnxruntime is missing"
    return compiled.removeprefix("no: ") or "not compiled"


def state(
    service: Service,
    watch: Watch,
    writer: PredictionWriter,
    guard: Guard | None,
    shadow: Shadow | None = None,
) -> dict[str, Any]:
    """The answer of `GET /status`, as JSON types; of the worker that is asked.

    Args:
        service: what is served.
        watch: follows the registry.
        writer: the prediction log.
        guard: asks for API keys; None: nobody is asked.
        shadow: copies requests; None: nothing does.
    """
    models = []
    reasons = service.engine.figures.reasons
    for name, group in service.engine.table.groups.items():
        arms = []
        for arm in group.plan.arms:
            loaded = group.slots[arm.version].loaded
            arms.append(
                {
                    "version": arm.version,
                    "arm": arm.name,
                    "share": arm.share,
                    "how": loaded.how,
                    "not_compiled": outward(uncompiled(loaded)),
                }
            )
        told: dict[str, Any] = {"model": name, "serving": arms, "refused": reasons.get(name, "")}
        if group.rollout is not None or group.withheld:
            told["rollout"] = _rollout(group)
        copied = shadow.state(name) if shadow is not None else None
        models.append(told | ({"shadow": copied} if copied is not None else {}))
    return {
        "ready": service.ready,
        "draining": service.draining,
        "models": models,
        "registry": {
            "polled": _time(watch.polled),
            "answered": _time(watch.answered),
            "trouble": watch.trouble,
            "failures": service.engine.figures.polls_failed,
        },
        "log": {"trouble": outward(writer.trouble), "not_logged_rows": writer.lost},
        "keys": {"asked": guard is not None, "trouble": guard.trouble if guard else ""},
        "waiting": sum(item[3] for item in service.gauged() if item[0] in _WAIT),
        "pid": os.getpid(),
    }


def _rollout(group: Group) -> dict[str, Any]:
    """What is followed of a rollout."""
    found = group.rollout
    return {
        "rollout": found.seq if found else None,
        "strategy": found.spec.strategy if found else None,
        "status": found.status if found else None,
        "step": group.plan.step,
        "withheld": outward(group.withheld),
    }


def gauges(writer: PredictionWriter) -> Iterator[Gauge]:
    """Whether the prediction log can be written, and what became of its files, for /metrics."""
    yield "log_trouble", "Workers whose log cannot be written.", {}, int(bool(writer.trouble))
    kept = writer.kept
    yield "log_files_merged", "Small files of the log that became part of others.", {}, kept.merged
    yield "log_files_deleted", "Files of past days that were deleted.", {}, kept.deleted_files
    yield "log_bytes_deleted", "Their bytes.", {}, kept.deleted_bytes


def _time(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
