"""All tests of a check together spend alpha and no more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.sharing import SHARES, family, limits

TESTS = {
    "numeric": ("location", "out of range", "scale", "shape", "missing"),
    "categorical": ("new level", "shape", "missing"),
    "text": ("missing",),
}
columns = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.sampled_from(sorted(TESTS)).flatmap(
        lambda kind: st.tuples(
            st.just(kind), st.lists(st.sampled_from(TESTS[kind]), unique=True).map(tuple)
        )
    ),
)


def test_the_parts_make_up_the_whole():
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert min(SHARES.values()) > 0
    assert max(SHARES, key=SHARES.get) == "location"


@settings(max_examples=80, deadline=None)
@given(columns, st.floats(1e-9, 0.05))
def test_no_check_spends_more_than_alpha(tested, alpha):
    held = limits(alpha, tested)
    pairwise = (SHARES["correlation"] + SHARES["together"]) * alpha
    assert sum(held.values()) + pairwise <= alpha * (1 + 1e-9)
    assert set(held) == {(name, test) for name, (_, tests) in tested.items() for test in tests}


def test_columns_share_alike():
    held = limits(0.01, dict.fromkeys("abc", ("numeric", TESTS["numeric"])))
    assert len({held[name, "location"] for name in "abc"}) == 1
    alone = limits(0.01, {"a": ("numeric", TESTS["numeric"])})
    assert alone["a", "location"] == pytest.approx(3 * held["a", "location"])


def test_the_shares_of_levels_are_their_location():
    assert family("categorical", "shape") == family("boolean", "shape") == "location"
    assert family("numeric", "shape") == "shape"
    held = limits(0.01, {"a": ("numeric", ("location",)), "b": ("categorical", ("shape",))})
    assert held["a", "location"] == held["b", "shape"]


def test_a_limit_does_not_depend_on_how_many_live_columns_have_nulls():
    full = dict.fromkeys("ab", ("numeric", ("missing",)))
    part = {"a": ("numeric", ("missing",)), "b": ("numeric", ())}
    assert limits(0.01, full)["a", "missing"] == limits(0.01, part)["a", "missing"]
