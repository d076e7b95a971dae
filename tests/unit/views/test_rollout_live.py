"""A rollout that is watched: in place on a terminal, line by line elsewhere."""

from io import StringIO

import pytest
from rich.console import Console

from lifecycle.errors import RegistryUnavailable
from lifecycle.records import RolloutStatus
from lifecycle.views.rollout_live import live, until_it_ends


def test_a_pipe_gets_a_line_only_when_something_changed(make_rollout) -> None:
    out = StringIO()
    with live(Console(file=out, width=40)) as show:
        for status in ("running", "running", "rolled back"):
            show(make_rollout(4, status=status))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2, "long lines are not broken"
    assert lines[0][8:].startswith(" churn: canary of version 8 against version 7, step 2 of 5")
    assert lines[1].endswith("harm 4.5 of 4.1; errors: harm is proven")


def test_a_terminal_is_drawn_in_place_and_left_clean(make_rollout) -> None:
    out = StringIO()
    with live(Console(file=out, width=120, force_terminal=True)) as show:
        show(make_rollout(4))
        assert "evidence of harm" in out.getvalue()
        before = len(out.getvalue())
        show(make_rollout(5))
    assert "\x1b[1A" in out.getvalue()[before:], "the cursor goes up, and over what was drawn"


def test_it_watches_until_the_rollout_ends(make_rollout) -> None:
    shown: list[str] = []
    states = iter(["running", "running", "promoted", "never asked"])
    last = until_it_ends(
        lambda: make_rollout(3, status=next(states)), lambda s: shown.append(s.rollout.status),
        seconds=0.0,
    )  # fmt: skip
    assert shown == ["running", "running", "promoted"]
    assert last.rollout.status == "promoted"
    assert last.exit_code == 0


def test_without_a_rollout_there_is_nothing_to_wait_for() -> None:
    shown: list[RolloutStatus] = []
    assert until_it_ends(lambda: RolloutStatus("churn"), shown.append, seconds=60.0).rollout is None
    assert len(shown) == 1


def test_a_registry_that_is_away_is_said_and_asked_again(make_rollout) -> None:
    answers = iter([make_rollout(3), None, None, make_rollout(3, status="rolled back")])
    shown: list[RolloutStatus] = []

    def ask() -> RolloutStatus:
        found = next(answers)
        if found is None:
            raise RegistryUnavailable("MLflow did not answer")
        return found

    last = until_it_ends(ask, shown.append, seconds=0.0)
    assert [one.warnings for one in shown] == [
        (), *[("not of now: MLflow did not answer",)] * 2, (),
    ]  # fmt: skip
    assert last.exit_code == 2


def test_the_first_answer_must_come() -> None:
    def ask() -> RolloutStatus:
        raise RegistryUnavailable("MLflow did not answer")

    with pytest.raises(RegistryUnavailable):
        until_it_ends(ask, lambda _: None, seconds=0.0)
