"""Candidates whose goodness is known: hold-out rows, two models, and what is wrong with one.

>>> given = equal(np.random.default_rng(0), rows=500)
>>> given.output.scores.shape, len(given.rows)
((500, 2), 500)

Scores are binormal: a model sees `signal`, which both see, and makes errors of its own, which are a
hash of other columns, so that a row always gets the same answer and no group of rows has larger
ones. With the areas under their ROC curves and the correlation of their latent scores given, all
else follows; the scores are the likelihood ratios, so that honest models are calibrated. Six more
columns tell nothing of the target; groups are looked for in them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput
from lifecycle.models.predicting import Columns, LoadedModel, Output, labels
from lifecycle.records import Column, ModelSpec

Array = NDArray[Any]
RNG = np.random.Generator
PREVALENCE = 0.3
AREA = 0.8  # of the champion
LOGIT = float(np.log(PREVALENCE / (1.0 - PREVALENCE)))
NUMBERS = ("age", "income", "tenure", "visits")
TEXTS = {"region": 20, "plan": 3}
SIGNAL = "signal"
SIDE = (*NUMBERS, *TEXTS)


def distance(area: float) -> float:
    """How far two normal distributions lie apart whose area under the ROC curve is `area`."""
    return float(np.sqrt(2.0) * ndtri(area))


@dataclass(frozen=True)
class Binormal:
    """A model of two classes that is calibrated where its area is what it believes.

    Attributes:
        salt: of its own errors.
        weight: of `signal`, 0 … 1; the square root of the rest is the noise's.
        area: that it believes it has.
        bad: a rule for the rows where its weight is `bad_weight` and it does not know.
        bad_weight: there.
        curve: what it does to the logit of its score.
        alike: share of its errors' variance that rows of one `tenure` have in common.
    """

    salt: int
    weight: float
    area: float = AREA
    bad: str = ""
    bad_weight: float = 0.0
    curve: float = 1.0
    alike: float = 0.0

    def __call__(self, columns: Columns) -> Output:
        """What it answers."""
        weight = np.full(len(columns["signal"]), self.weight)
        if self.bad:
            weight[in_slice(self.bad, columns)] = self.bad_weight
        own = np.sqrt(1.0 - weight**2)
        latent = weight * np.asarray(columns["signal"]) + own * error(
            columns, self.salt, self.alike
        )
        far = distance(self.area)
        return two_classes(expit(self.curve * (far * latent - far**2 / 2.0 + LOGIT)))


def error(columns: Any, salt: int, alike: float = 0.0) -> Array:
    """Errors that follow from the columns and look like independent normal noise."""
    own = _hashed(np.asarray(columns["visits"]), np.asarray(columns["income"]), salt)
    if not alike:
        return own
    tenure = np.asarray(columns["tenure"])
    return np.sqrt(1.0 - alike) * own + np.sqrt(alike) * _hashed(tenure, tenure, salt)


def _hashed(one: Array, two: Array, salt: int) -> Array:
    mixed = np.sin(12.9898 * np.nan_to_num(one) + 78.233 * np.nan_to_num(two) + salt) * 43758.5453
    return np.asarray(ndtri(np.clip(mixed - np.floor(mixed), 1e-9, 1.0 - 1e-9)))


def in_slice(which: str, columns: Any) -> Array:
    """The rows of the bad slice, about 5 % of all."""
    if which == "level":
        return np.asarray(columns["region"]) == "region 7"
    if which == "tail":
        return np.asarray(columns["age"]) > float(ndtri(0.95))
    both = np.asarray(columns["plan"]) == "plan 1"
    return both & (np.asarray(columns["income"]) > float(ndtri(0.85)))


def two_classes(positive: Array) -> Output:
    """Labels and scores of 0 and 1."""
    scores = np.column_stack([1.0 - positive, positive])
    return Output(labels(scores, (0, 1), threshold=0.5), scores)


def side(rng: RNG, rows: int) -> dict[str, Array]:
    """Columns that tell nothing of the target."""
    found: dict[str, Array] = {name: rng.normal(size=rows) for name in NUMBERS}
    for name, levels in TEXTS.items():
        names = np.array([f"{name} {level}" for level in range(levels)], dtype=object)
        found[name] = names[rng.integers(0, levels, rows)]
    return found


def spec_of(task: str, names: tuple[str, ...], classes: tuple[Any, ...], **more: Any) -> ModelSpec:
    """A specification of number columns, and those of TEXTS."""
    features = tuple(Column(name, "string" if name in TEXTS else "double") for name in names)
    metric = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "rmse"}[task]
    told = {"target": "y", "primary_metric": metric, **more}
    return ModelSpec(1, task, features, classes=classes, **told)  # type: ignore[arg-type]


def pair(frame: pd.DataFrame, spec: ModelSpec, mine: Any, other: Any | None) -> GateInput:
    """The input of the gates: two models and their answers."""
    candidate = LoadedModel(spec, "sklearn", mine)
    inputs = {name: frame[name].to_numpy() for name in spec.feature_names}
    given = GateInput(candidate, frame, mine(inputs), limits=GatesConfig())
    if other is None:
        return given
    champion = LoadedModel(spec, "sklearn", other)
    return replace(given, champion=champion, champion_output=other(inputs))


def binormal_rows(
    rng: RNG, rows: int, correlation: float, groups: Array | None = None
) -> pd.DataFrame:
    """Rows whose target is told by `signal`; those of a group are alike, where given."""
    y = (rng.random(rows) < PREVALENCE).astype(int)
    noise, columns = rng.normal(size=rows), side(rng, rows)
    if groups is not None:
        noise = np.sqrt(0.5) * noise + np.sqrt(0.5) * rng.normal(size=int(groups.max()) + 1)[groups]
        columns["tenure"] = rng.normal(size=int(groups.max()) + 1)[groups]
    signal = noise + distance(AREA) / np.sqrt(correlation) * y
    return pd.DataFrame({SIGNAL: signal, **columns, "y": y})


def equal(
    rng: RNG, rows: int, *, correlation: float = 0.8, alone: bool = False, **how: Any
) -> GateInput:
    """A candidate as good as the champion, or a first version that knows all that there is.

    Args:
        rng: of the rows.
        rows: of the hold-out.
        correlation: of the two latent scores within a class.
        alone: no champion.
        **how: `area` of the candidate (0.8), `bad` slice and its `bad_area`, `curve` of its scores.
    """
    correlation = 1.0 if alone else correlation
    frame = binormal_rows(rng, rows, correlation)
    weight = float(np.sqrt(correlation))
    area = how.get("area", AREA)
    scale = weight / distance(AREA)
    mine = Binormal(
        1,
        scale * distance(area),
        area,
        how.get("bad", ""),
        scale * distance(how.get("bad_area", AREA)),
        how.get("curve", 1.0),
    )
    spec = spec_of("binary", (SIGNAL, *SIDE), (0, 1))
    return pair(frame, spec, mine, None if alone else Binormal(2, weight))


def labels_only(rng: RNG, rows: int) -> GateInput:
    """Equal models that give labels and no scores, compared by accuracy."""
    given = equal(rng, rows)
    spec = replace(given.spec, primary_metric="accuracy")
    one, two = Binormal(1, np.sqrt(0.8)), Binormal(2, np.sqrt(0.8))
    return pair(
        given.rows,
        spec,
        lambda columns: Output(one(columns).prediction),
        lambda columns: Output(two(columns).prediction),
    )


def grouped(rng: RNG, rows: int, *, known: bool = True) -> GateInput:
    """Equal models; 50 rows of a customer are alike, and the key column is known or not."""
    customers = np.arange(rows) // 50
    frame = binormal_rows(rng, rows, 0.8, customers)
    frame["customer"] = customers
    spec = spec_of("binary", (SIGNAL, *SIDE), (0, 1), key="customer" if known else None)
    weight = float(np.sqrt(0.8))
    return pair(frame, spec, *(Binormal(salt, weight, alike=0.5) for salt in (1, 2)))


def timed(rng: RNG, rows: int, *, known: bool = True) -> GateInput:
    """Equal models; rows of one of 100 days are alike, and the time column is known or not."""
    days = np.sort(rng.integers(0, 100, rows))
    frame = binormal_rows(rng, rows, 0.8, days)
    frame["day"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(days, "D")
    spec = spec_of("binary", (SIGNAL, *SIDE), (0, 1), time="day" if known else None)
    weight = float(np.sqrt(0.8))
    return pair(frame, spec, *(Binormal(salt, weight, alike=0.5) for salt in (1, 2)))


def multiclass(rng: RNG, rows: int, *, worse: float = 0.0) -> GateInput:
    """Three classes, softmax of a signal a class; `worse` is taken from the candidate's weight."""
    codes = rng.integers(0, 3, rows)
    inputs = {f"signal {k}": 1.2 * (codes == k) + rng.normal(size=rows) for k in range(3)}
    frame = pd.DataFrame({**inputs, **side(rng, rows), "y": codes})
    classes = (0, 1, 2)

    def model(salt: int, weight: float) -> Any:
        def answer(columns: Columns) -> Output:
            raw = np.column_stack(
                [
                    weight * columns[f"signal {k}"]
                    + np.sqrt(1.0 - weight**2) * error(columns, salt + 10 * k)
                    for k in range(3)
                ]
            )
            odds = np.exp(1.2 * weight * raw)
            scores = odds / odds.sum(axis=1, keepdims=True)
            return Output(labels(scores, classes, threshold=None), scores)

        return answer

    spec = spec_of("multiclass", (*inputs, *SIDE), classes)
    return pair(frame, spec, model(1, 0.9 - worse), model(2, 0.9))


def numbers(rng: RNG, rows: int, *, worse: float = 0.0) -> GateInput:
    """A target that is a number, errors of which half is shared; `worse` is a share of the own."""
    signal, shared = rng.normal(size=(2, rows))
    frame = pd.DataFrame({SIGNAL: signal, **side(rng, rows), "y": 3.0 * signal + 10.0 + shared})

    def model(salt: int, scale: float) -> Any:
        return lambda columns: Output(
            3.0 * np.asarray(columns[SIGNAL]) + 10.0 + scale * error(columns, salt)
        )

    return pair(
        frame, spec_of("regression", (SIGNAL, *SIDE), ()), model(1, 1.0 + worse), model(2, 1.0)
    )
