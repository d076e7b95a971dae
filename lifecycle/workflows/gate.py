"""Check a version against the limits and the champion, and keep the verdict with its evidence.

>>> from lifecycle.config import Config
>>> gate(Config(name="churn"), "churn/3").passed  # doctest: +SKIP
True
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import TransitionRefused
from lifecycle.gates import run
from lifecycle.gates.thresholds import check
from lifecycle.records import Entry, GateReport, ModelRef, ModelVersion, Outcome
from lifecycle.stages import production
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.runs import log_files
from lifecycle.stores.tracking import answers, connect
from lifecycle.views import pages
from lifecycle.workflows.gathering import gather

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERDICT = "lifecycle.gate"  # tag of a version: the outcome of its newest report
DIGEST = "lifecycle.gate_digest"  # … and the sha256 of its evidence, as in the ledger
RACES = 5  # how often the champion may move while the gates run


def gate(
    config: Config,
    ref: str | ModelRef | ModelVersion,
    *,
    thresholds: Mapping[str, Any] | None = None,
) -> GateReport:
    """Run the configured gates on a version and record the report.

    Candidate and champion answer the candidate's hold-out rows; the report is stored as evidence
    with the version, as JSON and as a page to look at, and an entry of kind `gate` in the ledger
    carries outcome, digest and link.
    A champion that moves meanwhile makes the gates run again: a report holds for one champion.

    Args:
        config: `[gates]`, tracking and `[models]`.
        ref: the version; one that is not adopted gets "not enough evidence" and the next step.
        thresholds: by metric, an `mlflow.models.MetricThreshold`; adds the gate `thresholds`.

    Raises:
        ConfigError: a gate is unknown, or a threshold is none; nothing was recorded.
        ModelRefused: the version's files are not those that were registered.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    names = config.gates.use
    if thresholds:
        check(thresholds)
        names = tuple(dict.fromkeys([*names, "thresholds"]))
    client = connect(config)
    version = registry.find(client, ref)
    ledger = Ledger(client, version.name)
    for _ in range(RACES):
        before = production(ledger.entries(), config.stages.order)
        given, champion = gather(config, client, version, thresholds=thresholds)
        report = _report(version, champion, run(names, given))
        digest, link = _keep(client, version, report)
        entry = draft(
            kind="gate",
            version=version.version,
            reason=_summary(report),
            evidence_digest=digest,
            evidence_link=link,
            extra={"outcome": str(report.outcome), "champion": report.champion},
        )

        def unless_moved(
            entries: Sequence[Entry], entry: Entry = entry, before: int | None = before
        ) -> Entry | None:
            return entry if production(entries, config.stages.order) == before else None

        if ledger.append(unless_moved) is not None:
            _tag(client, version, report, digest)
            return report
    raise TransitionRefused(
        "the champion changed each time the gates had run",
        where=version.ref,
        fix="see `lifecycle history` for who else promotes, then run it again",
    )


def _report(version: ModelVersion, champion: ModelVersion | None, results: Any) -> GateReport:
    plain = [result.to_dict() for result in results]
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return GateReport(
        name=version.name,
        version=version.version,
        results=results,
        champion=champion.version if champion else None,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
    )


def _keep(client: "MlflowClient", version: ModelVersion, report: GateReport) -> tuple[str, str]:
    """Evidence with the run that holds the version's files; a version without a run has none."""
    run_id = version.tags.get(artifacts.SPEC_RUN) or version.run_id
    if not run_id:
        return report.digest, ""
    moment = "".join(character for character in report.created[:26] if character.isdigit())
    name = f"gate-{version.version}-{moment}-{report.digest[:8]}"
    kept = artifacts.evidence(client, run_id, name, report.to_dict())
    page = pages.page(f"{version.name} version {version.version}: gates", [report])
    log_files(client, run_id, {f"evidence/{name}.html": page})
    return kept


def _summary(report: GateReport) -> str:
    open_ = [item for item in report.results if item.outcome is not Outcome.PASS]
    said = "; ".join(f"{item.gate}: {item.reason}" for item in open_)
    return said[:1500] if open_ else f"all {len(report.results)} checks passed"


def _tag(client: "MlflowClient", version: ModelVersion, report: GateReport, digest: str) -> None:
    with answers(version.ref):
        for key, value in ((VERDICT, str(report.outcome)), (DIGEST, digest)):
            client.set_model_version_tag(version.name, str(version.version), key, value)
