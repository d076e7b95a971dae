"""Who answers: shares, keys, versions that are asked for, and who stands in."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ModelNotFound
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan, Rollout, RolloutSpec
from lifecycle.rollout.assignment import assign
from lifecycle.serve.choices import Choices, key_of
from lifecycle.serve.figures import Figures
from lifecycle.serve.following import routed
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import FALLBACK, Group, slot

SPEC = ModelSpec(1, "regression", (Column("x", "double"),))
WIDE = replace(SPEC, features=(Column("x", "double"), Column("y", "double")))


def version_of(number, spec=SPEC):
    answer = lambda columns: Output(columns["x"] * number)  # noqa: E731
    return slot("m", LoadedModel(spec, "sklearn", answer, ModelVersion("m", number)))


SLOTS = {number: version_of(number) for number in (1, 2, 3)}


def choices_of(*shares, salt="r", figures=None, step=0, slots=SLOTS):
    names = ("champion", "challenger", "challenger-2")
    arms = tuple(
        Arm(name, number, share)
        for number, (name, share) in enumerate(zip(names, shares, strict=False), start=1)
    )
    return Choices(Group(Plan("m", arms, step, salt), slots), figures or Figures())


shares = st.lists(st.integers(0, 20), min_size=1, max_size=3).filter(sum)


@given(parts=shares, key=st.text(max_size=8), salt=st.text(max_size=4))
@settings(max_examples=200, deadline=None)
def test_an_arm_is_drawn_as_the_plans_rule_says(parts, key, salt):
    weights = [part / sum(parts) for part in parts]
    found = choices_of(*weights, salt=salt)
    arms = tuple(
        Arm(name, number, share)
        for number, (name, share) in enumerate(
            zip(("champion", "challenger", "challenger-2"), weights, strict=False), start=1
        )
    )
    wanted = assign(Plan("m", arms, 0, salt), key)
    drawn = found.of(key or None, None).drawn(key)
    if key:
        assert (drawn.arm.name, drawn.slot.version) == (wanted.name, wanted.version)
        assert drawn.key == key
    assert found.plain.drawn(key).arm.name == wanted.name, "so is one of the rows' own key"


def test_shares_are_kept_with_and_without_keys():
    found = choices_of(0.7, 0.2, 0.1)
    count = 20_000
    for drawn in (
        Counter(found.plain.drawn().arm.name for _ in range(count)),
        Counter(found.of(f"k{place}", None).drawn().arm.name for place in range(count)),
    ):
        # 5 standard deviations of a binomial
        for name, share in (("champion", 0.7), ("challenger", 0.2), ("challenger-2", 0.1)):
            assert abs(drawn[name] - share * count) < 5 * (share * (1 - share) * count) ** 0.5


def test_who_has_left_the_champion_stays_away_while_shares_rise():
    steps = [choices_of(1 - share, share) for share in (0.01, 0.05, 0.25, 0.5, 1.0)]
    keys = [f"customer-{place}" for place in range(3000)]
    before: set[str] = set()
    for step in steps:
        now = {key for key in keys if step.of(key, None).drawn().arm.name == "challenger"}
        assert before <= now
        before = now
    assert before == set(keys)


def test_another_salt_draws_others():
    one, other = choices_of(0.5, 0.5, salt="a"), choices_of(0.5, 0.5, salt="b")
    keys = [f"k{place}" for place in range(1000)]
    same = sum(
        one.of(key, None).drawn().arm.name == other.of(key, None).drawn().arm.name for key in keys
    )
    assert 400 < same < 600


def test_nothing_is_made_for_a_request_without_key():
    found = choices_of(0.5, 0.5)
    drawn = {id(found.plain.drawn()) for _ in range(200)}
    assert len(drawn) == 2
    assert found.of(None, None) is found.plain


def test_an_arm_alone_is_its_own_choice():
    found = choices_of(1.0)
    assert found.plain.drawn("k") is found.plain
    assert found.plain.route.backup is None
    assert choices_of(1.0, 0.0).plain.route.drawing is None, "nobody else has a share"


def test_until_an_arm_is_drawn_the_champion_reads():
    found = choices_of(0.0, 1.0)
    assert found.plain.slot is SLOTS[1]
    assert found.plain.drawn().slot is SLOTS[2]
    assert found.of("k", None).slot is SLOTS[1]


def test_a_version_that_is_asked_for_must_be_loaded_and_counts_for_no_arm():
    found = choices_of(0.5, 0.5, step=3)
    for version in (1, 2, 3):
        asked = found.of("k", version)
        assert (asked.arm, asked.slot, asked.key) == (
            Arm("asked", version, 0.0),
            SLOTS[version],
            "k",
        )
        assert asked.drawn("other") is asked
        assert asked.route.backup is None, "who asks for a version hears of its errors"
        assert asked.step == 3
    with pytest.raises(ModelNotFound, match="version 9 is not served") as caught:
        found.of(None, 9)
    assert caught.value.fix == "ask for one of: 1, 2, 3"


def test_what_is_withheld_can_be_asked_for_all_the_same():
    spec = RolloutSpec("m", "canary", (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0)))
    rollout = Rollout(spec, 4, shares=(0.5, 0.5))
    group = routed(SLOTS[1], [SLOTS[2]], rollout, withheld="cut")
    found = Choices(group, Figures())
    assert found.plain.drawn("k").arm.name == FALLBACK
    assert found.of(None, 2).slot is SLOTS[2]


def test_an_arm_that_cannot_read_the_champions_requests_gets_none():
    slots = {1: version_of(1), 2: version_of(2, WIDE)}
    found = choices_of(0.0, 1.0, slots=slots)
    drawn = found.plain.drawn()
    assert (drawn.arm.name, drawn.slot) == (FALLBACK, slots[1])
    assert found.of(None, 2).slot is slots[2]


def test_counts_are_the_figures_own():
    figures = Figures()
    found = choices_of(0.0, 1.0, figures=figures, step=2)
    drawn = found.plain.drawn()
    drawn.route.counts[0] += 1
    assert figures.arms["m", 2, "challenger", 2] == [1, 0, 0]
    again = choices_of(0.0, 1.0, figures=figures, step=2)
    again.plain.drawn().route.counts[0] += 1
    assert figures.arms["m", 2, "challenger", 2] == [2, 0, 0], "a table that comes back goes on"


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        (None, None),
        (["a"], "a"),
        ([None], None),
        (["a", "a"], "a"),
        (["a", "b"], None),
        (["a", None], None),
    ],
)
def test_rows_of_one_key_are_drawn_by_it(keys, key):
    assert key_of(Rows({"x": np.zeros(2)}, 2, key=keys)) == key
