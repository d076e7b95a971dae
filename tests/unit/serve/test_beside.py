"""Whose rollouts the server's own controller decides, and how its process is kept."""

import threading

import pytest

from lifecycle.config import Config
from lifecycle.errors import ModelNotFound, RegistryUnavailable
from lifecycle.serve import beside
from lifecycle.serve.beside import Beside, controlled, told

ON = Config().with_values(rollout__controller=True, rollout__every_seconds=0.01)


@pytest.mark.parametrize(
    ("names", "models"),
    [
        (["churn"], ("churn",)),
        (["models:/churn@champion", "late"], ("churn", "late")),
        (["churn/3"], ()),
        (["churn@staging", "late"], ("late",)),
        ([], ()),
    ],
)
def test_only_models_whose_champion_is_followed_have_rollouts(names, models):
    assert controlled(ON, names) == models
    assert controlled(Config(), names) == ()
    assert told(ON, names) == (f", with the controller of {', '.join(models)}" if models else "")


def test_without_the_option_nothing_is_started():
    with Beside(Config(), ["churn"]) as kept:
        assert kept.process is None
    with Beside(ON, ["churn/3"]) as kept:
        assert kept.process is None


def decided(monkeypatch, outcomes):
    """How often `run` is asked, and what the log says, until the outcomes are used up."""
    ending, calls = threading.Event(), []

    def run(config, *, stop):
        assert stop is ending
        calls.append(config.name)
        outcome = outcomes[len(calls) - 1]
        if len(calls) == len(outcomes):
            ending.set()
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(beside, "named", lambda *_given, **_more: run)
    beside._decide(ON.with_values(name="churn"), ending)
    return calls


def test_it_waits_for_the_next_rollout_whatever_became_of_the_last(monkeypatch, caplog):
    away = RegistryUnavailable("the registry did not answer")
    outcomes = [None, ModelNotFound("none yet"), away, away, ValueError("odd"), away, None]
    assert decided(monkeypatch, outcomes) == ["churn"] * len(outcomes)
    assert caplog.text.count("the registry did not answer") == 1, "said once, not at every look"
    assert "the controller of churn failed" in caplog.text
