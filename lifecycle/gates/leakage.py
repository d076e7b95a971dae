"""Figures that are too good: a feature that gives the target away, rows seen before, time mixed.

>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "binary", (Column("code", "string"),), target="y", classes=(0, 1))
>>> y = np.arange(80) % 2
>>> frame = pd.DataFrame({"code": np.where(y, "B", "A"), "y": y})
>>> output = Output(y, np.column_stack([1 - y, y]))
>>> given = GateInput(LoadedModel(spec, "sklearn", lambda columns: output), frame, output)
>>> leakage(given)[0].reason
"'code' is the target in other words: each of its 2 values goes with one class"
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln

from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.models import influence
from lifecycle.models.answers import classification, regression
from lifecycle.models.influence import Array, Estimate, Floats
from lifecycle.models.intervals import interval_of
from lifecycle.records import GateResult

PERFECT = 0.99  # area under the ROC curve of one feature alone
SURELY = 0.98  # its lower 95 % bound
SURELY_ALL = 0.93  # … where it errs in no row
STRAIGHT = 0.999  # correlation with a target that is a number
FEWEST = 20  # rows
BY_CHANCE = 1e-4  # of any feature that agrees in all rows
FEW_VALUES = 50  # numbers with so few are taken one by one
CELLS = 32
SEEN = 0.01  # share of hold-out rows among those trained on, beyond what repeats there
FAR = 4.0  # standard errors


@dataclass(frozen=True)
class Alone:
    """How well one feature predicts the target by itself.

    Attributes:
        name: of the feature.
        value: area under the ROC curve (the least over classes), or the correlation.
        low: its lower bound.
        same: how many values it has, where each goes with one class and each class with one.
    """

    name: str
    value: float
    low: float
    same: int = 0


def leakage(given: GateInput) -> list[GateResult]:
    """Look for what the figures of the hold-out may owe to the answers having been there.

    - `leakage.target` fails when one feature alone predicts the target: it is the target in other
      words (each value goes with one class and back), or its area under the ROC curve, in any
      direction and in any coding of up to 32 cells that the other half of the rows gives, is 0.99
      and surely 0.98 (0.93 where it errs in no row); for numbers a correlation, of values or
      ranks, of 0.999. Not enough evidence where it is 0.99 on too few rows.
    - `leakage.rows` fails when hold-out rows are among the rows that were trained on, surely by
      more than one in a hundred oftener than those repeat among themselves.
    - `leakage.time` fails when a hold-out by time begins before the training rows end.
    """
    return [_target(given), *_rows(given), *_time(given)]


def _target(given: GateInput) -> GateResult:
    gate, names = "leakage.target", [n for n in given.spec.feature_names if n in given.rows]
    truth = given.truth
    if not names:
        if given.spec.feature_names:
            raise Missing("the hold-out rows hold none of the features", fix="adopt it again")
        return passed(gate, "the model takes no named features")
    if len(truth) < FEWEST:
        return unsure(gate, f"{len(truth)} hold-out rows are too few to know a leak by")
    found = alone(given.rows[names], truth, given.spec.classes)
    best = max(found, key=lambda item: (item.same > 0, item.value), default=None)
    if best is None:
        return passed(gate, "no feature has two values")
    task = given.spec.task
    word = "correlation" if task == "regression" else "roc_auc"
    limit = STRAIGHT if task == "regression" else PERFECT
    figures = {"value": best.value, "limit": limit}
    if best.same:
        return failed(
            gate,
            f"{best.name!r} is the target in other words: each of its {best.same} values goes with "
            "one class",
            **figures,
        )
    leaks = [item for item in found if item.value >= limit]
    sure = [item for item in leaks if item.low >= (SURELY_ALL if item.value == 1.0 else SURELY)]
    fix = "leave it out, or take leakage out of [gates] use where it is known that early"
    if sure:
        said = ", ".join(f"{item.name!r} ({word} {item.value:.4f})" for item in sure)
        return failed(gate, f"alone it predicts the target: {said}. Next: {fix}", **figures)
    if leaks:
        return unsure(
            gate,
            f"{leaks[0].name!r} alone predicts the target ({word} {leaks[0].value:.4f}), on rows "
            f"too few to be sure. Next: {fix}",
            **figures,
        )
    return passed(
        gate,
        f"none of {len(found)} features alone predicts the target; the best is {best.name!r} "
        f"({word} {best.value:.3f})",
        **figures,
    )


def alone(features: pd.DataFrame, truth: Array, classes: tuple[object, ...]) -> list[Alone]:
    """How well each feature predicts the target by itself; those with one value are left out.

    >>> y = np.arange(100.0)
    >>> alone(pd.DataFrame({"late": -2.0 * y}), y, ())[0]
    Alone(name='late', value=1.0, low=1.0, same=0)

    Args:
        features: n rows.
        truth: (n,) labels or values.
        classes: the labels; empty in a regression.

    Raises:
        Missing: the rows hold one class, or one value, only.
    """
    if not classes:
        target = regression("leakage", truth, None).truth.astype(float)
        if np.ptp(target) == 0:
            raise Missing("the target is constant in these rows", fix="use rows in which it varies")
        return [
            Alone(str(name), value, value)
            for name in features
            if (value := _straight(features[name], target)) is not None
        ]
    codes = classification("leakage", truth, None, classes=tuple(classes)).truth  # type: ignore[arg-type]
    present = np.unique(codes)
    if len(present) < 2:
        raise Missing("the rows hold one class only", fix="use rows in which two occur")
    same = _chance(codes) * features.shape[1] <= BY_CHANCE
    found = []
    for name in features:
        cells = _cells(features[name])
        if cells.max() == 0:
            continue
        numbers = _numbers(features[name])
        per_class = [
            _area(codes == k, cells, numbers)
            for k in (present[-1:] if len(present) == 2 else present)
        ]
        value, low = min(per_class)
        found.append(Alone(str(name), value, low, _same(features[name], codes) if same else 0))
    return found


def _numbers(column: pd.Series) -> Floats | None:
    """The column as numbers, texts of numbers too; None where it is none."""
    if pd.api.types.is_datetime64_any_dtype(column):
        values = column.to_numpy(dtype="datetime64[us]").astype(float)
        return np.where(column.isna(), np.nan, values)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    known: Floats = np.where(np.isfinite(numbers), numbers, np.nan)
    lost = np.isnan(known) & ~column.isna().to_numpy()
    return None if lost.any() or np.isnan(known).all() else known


def _cells(column: pd.Series) -> Array:
    """The cell of each row: its level, or its quantile bin; missing is one of its own."""
    numbers = _numbers(column)
    if numbers is None or column.nunique() <= FEW_VALUES:
        return pd.factorize(column, use_na_sentinel=False)[0]
    known = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, CELLS + 1)[1:-1]))
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, "right"))


def _area(positive: Array, cells: Array, numbers: Floats | None) -> tuple[float, float]:
    """The best area under the ROC curve of the cells' shares, and of the numbers either way up."""
    half = np.random.default_rng(0).permutation(len(cells)) % 2
    width, base = int(cells.max()) + 1, float(positive.mean())
    shares = np.empty((2, width))
    for part in (0, 1):
        other = half != part
        rows = np.bincount(cells[other], minlength=width)
        hits = np.bincount(cells[other], weights=positive[other], minlength=width)
        shares[part] = (hits + base) / (rows + 1.0)
    ones = np.ones(len(cells))
    best = influence.roc_auc(positive, shares[half, cells], ones)
    if numbers is not None and not np.isnan(numbers).any():
        plain = influence.roc_auc(positive, numbers, ones)
        if plain.value < 0.5:  # the other way up
            plain = Estimate(1.0 - plain.value, -plain.parts, plain.rows)
        best = max(best, plain, key=lambda item: item.value)
    return best.value, _low(best)


def _low(area: Estimate) -> float:
    low, _ = interval_of(area, "unit", 0.95)
    return 0.0 if low is None else low


def _same(column: pd.Series, codes: Array) -> int:
    """How many values, where values and classes are one to one; else 0."""
    values = pd.factorize(column, use_na_sentinel=False)[0]
    both = len(np.unique(values * (int(codes.max()) + 1) + codes))
    count = int(values.max()) + 1
    return count if both == count == len(np.unique(codes)) else 0


def _chance(codes: Array) -> float:
    """How probable it is that values without a meaning go one to one with the classes."""
    counts = np.bincount(codes)
    return float(np.exp(gammaln(counts + 1.0).sum() - gammaln(len(codes) + 1.0)))


def _straight(column: pd.Series, target: Floats) -> float | None:
    """The larger correlation, of values or of ranks; None for a constant, 0 for texts."""
    numbers = _numbers(column)
    if numbers is None:
        return 0.0 if column.nunique() > 1 else None
    known = ~np.isnan(numbers)
    if known.sum() < FEWEST or np.ptp(numbers[known]) == 0 or np.ptp(target[known]) == 0:
        return None
    pairs = pd.DataFrame({"one": numbers[known], "two": target[known]})
    found = max(abs(float(item.corr().to_numpy()[0, 1])) for item in (pairs, pairs.rank()))
    return round(found, 12)


def _rows(given: GateInput) -> list[GateResult]:
    """Hold-out rows among those trained on; nothing where it is not known which were."""
    gate, sample, spec = "leakage.rows", given.reference, given.spec
    if sample is None or "score" not in sample or "score" in spec.feature_names:
        return []
    trained = sample[sample["score"].isna()]
    names = [*spec.feature_names, *([spec.time] if spec.time else [])]
    if trained.empty or any(name not in trained or name not in given.rows for name in names):
        return []
    held, seen = (_digests(frame, names) for frame in (given.rows, trained))
    share = float(np.isin(held, seen).mean())
    _, places, counts = np.unique(seen, return_inverse=True, return_counts=True)
    usual = float((counts[places] > 1).mean())
    spread = np.sqrt(max(usual, SEEN) * (1.0 / len(held) + 1.0 / len(seen)))
    limit = usual + SEEN + FAR * float(spread)
    figures = {"value": share, "limit": limit}
    words = (
        f"{share:.1%} of {len(held):,} hold-out rows are among {len(seen):,} of the rows that were "
        f"trained on, of which {usual:.1%} repeat"
    )
    return [(failed if share > limit else passed)(gate, words, **figures)]


def _digests(frame: pd.DataFrame, names: list[str]) -> Array:
    plain = {
        name: frame[name].astype(float)
        if pd.api.types.is_numeric_dtype(frame[name])
        else frame[name].astype(str)
        for name in names
    }
    return pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy()


def _time(given: GateInput) -> list[GateResult]:
    """A hold-out by time that begins before the training rows end."""
    spec = given.spec
    if spec.split != "time" or not spec.time or not spec.trained_to or spec.time not in given.rows:
        return []
    starts = pd.to_datetime(
        given.rows[spec.time], errors="coerce", utc=True, format="ISO8601"
    ).min()
    ends = pd.to_datetime(spec.trained_to, errors="coerce", utc=True, format="ISO8601")
    if pd.isna(starts) or pd.isna(ends):
        return []
    gate, words = "leakage.time", f"training rows end {ends.isoformat()}"
    if starts < ends:
        return [failed(gate, f"the hold-out begins {starts.isoformat()}, before the {words}")]
    return [passed(gate, f"the hold-out begins {starts.isoformat()}, after the {words}")]
