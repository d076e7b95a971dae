"""Every row of GUARDS: what it reads, what it gives, and that it finds harm in a real log."""

import math

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Outcome, Rollout, RolloutSpec
from lifecycle.rollout.guards import COLUMNS, GUARDS, Guard, parse
from lifecycle.rollout.numbers import contrasts
from lifecycle.rollout.weighing import weigh
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.stores.tallies import counted
from lifecycle.workflows.counting import measures

BEGAN = 1_775_044_800_000_000
SECRET = b"k" * 32
ROWS = 400  # of each arm

# a text of each guard, for tasks that it fits, and what makes the challenger worse
HARMS = {
    "errors": ("errors", "binary", {"error": 0.2}),
    "invalid": ("invalid", "binary", {"score": lambda rng: rng.uniform(0.5, 1.5, ROWS)}),
    "latency": ("latency", "binary", {"latency": 2.0}),
    "label_error": ("label_error", "binary", {"wrong": 0.5}),
    "error_size": ("error_size", "regression", {"wrong": 1.0}),
    "label": ("label", "binary", {"label": 0.0}),
    "score": ("score", "binary", {"score": lambda rng: rng.uniform(0.0, 0.5, ROWS)}),
}
LIMITS = {
    "latency": ("latency<=6", "binary", {"latency": 3.0}),
    "label_error": ("label_error<=2", "regression", {"wrong": 1.0}),
    "error_size": ("error_size<=2", "regression", {"wrong": 1.0}),
    "label": ("label<=0", "binary", {"label": 1.0}),
    "score": ("score<=0.9", "binary", {"score": lambda rng: rng.uniform(0.85, 1.0, ROWS)}),
}


def frame(task, rows=40, seed=0):
    """Rows as guards get them, with some of everything missing."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        prediction, score = pl.Series(rng.normal(size=rows)), pl.Series([None] * rows)
        label = pl.Series(rng.normal(size=rows))
    elif task == "binary":
        prediction, score = pl.Series(rng.integers(0, 2, rows)), pl.Series(rng.random(rows))
        label = pl.Series(rng.integers(0, 2, rows))
    else:
        prediction = pl.Series(rng.choice(["a", "b", "c"], rows))
        score = pl.Series(rng.dirichlet([1, 1, 1], rows).tolist())
        label = pl.Series(rng.choice(["a", "b", "c"], rows))
    missing = pl.Series(rng.random(rows) < 0.1)
    unmeasured = missing.shift(1, fill_value=False)
    return pl.DataFrame(
        {
            "prediction": prediction.set(missing, None),
            "score": score.zip_with(~missing, pl.Series([None] * rows, dtype=score.dtype)),
            "error": pl.Series(["failed" if bad else None for bad in missing], dtype=pl.String),
            "latency_ms": pl.Series(rng.lognormal(size=rows)).set(unmeasured, None),
            "label": label,
            "known": pl.Series([None if at % 3 else True for at in range(rows)], dtype=pl.Boolean),
            "features": pl.DataFrame({"x": rng.normal(size=rows)}).to_struct(),
            "key": pl.Series(["ann", None] * (rows // 2), dtype=pl.String),
            "time": pl.Series(range(rows)).cast(pl.Datetime("us", "UTC")),
        }
    )  # fmt: skip


def texts(name):
    """The guard as it is and with a limit, where it takes one."""
    guard = parse(HARMS[name][0]).guard
    plain = [] if guard.limit == "must" else [name]
    return plain + ([f"{name}<=0.5"] if guard.limit != "no" else [])


CASES = [(text, task) for name in GUARDS for text in texts(name)
         for task in ("binary", "multiclass", "regression")]  # fmt: skip


def test_every_guard_has_a_harm_that_it_must_find():
    assert set(HARMS) == set(GUARDS)
    assert set(LIMITS) == {name for name in GUARDS if parse(HARMS[name][0]).guard.limit != "no"}


@pytest.mark.parametrize("name", GUARDS)
def test_it_is_a_guard_that_says_what_it_is(name):
    guard = parse(HARMS[name][0]).guard
    assert isinstance(guard, Guard)
    assert guard.name == name
    assert guard.about
    assert "\n" not in guard.about
    assert set(guard.needs) <= set(COLUMNS)
    assert ("label" in guard.needs) == guard.labelled
    assert guard.worse in {-1, 0, 1}
    assert 0.0 < guard.negligible < 0.1


@pytest.mark.parametrize("name", GUARDS)
def test_it_takes_a_limit_or_refuses_one(name):
    guard = parse(HARMS[name][0]).guard
    if guard.limit == "no":
        with pytest.raises(ConfigError, match="takes no limit"):
            parse(f"{name}<=1")
        return
    assert parse(f"{name}<=1").kind == "event"
    assert parse(f"{name}<=1").guard.worse == 1


@pytest.mark.parametrize(("text", "task"), CASES)
def test_it_gives_one_value_a_row_of_its_kind(text, task):
    watched, rows = parse(text), frame(task)
    found = watched.values(rows)
    assert len(found) == len(rows)
    assert found.dtype == (pl.Boolean if watched.kind == "event" else pl.Float64)
    if watched.kind == "number":
        assert all(math.isfinite(value) for value in found.drop_nulls())


@pytest.mark.parametrize(("text", "task"), CASES)
def test_it_reads_only_what_it_says(text, task):
    watched, rows = parse(text), frame(task)
    part = rows.select(watched.guard.needs)
    assert watched.values(part).equals(watched.values(rows), null_equal=True)


@pytest.mark.parametrize(("text", "task"), CASES)
def test_each_row_counts_by_itself_whatever_file_it_is_in(text, task):
    watched, rows = parse(text), frame(task)
    whole = watched.values(rows).to_list()
    parts = [watched.values(rows[at]).to_list()[0] for at in range(len(rows))]
    assert parts == whole
    assert watched.values(rows.reverse()).to_list() == whole[::-1]


@pytest.mark.parametrize(("text", "task"), CASES)
def test_no_rows_and_rows_of_nothing_are_no_events(text, task):
    watched, rows = parse(text), frame(task)
    assert len(watched.values(rows.head(0))) == 0
    nothing = rows.with_columns(pl.lit(None).alias(name) for name in rows.columns)
    events = watched.values(nothing.with_columns(error=pl.lit(None, dtype=pl.String)))
    if watched.guard.name in {"invalid", "label_error"} and watched.limit is None:
        assert len(events) == len(rows)  # no answer at all is an event of these
    else:
        assert not any(value is True for value in events)


def write(folder, arm, version, task, *, seed, error=0.01, latency=1.0, wrong=0.1, label=0.5,
          score=None):  # fmt: skip
    """What one arm answered, and the labels that came."""
    rng = np.random.default_rng(seed)
    times = BEGAN + 1_000_000 + np.arange(ROWS) * 1000
    make = ids.issuer(SECRET, "churn", version, arm, 0)
    tokens = [make(int(at), ids.key_hash(SECRET, None), 1) for at in times]
    truth = (rng.random(ROWS) < label).astype(int)
    if task == "regression":
        labels = rng.normal(size=ROWS)
        answers, scores = labels + rng.normal(scale=0.1 + 3.0 * (wrong > 0.5), size=ROWS), None
    else:
        labels, scores = truth, rng.uniform(0.5, 1.0, ROWS) if score is None else score(rng)
        answers = np.where(rng.random(ROWS) < wrong, 1 - truth, truth)
    taken = latency * rng.lognormal(1.0, 0.3, ROWS)
    failed = rng.random(ROWS) < error
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as writer:
        fine = np.flatnonzero(~failed)
        writer.append(
            "churn", version, [tokens[at] for at in fine], time=times[fine].astype("M8[us]"),
            features={"x": np.zeros(len(fine))}, prediction=answers[fine], arm=arm,
            score=None if scores is None else scores[fine], latency_ms=taken[fine].tolist(),
        )  # fmt: skip
        for at in np.flatnonzero(failed):
            writer.append(
                "churn", version, tokens[at], time=int(times[at]), features={}, arm=arm,
                prediction=None, error="ValueError: no", latency_ms=float(taken[at]),
            )  # fmt: skip
    batch = pl.DataFrame({"prediction_id": tokens, "label": labels})
    LabelStore(folder).add("churn", batch, SECRET)


def evidence(folder, text, task, harm):
    write(folder, "champion", 7, task, seed=1)
    write(folder, "challenger", 8, task, seed=2, **harm)
    arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
    spec = RolloutSpec("churn", "canary", arms, steps=(0.5, 1.0), margins=(2.0,), guards=(text,))
    rollout = Rollout(spec, seq=1, started="2026-04-01T12:00:00Z")
    watched = [parse(text)]
    classes = (0, 1) if task == "binary" else ()
    found = counted([folder], rollout, measures(watched), contrasts=contrasts, classes=classes)
    (one,) = weigh(spec, 0, found.tallies, watched)
    assert one.units > ROWS * 0.7
    assert one.kind == watched[0].kind
    return one


@pytest.mark.parametrize(
    ("text", "task", "harm"), [*HARMS.values(), *LIMITS.values()], ids=lambda item: str(item)[:20]
)
def test_it_finds_its_harm_in_a_log_and_none_in_equal_arms(tmp_path, text, task, harm):
    harmed = evidence(tmp_path / "harm", text, task, harm)
    assert harmed.outcome is Outcome.FAIL, harmed.reason
    equal = evidence(tmp_path / "equal", text, task, {})
    assert equal.outcome is not Outcome.FAIL, equal.reason
