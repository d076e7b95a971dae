"""Compile pipelines of scikit-learn exactly, in double precision.

skl2onnx compares in float32, where a value next to a threshold can take the other branch; what is
written here compares as scikit-learn does. What it does not know raises Unsupported, and skl2onnx
is asked instead.

    features (columns, tables) ── preparing ──> features ── estimators, combining ──> ONNX

>>> exact(object(), ())
Traceback (most recent call last):
lifecycle.models.elements.Unsupported: object
"""

from collections.abc import Sequence
from typing import Any

from lifecycle.models.combining import answer
from lifecycle.models.elements import Unsupported
from lifecycle.models.features import LIBRARIES, Inputs, vocabulary
from lifecycle.models.flat import flat
from lifecycle.models.graphs import Graph
from lifecycle.records import Column


def exact(estimator: Any, columns: Sequence[Column]) -> bytes:
    """The ONNX model of a fitted estimator.

    Args:
        estimator: a Pipeline, or an estimator that takes the columns as they are.
        columns: its input columns.

    Returns:
        A model with up to two inputs, `numbers` (n, k) of double and `texts` (n, m), and one
        output: scores (n, classes) in the order of the estimator's own classes, or values (n, 1).
        Its notes say which columns the inputs hold (`inputs`), the text that stands for null, the
        levels outside of which the original raises, and the weights of a linear model (`flat`).

    Raises:
        Unsupported: a part is not known.
    """
    if type(estimator).__module__.partition(".")[0] not in LIBRARIES:
        raise Unsupported(type(estimator).__name__)
    texts = vocabulary(estimator)
    inputs = Inputs(Graph(), columns, texts)
    try:
        value = answer(inputs, estimator, inputs.taken_by(estimator))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        what = " ".join(str(error).split())[:200]
        raise Unsupported(f"this {type(estimator).__name__} ({what})") from error
    return inputs.graph.build(
        value,
        notes=inputs.notes() | flat(columns, texts, estimator),
    )
