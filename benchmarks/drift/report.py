"""What is printed and written: Markdown tables of rates, goals, and what they were measured on."""

import datetime as dt
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rates import Rate, Row
from tables import SMALL, TITLES, UNCHANGED, goal

PACKAGES = ("mlflow-lifecycle", "numpy", "scipy", "polars", "pandas", "evidently")
LEGEND = """\
Each figure is the share of windows with an alarm and its 95 % interval; `? 12 %` is the share of
which the rule said that it cannot tell (never an alarm, so not found). A rate is over references as
well as over windows: each reference is asked about several windows, and the interval allows for it.
`n = 20` stands where a rule was asked about fewer windows than the first one. The streams have 27
numbers and 3 columns of levels; `ours` has alpha 1 % and a stored profile."""
NOTES = {
    "independent": """\
`evidently` is its default: half of the columns drift. `alibi` is alibi-detect's Bonferroni rule at
its default level, 5 %, and at 1 %. `nannyml` has one reference chunk where the window is as long as
the reference, so that its threshold is 0.""",
    "timed": """\
A row each 15 minutes, a reference of 70 days, windows that begin at any hour of later days.""",
    "changes": """\
An alarm counts as found whatever it names: a rule that alarms without a change (`none`) finds much
that it does not see. Only `ours` looks at missing values and at pairs of columns.""",
    "season": """\
Three hours are 12 rows of 15 minutes or 180 of a minute; 96 rows are a day, of which two in seven
are 1 lower. The sd is that of the rows around the cycle, less than that of the whole column.""",
}


def percent(share: float) -> str:
    """A share in percent, with a decimal where it is small."""
    value = round(100 * share, 1)
    return f"{value:.1f}" if 0 < value < 10 or 90 < value < 100 else f"{value:.0f}"


def cell(rate: Rate, windows: int) -> str:
    """A rate as it stands in a table."""
    low, high = (percent(item) for item in rate.interval())
    text = f"{percent(rate.alarms)} % [{low}, {high}]"
    if rate.unsure:
        text += f" ? {percent(rate.unsure)} %"
    return text if rate.windows == windows else f"{text} n = {rate.windows}"


def figures(rows: Sequence[Row]) -> list[str]:
    """The names of all figures, in the order of the rules."""
    return list(dict.fromkeys(name for row in rows for name in row.rates))


def verdict(row: Row) -> str:
    """What the first rule should do in a row, and whether it does."""
    aim = goal(row.plan, row.rows, row.change)
    rate = row.rates.get("ours")
    if aim is None or rate is None:
        return "" if aim is None else str(aim)
    low, high = rate.interval()
    said = "reached" if aim.reached(rate.alarms) else "**not reached**"
    doubt = aim.share and low < aim.share < high and not aim.reached(rate.alarms)
    return f"{aim} {said}" + (" (may be chance)" if doubt else "")


def table(title: str, rows: Sequence[Row]) -> list[str]:
    """One table in Markdown, with its errors below."""
    labels = figures(rows)
    heads = ["stream", "reference", "window", "change", "windows", *labels, "goal of ours"]
    body = []
    for row in rows:
        windows = next((rate.windows for rate in row.rates.values()), 0)
        cells = [row.plan.stream, f"{row.plan.reference:,}", f"{row.rows:,}", row.change]
        cells.append(f"{windows:,}")
        cells += [cell(row.rates[name], windows) if name in row.rates else "" for name in labels]
        body.append([*cells, verdict(row)])
    kept = [
        place
        for place, head in enumerate(heads)
        if head not in ("stream", "change") or len({cells[place] for cells in body}) > 1
    ]
    lines = [f"## {TITLES[title]}", "", NOTES.get(title, ""), ""]
    lines += markdown(
        [heads[place] for place in kept], [[cells[p] for p in kept] for cells in body]
    )
    failed = {f"{rule}: {text}" for row in rows for rule, text in row.errors.items()}
    return [*lines, *[f"\nFailed: {text}" for text in sorted(failed)], ""]


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(cells) + " |" for cells in body]


def shown(value: Any) -> str:
    """A figure with three digits that count, or a word."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def goals(rows: Sequence[Row]) -> list[str]:
    """Each goal, the row that is furthest from it, and whether all its rows reach it."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if goal(row.plan, row.rows, row.change) is not None and "ours" in row.rates:
            groups.setdefault(_group(row), []).append(row)
    body = []
    for group, members in groups.items():
        aim = goal(members[0].plan, members[0].rows, members[0].change)
        assert aim is not None
        worst = (max if aim.most else min)(members, key=lambda row: row.rates["ours"].alarms)
        asked = sum(row.rates["ours"].windows for row in members)
        every = sum(row.rates["ours"].alarms * row.rates["ours"].windows for row in members) / asked
        reached = sum(aim.reached(row.rates["ours"].alarms) for row in members)
        said = "reached" if reached == len(members) else f"**{reached} of {len(members)}**"
        rate = worst.rates["ours"]
        where = f"{worst.plan.stream}, {worst.change}, {worst.rows:,} rows"
        where += f", reference {worst.plan.reference:,}"
        where = where.replace(f", {UNCHANGED},", ",")
        worst_text = f"{cell(rate, rate.windows)}: {where}"
        body.append([group, str(aim), f"{percent(every)} %", worst_text, said])
    heads = ["ours", "goal", "all windows", "furthest from the goal", ""]
    return ["## Goals", "", *markdown(heads, body), ""] if body else []


def _group(row: Row) -> str:
    if row.change == UNCHANGED:
        kind = {"timed": "rows with times", "season": "windows shorter than a cycle"}
        return f"false alarms, {kind.get(row.plan.table, 'independent rows')}"
    if row.plan.table == "season":
        return f"found in windows shorter than a cycle: {row.change}"
    if row.change == SMALL:
        return f"alarms: {SMALL}, 1M rows"
    return f"found at {row.rows:,} rows"


def machine() -> str:
    """The processor, its cores and the versions of all that counts."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def version(name: str) -> str:
    """An installed package's version."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def document(
    rows: Mapping[str, Sequence[Row]],
    speed: Sequence[Mapping[str, Any]],
    *,
    command: str,
    notes: Sequence[str],
) -> str:
    """The whole of RESULTS.md."""
    every = [row for name in rows for row in rows[name]]
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} at the end"
    lines = ["# Error rates of drift verdicts", "", f"{today}, {machine()}, {load}.", ""]
    for note in notes:
        lines += [note, ""]
    lines += [f"    {command}", "", LEGEND, "", *goals(every)]
    for name, members in rows.items():
        if members:
            lines += table(name, members)
    if speed:
        heads = list(dict.fromkeys(head for row in speed for head in row))
        body = [[shown(row.get(head, "")) for head in heads] for row in speed]
        lines += [f"## {TITLES['speed']}", "", *markdown(heads, body)]
    return "\n".join(lines).rstrip() + "\n"
