"""How figures are shown: rates with their Monte-Carlo interval, requests, goals, tables.

>>> rate_of(np.array([True] * 3 + [False] * 97))
'3.0 % [0.6, 8.5]'
>>> requests_of(44_500.0)
'44.5k'
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from arrivals import Array
from scipy.stats import beta


@dataclass(frozen=True)
class Section:
    """A table with what it says, and the figures that a picture is made of."""

    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: dict[str, float] = field(default_factory=dict)


def interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Clopper & Pearson)."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return float(low), float(high)


def rate_of(hits: Array) -> str:
    """A share in percent with its interval."""
    low, high = interval(int(hits.sum()), hits.size)
    return f"{100 * hits.mean():.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def small_rate_of(hits: Array) -> str:
    """A share around a thousandth, with its interval."""
    low, high = interval(int(hits.sum()), hits.size)
    return f"{100 * hits.mean():.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def requests_of(count: float) -> str:
    """A number of requests; not a number where it is never reached."""
    if not np.isfinite(count):
        return "never"
    return f"{count / 1000:.3g}k" if count >= 1000 else f"{count:.0f}"


def reached(good: bool, goal: str) -> str:
    """A goal and whether it is reached."""
    return f"{goal} {'reached' if good else '**missed**'}"


def table(section: Section) -> str:
    """A section in Markdown."""
    lines = [
        "| " + " | ".join(section.header) + " |",
        "|" + "---|" * len(section.header),
        *("| " + " | ".join(row) + " |" for row in section.rows),
    ]
    return "\n".join([f"## {section.title}", "", section.about, "", *lines, ""])


def document(sections: Sequence[Section], command: str, minutes: float, picture: str) -> str:
    """All of RESULTS.md."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("mlflow-lifecycle", "numpy", "scipy")
    )
    machine = f"{_processor()}, Python {platform.python_version()}, {packages}"
    head = [
        "# Rollouts decided by statistics",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}. Measured in {minutes:.1f} minutes.",
        "",
        f"    {command}",
        "",
        "Simulated rollouts, seeded. The schedule is fixed: 1, 5, 25 and 50 % for 20,000 requests",
        "each, the last for as long as anybody looks; a look every 1,000 requests; alpha 5 %; the",
        "champion's rate of events is 2 % unless it is said to be another. Shares are shown with",
        "their 95 % interval (Clopper & Pearson). Ours is the code of `lifecycle.rollout`.",
        "",
        f"![False rollbacks and detection]({picture})",
        "",
    ]
    return "\n".join([*head, *(table(section) for section in sections)]).rstrip() + "\n"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1] for line in text.splitlines() if line.startswith("model name")]
    return f"{names[0].strip() if names else platform.machine()}, {len(names)} cores"
