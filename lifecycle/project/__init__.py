"""The notebook's front door: one thin method per verb.

>>> import lifecycle as lc
>>> lc.Project("churn", target="churned").config.target
'churned'

The loop's verbs are written out here; those of rollouts are in `rollouts.py` and those for auditors
in `auditing.py`, and the class takes them over by name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lifecycle.config import Config, load_config
from lifecycle.errors import ConfigError
from lifecycle.project import auditing, rollouts
from lifecycle.project.references import Data, Reference, named_ref
from lifecycle.records import (
    ApprovalRequest,
    Candidate,
    Checks,
    Erasure,
    Evaluation,
    Feedback,
    GateReport,
    History,
    ModelVersion,
    MonitorReport,
    Retraining,
    Scored,
    Served,
    Status,
    Training,
)

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd


class Project:
    """One model and everything that is done with it.

    >>> project = Project("churn", target="churned", time="ts", key="customer_id")
    >>> project.name
    'churn'

    Args:
        name: the registered model; by default the configuration's `name`.
        target: the column to predict.
        time: the column with the time of a row; never a feature.
        key: the column that says whom a row is about; never a feature.
        config: a Config, or the path of a `lifecycle.toml`; by default the one in force here.
        **settings: further keys, those in a section as `section__key`.

    Raises:
        ConfigError: no name, or a setting that is wrong.
    """

    def __init__(
        self,
        name: str = "",
        *,
        target: str = "",
        time: str = "",
        key: str = "",
        config: Config | str | Path | None = None,
        **settings: Any,
    ) -> None:
        loaded = config if isinstance(config, Config) else load_config(config)
        given = {"name": name, "target": target, "time": time, "key": key}
        self.config = loaded.with_values(
            **{key: value for key, value in given.items() if value}, **settings
        )
        if not self.config.name:
            raise ConfigError("the project has no name", fix='write Project("churn", …)')

    @property
    def name(self) -> str:
        """The registered model's name."""
        return self.config.name

    def __repr__(self) -> str:
        return f"Project({self.name!r}, tracking={self.config.tracking_uri!r})"

    def train(
        self,
        candidates: Sequence[Any] | Data = (),
        data: Data = None,
        *,
        validation: Data = None,
    ) -> Training:
        """Train, track and compare candidates; nothing is registered yet.

        Args:
            candidates: estimators, names or import strings; may be left out
                (`project.train(frame)`): then the configuration's, or one of each default kind.
            data: rows to train on.
            validation: rows to judge on; by default a hold-out is taken from `data`.

        Raises:
            DataError: rows or columns that cannot be used.
            TrainingFailed: no candidate could be trained.
        """
        from lifecycle.workflows.train import train

        if data is None:
            candidates, data = (), candidates
        return train(self.config, data, candidates=tuple(candidates), validation=validation)

    def register(self, candidate: Candidate) -> ModelVersion:
        """Register a candidate with its lineage and compile it where its answers stay equal."""
        from lifecycle.workflows.train import register

        return register(self.config, candidate)

    def evaluate(
        self, version: Reference, data: Data, *, against: Reference | None = None
    ) -> Evaluation:
        """How good a version is on labelled rows, alone or against another; nothing is logged.

        Returns:
            Metrics with 95 % intervals; with `against`, `.difference` is the primary metric of
            `version` minus the other's on the same rows.
        """
        from lifecycle.workflows.evaluate import evaluate

        rival = None if against is None else self._ref(against)
        return evaluate(self.config, self._ref(version), data, against=rival)

    def gate(
        self, version: Reference, *, thresholds: Mapping[str, Any] | None = None
    ) -> GateReport:
        """Check a version against the limits and the champion; the verdict is recorded.

        Args:
            version: which one.
            thresholds: by metric, an `mlflow.models.MetricThreshold`, as MLflow's own
                validation takes them.
        """
        from lifecycle.workflows.gate import gate

        return gate(self.config, self._ref(version), thresholds=thresholds)

    def promote(
        self, version: Reference, *, to: str, force: bool = False, reason: str = ""
    ) -> ModelVersion:
        """Move a version to a stage; `force` skips gates and stages and needs a reason.

        Raises:
            GateRefused: the gates did not pass; `.report` says why.
            TransitionRefused: the stages do not allow the move.
        """
        from lifecycle.workflows.promote import promote

        return promote(self.config, self._ref(version), to=to, force=force, reason=reason)

    def request(self, version: Reference, *, to: str, reason: str = "") -> ApprovalRequest:
        """Ask for the approvals that a stage needs, with a passing gate report."""
        from lifecycle.workflows.approvals import request

        return request(self.config, self._ref(version), to=to, reason=reason)

    def approve(self, version: Reference, *, reason: str = "") -> ApprovalRequest:
        """Approve what was requested for a version.

        Raises:
            ApprovalRefused: it would not count; says why and who may.
        """
        from lifecycle.workflows.approvals import approve

        return approve(self.config, self._ref(version), reason=reason)

    def reject(self, version: Reference, *, reason: str) -> ApprovalRequest:
        """Say no to what was requested for a version; its approvals are void."""
        from lifecycle.workflows.approvals import reject

        return reject(self.config, self._ref(version), reason=reason)

    def rollback(self, *, reason: str) -> ModelVersion:
        """Put the version that was in production before back."""
        from lifecycle.workflows.rollback import rollback

        return rollback(self.config, reason=reason)

    @overload
    def history(self) -> History: ...
    @overload
    def history(self, *, at: "str | date") -> Served: ...
    def history(self, *, at: "str | date | None" = None) -> History | Served:
        """Who moved what, when and why; with `at`, which version served then, and why.

        Args:
            at: a time (in UTC where it has no zone), or a date, which means that day in UTC.

        Returns:
            All entries, or the tenures at that time; `.to_frame()` has a row for each.
        """
        from lifecycle.workflows.history import history, history_at

        return history(self.config) if at is None else history_at(self.config, at)

    verify = auditing.verify
    export_audit = auditing.export_audit
    transfer = auditing.transfer
    card = auditing.card
    reproduce = auditing.reproduce

    def status(self) -> Status:
        """What serves, how, and what the last check said."""
        from lifecycle.workflows.status import status

        return status(self.config, self.name)[0]

    def score(
        self, data: Data, output: str | Path | None = None, *, version: Reference | None = None
    ) -> "pd.DataFrame | Scored":
        """Predict a frame or file by the champion; each prediction is logged with its id.

        Returns:
            A pandas frame with `prediction_id`, `prediction` and scores; with `output` a record.
        """
        from lifecycle.workflows.score import score

        return score(self.config, self._ref(version or self.name), data, output)

    def feedback(self, labels: Data, *, tolerance: str | None = None) -> Feedback:
        """Store late labels, by `prediction_id` or by key and time; all of them or none.

        Args:
            labels: a frame or a file.
            tolerance: how far from its prediction's time a label's may be, as in "5m" or "1d".
        """
        from lifecycle.workflows.feedback import feedback

        asked = {} if tolerance is None else {"tolerance": tolerance}
        return feedback(self.config, labels, **asked)

    def erase(self, *, key: str, reason: str) -> Erasure:
        """Erase one key's predictions and labels from the log; recorded without the key.

        Args:
            key: as the log has it.
            reason: goes into the ledger; it must not name the key.
        """
        from lifecycle.workflows.erase import erase

        return erase(self.config, key=key, reason=reason)

    def monitor(
        self,
        live: Data = None,
        *,
        since: str | None = None,
        until: str | None = None,
        every: str | None = None,
        rows: int | None = None,
        version: Reference | None = None,
        arm: str | None = None,
        segment: str | None = None,
        alarms_per_year: float | None = None,
        notify: Sequence[str] = (),
        html: str | Path | None = None,
    ) -> MonitorReport:
        """Compare live data, by default the prediction log, with the champion's reference.

        Args:
            live: a frame or file instead of the prediction log.
            since: first moment of the window, ISO 8601; by default the last window's end.
            until: first moment after the window; by default now.
            every: check all complete windows of this length, as in "1d", each by itself.
            rows: or of so many logged rows.
            version: another version than the champion.
            arm: only what this arm of a rollout answered.
            segment: only rows of one segment, `COLUMN=VALUE`.
            alarms_per_year: false alarms of all checks in a year; sets alpha.
            notify: who is told of incidents, as apprise's addresses.
            html: where Evidently's report is written.

        Returns:
            The last window's report; `.earlier` has those that were caught up before it.
        """
        from lifecycle.workflows.monitor import monitor

        return monitor(
            self.config,
            live,
            since=since,
            until=until,
            every=every,
            rows=rows,
            version=None if version is None else self._ref(version),
            arm=arm,
            segment=segment,
            alarms_per_year=alarms_per_year,
            notify=notify,
            html=html,
        )

    def checks(
        self,
        *,
        version: Reference | None = None,
        since: str | None = None,
        until: str | None = None,
        part: str = "",
    ) -> Checks:
        """What past checks found, oldest window first; in a notebook, as timelines.

        Args:
            version: only checks of this one.
            since: only windows that end at or after this moment, ISO 8601.
            until: only windows that begin before this moment.
            part: checks of this part of the rows, as in "carrier=EV", not those of all rows.

        Returns:
            A sequence of checks; `.to_frame()` has a row for each.
        """
        from lifecycle.workflows.checks import checks

        ref = None if version is None else self._ref(version)
        return checks(self.config, version=ref, since=since, until=until, part=part)

    def retrain(
        self, data: Data, *, validation: Data = None, if_flagged: bool = False
    ) -> Retraining:
        """Train again on fresh rows, gate, and register what passes as challenger."""
        from lifecycle.workflows.retrain import retrain

        return retrain(self.config, data, validation=validation, if_flagged=if_flagged)

    rollout = rollouts.rollout
    rollout_plan = rollouts.rollout_plan
    rollout_status = rollouts.rollout_status
    rollout_look = rollouts.rollout_look
    rollout_step = rollouts.rollout_step
    rollout_promote = rollouts.rollout_promote
    rollout_abort = rollouts.rollout_abort
    rollout_resume = rollouts.rollout_resume
    rollout_explain = rollouts.rollout_explain

    def adopt(
        self, version: Reference, *, reference: Data = None, target: str | None = None
    ) -> ModelVersion:
        """Take over a version that plain MLflow registered, so that every verb works on it."""
        from lifecycle.workflows.adopt import adopt

        known = target or self.config.target or None
        return adopt(self.config, self._ref(version), reference=reference, target=known)

    def _ref(self, version: Reference) -> str:
        return named_ref(self.name, version)
