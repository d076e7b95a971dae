r"""Pictures of a training: calibration, importance, residuals; as PNG, without pyplot's state.

>>> importance(["age", "plan"], [0.2, 0.1], [0.01, 0.02])[:4]
b'\x89PNG'
"""

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.views.layout import harmless

MOST = 20
BINS = 10


def importance(names: Sequence[str], means: Sequence[float], errors: Sequence[float]) -> bytes:
    """What shuffling a column costs, the largest first, with its standard deviation."""
    order = np.argsort(means)[-MOST:]
    figure, axes = _figure(0.3 * len(order) + 1.2)
    axes.barh(
        [names[at] for at in order],
        [means[at] for at in order],
        xerr=[errors[at] for at in order],
        color="#4477aa",
    )
    axes.set_xlabel("loss in the metric when the column is shuffled")
    return saved(figure, dpi=90)


def calibration(scores: NDArray[Any], positive: NDArray[Any]) -> bytes:
    r"""Observed share against score in ten groups of equal size, and the diagonal.

    >>> calibration(np.linspace(0, 1, 50), np.arange(50) > 25)[:4]
    b'\x89PNG'

    Args:
        scores: of the positive class, shape (n,).
        positive: whether each row is of it, shape (n,).
    """
    order = np.argsort(scores, kind="stable")
    groups = [group for group in np.array_split(order, min(BINS, len(order))) if len(group)]
    figure, axes = _figure(4.0)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, label="perfect")
    axes.plot(
        [scores[group].mean() for group in groups],
        [positive[group].mean() for group in groups],
        marker="o",
        color="#4477aa",
        label="model",
    )
    axes.set_xlabel("score")
    axes.set_ylabel("observed share")
    axes.legend(frameon=False)
    return saved(figure, dpi=90)


def residuals(y: NDArray[Any], prediction: NDArray[Any]) -> bytes:
    r"""Observed against predicted values, at most 2,000 rows, and the diagonal.

    >>> residuals(np.arange(5.0), np.arange(5.0))[:4]
    b'\x89PNG'
    """
    step = max(1, len(y) // 2000)
    figure, axes = _figure(4.0)
    axes.scatter(prediction[::step], y[::step], s=6, color="#4477aa", alpha=0.5)
    ends = [float(min(y.min(), prediction.min())), float(max(y.max(), prediction.max()))]
    axes.plot(ends, ends, color="#bbbbbb", linewidth=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("observed")
    return saved(figure, dpi=90)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def saved(figure: Any, *, dpi: int = 110) -> bytes:
    """A figure of matplotlib as a PNG file; marks that its font lacks are drawn as boxes."""
    target = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(target, format="png", dpi=dpi)
    return target.getvalue()


def written(text: str) -> str:
    r"""A text of others that matplotlib takes for no formula.

    >>> print(written("price in $ and cost in $"))
    price in \$ and cost in \$
    """
    return harmless(text).replace("$", r"\$")
