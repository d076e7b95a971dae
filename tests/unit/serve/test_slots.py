import pytest

from lifecycle.errors import ConfigError, ModelNotFound
from lifecycle.records import Arm, Plan
from lifecycle.serve.slots import SlotTable


def test_a_table_is_replaced_never_changed(make_slot):
    first = SlotTable().with_only(make_slot(7))
    second = first.with_only(make_slot(8))
    assert list(first.find("churn").slots) == [7]
    assert list(second.find("churn").slots) == [8]
    with pytest.raises(TypeError):
        first.groups["churn"] = second.groups["churn"]
    with pytest.raises(AttributeError):
        first.groups = {}


def test_the_first_model_stays_first(make_slot):
    table = SlotTable().with_only(make_slot(1)).with_only(make_slot(1, name="late"))
    assert table.with_only(make_slot(2)).first == "churn"
    assert SlotTable().first == ""


def test_models_do_not_touch_each_other(make_slot):
    table = SlotTable().with_only(make_slot(1)).with_only(make_slot(5, name="late"))
    assert table.with_only(make_slot(2)).find("late") is table.find("late")


def test_a_plan_needs_its_slots(make_slot):
    plan = Plan("churn", (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)))
    with pytest.raises(ConfigError, match="version 8 is not loaded"):
        SlotTable().with_group(plan, {7: make_slot(7)})
    with pytest.raises(ConfigError, match="add up"):
        SlotTable().with_group(Plan("churn", (Arm("champion", 7, 0.5),)), {7: make_slot(7)})


def test_an_empty_table_serves_nothing():
    with pytest.raises(ModelNotFound):
        SlotTable().find("churn")
