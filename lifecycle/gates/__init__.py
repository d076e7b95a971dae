"""Is a candidate good enough? One check a function: GateInput -> GateResult, or several.

>>> sorted(TABLE)[:7]
['behaviour', 'calibration', 'champion', 'fairness', 'files', 'floor', 'latency']

A gate answers pass, fail or not enough evidence, with a reason that carries the figures. It reads
no file and asks no registry, so that it can be tried in a notebook on a GateInput made by hand.

To add a gate:

1. write `def fairness(given: GateInput) -> GateResult` in a file of its own, with `passed`,
   `failed` or `unsure` from `lifecycle.gates.given`;
2. add a row to TABLE; the conformance suite then tries it on good, odd and missing input;
3. name it in `[gates] use`.

A gate of your own needs no row: name it `use = ["floor", "mypkg.gates:fairness"]`. What it raises
becomes a refusal with the error as its reason.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from lifecycle.errors import LifecycleError
from lifecycle.gates.given import Files, GateInput, Missing, Traffic, failed, passed, unsure
from lifecycle.gates.sharing import shares
from lifecycle.named import named
from lifecycle.records import GateResult

__all__ = [
    "TABLE",
    "Files",
    "Gate",
    "GateInput",
    "Missing",
    "Traffic",
    "failed",
    "passed",
    "run",
    "shares",
    "unsure",
]

Gate = Callable[[GateInput], "GateResult | Sequence[GateResult]"]

TABLE = {
    "floor": "lifecycle.gates.floor:floor",
    "skill": "lifecycle.gates.skill:skill",
    "champion": "lifecycle.gates.champion:champion",
    "slices": "lifecycle.gates.slices:slices",
    "calibration": "lifecycle.gates.calibration:calibration",
    "leakage": "lifecycle.gates.leakage:leakage",
    "signature": "lifecycle.gates.signature:signature",
    "latency": "lifecycle.gates.latency:latency",
    "sanity": "lifecycle.gates.sanity:sanity",
    "behaviour": "lifecycle.gates.behaviour:behaviour",
    "size": "lifecycle.gates.size:size",
    "files": "lifecycle.gates.files:files",
    "traffic": "lifecycle.gates.traffic:traffic",
    "thresholds": "lifecycle.gates.thresholds:thresholds",
    "fairness": "lifecycle.gates.fairness:fairness",
    "reproducible": "lifecycle.gates.reproducible:reproducible",
}


def run(names: Iterable[str], given: GateInput) -> tuple[GateResult, ...]:
    """All results of the named gates, in their order.

    >>> from lifecycle.models.predicting import LoadedModel
    >>> from lifecycle.records import ModelSpec
    >>> model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: None)
    >>> [result.reason for result in run(["signature"], GateInput(model))]
    ['first version: there is no champion to be compatible with']

    Args:
        names: rows of TABLE, or "module:attribute".
        given: what they look at.

    Raises:
        ConfigError: a name is unknown or cannot be imported; nothing was run.
    """
    gates: list[tuple[str, Gate]] = [(name, named(name, TABLE, kind="gate")) for name in names]
    if not given.shares:
        given = replace(given, shares=shares((name for name, _ in gates), given.limits.alpha))
    return tuple(result for name, gate in gates for result in _ask(name, gate, given))


def _ask(name: str, gate: Gate, given: GateInput) -> list[GateResult]:
    try:
        answer = gate(given)
    except Missing as error:
        return [unsure(name, str(error))]
    except LifecycleError as error:
        return [failed(name, str(error))]
    except Exception as error:  # noqa: BLE001 - a user's gate may raise anything: that is a refusal
        return [failed(name, f"the gate raised {type(error).__name__}: {error}")]
    results = [answer] if isinstance(answer, GateResult) else answer
    if not isinstance(results, (list, tuple)) or not results:
        return [failed(name, f"the gate returned {type(answer).__name__}, not a GateResult")]
    strange = [item for item in results if not isinstance(item, GateResult)]
    if strange:
        return [failed(name, f"the gate returned {type(strange[0]).__name__}, not a GateResult")]
    return list(results)
