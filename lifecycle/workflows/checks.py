"""The checks of a model over time, read from their runs; and what a run must hold for that.

>>> from lifecycle.config import Config
>>> checks(Config(name="churn"), since="2026-01-01")[-1].drifted_columns  # doctest: +SKIP
('charges',)

One search of the runs, a page of a thousand at a time; no file of any run is read.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import Check, Checks, Metric, MonitorReport, Outcome
from lifecycle.stores import registry
from lifecycle.stores.sealed import Moment, moment
from lifecycle.stores.tracking import answers, connect, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECK = "lifecycle.check"
VERSION = "lifecycle.version"
OUTCOME = "lifecycle.outcome"
SCOPE = "lifecycle.scope"  # whose answers, and of which part of the rows
WINDOW = "lifecycle.window"  # first and last time, parted by a slash
METRIC = "lifecycle.metric"
HARMED = "lifecycle.harmed"
RETRAIN = "lifecycle.retrain"
DRIFTED = "lifecycle.drifted_columns"  # their names as JSON, worst first
MOST_TEXT = 4000  # characters of the names of drifted columns
PAGE = 1000
EFFECT = "/effect"


def checks(
    config: Config,
    *,
    version: int | None = None,
    since: Moment = None,
    until: Moment = None,
    part: str = "",
) -> Checks:
    """The checks that are recorded of a model, oldest window first.

    Args:
        config: names the model.
        version: only checks of this one.
        part: checks of this part of the rows, as in "carrier=EV", instead of those of all rows.
        since: only windows that end at or after this moment.
        until: only windows that begin before this moment.

    Raises:
        ModelNotFound: no such model, or none of its checks is recorded.
        DataError: no check is of that version, time and part; the message says which there are.
        RegistryUnavailable: no answer in time.
    """
    first, last = moment(since, "since"), moment(until, "until")
    client = connect(config)
    found = tuple(recorded(client, config.name))
    if not found:
        registry.survey(client, config.name)  # a name that nobody knows is another error
        raise ModelNotFound(
            f"no check of {config.name} is recorded yet",
            where=f"experiment {config.name}/monitoring",
            fix=f"lifecycle monitor {config.name}",
        )
    kept = tuple(
        one
        for one in found
        if one.part == part
        and (version is None or one.version == version)
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


def recorded(client: "MlflowClient", name: str, *, most: int | None = None) -> Iterator[Check]:
    """The checks of a model in order of their windows; none where none is recorded.

    Args:
        client: of the registry.
        name: of the model.
        most: only so many, the last that were made.
    """
    with answers(f"checks of {name}"):
        experiment = client.get_experiment_by_name(f"{name}/monitoring")
    if experiment is None:
        return
    if experiment.lifecycle_stage != "active":
        experiment_id(client, experiment.name)  # raises and says how to restore it
    runs = _runs(client, experiment.experiment_id, most)
    yield from sorted(map(_check, runs), key=lambda one: (_last(one), one.time))


def _runs(client: "MlflowClient", experiment: str, most: int | None) -> list[Any]:
    query = f"tags.`{CHECK}` != '' AND attributes.status = 'FINISHED'"
    size = PAGE if most is None else min(most, PAGE)
    found: list[Any] = []
    token = None
    while token is not None or not found:
        with answers("monitoring runs"):
            page = client.search_runs(
                [experiment],
                query,
                order_by=["attributes.start_time DESC"],
                max_results=size,
                page_token=token,
            )
        found.extend(page)
        token = page.token or None
        if token is None or (most is not None and len(found) >= most):
            break
    return found


def _last(one: Check) -> datetime:
    return moment(one.end) or datetime.max.replace(tzinfo=UTC)


def _first(one: Check) -> datetime:
    start = one.window[0] if one.window else one.time
    return moment(start) or datetime.min.replace(tzinfo=UTC)


def _check(run: Any) -> Check:
    tags, figures = run.data.tags, run.data.metrics
    metric = tags.get(METRIC, "")
    names = json.loads(tags.get(DRIFTED, "[]"))
    told = {plain_name(name): name for name in names}
    effects = {
        told.get(key.removesuffix(EFFECT), key.removesuffix(EFFECT)): float(value)
        for key, value in figures.items()
        if key.endswith(EFFECT)
    }
    start, _, end = tags.get(WINDOW, "").partition("/")
    made = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC)
    return Check(
        time=made.isoformat(timespec="seconds"),
        version=int(tags.get(VERSION, "0")),
        outcome=Outcome(tags.get(OUTCOME, Outcome.UNSURE)),
        window=(start, end) if end else None,
        rows=int(figures.get("live_rows", 0)),
        drifted_columns=tuple(names),
        effects=dict(sorted(effects.items(), key=lambda item: -abs(item[1]))),
        metric=metric,
        value=figures.get(f"live_{metric}"),
        low=figures.get(f"live_{metric}_low"),
        high=figures.get(f"live_{metric}_high"),
        expected=figures.get(f"expected_{metric}"),
        expected_low=figures.get(f"expected_{metric}_low"),
        expected_high=figures.get(f"expected_{metric}_high"),
        estimate=figures.get(f"estimated_{metric}"),
        estimate_low=figures.get(f"estimated_{metric}_low"),
        estimate_high=figures.get(f"estimated_{metric}_high"),
        harmed=tags.get(HARMED) == "true",
        retrain=tags.get(RETRAIN) == "true",
        part=tags.get(SCOPE, "").partition(", ")[2],
        run_id=str(run.info.run_id),
    )


def as_check(report: MonitorReport, *, time: datetime, part: str = "") -> Check:
    """A report as what `checks` reads of it once it is recorded."""
    seen, estimate = report.performance, report.estimate
    metric = _metric(report)
    effects = {c.name: c.effect for c in report.columns.values() if c.effect is not None}
    return Check(
        time=time.astimezone(UTC).isoformat(timespec="seconds"),
        version=report.version,
        outcome=report.outcome,
        window=report.window,
        rows=report.drift.current_rows,
        drifted_columns=tuple(c.name for c in report.columns.values() if c.drifted),
        effects=dict(sorted(effects.items(), key=lambda item: -abs(item[1]))),
        metric=metric,
        value=seen.value if seen else None,
        low=seen.low if seen else None,
        high=seen.high if seen else None,
        expected=seen.expected if seen else estimate.expected if estimate else None,
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


def tags(report: MonitorReport) -> dict[str, str]:
    """The tags of a check's run that `checks` reads, beside those that tell checks apart."""
    found = {
        HARMED: str(report.harmed).lower(),
        RETRAIN: str(report.retrain).lower(),
        METRIC: _metric(report),
        DRIFTED: _names(report),
    }
    if report.window:
        found[WINDOW] = "/".join(report.window)
    return {key: value for key, value in found.items() if value}


def figures(report: MonitorReport) -> list[Metric]:
    """Performance as it is, as it was at training and as it is estimated, under their names."""
    seen, estimate, metric = report.performance, report.estimate, _metric(report)
    found = []
    if seen is not None and seen.value is not None:
        found.append(Metric(f"live_{metric}", seen.value, seen.low, seen.high))
    if seen is not None and seen.expected is not None:
        found.append(
            Metric(f"expected_{metric}", seen.expected, seen.expected_low, seen.expected_high)
        )
    elif estimate is not None and estimate.expected is not None:
        found.append(Metric(f"expected_{metric}", estimate.expected))
    if estimate is not None and estimate.value is not None:
        found.append(Metric(f"estimated_{metric}", estimate.value, estimate.low, estimate.high))
    return found


def plain_name(column: str) -> str:
    """A column's name in the marks that MLflow allows in a metric's.

    >>> plain_name("price (€)")
    'price ___'
    """
    marks = (mark if mark.isalnum() or mark in "_-. " else "_" for mark in column)
    return "".join(marks)[:200]


def _metric(report: MonitorReport) -> str:
    if report.performance is not None:
        return report.performance.metric
    return report.estimate.metric if report.estimate is not None else ""


def _names(report: MonitorReport) -> str:
    """The drifted columns as JSON, as many as a tag holds."""
    names: list[str] = []
    for column in report.columns.values():
        text = json.dumps([*names, column.name], ensure_ascii=False)
        if column.drifted and len(text) <= MOST_TEXT:
            names.append(column.name)
    return json.dumps(names, ensure_ascii=False)
