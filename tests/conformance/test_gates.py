"""Every row of the table of gates: good candidates pass, odd input is a result, never a crash."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import TABLE, Files, GateInput, Traffic, run
from lifecycle.models.predicting import Array, Columns, LoadedModel, Output, labels
from lifecycle.records import Column, GateResult, Metric, ModelSpec, Outcome, Reproduction

CLASSES = {"binary": ("no", "yes"), "multiclass": (1, 2, 3), "regression": ()}
PRIMARY = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "rmse"}
THRESHOLDS = {
    "binary": {"accuracy_score": 0.6},
    "multiclass": {"roc_auc": 0.6},
    "regression": {"r2_score": 0.3},
}
LIMITS = GatesConfig(size_mb=10.0, increasing=("x",), protected=("group",), unfair=0.4)


def answer(inputs: Columns, classes: tuple, *, noise: float = 0.0, seed: int = 0) -> Output:
    """A model that looks at x and makes errors of its own."""
    values = np.asarray(inputs["x"]) + noise * np.random.default_rng(seed).normal(
        size=len(inputs["x"])
    )
    if not classes:
        return Output(values)
    centres = np.arange(len(classes)) * 2.0
    raw = np.exp(-((values[:, None] - centres) ** 2) / 2.0) + 1e-9
    scores = raw / raw.sum(axis=1, keepdims=True)
    return Output(labels(scores, classes, threshold=None), scores)


@cache
def good(task: str, rows: int = 600) -> GateInput:
    classes = CLASSES[task]
    rng = np.random.default_rng(3)
    codes = rng.integers(0, max(len(classes), 2), rows)
    x = codes * 2.0 + rng.normal(size=rows)
    target = np.array(classes, dtype=object)[codes] if classes else x + rng.normal(size=rows)
    spec = ModelSpec(
        1,
        task,
        (Column("x", "double"),),
        target="y",
        classes=classes,
        primary_metric=PRIMARY[task],
        metrics=(Metric(PRIMARY[task], 0.9),),
    )
    model = LoadedModel(spec, "sklearn", lambda inputs: answer(inputs, classes, noise=0.2))
    rival = LoadedModel(spec, "sklearn", lambda inputs: answer(inputs, classes, noise=0.2, seed=1))
    frame = pd.DataFrame({"x": x, "group": np.where(rng.random(rows) < 0.5, "a", "b"), "y": target})
    limits = LIMITS if task != "multiclass" else replace(LIMITS, increasing=())
    return GateInput(
        model,
        frame,
        model.predict({"x": x}),
        champion=rival,
        champion_output=rival.predict({"x": x}),
        limits=limits,
        reference=frame[["x"]],
        traffic=Traffic(frame[["x"]].tail(200), own=frame[["x"]], answers=model.predict({"x": x})),
        files=Files({"MLmodel": 900, "model.skops": 40_000}, "skops"),
        thresholds={name: threshold(at) for name, at in THRESHOLDS[task].items()},
        reproduction=Reproduction("churn", 2, same=True, rows=rows),
    )


def threshold(at: float) -> SimpleNamespace:
    """What has the attributes of a MetricThreshold."""
    return SimpleNamespace(
        threshold=at, min_absolute_change=None, min_relative_change=None, greater_is_better=True
    )


def crashing(inputs: Columns) -> Output:
    if np.abs(inputs["x"]).max() > 50:
        raise ValueError("found values that are too large")
    return answer(inputs, CLASSES["binary"], noise=0.2)


@cache
def odd_inputs() -> dict[str, GateInput]:
    binary = good("binary")
    rows = len(binary.rows)

    def answering(prediction: Array, scores: Array | None) -> GateInput:
        return replace(binary, output=Output(prediction, scores))

    def traffic(frame: pd.DataFrame) -> GateInput:
        return replace(binary, traffic=Traffic(frame))

    assert binary.output is not None
    fine, scores = binary.output.prediction, binary.output.scores
    assert scores is not None
    swapped = Output(fine, scores[:, ::-1])
    return {
        "nothing stored": GateInput(binary.candidate),
        "traffic in another unit": traffic(binary.rows[["x"]] * 100.0),
        "traffic of text": traffic(pd.DataFrame({"x": ["a"] * 50})),
        "traffic without the column": traffic(pd.DataFrame({"z": [1.0] * 50})),
        "traffic that is odd and short": traffic(pd.DataFrame({"x": [1e6, 2e6]})),
        "traffic answered otherwise": replace(
            binary, traffic=Traffic(binary.rows[["x"]], own=binary.rows[["x"]], answers=swapped)
        ),
        "files that are refused": replace(binary, files=Files({}, refused="it is a pickle")),
        "files that are large": replace(binary, files=Files({"model.skops": 10**8}, "skops")),
        "threshold that is missed": replace(binary, thresholds={"f1_score": threshold(0.999)}),
        "threshold of no metric": replace(binary, thresholds={"f_score": threshold(0.1)}),
        "another model when trained again": replace(
            binary, reproduction=Reproduction("churn", 2, same=False, rows=rows, changed_answers=9)
        ),
        "rows that are gone": replace(
            binary, reproduction=None, reproduction_problem="there is no such file"
        ),
        "crash at extremes": replace(binary, candidate=replace(binary.candidate, answer=crashing)),
        "wrong direction": replace(binary, limits=GatesConfig(decreasing=("x",))),
        "no such column": replace(binary, limits=GatesConfig(invariant=("w",))),
        "no such group": replace(binary, limits=GatesConfig(protected=("w",))),
        "no target": replace(binary, candidate=replace_spec(binary, target=None)),
        "another target": replace(binary, candidate=replace_spec(binary, target="z")),
        "empty hold-out": replace(binary, holdout=binary.rows.head(0)),
        "no features in the hold-out": replace(binary, holdout=binary.rows[["y"]]),
        "does not answer": replace(binary, output=None, problem="column 'x' is missing"),
        "champion does not answer": replace(
            binary, champion_output=None, champion_problem="column 'w' is missing"
        ),
        "champion without scores": replace(binary, champion_output=Output(fine)),
        "too few answers": answering(fine[:-1], scores[:-1]),
        "NaN scores": answering(fine, np.full_like(scores, np.nan)),
        "three columns of scores": answering(fine, np.column_stack([scores, scores[:, 0]])),
        "unknown label": answering(np.where(fine == "no", "perhaps", fine), scores),
        "None labels": answering(np.full(rows, None, dtype=object), scores),
        "numbers for labels": answering(np.zeros(rows), None),
        "one class": replace(binary, holdout=binary.rows.assign(y="no")),
        "unknown class": replace(binary, holdout=binary.rows.assign(y="other")),
        "null target": replace(binary, holdout=binary.rows.assign(y=None)),
        "one row": replace(
            binary, holdout=binary.rows.head(1), output=Output(fine[:1], scores[:1])
        ),
        "other task": replace(binary, champion=good("regression").champion),
        "unknown metric": replace(
            binary, candidate=replace_spec(binary, primary_metric="nonsense")
        ),
        "regression of text": replace(good("regression"), output=Output(np.array(["a"] * rows))),
    }


@cache
def told(name: str, what: str) -> tuple[GateResult, ...]:
    """What one gate says of one odd input."""
    return run([name], odd_inputs()[what])


def replace_spec(given: GateInput, **changes: object) -> LoadedModel:
    return replace(given.candidate, spec=replace(given.spec, **changes))


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize("rival", [True, False])
def test_good_candidate_passes_with_a_reason(name: str, task: str, rival: bool) -> None:
    given = good(task)
    if not rival:
        given = replace(given, champion=None, champion_output=None)
    results = run([name], given)
    assert results
    for result in results:
        assert result.outcome is Outcome.PASS, result.reason
        assert result.gate == name or result.gate.startswith(f"{name}.")
        assert len(result.reason) > 10


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("what", odd_inputs())
def test_odd_input_is_a_result_and_never_a_crash(name: str, what: str) -> None:
    results = told(name, what)
    assert results
    for result in results:
        assert isinstance(result, GateResult)
        assert result.reason
        assert "the gate raised" not in result.reason, result.reason


@pytest.mark.parametrize("what", odd_inputs())
def test_no_odd_input_passes_all_gates(what: str) -> None:
    results = [result for name in TABLE for result in told(name, what)]
    excused = {"unknown metric"}  # the task's default metric is taken
    assert any(result.outcome is not Outcome.PASS for result in results) or what in excused


@pytest.mark.parametrize("name", TABLE)
def test_what_is_not_stored_is_not_enough_evidence_and_names_the_next_step(name: str) -> None:
    given = replace(good("binary"), holdout=None, output=None, reference=None)
    alone = {"signature", "size", "files", "reproducible"}  # they look at no rows
    for result in run([name], given):
        if name in alone or result.gate == "traffic.columns":
            continue
        assert result.outcome is Outcome.UNSURE
        assert "lifecycle adopt" in result.reason


@pytest.mark.parametrize("name", TABLE)
def test_results_survive_json(name: str) -> None:
    import json

    for result in run([name], good("binary")):
        assert json.loads(json.dumps(result.to_dict()))["gate"] == result.gate
