"""The params that a request may send along, checked as MLflow checks them.

>>> schema = '[{"name": "top", "type": "long", "default": 3, "shape": null}]'
>>> params = Parameters(schema)
>>> params.checked({}), params.checked({"top": 5})
({'top': 3}, {'top': 5})
>>> params.checked({"tpo": 5})
Traceback (most recent call last):
lifecycle.errors.DataError: the param 'tpo' is not known; did you mean 'top'? ...

The schema is the signature's, https://mlflow.org/docs/latest/ml/model/signatures/. MLflow leaves
out params that are not in it, with a warning in its own log; whoever sent them is not told, so
here they are refused.
"""

from collections.abc import Mapping
from typing import Any

from lifecycle.errors import DataError, ModelRefused
from lifecycle.named import nearest


class Parameters:
    """One signature's schema of params; immutable.

    Args:
        schema: the signature's `params` as `MLmodel` holds them.

    Raises:
        ModelRefused: the schema cannot be read.
    """

    def __init__(self, schema: str) -> None:
        from mlflow.types.schema import ParamSchema

        try:
            specs = ParamSchema.from_json(schema).params
        except Exception as error:
            raise ModelRefused(
                f"the schema of the params in MLmodel cannot be read: {error}",
                fix="log the model again",
            ) from error
        self._specs = {spec.name: spec for spec in specs}

    @property
    def defaults(self) -> dict[str, Any]:
        """What the model is given when nothing is sent."""
        return {name: spec.default for name, spec in self._specs.items()}

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The params of a request, with the defaults of those that were not sent.

        Raises:
            DataError: a param is not known or not of its type; names it.
        """
        params: dict[str, Any] = {}
        for name, value in given.items():
            spec = self._specs.get(name)
            if spec is None:
                raise DataError(
                    f"the param {name[:100]!r} is not known; {nearest(name[:100], self._specs)}",
                    fix="send the params of the model's signature, or none",
                )
            try:
                params[name] = spec.validate_param_spec(value, spec)
            except Exception as error:
                shown = repr(value)[:60]
                kind = getattr(spec.dtype, "name", "object")
                raise DataError(
                    f"the param {name!r} is {shown}, not of type {kind}"
                    + ("" if spec.shape is None else ", in a list"),
                    fix="send a value of the signature's type",
                ) from error
        return params | {
            name: spec.default for name, spec in self._specs.items() if name not in params
        }


def refuse(given: Mapping[str, Any]) -> None:
    """Refuse params that are sent to a model whose signature has none.

    Raises:
        DataError: something is sent.
    """
    if given:
        raise DataError(
            f"the model takes no params, and these came: {', '.join(given)[:200]}",
            fix="leave params out, or log the model with a signature that has params",
        )
