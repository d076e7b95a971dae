"""The checks of a model over time, and what a check enters so that they can be read at once.

>>> from lifecycle.config import Config
>>> checks(Config(name="churn"), since="2026-01-01")[-1].drifted_columns  # doctest: +SKIP
('charges',)
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import DataError, ModelNotFound, RegistryError
from lifecycle.records import Check, Checks, MonitorReport, Outcome
from lifecycle.stores import registry, timeline
from lifecycle.stores.sealed import Moment, moment
from lifecycle.stores.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "check"
DIGITS = 4  # of an effect
LAST = 104  # checks on the page of a check


def checks(
    config: Config,
    *,
    version: int | str | None = None,
    since: Moment = None,
    until: Moment = None,
    part: str = "",
) -> Checks:
    """The checks that are recorded of a model, oldest window first.

    Args:
        config: names the model.
        version: only checks of this one; its number, or a reference as "churn/3".
        since: only windows that end at or after this moment.
        until: only windows that begin before this moment.
        part: checks of this part of the rows, as in "carrier=EV", instead of those of all rows.

    Raises:
        ModelNotFound: no such model, or none of its checks is recorded.
        DataError: no check is of that version, time and part; the message says which there are.
        RegistryUnavailable: no answer in time.
    """
    first, last = moment(since, "since"), moment(until, "until")
    client = connect(config)
    found = recorded(client, config.name)
    if not found:
        registry.survey(client, config.name)  # a name that nobody knows is another error
        raise ModelNotFound(
            f"no check of {config.name} is recorded yet",
            where=f"experiment {config.name}/monitoring",
            fix=f"lifecycle monitor {config.name}",
        )
    number = registry.find(client, version).version if isinstance(version, str) else version
    kept = tuple(
        one
        for one in found
        if one.part == part
        and (number is None or one.version == number)
        and (first is None or _last(one) >= first)
        and (last is None or _first(one) < last)
    )
    if not kept:
        raise DataError(
            f"none of the {len(found):,} checks of {config.name} is of that version, time and part",
            where=f"experiment {config.name}/monitoring",
            fix=_there_are(found),
        )
    return Checks(config.name, kept)


def _there_are(found: tuple[Check, ...]) -> str:
    versions = ", ".join(str(one) for one in sorted({one.version for one in found}))
    parts = sorted({one.part for one in found if one.part})
    named = f"; of parts of the rows: {'; '.join(parts[:5])}" if parts else ""
    return f"there are checks of version {versions}, {found[0].end} to {found[-1].end}{named}"


def recorded(client: "MlflowClient", name: str, *, most: int | None = None) -> tuple[Check, ...]:
    """The checks of a model in order of their windows; none where none is recorded.

    Args:
        client: of the registry.
        name: of the model.
        most: the last so many.
    """
    entries = timeline.read(client, name, most=most)
    made = sorted(entries.items(), key=lambda item: str(item[1].get("time", "")))
    known = {entry.get(KEY, run_id): (run_id, entry) for run_id, entry in made}  # the last counts
    found = [_check(name, entry, run_id) for run_id, entry in known.values()]
    ordered = sorted(found, key=lambda one: (_last(one), one.time))
    return tuple(ordered[-most:] if most is not None else ordered)


def enter(client: "MlflowClient", check: Check, *, name: str, key: str) -> None:
    """Record a check in brief, beside its run; doing so twice changes nothing.

    Args:
        client: of the registry.
        check: with its run.
        name: of the model.
        key: what was checked; of several entries with one key the last counts.
    """
    effects = {key: round(value, DIGITS) for key, value in check.effects.items()}
    tree = replace(check, effects=effects).to_dict()
    empty: tuple[Any, ...] = (None, "", [], {})
    kept = {key: tree[key] for key in tree if tree[key] not in empty and tree[key] is not False}
    kept.pop("drifted", None)
    timeline.add(client, name, kept.pop("run_id"), {**kept, KEY: key})


def as_check(report: MonitorReport, *, time: datetime, part: str = "") -> Check:
    """A report in brief.

    Args:
        report: of one window.
        time: when it was made.
        part: of the rows that it is about.
    """
    seen, estimate = report.performance, report.estimate
    expected = seen or estimate
    effects = {
        column.name: float(column.effect)
        for column in report.columns.values()
        if column.effect is not None and isfinite(column.effect)
    }
    return Check(
        time=time.astimezone(UTC).isoformat(timespec="seconds"),
        version=report.version,
        outcome=report.outcome,
        window=report.window,
        rows=report.drift.current_rows,
        drifted_columns=tuple(c.name for c in report.columns.values() if c.drifted),
        effects=dict(sorted(effects.items(), key=lambda item: -abs(item[1]))),
        metric=expected.metric if expected else "",
        value=seen.value if seen else None,
        low=seen.low if seen else None,
        high=seen.high if seen else None,
        expected=expected.expected if expected else None,
        expected_low=seen.expected_low if seen else None,
        expected_high=seen.expected_high if seen else None,
        estimate=estimate.value if estimate else None,
        estimate_low=estimate.low if estimate else None,
        estimate_high=estimate.high if estimate else None,
        harmed=report.harmed,
        retrain=report.retrain,
        part=part,
        run_id=report.run_id,
    )


def _check(name: str, entry: Mapping[str, Any], run_id: str) -> Check:
    known = {item.name for item in fields(Check)}
    values = {key: value for key, value in entry.items() if key in known}
    try:
        window = values.get("window")
        return Check(
            **{
                **values,
                "outcome": Outcome(values["outcome"]),
                "window": (str(window[0]), str(window[1])) if window else None,
                "drifted_columns": tuple(values.get("drifted_columns", ())),
                "run_id": run_id,
            }
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RegistryError(
            f"an entry of the checks of {name} cannot be read: {error}",
            where=f"run {run_id}",
            fix="it was written by a later version of lifecycle, or changed by hand; use that one",
        ) from error


def _last(one: Check) -> datetime:
    return moment(one.end) or datetime.max.replace(tzinfo=UTC)


def _first(one: Check) -> datetime:
    return moment(one.window[0] if one.window else one.time) or datetime.min.replace(tzinfo=UTC)


def pictures(client: "MlflowClient", report: MonitorReport, check: Check) -> dict[str, str | bytes]:
    """What a check's run shows people: its columns, the last checks, and a page of both.

    Args:
        client: of the registry, where earlier checks are read.
        report: of the check.
        check: the same in brief.

    Returns:
        Files by name: drift.png, timeline.png, report.html.
    """
    from lifecycle.views import drift_plots, pages, timeline_plots

    before = [
        one
        for one in recorded(client, report.name, most=LAST)
        if one.part == check.part and one.run_id != check.run_id
    ]
    windows = Checks(report.name, (*before, check)).latest
    ordered = sorted(windows, key=lambda one: (_last(one), one.time))
    return {
        "drift.png": drift_plots.png(report.drift),
        "timeline.png": timeline_plots.png(ordered),
        "report.html": pages.report(report, ordered),
    }


def write_pictures(
    found: Checks, *, html: str | Path | None = None, png: str | Path | None = None
) -> None:
    """Write the timelines as a page or a picture.

    Args:
        found: the checks.
        html: where the page goes.
        png: where the picture goes.

    Raises:
        DataError: the file cannot be written.
    """
    from lifecycle.views import pages, timeline_plots

    for path, made in (
        (html, pages.page(f"checks of {found.name}", [found]).encode() if html else b""),
        (png, timeline_plots.png(found.latest) if png else b""),
    ):
        if path is None:
            continue
        try:
            Path(path).write_bytes(made)
        except OSError as error:
            raise DataError(
                f"the file cannot be written: {error.strerror}",
                where=path,
                fix="name a file in a folder that exists and can be written",
            ) from error
