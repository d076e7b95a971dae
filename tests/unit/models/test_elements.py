"""Chains of steps: numpy and ONNX agree, and thresholds are carried back to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PowerTransformer, QuantileTransformer

from lifecycle.models.elements import (
    ONNX,
    Step,
    Unsupported,
    applied,
    carried,
    interpolated,
    write,
)
from lifecycle.models.graphs import Graph, session_output

NULL = np.array([np.nan])
number = st.floats(-1e12, 1e12)
positive = st.floats(1e-6, 1e6)
STEPS = st.one_of(
    number.map(lambda v: Step("minus", (v,))),
    number.map(lambda v: Step("plus", (v,))),
    positive.map(lambda v: Step("over", (v,))),
    positive.map(lambda v: Step("times", (v,))),
    st.just(Step("single")),
    st.tuples(number, positive).map(lambda v: Step("clip", (v[0], v[0] + v[1]))),
    st.lists(number, min_size=1, max_size=4).map(lambda v: Step("bins", tuple(sorted(v)))),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=4).map(tuple), st.lists(number, min_size=1, max_size=6))
def test_a_carried_threshold_is_the_last_number_below_it(chain, cuts):
    cuts = np.array(cuts)
    found = carried(chain, cuts)
    some = np.isfinite(found)
    assert (applied(chain, found[some]) <= cuts[some]).all()
    assert (applied(chain, np.nextafter(found[some], np.inf)) > cuts[some]).all()
    far = np.array([-1e300, 1e300])
    assert (applied(chain, far)[:, None] <= cuts)[:, found == np.inf].all()
    assert not (applied(chain, far)[:, None] <= cuts)[:, found == -np.inf].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=4).map(tuple), st.lists(number, min_size=2))
def test_a_chain_never_turns_the_order(chain, numbers):
    x = np.sort(np.array(numbers))
    assert (np.diff(applied(chain, x)) >= 0).all()


def test_without_a_chain_thresholds_stay_as_they_are():
    cuts = np.array([0.1, -np.inf, np.inf])
    assert carried((), cuts).tolist() == cuts.tolist()


def test_zero_and_the_smallest_numbers_have_their_places():
    chain = (Step("plus", (0.0,)),)
    tiny = np.array([0.0, 5e-324, -5e-324, 1e-310])
    assert carried(chain, tiny).tolist() == tiny.tolist()


def test_null_stays_null_until_a_step_takes_it():
    assert np.isnan(applied((Step("minus", (1.0,)), Step("bins", (0.0,))), NULL))[0]
    assert applied((Step("minus", (1.0,)), Step("fill", (7.0,))), NULL).tolist() == [7.0]
    assert applied((Step("missing"), Step("minus", (0.5,))), NULL).tolist() == [0.5]


def graph_of(chains):
    graph = Graph()
    graph.block("x", texts=False, width=len(chains))
    return graph.build(write(graph, "x", chains))


CHAINS = {
    "fill": (Step("fill", (2.0,)), Step("minus", (0.5,)), Step("over", (3.0,))),
    "missing": (Step("missing"),),
    "scaled": (Step("times", (0.3,)), Step("plus", (0.1,)), Step("clip", (-1.0, 1.0))),
    "single": (Step("single"),),
    "bins": (Step("fill", (0.0,)), Step("bins", (-1.0, 0.0, 0.25))),
    "power": (Step("power", (0.4,)),),
    "power 0": (Step("power", (0.0,)),),
    "power 2": (Step("power", (2.0,)),),
    "spread": (Step("spread", (-1.0, -0.5, 0.0, 0.0, 0.0, 2.0)),),
    "logarithm": (Step("clip", (0.0, 9.0)), Step("log1p")),
    "Box and Cox": (Step("fill", (1.0,)), Step("clip", (0.5, 9.0)), Step("log", (-0.7,))),
    "logarithm alone": (Step("fill", (1.0,)), Step("clip", (0.5, 9.0)), Step("log", (0.0,))),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_graph_computes_what_numpy_computes(name):
    chain = CHAINS[name]
    x = np.concatenate([np.linspace(-3.0, 3.0, 61), [0.25, -1.0, 1e-9], NULL])
    kinds = {step.kind for step in chain}
    if kinds & {"logarithm", "log", "log1p"} and "fill" not in kinds:
        x = x[~np.isnan(x)]
    made = session_output(graph_of([chain]), {"x": x[:, None]})
    np.testing.assert_allclose(made[:, 0], applied(chain, x), rtol=1e-12, atol=1e-14)


def test_columns_of_different_chains_are_written_side_by_side():
    chains = [CHAINS["fill"], CHAINS["bins"], (), CHAINS["fill"]]
    x = np.array([[5.0, 0.1, 3.0, np.nan], [np.nan, -4.0, -0.0, 1.0]])
    made = session_output(graph_of(chains), {"x": x})
    wanted = np.stack([applied(chain, x[:, at]) for at, chain in enumerate(chains)], axis=1)
    assert made.tolist() == wanted.tolist()


def test_every_simple_step_has_both_forms():
    assert set(ONNX) <= {
        kind for chain in CHAINS.values() for step in chain for kind in [step.kind]
    }


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_quantiles_are_those_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=300), np.zeros(80)])[:, None]
    made = QuantileTransformer(n_quantiles=40, output_distribution=kind).fit(x)
    chain = (Step("spread", tuple(made.quantiles_[:, 0])),)
    chain += (Step("normal"),) if kind == "normal" else ()
    asked = np.concatenate([x[:, 0], [-9.0, 9.0, 0.0], made.quantiles_[:, 0]])
    wanted = made.transform(asked[:, None])[:, 0]
    np.testing.assert_allclose(applied(chain, asked), wanted, rtol=0, atol=1e-12)
    if kind == "normal":
        with pytest.raises(Unsupported, match="to a normal distribution"):
            graph_of([chain])


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_are_those_of_scikit_learn(method):
    x = np.random.default_rng(1).gamma(2.0, size=(200, 1))
    made = PowerTransformer(method=method, standardize=False).fit(x)
    chain = (Step("log" if method == "box-cox" else "power", (made.lambdas_[0],)),)
    asked = np.linspace(0.01, 20.0, 500)
    assert applied(chain, asked).tolist() == made.transform(asked[:, None])[:, 0].tolist()


def test_a_jump_belongs_to_the_piece_that_is_asked_for():
    knots, heights = np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.0, 1.0, 5.0, 6.0])
    asked = np.array([[-1.0], [0.5], [1.0], [1.5], [3.0]])
    for right, at_the_jump in ((True, 5.0), (False, 1.0)):
        graph = Graph()
        graph.block("x", texts=False, width=1)
        made = session_output(
            graph.build(interpolated(graph, "x", knots, heights, right=right)), {"x": asked}
        )
        assert made.ravel().tolist() == [0.0, 0.5, at_the_jump, 5.5, 6.0]
