"""Which rollouts may be asked for, and what is said of those that may not."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Plan, RolloutSpec
from lifecycle.rollout.plan import checked, checked_spec, cut_margins
from lifecycle.rollout.state import shares_at
from lifecycle.rollout.strategies import STRATEGIES, strategy_of

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
CANARY = RolloutSpec(
    "churn", "canary", PAIR, (0.05, 0.25, 1.0), (2.0, 1.5), ("errors", "latency<=50")
)
AB = RolloutSpec(
    "churn",
    "ab",
    (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.2)),
    guards=("errors",),
    metric="label",
)
SHADOW = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("spec", [CANARY, AB, SHADOW])
def test_good_specs_pass_as_they_are(spec):
    assert checked_spec(spec) is spec


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": (1.0,), "margins": (1.25,)},
        {"steps": (0.01, 0.05, 0.25, 0.5, 1.0), "hold_back": 0.05},
        {"steps": (0.25,), "margins": ()},
        {"steps": (0.1, 0.5), "hold_back": 0.49},
        {"guards": ("errors:carrier=UA", "latency")},
        {"guards": ("score",), "step_seconds": 60.0},
        {"max_seconds": 180.0, "step_seconds": 60.0},
        {"at_end": "promote"},
        {"alpha": 0.5},
    ],
)
def test_what_else_a_canary_may_be(changes):
    assert checked_spec(replace(CANARY, **changes))


MISTAKES = [
    ({"strategy": "canry"}, "unknown strategy 'canry'; did you mean 'canary'?"),
    ({"strategy": ""}, "unknown strategy ''"),
    ({"strategy": "lifecycle.rollout.plan:only"}, "is no Strategy"),
    ({"strategy": "lifecycle.nowhere:X"}, "lifecycle.nowhere"),
    ({"steps": ()}, "there are no steps"),
    ({"steps": (0.25, 0.05)}, "the steps do not rise: 5 % comes after 25 %"),
    ({"steps": (0.25, 0.25)}, "the steps do not rise: 25 % comes after 25 %"),
    ({"steps": (0.0, 1.0)}, "a step has the share 0 %"),
    ({"steps": (5.0, 25.0)}, "a step has the share 500 %"),
    ({"steps": (-0.1, 1.0)}, "a step has the share -10 %"),
    ({"steps": (NAN,)}, "a step has the share nan %"),
    ({"steps": (0.96, 1.0), "hold_back": 0.05}, "with a hold-back of 5 % the last step"),
    ({"margins": (2.0, 1.5, 1.4, 1.3)}, "there are 4 margins for 3 steps"),
    ({"margins": (0.9,)}, "the margin 0.9 cannot be proven"),
    ({"margins": (1.0,)}, "the margin 1 cannot be proven"),
    ({"margins": (NAN,)}, "the margin nan cannot be proven"),
    ({"margins": (INF,)}, "the margin inf cannot be proven"),
    ({"guards": ()}, "a canary needs a guard"),
    ({"guards": ("score",)}, "none of its guards gives a certificate"),
    ({"guards": ("erors",)}, "did you mean 'errors'"),
    ({"guards": ("errors", "errors")}, "guard 'errors' is named twice"),
    ({"guards": ("errors:carrier",)}, "names a column and no value of it"),
    ({"arms": PAIR[:1]}, "canary takes 1 version beside the champion, not 0"),
    ({"arms": (*PAIR, Arm("c2", 9, 0.0))}, "canary takes 1 version beside the champion, not 2"),
    ({"arms": (Arm("champion", 7, 0.0), Arm("challenger", 7, 0.0))}, "is the champion itself"),
    ({"arms": (Arm("champion", 7, 0.0), Arm("champion", 8, 0.0))}, "'champion' is named twice"),
    ({"arms": (Arm("old", 7, 0.0), Arm("new", 8, 0.0))}, "the first arm is 'old'"),
    ({"allocation": "thompson"}, "a canary's shares are those of its steps"),
    ({"allocation": "tompson"}, "allocation is 'tompson'; did you mean 'thompson'"),
    ({"at_end": "promot"}, "at_end is 'promot'; did you mean 'promote'"),
    ({"alpha": 0.0}, "alpha is 0"),
    ({"alpha": 1.0}, "alpha is 1"),
    ({"alpha": -0.05}, "alpha is -0.05"),
    ({"alpha": NAN}, "alpha is nan"),
    ({"hold_back": 1.0}, "the hold-back is 100 %"),
    ({"hold_back": -0.05}, "the hold-back is -5 %"),
    ({"hold_back": 0.8}, "the last step is not above 25 %"),
    ({"sample": 0.0}, "the sample is 0 %"),
    ({"sample": 1.5}, "the sample is 150 %"),
    ({"step_seconds": -1.0}, "a step lasts -1 seconds"),
    ({"step_seconds": INF}, "a step lasts inf seconds"),
    ({"max_seconds": -1.0}, "a rollout lasts -1 seconds"),
    ({"max_seconds": 100.0, "step_seconds": 60.0}, "its steps take 180 seconds at least"),
    ({"limits": {"shift": NAN}}, "the limit of 'shift' is nan"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[row[1] for row in MISTAKES])
def test_mistakes_of_a_canary_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        checked_spec(replace(CANARY, **changes))
    assert message in caught.value.what


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": ""}, "a test needs a metric that is to improve"),
        ({"metric": "labl"}, "did you mean 'label'"),
        ({"metric": "score"}, "of metric 'score' neither more nor less is better"),
        ({"metric": "label:plan"}, "metric 'label:plan' names a column and no value of it"),
        ({"steps": (0.5, 1.0)}, "the shares of a test are those of its arms, it has no steps"),
        ({"arms": AB.arms[:2]}, "the shares add up to 0.8"),
        ({"arms": (*AB.arms[:2], Arm("challenger-2", 8, 0.2))}, "version 8 stands in two arms"),
        ({"arms": (*AB.arms[:2], Arm("challenger-2", 7, 0.2))}, "is the champion itself"),
        (
            {"arms": (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0))},
            "arm 'challenger' has the share 0",
        ),
        (
            {"arms": (Arm("champion", 7, 1.2), Arm("challenger", 8, -0.2))},
            "arm 'challenger' has the share -0.2",
        ),
        (
            {"arms": (Arm("champion", 7, NAN), Arm("challenger", 8, 0.5))},
            "arm 'champion' has the share nan",
        ),
        (
            {"arms": tuple(Arm(f"a{at}" if at else "champion", at, 1 / 11) for at in range(11))},
            "ab takes 1 to 9 versions beside the champion, not 10",
        ),
    ],
)
def test_mistakes_of_a_test_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        checked_spec(replace(AB, **changes))
    assert message in caught.value.what


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": (1.0,)}, "a shadow answers nobody and so has no steps"),
        ({"arms": (SHADOW.arms[0], Arm("challenger", 8, 0.0))}, "the arm of a shadow is"),
        ({"limits": {"shft": 0.1}}, "unknown limit 'shft'; did you mean 'shift'"),
        ({"arms": (*SHADOW.arms, Arm("b", 9, 0.0))}, "shadow takes 1 version beside"),
    ],
)
def test_mistakes_of_a_shadow_are_named(changes, message):
    with pytest.raises(ConfigError) as caught:
        checked_spec(replace(SHADOW, **changes))
    assert message in caught.value.what


def test_every_mistake_comes_with_a_step_or_with_what_is_known():
    for changes, _ in MISTAKES:
        with pytest.raises(ConfigError) as caught:
            checked_spec(replace(CANARY, **changes))
        assert caught.value.fix or "known" in caught.value.what.lower()


def test_a_test_may_have_thompsons_shares_and_segments():
    assert checked_spec(replace(AB, allocation="thompson", metric="label_error:plan=pro"))


def test_margins_of_other_steps_are_cut_to_the_strictest():
    assert cut_margins((5.0, 2.0, 1.5, 1.25), (0.01, 0.05, 0.25, 0.5, 1.0)) == (5, 2, 1.5, 1.25)
    assert cut_margins((5.0, 2.0, 1.5, 1.25), (0.1, 0.5, 1.0)) == (2.0, 1.5, 1.25)
    assert cut_margins((5.0, 2.0), (1.0,)) == (2.0,)
    assert cut_margins((), (1.0,)) == ()
    assert cut_margins((2.0,), ()) == ()


PERCENTS = st.lists(st.integers(-5, 120), min_size=1, max_size=5)


@given(percents=PERCENTS, hold_back=st.floats(0, 0.99))
@settings(max_examples=150, deadline=None)
def test_what_passes_has_a_plan_at_each_step_that_never_falls(percents, hold_back):
    spec = replace(CANARY, steps=tuple(item / 100 for item in percents), hold_back=hold_back)
    try:
        checked_spec(spec)
    except ConfigError:
        rising = sorted(set(percents)) == percents and percents[0] > 0 and percents[-1] <= 100
        last = min(percents[-1] / 100, 1 - hold_back)
        falls = len(percents) > 1 and last <= percents[-2] / 100
        assert not rising or falls or len(spec.margins) > len(percents)
        return
    shares = [shares_at(spec, step) for step in range(len(percents))]
    for each in shares:
        checked(state_plan(spec, each))
    assert [each[1] for each in shares] == sorted(each[1] for each in shares)
    assert shares[-1][0] >= hold_back - 1e-9


def state_plan(spec, shares):
    arms = tuple(replace(arm, share=share) for arm, share in zip(spec.arms, shares, strict=True))
    return Plan(spec.name, arms)


def test_each_row_of_the_table_is_a_strategy_of_that_name():
    for name in STRATEGIES:
        found = strategy_of(name)
        assert found.name == name
        assert found.about
        assert 2 <= found.arms[0] <= found.arms[1]
