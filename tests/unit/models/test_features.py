"""Encoders are asked what each level becomes; tables, chains and graphs are put side by side."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)

from lifecycle.models.elements import Step, Unsupported
from lifecycle.models.features import (
    FLAGS,
    NULL,
    OTHER,
    Inputs,
    Level,
    Made,
    Number,
    asked,
    parts_of,
    vocabulary,
)
from lifecycle.models.graphs import Graph, session_output
from lifecycle.models.preparing import prepared, stepped
from lifecycle.records import Column

COLUMNS = (
    Column("age", "double"),
    Column("paid", "boolean", required=False),
    Column("plan", "string"),
    Column("city", "string"),
    Column("since", "datetime"),
)
TEXTS = pd.DataFrame({"plan": ["a", "b", "b"] * 9, "city": ["x", "x", "y"] * 9}, dtype=object)


def inputs(known=("a", "b", "x", "y")):
    return Inputs(Graph(), COLUMNS, known)


def texts(made):
    return [made.features["plan"], made.features["city"]]


def test_the_two_blocks_hold_all_columns_but_times():
    made = inputs()
    assert made.numbers == ("age", "paid")
    assert made.texts == ("plan", "city")
    assert [item.name for item in made.graph.inputs] == ["numbers", "texts"]
    assert made.features["paid"] == Number(1, flag=True)
    assert made.features["plan"].values.tolist() == ["a", "b", "x", "y", None, OTHER]
    assert "since" not in made.features
    assert made.notes()["inputs"] == {"numbers": ("age", "paid"), "texts": ("plan", "city")}


def test_an_encoder_is_asked_for_every_level():
    made = inputs()
    encoder = OneHotEncoder(handle_unknown="ignore").fit(TEXTS)
    found = asked(made, encoder, texts(made))
    assert [item.source for item in found] == ["plan", "plan", "city", "city"]
    assert found[0].values.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert found[3].values.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert made.accepted == {}


def test_levels_that_an_encoder_raises_for_are_noted():
    made = inputs()
    asked(made, OrdinalEncoder().fit(TEXTS), texts(made))
    assert made.accepted == {"plan": ["a", "b"], "city": ["x", "y"]}


def test_two_encoders_accept_what_both_know():
    made = inputs()
    asked(made, OrdinalEncoder().fit(TEXTS[["plan"]]), texts(made)[:1])
    fewer = TEXTS[TEXTS["plan"] == "b"][["plan"]]
    asked(made, OrdinalEncoder().fit(fewer), texts(made)[:1])
    assert made.accepted == {"plan": ["b"]}


def test_too_many_levels_are_a_reason_before_they_fill_the_memory():
    many = pd.DataFrame({"plan": [f"p{at}" for at in range(5000)], "city": "x"}, dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(many)
    made = inputs(many["plan"].tolist())
    with pytest.raises(Unsupported, match=r"5,002 levels in 5,001 columns \(plan\)"):
        asked(made, encoder, texts(made))
    target = TargetEncoder().fit(many, np.arange(5000) % 2)
    assert len(asked(made, target, texts(made))[0].values) == 5002


def test_several_outputs_a_column_belong_to_their_column():
    made = inputs()
    encoder = TargetEncoder().fit(TEXTS, np.array([0, 1, 2] * 9))
    found = asked(made, encoder, texts(made))
    assert [item.source for item in found] == ["plan"] * 3 + ["city"] * 3


def test_true_and_false_that_stay_so_need_no_table():
    made = inputs()
    encoder = OrdinalEncoder(
        categories=[[False, True]], handle_unknown="use_encoded_value", unknown_value=np.nan
    ).fit(pd.DataFrame({"paid": [True, False, None]}, dtype=object))
    (found,) = asked(made, encoder, [made.features["paid"]])
    assert found == Number(1)
    encoder.set_params(unknown_value=-1).fit([[True], [False]])
    (found,) = asked(made, encoder, [made.features["paid"]])
    assert found == Number(1, (Step("fill", (-1.0,)),))
    turned = OneHotEncoder(drop=[True]).fit(np.array([[True], [False]], dtype=object))
    (found,) = asked(made, turned, [made.features["paid"]])
    assert (found.source, found.values[:2].tolist()) == ((1, FLAGS), [1.0, 0.0])


def test_numbers_that_are_encoded_become_levels():
    made = inputs()
    encoder = OneHotEncoder(handle_unknown="ignore").fit(np.array([[1.0], [4.0], [np.nan]]))
    found = asked(made, encoder, [Number(0)])
    assert {item.source for item in found} == {(0, (1.0, 4.0))}
    assert np.stack([item.values for item in found]).tolist() == [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("transformer", "feature", "reason"),
    [
        (OneHotEncoder().fit([[1.0]]), Number(0, (Step("minus", (1.0,)),)), "behind numbers"),
        (OneHotEncoder().fit([[1.0]]), Made("v0", 0), "behind mades"),
        (Normalizer().fit([[1.0]]), Number(0), "^Normalizer$"),
        (FunctionTransformer(np.cbrt).fit([[1.0]]), Number(0), "FunctionTransformer of cbrt"),
        (SimpleImputer(missing_values=0).fit([[1]]), Number(0), "SimpleImputer of 0 as missing"),
        (StandardScaler().fit([[1.0]]), Level("plan", np.array(["a"], dtype=object)), "as it is"),
        (OneHotEncoder(), object(), "no attribute|OneHotEncoder"),
    ],
)
def test_what_is_not_known_is_named(transformer, feature, reason):
    with pytest.raises((Unsupported, AttributeError), match=reason):
        prepared(inputs(), transformer, [feature])


def test_a_step_reaches_every_kind_of_feature():
    made = inputs()
    level = Level("plan", np.array([1.0, 2.0, np.nan]))
    value = made.graph.columns("numbers", [0])
    found = stepped(made, [Number(0), level, Made(value, 0)], [(Step("fill", (9.0,)),)] * 3)
    assert found[0] == Number(0, (Step("fill", (9.0,)),))
    assert found[1].values.tolist() == [1.0, 2.0, 9.0]
    assert isinstance(found[2], Made)
    assert found[2].value != value


def test_a_value_has_the_features_in_their_order():
    made = inputs(("a", "b"))
    half = made.graph.add("Add", "numbers", "numbers")
    features = [
        Level("plan", np.array([10.0, 20.0, 30.0, 40.0])),
        Number(1, (Step("missing"),)),
        Made(half, 0),
        Number(0),
        Level("city", np.array([1.0, 2.0, 3.0, 4.0])),
        Level((0, (5.0, 7.0)), np.array([0.5, 0.7, -1.0, -2.0])),
    ]
    content = made.graph.build(made.value(features))
    numbers = np.array([[5.0, 1.0], [7.0, np.nan], [np.nan, 0.0], [6.0, 0.0]])
    asked_for = np.array([["a", "b"], ["b", NULL], [NULL, "zz"], ["", "a"]], dtype=object)
    found = session_output(content, {"numbers": numbers, "texts": asked_for})
    np.testing.assert_array_equal(
        found,
        [
            [10.0, 0.0, 10.0, 5.0, 2.0, 0.5],
            [20.0, 1.0, 14.0, 7.0, 3.0, 0.7],
            [30.0, 0.0, np.nan, np.nan, 4.0, -1.0],
            [40.0, 0.0, 12.0, 6.0, 1.0, -2.0],
        ],
    )


def test_zeros_are_zeros_for_nulls_and_texts_too():
    made = inputs()
    content = made.graph.build(made.zeros())
    some = {"numbers": np.array([[np.nan, 1.0], [2.0, 0.0]])}
    some["texts"] = np.array([["a", "x"], ["", NULL]], dtype=object)
    assert session_output(content, some).tolist() == [[0.0], [0.0]]
    alone = Inputs(Graph(), COLUMNS[2:3], ("a",))
    content = alone.graph.build(alone.zeros())
    assert session_output(content, {"texts": np.array([["q"]], dtype=object)}).tolist() == [[0.0]]


def test_a_text_that_reaches_a_model_is_named_by_its_column():
    made = inputs()
    with pytest.raises(Unsupported, match="the column 'plan' as it is"):
        made.value([made.features["plan"]])


def test_the_vocabulary_is_found_wherever_the_encoders_are():
    frame = TEXTS.assign(city=[None, "x", "x"] * 9)
    inner = make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="?"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    made = make_pipeline(inner, MaxAbsScaler(), LogisticRegression()).fit(frame, [0, 1, 1] * 9)
    assert set(vocabulary(made)) == {"a", "b", "x", "?"}
    assert vocabulary(LogisticRegression()) == []


def test_the_parts_of_a_forest_are_found_without_its_hundred_trees():
    rows = pd.DataFrame({"a": np.arange(60.0)})
    forest = RandomForestClassifier(80, random_state=0).fit(rows, np.arange(60) % 2)
    kinds = [type(part).__name__ for part in parts_of(make_pipeline(forest))]
    assert kinds[:2] == ["Pipeline", "RandomForestClassifier"]
    assert kinds.count("DecisionTreeClassifier") <= 51
