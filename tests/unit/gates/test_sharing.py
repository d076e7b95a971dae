"""Alpha is spent once, however many gates run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import GatesConfig
from lifecycle.gates import TABLE, GateInput, passed, run
from lifecycle.gates.sharing import WEIGHTS, shares
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import ModelSpec

MODEL = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda _columns: None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*WEIGHTS, "floor", "latency", "mine:gate"])), st.floats(1e-6, 0.5))
def test_parts_sum_to_alpha_and_none_is_lost(names: list[str], alpha: float) -> None:
    found = shares(names, alpha)
    assert set(found) == set(names) & set(WEIGHTS)
    assert not found or sum(found.values()) == pytest.approx(alpha)
    assert all(0.0 < part <= alpha * (1 + 1e-12) for part in found.values())


def test_gate_named_twice_gets_one_part() -> None:
    assert shares(["champion", "champion"], 0.05) == {"champion": 0.05}


def test_run_tells_each_gate_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def listening(name: str):
        def gate(given: GateInput):
            seen[name] = given.alpha(name)
            return passed(name, "heard its part of alpha")

        return gate

    import sys
    from types import ModuleType

    module = ModuleType("parts")
    module.champion, module.slices = listening("champion"), listening("slices")
    monkeypatch.setitem(sys.modules, "parts", module)
    for name in ("champion", "slices"):
        monkeypatch.setitem(TABLE, name, f"parts:{name}")
    limits = GatesConfig(alpha=0.1)
    run(["champion", "slices"], GateInput(MODEL, limits=limits))
    assert seen["champion"] + seen["slices"] == pytest.approx(0.1)
    run(["champion"], GateInput(MODEL, limits=limits))
    assert seen["champion"] == pytest.approx(0.1)
    run(["champion"], GateInput(MODEL, limits=limits, shares={"champion": 0.01}))
    assert seen["champion"] == 0.01


def test_gate_alone_in_a_notebook_has_all_of_alpha() -> None:
    assert GateInput(MODEL, limits=GatesConfig(alpha=0.2)).alpha("champion") == 0.2
