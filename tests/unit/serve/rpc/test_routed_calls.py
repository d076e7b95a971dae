"""Calls are routed by the plan as requests are."""

import pytest

from lifecycle.records import Arm, Plan
from lifecycle.rollout.assignment import place
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable

COLUMNS = {"age": ("FP64", [31.0]), "plan": ("BYTES", [b"pro"])}
KEYS = {
    "champion": next(key for key in map(str, range(99)) if place("r", key) >= 0.5),
    "challenger": next(key for key in map(str, range(99)) if place("r", key) < 0.5),
}


def breaks(_columns):
    raise ZeroDivisionError("it breaks")


def two(make_slot, **challenger):
    plan = Plan("churn", (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)), salt="r")
    slots = {7: make_slot(7), 8: make_slot(8, **challenger)}
    return Engine(SlotTable().with_group(plan, slots), secret=b"s" * 32)


@pytest.mark.parametrize("broken", [False, True])
def test_a_key_finds_its_arm_and_a_broken_one_is_stood_in_for(
    serving_rpc, make_slot, make_infer, broken
):
    engine = two(make_slot, **({"answer": breaks} if broken else {}))
    with serving_rpc(engine) as asking:
        for arm, key in KEYS.items():
            request = make_infer(COLUMNS, model_name="churn")
            answer = asking.v2("ModelInfer", request, metadata=(("x-routing-key", key),))
            stood_in = broken and arm == "challenger"
            wanted = "fallback" if stood_in else arm
            assert asking.trailers["x-model-arm"] == wanted
            assert answer.model_version == ("8" if wanted == "challenger" else "7")
        asked = make_infer(COLUMNS, model_name="churn", model_version="7")
        asking.v2("ModelInfer", asked, metadata=(("x-routing-key", KEYS["challenger"]),))
        assert asking.trailers["x-model-arm"] == "asked"
