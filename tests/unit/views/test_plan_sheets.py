"""What a rollout would find, as a table before anything moves."""

import pytest

from lifecycle.records import Arm, Forecast, RolloutPlan, RolloutSpec
from lifecycle.views import notebook, terminal
from lifecycle.views.plan_sheets import lasting, plan

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
SPEC = RolloutSpec("churn", "canary", PAIR, (0.05, 1.0), (2.0,), ("errors", "latency"))


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (None, ""), (0.0, "under a minute"), (0.0006, "under a minute"), (1 / 1440, "1 min"),
        (0.06, "86 min"), (0.25, "6 h"), (1.0, "24 h"), (1.4, "34 h"), (1.6, "1.6 days"),
        (40.0, "40 days"),
    ],
)  # fmt: skip
def test_a_time_has_the_unit_of_its_size(days: float | None, words: str) -> None:
    assert lasting(days) == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Forecast("errors", 0.02, 2.0, 100.0), "errors: 2 times as many"),
        (Forecast("latency", 2.7, 1.5, 100.0, kind="number"), "latency: 1.5 times as much"),
        (Forecast("label_error", 0.1, 0.5, 100.0), "label_error: 2 times better"),
    ],
)
def test_a_harm_says_how_large_it_is(found: Forecast, words: str) -> None:
    assert plan(RolloutPlan(SPEC, 1000.0, (found,))).rows[0][0] == words


def test_what_is_never_found_stands_out() -> None:
    found = Forecast("errors", None, 2.0, None)
    shown = plan(RolloutPlan(SPEC, None, (found,)))
    assert shown.rows == [("errors: 2 times as many", "unknown", "never", "", "")]
    assert shown.marks == ["unsure"]


@pytest.mark.parametrize(
    ("strategy", "title"),
    [("canary", "what a canary of"), ("shadow", "what a shadow of"), ("ab", "what an A/B test of")],
)
def test_the_title_names_the_strategy(strategy: str, title: str) -> None:
    made = RolloutPlan(RolloutSpec("churn", strategy, PAIR), None)
    assert title in plan(made).title
    assert title in notebook.html(made)


def test_steps_are_named_by_their_shares() -> None:
    steps = (Forecast("errors", 0.02, 2.0, 900.0, 0.01, 45.0), Forecast("", None, 1.0, 1.0))
    shown = plan(RolloutPlan(SPEC, 90_000.0, (), steps))
    assert [row[0] for row in shown.rows] == [
        "leave 5 %: errors proven below 2 times", "leave 100 %: after its time",
    ]  # fmt: skip
    assert "90,000 a day" in terminal.text(RolloutPlan(SPEC, 90_000.0, (), steps))


def test_nothing_is_promised() -> None:
    shown = plan(RolloutPlan(SPEC, None))
    assert (shown.rows, shown.headers) == ([], ())
    assert "nothing was moved or recorded" in shown.notes[-1]
