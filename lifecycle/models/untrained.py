"""What was tried, out of what was made of it.

>>> from sklearn.linear_model import Ridge
>>> seeds(Ridge(random_state=7))
{'random_state': '7'}
"""

from typing import Any


def bare(estimator: Any) -> Any:
    """What was tried, out of what was made of it: without threshold, preprocessor and fit.

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import Pipeline
    >>> bare(Pipeline([("prepare", "passthrough"), ("model", Ridge(alpha=2.0))]))
    Ridge(alpha=2.0)

    Args:
        estimator: as it was loaded; None where there is none.

    Returns:
        An estimator that is not fitted; a user's own Pipeline stays one.
    """
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    found = estimator
    while isinstance(found, (FixedThresholdClassifier, FrozenEstimator)):
        found = found.estimator
    if not hasattr(found, "fit") or not hasattr(found, "get_params"):
        return None
    steps = getattr(found, "named_steps", {})
    return clone(steps["model"] if list(steps) == ["prepare", "model"] else found)


def seeds(estimator: Any) -> dict[str, str]:
    """Each `random_state` of an estimator and of its parts, by the parameter's name.

    Args:
        estimator: with `get_params`; a generator of random numbers is told by its type.
    """
    found = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return {
        str(name): str(value)[:80] if isinstance(value, (int, str)) else type(value).__name__
        for name, value in sorted(found.items())
        if str(name).rpartition("__")[2] == "random_state" and value is not None
    }
