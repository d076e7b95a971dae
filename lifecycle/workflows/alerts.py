"""News of an incident: entered in the ledger once, and told to each address at least once.

>>> from lifecycle.records import Decision, DriftReport, MonitorReport
>>> calm = DriftReport(Outcome.PASS, {}, 100, 40)
>>> report = MonitorReport("churn", 3, Outcome.PASS, (), Decision(False, ()), calm, run_id="5f0c")
>>> print(message(report, Incident("resolved", {"charges": 0.5}, since="2026-03-01")).title)
churn/3: resolved

The ledger holds what is open, so that two machines cannot both open it. What is to be told stands
with the check's run before the run ends, marked as pending for each address; what an address did
not take is sent again with the next check. A message that was taken without our hearing of it is
sent twice.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lifecycle.incidents import KIND, advance, last, read
from lifecycle.records import Entry, Incident, MonitorReport, Outcome
from lifecycle.stores import checks
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers, public
from lifecycle.workflows.receivers import Receiver

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_REASONS = 6  # of a check, in a message
MOST_BODY = 2500  # characters of a message, which MLflow keeps in a tag
WEB = ("http://", "https://")


@dataclass(frozen=True)
class Message:
    """What is told; `kind` is one of apprise's."""

    title: str
    body: str
    kind: str


def follow(
    ledger: Ledger,
    report: MonitorReport,
    *,
    scope: str,
    key: str,
    recent: bool = True,
    told: Callable[[str], bool] = lambda _: True,
) -> tuple[Incident | None, str]:
    """Enter what a check makes of the open incident, if that is news.

    Args:
        ledger: the model's.
        report: the check, with its run.
        scope: of which rows the checks are that follow each other.
        key: names the check; what was entered for it before is not entered again.
        recent: no later window was checked before; an older one can only tell of harm, which
            labels show late.
        told: whether a run tells what the check of a key had entered; else it was killed before,
            and its news are told now.

    Returns:
        The incident as it is now, None where there is none; and the key of the check that had
        entered the news that are to be told, empty where there are none.
    """
    found: Incident | None = None
    news = ""

    def once(entries: Sequence[Entry]) -> Entry | None:
        nonlocal found, news
        before = [item for item in entries if item.kind == KIND and item.source == scope]
        for entry in before:
            if entry.extra.get("check") == key:
                found, news = read(entry), key  # by a process that died before its run ended
                return None
        found = _advanced(last(before, scope), report, recent=recent)
        if found is None or not found.change:
            late = str(before[-1].extra.get("check")) if before else ""
            if late and not told(late):  # likewise, and its rows or labels are others now
                found, news = read(before[-1]), late
            return None
        news = key
        if found.change == "opened":
            since = report.window[0] if report.window else ""
            found = replace(found, since=since, run_id=report.run_id)
        return draft(
            kind=KIND,
            version=report.version,
            source=scope,
            to=found.change,
            reason=_title(report, found),
            extra={
                "columns": found.columns,
                "harmed": found.harmed,
                "since": found.since,
                "run": found.run_id,
                "check": key,
            },
        )

    ledger.append(once)
    return found, news


def _advanced(before: Incident | None, report: MonitorReport, *, recent: bool) -> Incident | None:
    harm = Outcome.UNSURE if report.performance is None else report.performance.outcome
    if not recent:
        late = harm if harm is Outcome.FAIL else Outcome.UNSURE
        return advance(before, drift=Outcome.UNSURE, harm=late)
    moved = {item.name: item.effect for item in report.columns.values() if item.drifted}
    return advance(before, drift=report.drift.outcome, harm=harm, moved=moved)


def _title(report: MonitorReport, incident: Incident, part: str = "") -> str:
    name = f"{report.name}/{report.version}" + (f" ({part})" if part else "")
    if incident.change == "resolved":
        return f"{name}: resolved"
    if incident.change == "worse":
        return f"{name} got worse"
    moved, harmed = report.drifted or bool(incident.columns), report.harmed or incident.harmed
    said = [word for word, on in (("drifted", moved), ("is harmed", harmed)) if on]
    return f"{name} {' and '.join(said)}"


def message(
    report: MonitorReport, incident: Incident, *, part: str = "", address: str = "", place: str = ""
) -> Message:
    """What is told of an incident that opened, got worse or was resolved.

    Args:
        report: the check, with its run.
        incident: with its change.
        part: the part of the rows that was checked; empty: all.
        address: of the tracking server, for a link to the run.
        place: id of the experiment, for that link.
    """
    lines = []
    if report.window:
        start, end = (item[:16].replace("T", " ") for item in report.window)
        lines.append(f"{start} to {end} UTC, {report.drift.current_rows:,} rows")
    if incident.change != "opened" and incident.since:
        lines.append(f"open since the window of {incident.since[:16].replace('T', ' ')}")
    lines += [f"- {reason}" for reason in report.reasons[:MOST_REASONS]]
    more = len(report.reasons) - MOST_REASONS
    lines += [f"- and {more} more"] if more > 0 else []
    lines += ["", _run(report, address, place), f"Next: {_step(report, incident)}"]
    text = "\n".join(lines)
    if len(text) > MOST_BODY:  # the end says what to do
        tail = "\n".join(lines[-2:])
        text = f"{text[: MOST_BODY - len(tail) - 2]}…\n{tail}"
    kind = "success" if incident.change == "resolved" else "failure"
    return Message(_title(report, incident, part), text, kind)


def _run(report: MonitorReport, address: str, place: str) -> str:
    if address.startswith(WEB) and place:
        root = public(address).rstrip("/")
        return f"Check: {root}/#/experiments/{place}/runs/{report.run_id}"
    return f"Check: run {report.run_id} of experiment {report.name}/monitoring"


def _step(report: MonitorReport, incident: Incident) -> str:
    if incident.change == "resolved":
        return "nothing; a new incident will be told of"
    if report.retrain:
        return f"lifecycle retrain {report.name} --data FILE --if-flagged"
    return "look at the columns in the check's report; drift alone does not call for training"


class Post:
    """What waits to be told, and to whom; an address that fails is left alone for this call.

    Args:
        client: of the registry.
        experiment: id of NAME/monitoring.
        receivers: who is told.
    """

    def __init__(
        self, client: "MlflowClient", experiment: str, receivers: Sequence[Receiver]
    ) -> None:
        self._client, self._experiment = client, experiment
        self._receivers = tuple(receivers)
        self._failed: set[str] = set()

    def marks(self, told: Message) -> dict[str, str]:
        """The tags of a run whose message waits; none where nobody is told."""
        waiting = {f"{checks.ALERT}{one.digest}": checks.PENDING for one in self._receivers}
        return {**waiting, checks.MESSAGE: json.dumps(asdict(told))} if waiting else {}

    def deliver(self) -> tuple[str, ...]:
        """Send all that waits, oldest first; gives a note for each address that did not take it."""
        return tuple(note for one in self._receivers if (note := self._deliver_to(one)))

    def _deliver_to(self, receiver: Receiver) -> str:
        if receiver.digest in self._failed:
            return ""
        waiting = checks.pending(self._client, self._experiment, receiver.digest)
        for done, run in enumerate(waiting):
            told = Message(**json.loads(run.data.tags[checks.MESSAGE]))
            if not receiver.send(told.title, told.body, told.kind):
                self._failed.add(receiver.digest)
                left = len(waiting) - done
                alerts = "alert waits" if left == 1 else "alerts wait"
                return (
                    f"{receiver.shown} did not answer: {left} {alerts} for it,"
                    " to be sent with the next check"
                )
            with answers("alerts"):
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._client.set_tag(run.info.run_id, f"{checks.ALERT}{receiver.digest}", now)
        return ""
