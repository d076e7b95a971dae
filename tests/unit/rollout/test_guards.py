import math
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.rollout import guards
from lifecycle.rollout.guards import GUARDS, MOST, Guard, expand, parse


def rows(**columns):
    """Rows as `stores.arms` gives them; what is not named is null."""
    size = len(next(iter(columns.values())))
    empty = {"latency_ms": pl.Float64, "error": pl.String, "known": pl.Boolean}
    frame = {name: pl.Series([None] * size, dtype=empty.get(name)) for name in guards.COLUMNS}
    return pl.DataFrame({**frame, **columns})


def values(text, **columns):
    return parse(text).values(rows(**columns)).to_list()


def refunds(frame):
    """Money was paid back."""
    return frame["prediction"] > 10


def amounts(frame):
    return frame["prediction"] * 1.0


def torn(frame):
    return frame["refund"]


def short(frame):
    return frame["prediction"].head(1)


def said(frame):
    return pl.Series(["yes"] * len(frame))


HARSH = Guard("harsh", "a number of mine", lambda frame, _: frame["prediction"], kind="number")
MINE = __name__


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This file as a module that a text can name."""
    monkeypatch.setitem(sys.modules, "mine.guards", sys.modules[__name__])


@pytest.mark.parametrize(
    ("text", ("read")),
    [
        ("errors", ("errors", "", None, None, "event")),
        (" errors ", ("errors", "", None, None, "event")),
        ("latency", ("latency", "", None, None, "number")),
        ("latency<=50", ("latency", "", None, 50.0, "event")),
        ("latency<=0.5", ("latency", "", None, 0.5, "event")),
        ("errors:carrier", ("errors", "carrier", None, None, "event")),
        ("errors:carrier=UA", ("errors", "carrier", "UA", None, "event")),
        ("errors:carrier=", ("errors", "carrier", "", None, "event")),
        ("errors:plan=a=b", ("errors", "plan", "a=b", None, "event")),
        ("errors:plan=a:b", ("errors", "plan", "a:b", None, "event")),
        ("errors:two words=x y", ("errors", "two words", "x y", None, "event")),
        ("latency:carrier=UA<=50", ("latency", "carrier", "UA", 50.0, "event")),
        ("latency:carrier<=50", ("latency", "carrier", None, 50.0, "event")),
        ("label_error<=5", ("label_error", "", None, 5.0, "event")),
        ("error_size<=1e3", ("error_size", "", None, 1000.0, "event")),
        ("mine.guards:refunds", ("mine.guards:refunds", "", None, None, "event")),
        ("mine.guards:refunds:plan=pro", ("mine.guards:refunds", "plan", "pro", None, "event")),
        ("mine.guards:amounts<=3", ("mine.guards:amounts", "", None, 3.0, "event")),
        ("mine.guards:HARSH", ("harsh", "", None, None, "number")),
    ],
)
def test_texts_are_read(text, read):
    found = parse(text)
    assert (found.guard.name, found.column, found.value, found.limit, found.kind) == read
    assert found.text == text.strip()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("erors", "did you mean 'errors'"),
        ("erors:carrier=UA", "did you mean 'errors'"),
        ("latncy<=50", "did you mean 'latency'"),
        ("nothing_like_it", "known: error_size, errors"),
        ("", "unknown guard ''"),
        ("errors:", "names no column"),
        ("errors:=UA", "names no column"),
        ("errors<=5", "takes no limit"),
        ("invalid:plan=pro<=5", "takes no limit"),
        ("latency<=", "no number"),
        ("latency<=fast", "no number"),
        ("latency<=nan", "no number"),
        ("latency<=inf", "no number"),
        ("no_such_module.at_all:refunds", "cannot be imported"),
        ("mine.guards:nothing", "cannot be imported"),
        ("mine.guards:MINE", "neither a Guard nor a function"),
        ("mine.guards:Guard", "neither a Guard nor a function"),
    ],
)
def test_what_is_no_guard_is_refused_by_name(text, says):
    with pytest.raises(ConfigError, match=says) as refused:
        parse(text)
    assert refused.value.fix


def test_errors_are_requests_that_failed():
    assert values("errors", error=[None, "ValueError: no", None]) == [False, True, False]


@pytest.mark.parametrize(
    ("columns", "bad"),
    [
        ({"prediction": [1, None, 0]}, [False, True, False]),
        ({"prediction": [1.0, math.nan, math.inf]}, [False, True, True]),
        ({"prediction": ["a", None, "b"]}, [False, True, False]),
        ({"prediction": [1, 1, 1], "score": [0.0, 1.0, 1.01]}, [False, False, True]),
        ({"prediction": [1, 1, 1], "score": [-0.01, math.nan, None]}, [True, True, False]),
        (
            {"prediction": ["a"] * 3, "score": [[0.5, 0.5], [1.5, -0.5], [0.5, None]]},
            [False, True, True],
        ),
        ({"prediction": ["a", "b"], "score": [[math.nan, 0.5], None]}, [True, False]),
        ({"prediction": ["a", "b", "c"], "known": [True, False, None]}, [False, True, False]),
        ({"prediction": [None, 1], "error": ["failed", None]}, [None, False]),
    ],
)
def test_invalid_answers(columns, bad):
    assert values("invalid", **columns) == bad


def test_latency_is_a_logarithm_and_a_breach_with_a_limit():
    taken = [1.0, math.e, 50.0, 50.1, None, 0.0]
    found = values("latency", latency_ms=taken)
    assert found[:2] == [0.0, pytest.approx(1.0)]
    assert found[4] is None
    assert math.isfinite(found[5])
    assert values("latency<=50", latency_ms=taken) == [False, False, False, True, None, False]


@pytest.mark.parametrize(
    ("predictions", "labels", "wrong"),
    [
        ([1, 0, None], [1, 1, 1], [False, True, True]),
        ([1, 0], [1.0, 0.0], [False, False]),
        ([1, 0], [True, True], [False, True]),
        ([True, False], [1, 1], [False, True]),
        (["a", "b"], ["a", "a"], [False, True]),
        (["1", "0"], [1, 1], [False, True]),
    ],
)
def test_classes_are_held_against_labels_whatever_their_type(predictions, labels, wrong):
    assert values("label_error", prediction=predictions, label=labels) == wrong


def test_regressions_are_wrong_beyond_the_limit():
    columns = {"prediction": [10.0, 10.0, 10.0, None], "label": [12, 5, 15, 1]}
    assert values("label_error<=4.5", **columns) == [False, True, True, None]
    assert values("error_size", **columns) == [2.0, 5.0, 5.0, None]
    assert values("error_size<=2", **columns) == [False, True, True, None]


def test_the_label_itself_is_better_when_it_is_more_unless_there_is_a_limit():
    assert values("label", label=[1, 0, True]) == [1.0, 0.0, 1.0]
    assert values("label", label=["high", "low"]) == [None, None]
    assert values("label<=0", label=[1, 0]) == [True, False]
    assert parse("label").guard.worse == -1
    assert parse("label<=0").guard.worse == 1
    assert not parse("label").certify
    assert not parse("label<=0").certify


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"score": [0.2, None], "prediction": [0, 1]}, [0.2, None]),
        ({"score": [[0.2, 0.7, 0.1], None], "prediction": ["a", "b"]}, [0.7, None]),
        ({"score": [None, None], "prediction": [3.5, 2.0]}, [3.5, 2.0]),
        ({"score": [None, None], "prediction": ["a", "b"]}, [None, None]),
    ],
)
def test_the_score_is_what_there_is_of_one(columns, found):
    assert values("score", **columns) == found


def test_only_ratios_are_certified():
    certified = {name for name in GUARDS if parse(name).certify}
    assert certified == {"errors", "invalid", "latency", "label_error"}
    assert parse("error_size<=5").certify
    assert parse("latency<=5").certify


def test_rows_of_one_value_hold_no_step_up():
    assert not parse("errors:carrier=UA").certify
    assert not parse("latency:carrier<=5").certify


def test_ones_own_function_counts_events():
    assert values("mine.guards:refunds", prediction=[5, 11, None]) == [False, True, None]
    assert values("mine.guards:amounts<=10", prediction=[5, 11]) == [False, True]
    assert parse("mine.guards:refunds").guard.about == "Money was paid back."


def test_ones_own_number_counts_no_infinity():
    found = values("mine.guards:HARSH", prediction=[5.0, math.inf, math.nan, None])
    assert found == [5.0, None, None, None]
    assert values("mine.guards:HARSH", prediction=[True, False]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mine.guards:torn", "ColumnNotFoundError"),
        ("mine.guards:short", "no series of 2 values"),
        ("mine.guards:said", "String, neither"),
        ("mine.guards:amounts", "counts events"),
    ],
)
def test_a_function_of_ones_own_that_fails_says_how(text, says):
    with pytest.raises(ConfigError, match=says) as refused:
        values(text, prediction=[5, 11])
    assert text in str(refused.value)


def test_columns_become_one_guard_a_value():
    asked = []

    def values_of(column):
        asked.append(column)
        return {"carrier": ["UA", "AA"], "plan": ["pro"]}[column]

    texts = ["errors", "errors:carrier", "latency:plan<=50", "errors:carrier=UA", "errors"]
    assert expand(texts, values_of) == (
        "errors", "errors:carrier=UA", "errors:carrier=AA", "latency:plan=pro<=50",
    )  # fmt: skip
    assert asked == ["carrier", "plan"]


def test_only_the_most_frequent_values_are_watched():
    found = expand(["errors:n"], lambda _: [str(number) for number in range(50)])
    assert found == tuple(f"errors:n={number}" for number in range(MOST))


def test_a_column_without_values_is_refused():
    with pytest.raises(ConfigError, match="no value is known"):
        expand(["errors:carrier"], lambda _: [])


def test_a_value_that_a_text_cannot_hold_is_refused():
    with pytest.raises(ConfigError):
        expand(["latency:size"], lambda _: ["big<=5"])


@given(st.lists(st.text(min_size=1).filter(lambda text: "<=" not in text), max_size=5))
@settings(max_examples=60, deadline=None)
def test_expanded_guards_are_read_back_or_refused(found):
    try:
        made = expand(["errors:column"] if found else [], lambda _: found)
    except ConfigError as error:
        assert "cannot name the value" in str(error)  # noqa: PT017 - or it must not fail
        return
    assert [parse(text).value for text in made] == list(dict.fromkeys(found))
    assert expand(made, lambda _: []) == made


def test_guards_load_no_polars_before_rows_come():
    code = (
        "import sys; from lifecycle.rollout.guards import parse, expand; parse('latency<=5');"
        "expand(['errors:a'], lambda _: 'xy'); sys.exit('polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
