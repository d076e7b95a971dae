"""What a gate is given: two loaded models, their answers on the same hold-out rows, the limits.

>>> import numpy as np
>>> spec = ModelSpec(1, "regression", (), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"]))
>>> given = GateInput(model, pd.DataFrame({"y": [1, 2]}), Output(np.array([1.0, 2.5])))
>>> given.truth.tolist(), given.candidate.spec.task
([1, 2], 'regression')
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from lifecycle.config import GatesConfig
from lifecycle.errors import DataError
from lifecycle.models.metrics import METRICS, default_metric
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import GateResult, ModelSpec, Outcome, Reproduction


class Missing(DataError):
    """Something that a gate needs is not there: its result is "not enough evidence"."""


@dataclass(frozen=True)
class Traffic:
    """What callers sent lately, as the prediction log has it.

    Attributes:
        rows: model inputs of the newest requests, whichever version answered them.
        hidden: features of which the log holds no value, or a hash only; they are not compared.
        known: features that the versions took which answered; others cannot be in the log.
        own: inputs of requests that this very version answered.
        answers: what it answered to them then, row by row.
    """

    rows: pd.DataFrame
    hidden: frozenset[str] = frozenset()
    known: frozenset[str] | None = None  # None: those of the rows
    own: pd.DataFrame | None = None
    answers: Output | None = None


@dataclass(frozen=True)
class Files:
    """The files of a version that a server would load.

    Attributes:
        sizes: bytes of each file, by its path in the version's folder.
        format: what would be loaded, in words: onnx, skops, pickle.
        risks: what in them may run code that is not ours, one sentence each.
        refused: why they must not be loaded; empty where they may.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    format: str = ""
    risks: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class GateInput:
    """What a gate may look at; it neither reads nor writes anything else.

    Attributes:
        candidate: the version in question, with its specification.
        holdout: the candidate's hold-out rows: features, target, time and key where it has any;
            None where none are stored.
        output: what the candidate answers on them; None where it cannot, see `problem`.
        champion: the version in production; None where there is none or it is the candidate.
        champion_output: what the champion answers on the same rows; None where it cannot.
        limits: `[gates]` of the configuration.
        problem: why the candidate did not answer.
        champion_problem: why the champion did not answer.
        alone: why there is no champion to compare with, where there is none.
        weights: (n,) sample weights of the hold-out rows; None where all weigh the same.
        reproduction: of the candidate, where `reproducible` was asked for and it was possible.
        reproduction_problem: why it was not possible.
        reference: a sample of the rows that the candidate was made with.
        traffic: the newest logged requests; None where there is no log.
        files: the candidate's files; None where they were not looked at.
        thresholds: by metric, what `mlflow.models.MetricThreshold` asks of it.
        shares: alpha of each statistical gate, see `lifecycle.gates.sharing`.
    """

    candidate: LoadedModel
    holdout: pd.DataFrame | None = None
    output: Output | None = None
    champion: LoadedModel | None = None
    champion_output: Output | None = None
    limits: GatesConfig = field(default_factory=GatesConfig)
    problem: str = ""
    champion_problem: str = ""
    alone: str = "first version"
    weights: NDArray[Any] | None = None
    reproduction: Reproduction | None = None
    reproduction_problem: str = ""
    reference: pd.DataFrame | None = None
    traffic: Traffic | None = None
    files: Files | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """What the candidate is."""
        return self.candidate.spec

    @property
    def rows(self) -> pd.DataFrame:
        """The hold-out rows.

        Raises:
            Missing: none are stored with the version.
        """
        if self.holdout is None or self.holdout.empty:
            raise Missing(
                "the version has no hold-out rows",
                fix="`lifecycle adopt REF --reference FILE --target COLUMN` stores some",
            )
        return self.holdout

    @property
    def truth(self) -> NDArray[Any]:
        """The target of the hold-out rows, shape (n,).

        Raises:
            Missing: the version has no target, or the rows do not hold it.
        """
        if not self.spec.target or self.spec.target not in self.rows:
            raise Missing(
                "the target of the hold-out rows is not known",
                fix="`lifecycle adopt REF --target COLUMN` names it",
            )
        return self.rows[self.spec.target].to_numpy()

    @property
    def answers(self) -> Output:
        """What the candidate answers on the hold-out rows.

        Raises:
            Missing: there are no rows.
            DataError: the candidate cannot answer them.
        """
        if self.output is None:
            assert len(self.rows)
            raise DataError(self.problem or "the model did not answer its own hold-out rows")
        return self.output

    def alpha(self, gate: str) -> float:
        """The share of equal candidates that this gate may refuse; all of `alpha` when alone.

        >>> import numpy as np
        >>> model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: None)
        >>> GateInput(model, shares={"champion": 0.03}).alpha("champion")
        0.03
        """
        return self.shares.get(gate, self.limits.alpha)

    @property
    def metric(self) -> str:
        """The metric that the two models are compared by: the candidate's own, else its task's."""
        scores = self.answers.scores is not None
        named = METRICS.get(self.spec.primary_metric)
        usable = named and self.spec.task in named.tasks and (scores or not named.needs_scores)
        return self.spec.primary_metric if usable else default_metric(self.spec.task, scores=scores)


def passed(gate: str, reason: str, **figures: float | None) -> GateResult:
    """A result that lets the candidate through.

    >>> passed("latency", "1 ms", value=1.0, limit=50.0).outcome
    <Outcome.PASS: 'pass'>
    """
    return GateResult(gate, Outcome.PASS, reason, **figures)


def failed(gate: str, reason: str, **figures: float | None) -> GateResult:
    """A result that refuses the candidate.

    >>> failed("sanity", "a score is 1.7").outcome
    <Outcome.FAIL: 'fail'>
    """
    return GateResult(gate, Outcome.FAIL, reason, **figures)


def unsure(gate: str, reason: str, **figures: float | None) -> GateResult:
    """A result that says that the rows do not decide it.

    >>> unsure("floor.r2", "12 rows").outcome
    <Outcome.UNSURE: 'not enough evidence'>
    """
    return GateResult(gate, Outcome.UNSURE, reason, **figures)
