"""A version's model card: every line from a record, and which record it was.

>>> from lifecycle.config import Config
>>> card(Config(), "churn/3").section("Metrics").facts[0].name  # doctest: +SKIP
'roc_auc'

The headings are those of Mitchell et al., Model Cards for Model Reporting (2019), as far as there
are records: what nobody recorded is named as such, and nothing is made up.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, LifecycleError
from lifecycle.records import (
    Card,
    CardFact,
    CardSection,
    Check,
    Entry,
    GateResult,
    ModelRef,
    ModelVersion,
    Outcome,
)
from lifecycle.stages import tenures
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.dossier import Dossier, dossier

if TYPE_CHECKING:
    from mlflow import MlflowClient

LAST_CHECKS = 10
UNRECORDED = "not recorded"
SPEC = "spec.json"
FORMATS = (".md", ".html")
Facts = Iterator[CardFact]


def card(
    config: Config, ref: str | ModelRef | ModelVersion, *, output: str | Path | None = None
) -> Card:
    """The model card of a version.

    Args:
        config: the stages, and where the registry is.
        ref: the version.
        output: a file that ends with .md or .html, to write it to.

    Raises:
        ConfigError: the file has another ending.
        DataError: it cannot be written.
        ModelNotFound: no such version.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    if output is not None and Path(output).suffix not in FORMATS:
        raise ConfigError(
            f"a card cannot be written as {Path(output).suffix or 'nothing'!r}",
            where=output,
            fix=f"end the file's name with {' or '.join(FORMATS)}",
        )
    client, order = connect(config), config.stages.order
    version = registry.find(client, ref, order=order)
    ledger = Ledger(client, version.name).entries()
    made = of(client, dossier(client, version, ledger), ledger, order)
    if output is not None:
        write(made, output)
    return made


def write(made: Card, output: str | Path) -> None:
    """Write a card as Markdown or as a page, by the file's ending.

    Raises:
        DataError: the file cannot be written.
    """
    from lifecycle.views import audit_pages, card_sheets

    path = Path(output)
    text = card_sheets.markdown(made) if path.suffix == ".md" else audit_pages.card(made)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the file cannot be written: {error.strerror}",
            where=path,
            fix="name a file in a folder that exists and can be written",
        ) from error


def of(
    client: "MlflowClient", found: Dossier, ledger: Sequence[Entry], order: Sequence[str]
) -> Card:
    """The card of what was gathered of a version.

    Args:
        client: of the registry, where the importance of the columns is read.
        found: what is recorded of the version.
        ledger: all entries of the model.
        order: the stages.
    """
    parts = {
        "Purpose": _purpose(found),
        "Data": _data(found),
        "Metrics": _metrics(found),
        "Inputs": _inputs(client, found),
        "Gates": _gates(found),
        "Origin": _origin(found),
        "History": map(_moved, found.entries),
        "In service": _service(found, ledger, order),
        "Limits": _limits(found),
        "Files": _files(found),
    }
    sections = (CardSection(title, tuple(facts)) for title, facts in parts.items())
    version = found.version
    return Card(
        version.name, version.version, version.stage, tuple(item for item in sections if item.facts)
    )


def _purpose(found: Dossier) -> Facts:
    where = "description in MLflow's registry"
    yield CardFact("intended use", found.model_description or UNRECORDED, where)
    if found.description:
        yield CardFact("this version", found.description, where)
    spec = found.spec
    if spec is None:
        return
    yield CardFact("predicts", spec.target or UNRECORDED, SPEC)
    yield CardFact("task", spec.task, SPEC)
    if spec.classes:
        yield CardFact("classes", ", ".join(map(str, spec.classes)), SPEC)
    if spec.threshold is not None:
        rule = f"{spec.classes[-1]} where its score is {spec.threshold:.4f} or more"
        yield CardFact("threshold", rule, SPEC)


def _data(found: Dossier) -> Facts:
    spec = found.spec
    if spec is None:
        return
    lineage = spec.lineage
    yield CardFact("source", lineage.data_source or UNRECORDED, SPEC)
    yield CardFact("rows", f"{lineage.data_rows:,}", SPEC)
    yield CardFact("sha256", lineage.data_digest or UNRECORDED, SPEC)
    if spec.trained_from:
        yield CardFact("time span of training", f"{spec.trained_from} to {spec.trained_to}", SPEC)
        yield CardFact("last row known", spec.known_to or UNRECORDED, SPEC)
    yield CardFact("training rows", f"{spec.trained_rows:,}", SPEC)
    yield CardFact(
        "hold-out rows", f"{spec.holdout_rows:,}, split {spec.split or UNRECORDED}", SPEC
    )
    if found.holdout:
        yield CardFact("hold-out sha256", found.holdout[1], "data/holdout.parquet")


def _metrics(found: Dossier) -> Facts:
    for item in found.spec.metrics if found.spec else ():
        value = str(item).removeprefix(f"{item.name} ")
        chosen = found.spec is not None and item.name == found.spec.primary_metric
        yield CardFact(item.name + (" (decides)" if chosen else ""), value, SPEC)


def _inputs(client: "MlflowClient", found: Dossier) -> Facts:
    worth = _importance(client, found)
    for item in found.spec.features if found.spec else ():
        told = [item.dtype, "required" if item.required else "may be null"]
        source = SPEC
        if item.name in worth:
            told.append(f"importance {worth[item.name]:.4f}")
            source += ", importance.json"
        yield CardFact(item.name, ", ".join(told), source)


def _importance(client: "MlflowClient", found: Dossier) -> dict[str, float]:
    if not found.version.adopted:
        return {}
    try:
        run_id = found.version.tags[artifacts.SPEC_RUN]
        rows = json.loads(artifacts.run_file(client, run_id, "importance.json"))
        return {str(row["name"]): float(row["mean"]) for row in rows}
    except (LifecycleError, ValueError, KeyError, TypeError):
        return {}


def _gates(found: Dossier) -> Facts:
    if found.report is None or found.gate is None:
        yield CardFact("verdict", "the gates were never run", "ledger")
        return
    where = f"ledger entry {found.gate.seq}"
    champion = found.report.champion
    against = f" against version {champion}" if champion else ""
    yield CardFact("verdict", f"{found.report.outcome}{against}", where)
    for result in found.report.results:
        yield CardFact(result.gate, _judged(result), f"evidence of {where}")
    yield CardFact("evidence sha256", found.gate.evidence_digest, where)


def _judged(result: GateResult) -> str:
    """A gate's verdict with its figures.

    >>> _judged(GateResult("floor", Outcome.PASS, "high enough", value=0.81, limit=0.7))
    'pass: high enough (value 0.81, limit 0.7)'
    """
    figures = [
        f"{name} {value:.4g}"
        for name, value in (
            ("value", result.value),
            ("low", result.low),
            ("high", result.high),
            ("limit", result.limit),
        )
        if value is not None
    ]
    shown = f" ({', '.join(figures)})" if figures else ""
    return f"{result.outcome}: {result.reason}{shown}"


def _origin(found: Dossier) -> Facts:
    version, spec = found.version, found.spec
    yield CardFact("version made", version.created, "MLflow's registry")
    yield CardFact("run", version.run_id or UNRECORDED, "MLflow's registry")
    if spec is None:
        return
    yield CardFact("trained", spec.created or UNRECORDED, SPEC)
    yield CardFact("estimator", spec.estimator or UNRECORDED, SPEC)
    for name, value in spec.lineage.to_dict().items():
        if name.startswith("data_") or value in (None, ""):
            continue
        shown = ("no", "yes")[value] if isinstance(value, bool) else str(value)
        if isinstance(value, dict):
            shown = ", ".join(f"{key}: {item}" for key, item in value.items())
        yield CardFact(name.replace("_", " "), shown, SPEC)


def _moved(entry: Entry) -> CardFact:
    """An entry of the ledger in one line."""
    way = " → ".join(str(part) for part in (entry.source, entry.to) if part)
    verdict = str(entry.extra.get("outcome", ""))
    parts = [entry.kind, way, verdict, f"by {entry.actor} ({entry.identity})", entry.reason]
    said = "; ".join(part for part in parts if part)
    if entry.extra.get("forced"):
        said += "; forced past the gates"
    return CardFact(entry.time[:19].replace("T", " "), said, f"ledger entry {entry.seq}")


def _service(found: Dossier, ledger: Sequence[Entry], order: Sequence[str]) -> Facts:
    for item in tenures(ledger, order):
        if item.version == found.version.version:
            until = item.until[:19].replace("T", " ") or "now"
            entry = f"ledger entry {item.entry.seq}" if item.entry else "ledger"
            since = item.since[:19].replace("T", " ") or "before the ledger"
            yield CardFact("in production", f"{since} to {until}", entry)
    for one in found.checks[-LAST_CHECKS:]:
        window = " to ".join(one.window) if one.window else one.time
        yield CardFact(f"check of {window}", _seen(one), f"run {one.run_id}")


def _seen(one: Check) -> str:
    """A check in one line."""
    told = [str(one.outcome), f"{one.rows:,} rows"]
    if one.part:
        told.append(one.part)
    if one.drifted_columns:
        told.append(f"moved: {', '.join(one.drifted_columns[:5])}")
    if one.value is not None:
        told.append(f"{one.metric} {one.value:.4f}")
    if one.harmed:
        told.append("worse than on the hold-out")
    return "; ".join(told)


def _limits(found: Dossier) -> Facts:
    """What the records say that nobody should rely on."""
    spec = found.spec
    if spec is not None:
        held = f"judged on {spec.holdout_rows:,} rows that were held out; on others it may be worse"
        yield CardFact("rows like these", held, SPEC)
        if spec.known_to:
            yield CardFact("time", f"nothing after {spec.known_to} was seen", SPEC)
        if spec.lineage.code_dirty:
            yield CardFact("code", "trained with uncommitted changes", SPEC)
    results = found.report.results if found.report else ()
    for result in results:
        if result.outcome is not Outcome.PASS:
            yield CardFact(result.gate, f"{result.outcome}: {result.reason}", "gate report")
    for entry in found.entries:
        if entry.extra.get("forced"):
            yield CardFact("forced", entry.reason, f"ledger entry {entry.seq}")
    for where, why in found.missing.items():
        yield CardFact(where, f"cannot be read: {why}", "")
    if found.files_digest and found.version.digest not in ("", found.files_digest):
        changed = f"they are not those that were registered: found {found.files_digest}"
        yield CardFact("files", changed, "the files")


def _files(found: Dossier) -> Facts:
    version = found.version
    yield CardFact("registered", version.digest or UNRECORDED, f"tag {artifacts.DIGEST}")
    compiled = version.tags.get(artifacts.COMPILED, "")
    if compiled:
        yield CardFact("compiled", compiled, f"tag {artifacts.COMPILED}")
    if version.tags.get(artifacts.COMPILED_HOW):
        how = version.tags[artifacts.COMPILED_HOW]
        yield CardFact("compiled how", how, f"tag {artifacts.COMPILED_HOW}")
    for item in found.files:
        yield CardFact(item.name, f"sha256 {item.sha256}, {item.size:,} bytes", "the files")
