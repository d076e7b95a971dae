"""What people look at of a training's best candidate: pictures, importance, a model card.

>>> from lifecycle.records import Metric
>>> figures((Metric("roc_auc", 0.81, 0.79, 0.83),))
['| roc_auc | 0.8100 | 0.7900 … 0.8300 |']
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from lifecycle.errors import LifecycleError
from lifecycle.models.fitting import Fitted, columns_of
from lifecycle.models.importance import Importance, importance
from lifecycle.models.loading import from_estimator
from lifecycle.records import Candidate, Metric, ModelSpec
from lifecycle.stores import runs
from lifecycle.views import plots
from lifecycle.workflows.track import Job


def present(job: Job, best: Candidate, found: Fitted) -> tuple[str, ...]:
    """Store pictures and card with the best candidate's run; gives notes of what was left out."""
    assert best.spec is not None  # of every candidate that did not fail
    held, seed = job.rows.holdout, job.config.train.seed
    y = job.table.y[held]
    notes: tuple[str, ...] = ()
    columns = columns_of(found.prepared, job.table, held)
    try:
        model = from_estimator(found.estimator, best.spec)
        ranked = importance(model, columns, y, metric=job.metric, seed=seed)
    except LifecycleError as error:
        ranked, notes = (), (f"no importance: {error.what}",)
    files: dict[str, str | bytes] = {"card.md": card(job.config.name, best.spec, ranked)}
    if ranked:
        files["importance.json"] = json.dumps([asdict(item) for item in ranked], indent=1)
        files["plots/importance.png"] = plots.importance(
            [item.name for item in ranked],
            [item.mean for item in ranked],
            [item.deviation for item in ranked],
        )
    score = found.output.score
    if best.spec.task == "binary" and score is not None:
        positive = y == best.spec.classes[1]
        files["plots/calibration.png"] = plots.calibration(score, positive)
    elif best.spec.task == "regression":
        files["plots/residuals.png"] = plots.residuals(y, found.output.prediction)
    runs.log_files(job.client, best.run_id, dict(files))
    return notes


def figures(metrics: Sequence[Metric]) -> list[str]:
    """The metrics as rows of a table."""
    return [
        f"| {item.name} | {item.value:.4f} | "
        + ("-" if item.low is None else f"{item.low:.4f} … {item.high:.4f}")
        + " |"
        for item in metrics
    ]


def card(name: str, spec: ModelSpec, ranked: Sequence[Importance]) -> str:
    """The model card (Mitchell et al. 2019) in Markdown: only what is known, nothing promised."""
    lineage = spec.lineage
    period = f" from {spec.trained_from} to {spec.trained_to}" if spec.trained_from else ""
    dirty = " with uncommitted changes" if lineage.code_dirty else ""
    classes = ", ".join(map(str, spec.classes))
    learned = f"Predicts `{spec.target}` ({spec.task}{': ' + classes if classes else ''}) with "
    learned += f"`{spec.estimator}`."
    rows = f"Trained on {spec.trained_rows:,} rows{period}; judged on {spec.holdout_rows:,} rows "
    rows += f"held out ({spec.split} split)."
    lines = [
        f"# {name}",
        "",
        learned,
        "",
        rows,
        "",
        "| metric | hold-out | 95 % interval |",
        "|---|---|---|",
        *figures(spec.metrics),
        "",
    ]
    if spec.threshold is not None:
        lines += [
            f"Answers `{spec.classes[1]}` where its score is {spec.threshold:.4f} or more.",
            "",
        ]
    lines += ["## Inputs", "", "| column | type | may be null | importance |", "|---|---|---|---|"]
    known = {item.name: f"{item.mean:.4f} ± {item.deviation:.4f}" for item in ranked}
    lines += [
        f"| {item.name} | {item.dtype} | {'no' if item.required else 'yes'} | "
        f"{known.get(item.name, '-')} |"
        for item in spec.features
    ]
    lines += [
        "",
        "## Origin",
        "",
        f"- data: {lineage.data_source}, {lineage.data_rows:,} rows, sha256 {lineage.data_digest}",
        f"- code: {lineage.code_commit or 'no git repository'}{dirty}",
        f"- environment: Python {lineage.python}, packages sha256 {lineage.environment_digest}",
        f"- seed: {lineage.seed}",
        *([f"- cause: {lineage.cause}"] if lineage.cause else []),
        "",
        "It was judged on rows like those it was trained on; on others it may be worse.",
        "",
    ]
    return "\n".join(lines)
