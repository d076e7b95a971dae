"""Whatever a verb returns can be printed as JSON, read back, and compared."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, date, datetime
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle import records
from lifecycle.models import specs
from lifecycle.records import Entry, GateReport, ModelSpec, Record, plain
from lifecycle.stores import ledger
from lifecycle.workflows.promote import report_of

KINDS = sorted(
    (
        item
        for item in vars(records).values()
        if inspect.isclass(item) and issubclass(item, Record) and item is not Record
    ),
    key=lambda item: item.__name__,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | TEXT
BASIC: dict[Any, st.SearchStrategy] = {
    str: TEXT,
    int: st.integers(-(2**40), 2**40),
    float: st.floats(),
    bool: st.booleans(),
    type(None): st.none(),
    Any: SCALARS,
}


@cache
def any_of(hint: Any) -> st.SearchStrategy:
    """Small values of a type; records with every field filled."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in BASIC:
        return BASIC[hint]
    if inspect.isclass(hint) and issubclass(hint, Record):
        return st.builds(hint, **{k: any_of(item) for k, item in get_type_hints(hint).items()})
    if (inspect.isclass(hint) and issubclass(hint, Enum)) or origin is Literal:
        return st.sampled_from(inner or list(hint))
    if origin in (Union, UnionType):
        return st.one_of(*(any_of(item) for item in inner))
    if origin is Mapping:
        return st.dictionaries(TEXT, any_of(inner[1]), max_size=2)
    if origin is tuple and inner[-1] is not ...:
        return st.tuples(*(any_of(item) for item in inner))
    if origin in (tuple, Sequence):
        # deferred: a record may hold others of its kind
        return st.lists(st.deferred(lambda: any_of(inner[0])), max_size=1).map(tuple)
    return st.none()  # functions: not part of a record's value


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_record_is_json_and_comes_back_as_it_went(kind: type) -> None:
    shown = {item.name for item in fields(kind) if item.repr}

    @settings(max_examples=6, deadline=None)
    @given(any_of(kind))
    def check(record: Record) -> None:
        tree = record.to_dict()
        assert shown <= set(tree), "a field that is part of the value is missing"
        text = json.dumps(tree, allow_nan=False)  # NaN is no JSON
        assert json.loads(text) == tree
        assert plain(record) == tree

    check()


def test_no_record_can_be_changed() -> None:
    assert len(KINDS) > 25
    assert [kind for kind in KINDS if not kind.__dataclass_params__.frozen] == []
    version = records.ModelVersion("churn", 1)
    with pytest.raises(FrozenInstanceError):
        version.stage = "production"


@settings(max_examples=25, deadline=None)
@given(any_of(GateReport))
def test_a_gate_report_is_read_back_equal(report: GateReport) -> None:
    figures = [x for r in report.results for x in (r.value, r.limit, r.low, r.high)]
    if all(x is None or abs(x) < float("inf") for x in figures):
        assert report_of(json.loads(json.dumps(report.to_dict()))) == report


@settings(max_examples=25, deadline=None)
@given(any_of(Entry))
def test_a_ledger_entry_is_read_back_equal(entry: Entry) -> None:
    stored = Entry(**{**vars(entry), "v": 1, "extra": plain(entry.extra)})
    again = ledger.loads(ledger.dumps(stored))
    assert again == stored
    assert len(again.digest) == 64
    assert ledger.dumps(again) == ledger.dumps(stored), "what is hashed is the same each time"


@settings(max_examples=25, deadline=None)
@given(any_of(ModelSpec))
def test_a_specification_is_read_back_equal(spec: ModelSpec) -> None:
    known = ModelSpec(**{**vars(spec), "schema": 1, "task": "binary"})
    tree = known.to_dict()
    again = specs.loads(specs.dumps(known))
    assert again.to_dict() == tree
    assert again.feature_names == known.feature_names


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.float32("inf"), None),
        (np.int64(3), 3),
        (np.bool_(False), False),
        (np.array(7), 7),
        ({"kept": np.bool_(True)}, {"kept": True}),
        ((np.int8(1), np.uint8(2)), [1, 2]),
    ],
)
def test_numpy_scalars_are_numbers_not_texts(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 4, 1), "2026-04-01"),
        (datetime(2026, 4, 1, 12, tzinfo=UTC), "2026-04-01T12:00:00+00:00"),
        (Path("a/b"), "a/b"),
        ({1: {2.5: None}}, {"1": {"2.5": None}}),
        (frozenset({"x"}), ["x"]),
        (float("-inf"), None),
        (records.Outcome.UNSURE, "not enough evidence"),
        (records.Column("age", "double"), {"name": "age", "dtype": "double", "required": True}),
    ],
)
def test_other_values_become_the_nearest_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
