"""A model of somebody's own on data frames, as MLflow's `python_function` flavour has it.

>>> Scored(None).threshold
0.0
"""

from typing import Any

import pandas as pd
from mlflow.pyfunc import PythonModel


class Scored(PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Derives a column from others, drops it again, and answers with a probability."""

    def __init__(self, model: Any, threshold: float = 0.0) -> None:
        self.model = model
        self.threshold = threshold

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """The probability of the second class, a row."""
        del context, params
        known = model_input.assign(total=model_input.sum(axis=1))
        known.loc[known["total"] < self.threshold, "total"] = 0.0
        scores = self.model.predict_proba(known.drop(columns="total"))
        return scores[:, 1]
