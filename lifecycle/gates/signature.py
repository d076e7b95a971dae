"""Whoever calls the champion today can call the candidate tomorrow.

>>> was = ModelSpec(1, "regression", (Column("age", "long"),))
>>> now = ModelSpec(1, "regression", (Column("age", "double"), Column("plan", "string")))
>>> differences(was, now)
["new required input 'plan' (string)"]
"""

from lifecycle.gates.given import GateInput, Missing, failed, passed
from lifecycle.records import Column, GateResult, ModelSpec

# what a column may become without refusing a value that it took before
WIDER = {
    "integer": {"long", "double"},
    "long": {"double"},
    "float": {"double"},
}


def signature(given: GateInput) -> GateResult:
    """Hold the candidate's inputs, task and classes against the champion's."""
    gate = "signature"
    if given.champion is None:
        return passed(gate, f"{given.alone}: there is no champion to be compatible with")
    found = differences(given.champion.spec, given.spec)
    if found:
        return failed(gate, "not compatible with the champion: " + "; ".join(found))
    if not given.spec.target or not given.champion.spec.target:
        raise Missing(
            "the inputs agree, but what one of the two models predicts is not known",
            fix="`lifecycle adopt REF --target COLUMN` names it",
        )
    return passed(gate, f"takes the champion's {len(given.champion.spec.features)} inputs")


def differences(was: ModelSpec, now: ModelSpec) -> list[str]:
    """What would break callers of `was`; empty when nothing would.

    An input that is gone counts: it is more often lost on the way to the training data than dropped
    on purpose. Wider numbers (long to double) and new optional inputs, which are null where a
    caller leaves them out, do not count.
    """
    before = {column.name: column for column in was.features}
    after = {column.name: column for column in now.features}
    found = [f"input {name!r} is gone" for name in before if name not in after]
    found += [
        problem for name, column in after.items() if (problem := _changed(before.get(name), column))
    ]
    if not was.target or not now.target:  # read off MLflow's signature: task and classes unknown
        return found
    if was.task != now.task:
        found.append(f"the task was {was.task} and is {now.task}")
    elif was.classes != now.classes:
        found.append(f"the classes were {_listed(was.classes)} and are {_listed(now.classes)}")
    return found


def _changed(was: Column | None, now: Column) -> str:
    if was is None:
        return f"new required input {now.name!r} ({now.dtype})" if now.required else ""
    if now.dtype != was.dtype and now.dtype not in WIDER.get(was.dtype, set()):
        return f"input {now.name!r} was {was.dtype} and is {now.dtype}"
    if now.required and not was.required:
        return f"input {now.name!r} may no longer be null or left out"
    return ""


def _listed(classes: tuple[object, ...]) -> str:
    return "[" + ", ".join(map(repr, classes)) + "]"
