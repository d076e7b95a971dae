"""Draw the pictures in docs/images, two of them from what `lifecycle demo` made.

    lifecycle demo --keep FOLDER
    python docs/build_images.py FOLDER

It checks flights again, from the folder's prediction log: April's, whose columns that moved most
are drawn beside the training rows (`april.png`), and those of each week from 11 March on, which
become a timeline (`timeline.png`). Without a folder only the rollout is drawn (`rollout.png`): a
simulated canary whose version errs on 4 % of the requests instead of 2 %, decided as a real one.
"""

import sys
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import lifecycle as lc
from lifecycle.demo import APRIL, MAY, NAME, TRAINED_UNTIL
from lifecycle.records import Arm, Look, Rollout, RolloutSpec, RolloutStatus, Tally
from lifecycle.rollout.deciding import decide
from lifecycle.rollout.events import shares_at
from lifecycle.views import drift_plots, rollout_plots, timeline_plots

IMAGES = Path(__file__).parent / "images"
HOURLY = 2000  # requests
RATES = {"errors": (0.02, 0.04), "label_error": (0.1, 0.1), "invalid": (0.004, 0.004)}


def april(project: lc.Project) -> bytes:
    """The PNG of April's drift report."""
    return drift_plots.png(project.monitor(since=APRIL, until=MAY).drift, most=4)


def timeline(project: lc.Project) -> bytes:
    """The PNG of what the check of each week found."""
    last = project.monitor(every="7d", since=TRAINED_UNTIL, until=MAY)
    weeks = {report.run_id for report in (*last.earlier, last)}
    return timeline_plots.png([one for one in project.checks() if one.run_id in weeks])


def rollout() -> RolloutStatus:
    """A canary of 2,000 requests an hour, simulated until it is decided."""
    arms = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    spec = RolloutSpec(
        "churn", "canary", arms, (0.01, 0.05, 0.25, 0.5, 1.0), (5, 2, 1.5, 1.25), tuple(RATES)
    )
    draws, begin = np.random.default_rng(7), datetime(2026, 3, 2, 8, tzinfo=UTC)
    made = Rollout(spec, 12, started=begin.isoformat(), since=begin.isoformat())
    tallies, looks = [], []
    while made.open:
        now = (begin + timedelta(hours=len(looks) + 1)).isoformat()
        shares = shares_at(spec, made.step)
        tallies += [
            Tally(guard, arm.name, made.step, count := draws.binomial(HOURLY, share),
                  0 if not guard else draws.binomial(count, rates[at]))
            for at, (arm, share) in enumerate(zip(arms, shares, strict=True))
            for guard, rates in {"": (0.0, 0.0), **RATES}.items()
        ]  # fmt: skip
        made = replace(made, shares=shares)
        look = decide(made, tallies, now=now)
        looks.append(_drawn(look, made))
        if look.action == "step":
            made = replace(made, step=look.to_step, since=now)
        elif look.action != "wait":
            ends = {"rollback": "rolled back", "promote": "promoted"}
            shares = (1.0, 0.0) if look.action == "rollback" else shares
            made = replace(made, status=ends[look.action], ended=now, reason=look.reason)
    return RolloutStatus("churn", replace(made, shares=shares), look, tuple(looks))


def _drawn(look: Look, made: Rollout) -> dict[str, Any]:
    """One look of the series, as the run of a rollout has it."""
    shares = zip(made.spec.arms, made.shares, strict=True)
    fields = ("harm", "harm_limit", "certificate", "certificate_limit", "ratio", "low", "high")
    return {
        "time": look.time,
        "step": look.step,
        "action": look.action,
        "shares": {arm.name: share for arm, share in shares},
        "guards": {
            one.guard: {field: getattr(one, field) for field in fields} for one in look.evidence
        },
    }


def drawn(folder: str | None) -> dict[str, bytes]:
    """All pictures that can be drawn."""
    pictures = {"rollout.png": rollout_plots.png(rollout(), intervals=1)}
    if folder is not None:
        with chdir(Path(folder).resolve()):
            uri = "sqlite:///mlflow.db"
            flights = lc.Project(NAME, tracking__uri=uri, log__dir="lifecycle-log")
            pictures |= {"april.png": april(flights), "timeline.png": timeline(flights)}
    return pictures


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, picture in drawn(sys.argv[1] if sys.argv[1:] else None).items():
        (IMAGES / name).write_bytes(picture)
