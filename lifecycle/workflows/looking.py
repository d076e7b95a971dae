"""One look at a rollout, and what the log says of a model's traffic before there is one.

>>> from lifecycle.config import Config
>>> looked(Config(name="churn"), rollout).action  # doctest: +SKIP
'wait'
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lifecycle.config import Config
from lifecycle.records import Arm, Look, Rollout, RolloutSpec
from lifecycle.rollout.deciding import decide
from lifecycle.workflows.counting import tallies_of

TRAFFIC_DAYS = 7.0  # of the log, which say what traffic a rollout will have


def looked(
    config: Config, rollout: Rollout, *, log: Sequence[str | Path] = (), now: str = ""
) -> Look:
    """Count the log and decide; nothing is written.

    Args:
        config: the log, and where the model is.
        rollout: as the ledger has it.
        log: folders of the prediction log; by default the configured one.
        now: the time of the look, ISO 8601; by default the present.

    Raises:
        LogError: the log cannot be read.
        ConfigError: a guard of the rollout is no longer there.
    """
    found = tallies_of(config, rollout, log=log)
    return decide(
        rollout,
        found.tallies,
        now=now or present(),
        exposed=found.exposed,
        coverage=found.coverage,
    )


def traffic_of(
    config: Config, spec: RolloutSpec, *, log: Sequence[str | Path] = ()
) -> tuple[dict[str, float], float | None, dict[str, float]]:
    """Rates of the champion by guard, requests a day, and who counts, as the last days have it.

    Args:
        config: the log.
        spec: whose guards are counted.
        log: folders of the prediction log; by default the configured one.

    Returns:
        Events a unit, of numbers the mean, by guard or metric; requests a day, None where there
        are none; and units of each guard a request: those with a label, or of one segment.

    Raises:
        LogError: the log cannot be read.
    """
    now = datetime.now(UTC)
    champion = replace(spec.arms[0], share=1.0)
    nobody = Arm("challenger", spec.arms[1].version, 0.0)  # a shadow counts pairs alone
    since = (now - timedelta(days=TRAFFIC_DAYS)).isoformat(timespec="milliseconds")
    alone = replace(spec, arms=(champion, nobody), strategy="ab", steps=(), margins=())
    before = Rollout(alone, 0, shares=(1.0, 0.0), started=since, since=since)
    found = tallies_of(config, before, log=log)
    rates, reach = dict[str, float](), dict[str, float]()
    met = 0
    for text in ("", *spec.guards, *filter(None, [spec.metric])):
        mine = [item for item in found.tallies if (item.guard, item.arm) == (text, champion.name)]
        units = sum(item.units for item in mine)
        if not text:
            met = int(sum(item.total for item in mine))
        elif units:
            rates[text] = sum(item.total for item in mine) / units
            reach[text] = units / max(met, 1)
    first = str(found.coverage.get("first") or "")
    if not met or not first:
        return rates, None, reach
    days = (now - datetime.fromisoformat(first)).total_seconds() / 86400
    return rates, met / max(days, 1 / 24), reach


def present() -> str:
    """Now, as entries and looks have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
