"""What follows from what was asked for: arms, shares, steps; and which challengers suit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.records import Column, ModelSpec
from lifecycle.rollout.events import shares_at
from lifecycle.workflows.terms import Terms, check_suits, spec_for

CONFIG = Config(name="churn")
WAS = ModelSpec(
    1, "binary", (Column("age", "long"), Column("plan", "string", required=False)),
    target="churned", classes=(0, 1),
)  # fmt: skip


def made(config=CONFIG, others=(8,), guards=("errors",), **terms):
    return spec_for(config, Terms(**terms), champion=7, others=others, guards=guards)


def test_without_a_word_it_is_the_configurations():
    spec = made()
    assert (spec.strategy, spec.steps) == ("canary", (0.01, 0.05, 0.25, 0.5, 1.0))
    assert (spec.margins, spec.hold_back, spec.alpha) == ((5, 2, 1.5, 1.25), 0.05, 0.05)
    assert [(arm.name, arm.version) for arm in spec.arms] == [("champion", 7), ("challenger", 8)]
    assert made().salt != spec.salt, "other people each time"


def test_margins_are_cut_to_the_steps_and_the_strictest_stay():
    assert made(steps=(10, 100)).margins == (1.5, 1.25)


def test_durations_are_seconds():
    config = CONFIG.with_values(
        rollout__step_minutes=2, rollout__max_hours=3, rollout__at_end="rollback"
    )
    spec = made(config)
    assert (spec.step_seconds, spec.max_seconds, spec.at_end) == (120.0, 10800.0, "rollback")


def test_a_shadow_answers_nobody():
    spec = made(CONFIG.with_values(rollout__sample=10), strategy="shadow")
    assert [(arm.name, arm.share) for arm in spec.arms] == [("champion", 1.0), ("shadow", 0.0)]
    assert spec.sample == 0.1
    assert spec.limits == {"differing": 0.1, "shift": 0.05, "scale": 1.25}
    with pytest.raises(ConfigError, match="one version answers copies at a time"):
        made(strategy="shadow", others=(8, 9))


@pytest.mark.parametrize(
    ("steps", "others", "shares"),
    [
        ((), (8,), (0.5, 0.5)),
        ((), (8, 9, 10), (0.25, 0.25, 0.25, 0.25)),
        ((20,), (8,), (0.8, 0.2)),
        ((20,), (8, 9), (0.6, 0.2, 0.2)),
        ((20, 30), (8, 9), (0.5, 0.2, 0.3)),
    ],
)
def test_the_arms_of_a_test_share_all_requests(steps, others, shares):
    spec = made(strategy="ab", metric="errors", steps=steps, others=others)
    assert tuple(arm.share for arm in spec.arms) == pytest.approx(shares)
    assert shares_at(spec, 0) == pytest.approx(shares)
    names = [arm.name for arm in spec.arms[1:]]
    assert names == ["challenger", "challenger-2", "challenger-3"][: len(others)]
    assert spec.steps == ()


@pytest.mark.parametrize(
    ("terms", "others", "said"),
    [
        ({"strategy": "ab", "metric": "errors", "steps": (50, 50)}, (8, 9), "add up to 100"),
        ({"strategy": "ab", "metric": "errors", "steps": (10, 10)}, (8,), "do not suit 1"),
        ({"strategy": "ab"}, (8,), "metric"),
        ({"steps": (5, 50)}, (8, 9), "tries one version"),
        ({"steps": (5, float("nan"))}, (8,), "nan is no percentage"),
        ({"steps": (-1,)}, (8,), "-1 is no percentage"),
        ({"steps": (0,)}, (8,), "share 0 %"),
        ({"strategy": "blue-green"}, (8,), "unknown strategy"),
    ],
)
def test_what_makes_no_sense_is_named(terms, others, said):
    with pytest.raises(ConfigError, match=said):
        made(others=others, **terms)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 180), min_size=1, max_size=6, unique=True))
def test_rising_steps_give_rising_plans(halves):
    spec = made(steps=tuple(half / 2 for half in sorted(halves)))
    shares = [shares_at(spec, step)[1] for step in range(len(spec.steps))]
    assert shares == sorted(shares)
    assert all(sum(shares_at(spec, step)) == pytest.approx(1.0) for step in range(len(shares)))


@pytest.mark.parametrize(
    "features",
    [
        (Column("age", "long"),),
        (Column("age", "double"), Column("plan", "string", required=False)),
        (Column("age", "long"), Column("new", "double", required=False)),
    ],
)
def test_a_challenger_may_take_less_and_wider_numbers(features):
    check_suits(WAS, ModelSpec(1, "binary", features, target="churned", classes=(0, 1)), "churn/8")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (ModelSpec(1, "binary", (Column("new", "double"),), target="c", classes=(0, 1)), "'new'"),
        (
            ModelSpec(1, "binary", (Column("plan", "string"),), target="c", classes=(0, 1)),
            "may no longer be null",
        ),
        (ModelSpec(1, "binary", (Column("age", "string"),), target="c", classes=(0, 1)), "'age'"),
        (ModelSpec(1, "regression", (), target="c"), "the task was binary"),
        (ModelSpec(1, "binary", (), target="c", classes=("a", "b")), "the classes were"),
    ],
)
def test_one_that_needs_more_does_not_suit(now, said):
    with pytest.raises(TransitionRefused, match=said) as told:
        check_suits(WAS, now, "churn/8")
    assert told.value.where == "churn/8"
