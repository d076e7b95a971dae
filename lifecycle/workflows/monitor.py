"""Check the champion on live rows: have they moved, is it harmed, should it be trained again?

>>> from lifecycle.config import Config
>>> monitor(Config(name="churn"), since="2026-03-01").reasons  # doctest: +SKIP
('charges is higher: median 110 instead of 70, effect 1.4 sd, p < 1e-6',)

The windows that are due, the live rows of each, what they say, what is recorded, who is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.drift import Profile, build_profile
from lifecycle.durations import duration
from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import Decision, DriftReport, ModelRef, ModelVersion, MonitorReport, Outcome
from lifecycle.stores import artifacts, checks, registry, runs
from lifecycle.stores.checks import Past
from lifecycle.stores.sealed import Moment
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.stores.turns import turn
from lifecycle.workflows.alerts import Post
from lifecycle.workflows.asking import Asked, ask
from lifecycle.workflows.assess import assess, spend
from lifecycle.workflows.compare import Table, to_polars
from lifecycle.workflows.live import from_log, from_table
from lifecycle.workflows.recording import Case, identity, record, reference, write_page
from lifecycle.workflows.segments import within
from lifecycle.workflows.windows import Due, Window, by_rows, by_time, logged

if TYPE_CHECKING:
    from mlflow import MlflowClient


def monitor(
    config: Config,
    live: Table | None = None,
    *,
    since: Moment = None,
    until: Moment = None,
    every: str | None = None,
    rows: int | None = None,
    version: ModelVersion | str | int | None = None,
    arm: str | None = None,
    segment: str | None = None,
    alarms_per_year: float | None = None,
    notify: Sequence[str] = (),
    html: str | Path | None = None,
) -> MonitorReport:
    """Check what is due and record each check.

    Live rows are the predictions that a version logged, with the labels that came for them; or
    a table, scored here unless it has predictions, with labels in its target column. One check is
    one run of experiment NAME/monitoring with figures, verdict and pictures; a flag also becomes
    an entry of the ledger, and so does the check that calls off the retraining that an earlier
    one called for. The same rows, window and labels are recorded once, and one call at a time
    checks a model.

    With `every` or `rows`, here or in `[monitor]`, only complete windows are checked, each by
    itself and none left out: what was missed is caught up, oldest first, `[monitor] catch_up`
    windows in one call. Naming both `since` and `until` is naming one window.

    Args:
        config: names the model; `[monitor]`, `[retrain]`, `[log]`.
        live: a frame, a Parquet or CSV file or a folder; without it the prediction log is read.
        since: start of the window; by default where the last check of this version's log ended.
        until: end of the window, exclusive; by default now.
        every: length of a window, as in "6h" or "1d".
        rows: or its length in logged rows.
        version: another version than the champion.
        arm: only what this arm of a rollout answered.
        segment: only rows of one segment, `COLUMN=VALUE`.
        alarms_per_year: false alarms of all checks in a year; sets the alpha of each by its length.
        notify: who is told of incidents; apprise's addresses, or `env:NAME`.
        html: where to write Evidently's report, of the last window.

    Returns:
        The report of the last window; `.earlier` has those before it. No live rows are not enough
        evidence and record nothing; where no window is complete yet, `.waiting` says so.

    Raises:
        ModelNotFound: no such version, or it was never trained or adopted here.
        ConfigError: a setting or an address that cannot be used; nothing was checked.
        DataError: the table, the window, the segment or the report's path cannot be used.
        LogError: another check of the model is running, or the log is damaged.
        RegistryUnavailable: no answer in time; what was recorded stays, and is not done again.
    """
    asked = ask(
        config,
        table=live is not None,
        since=since,
        until=until,
        every=every,
        rows=rows,
        arm=arm,
        segment=segment,
        alarms_per_year=alarms_per_year,
        notify=notify,
        html=html,
    )
    client = connect(config)
    found = _version(client, config.name, version)
    with turn(config.log.dir, config.name):
        experiment = experiment_id(client, f"{config.name}/monitoring")
        runs.close_dead(client, experiment)
        case = Case(
            config=asked.config,
            client=client,
            version=found,
            spec=artifacts.spec(client, found),
            experiment=experiment,
            arm=arm,
            segment=asked.segment,
            champion="champion" in found.aliases,
            logged=live is None,
        )
        post = Post(client, experiment, asked.receivers)
        notes = post.deliver()  # what waited comes before what is found now
        checking = _Checking(case, _profile(case), post, asked)
        report = checking.log() if live is None else checking.table(live)
        return replace(report, notes=(*notes, *report.notes))


def _version(
    client: "MlflowClient", name: str, wanted: ModelVersion | str | int | None
) -> ModelVersion:
    if isinstance(wanted, ModelVersion):
        ref = ModelRef(wanted.name, wanted.version)
    elif wanted is None:
        ref = ModelRef(name, alias="champion")
    elif str(wanted).isdecimal():
        ref = ModelRef(name, int(wanted))
    else:
        ref = ModelRef.parse(str(wanted))
    if ref.name != name:
        raise ModelNotFound(f"{ref} is not a version of {name}", where=name, fix="name one of it")
    version = registry.find(client, ref)
    if not version.adopted:
        raise ModelNotFound(
            f"{version.ref} was not trained here: it has no reference to compare with",
            where=name,
            fix=f"lifecycle adopt {version.ref} --reference TRAINING_DATA",
        )
    return version


def _profile(case: Case) -> Profile:
    """What the rows are compared with; of a segment, its rows in the stored sample."""
    stored = Profile.loads(artifacts.profile_text(case.client, case.version))
    if not set(case.spec.feature_names) & {*stored.columns, *stored.not_monitored}:
        raise DataError(
            f"the profile that is stored with {case.version.ref} is of another model",
            where=", ".join(stored.columns),
            fix=f"restore it, or lifecycle adopt {case.version.ref} --reference TRAINING_DATA",
        )
    if case.segment is None:
        return stored
    return build_profile(to_polars(reference(case), "reference"), time=stored.time)


@dataclass(frozen=True)
class _Checking:
    """The checks of one call."""

    case: Case
    profile: Profile
    post: Post
    asked: Asked

    def table(self, table: Table) -> MonitorReport:
        """The check of a table."""
        case, asked = self.case, self.asked
        frame = to_polars(table, "live")
        if not set(frame.columns) & set(case.spec.feature_names):
            raise DataError(
                f"the table has none of the columns of {case.version.ref}",
                where=f"{', '.join(frame.columns)} against {', '.join(case.spec.feature_names)}",
                fix="check that it holds rows of this model",
            )
        if case.segment is not None:
            frame = frame.filter(within(frame, case.segment))
        live = from_table(
            frame,
            case.spec,
            lambda: artifacts.load(case.client, case.version, case.config),
            since=asked.since,
            until=asked.until,
        )
        return self._check(replace(case, live=live), asked.since, asked.until, asked.html)

    def log(self) -> MonitorReport:
        """The checks of what is due of the log; the last report holds the others."""
        asked, case = self.asked, self.case
        series = checks.key_of(case.version.ref, case.part)
        past = checks.past(case.client, case.experiment, series)
        start = asked.since or (past.end if past else None)
        # rows that were logged behind their window's check are looked for once, before the first
        checked = past.recorded if past and not asked.since else None
        if not asked.windowed:
            return self._window(start, asked.until, past, checked=checked, html=asked.html)
        due = self._due(start)
        now = due.windows[: case.config.monitor.catch_up]
        left = len(due.windows) - len(now)
        found: list[MonitorReport] = []
        for window in now:
            page = asked.html if window is now[-1] else None
            found.append(self._fixed(window, past, checked=checked, html=page))
            checked = None
        if due.silent is not None and not left:
            found.append(self._fixed(due.silent, past))
        if not found:
            return _waiting(case, due, first=past is None)
        return replace(found[-1], earlier=tuple(found[:-1]), notes=_notes(due, left, found))

    def _due(self, start: datetime | None) -> Due:
        case, section = self.case, self.case.config.monitor
        until = self.asked.until or datetime.now(UTC)
        times = logged(
            case.config, case.version, since=start, until=until, arm=case.arm, segment=case.segment
        )
        if section.rows:
            return by_rows(times, start=start, rows=section.rows)
        return by_time(times, start=start, every=duration(section.every, "every"), until=until)

    def _fixed(
        self,
        window: Window,
        past: Past | None,
        *,
        checked: datetime | None = None,
        html: str | Path | None = None,
    ) -> MonitorReport:
        """The check of a window whose end is where the next one begins."""
        return self._window(
            window.start, window.end, past, end=window.end, checked=checked, html=html
        )

    def _window(
        self,
        start: datetime | None,
        until: datetime | None,
        past: Past | None,
        *,
        end: datetime | None = None,
        checked: datetime | None = None,
        html: str | Path | None = None,
    ) -> MonitorReport:
        case = self.case
        live = from_log(
            case.config,
            case.version,
            case.spec,
            since=start,
            until=until,
            arm=case.arm,
            segment=case.segment,
            checked=checked,
        )
        case = replace(case, live=live, end=end)
        if live.rows.height and past is not None:
            case = replace(case, recent=case.closes >= past.end)
        return self._check(case, start, until, html)

    def _check(
        self,
        case: Case,
        start: datetime | None,
        end: datetime | None,
        html: str | Path | None,
    ) -> MonitorReport:
        """Assess and record; what was recorded before keeps its run, and the alpha it had."""
        if not case.live.rows.height:
            return assess(case, self.profile)
        key = identity(case)
        known = checks.same(case.client, case.experiment, key)
        alpha, why = spend(case, start, end)
        if known is not None:
            alpha = float(known.data.tags.get(checks.ALPHA, alpha))
            why = why and f"alpha {alpha:.2g}: what this check had when it was recorded"
        case = replace(case, alpha=alpha, spending=why)
        report = assess(case, self.profile)
        write_page(case, report, html)
        if html is not None:
            report = replace(report, html=str(html))
        if known is not None:
            return replace(report, run_id=str(known.info.run_id), repeated=True)
        return record(case, report, key=key, post=self.post)


def _waiting(case: Case, due: Due, *, first: bool) -> MonitorReport:
    """Nothing to check yet: fine where checks were made before, else not enough evidence."""
    said = f"nothing to check yet: {due.waiting}"
    return MonitorReport(
        name=case.version.name,
        version=case.version.version,
        outcome=Outcome.UNSURE if first else Outcome.PASS,
        reasons=(said,),
        decision=Decision(retrain=False, reasons=()),
        drift=DriftReport(Outcome.UNSURE, {}, 0, 0, (said,)),
        waiting=True,
    )


def _notes(due: Due, left: int, found: Sequence[MonitorReport]) -> tuple[str, ...]:
    """What is to be said of the call as a whole, and of telling people in any of its checks."""
    notes, last = [], found[-1]
    if due.skipped:
        notes.append(f"{due.skipped:,} windows without rows were skipped")
    if left:
        then = last.window[1][:16].replace("T", " ") if last.window else ""
        notes.append(
            f"{left:,} more windows are due, behind {then}: run it again, "
            "or raise [monitor] catch_up"
        )
    return (*notes, *dict.fromkeys(note for item in found for note in item.notes))
