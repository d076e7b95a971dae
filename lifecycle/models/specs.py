"""A model's specification as JSON, and one made from MLflow's signature where there is none.

>>> spec = ModelSpec(1, "binary", (Column("age", "double"),), classes=(0, 1))
>>> loads(dumps(spec)) == spec
True
"""

import json
from collections.abc import Mapping
from typing import Any

from lifecycle.errors import RegistryError
from lifecycle.records import Column, Lineage, Metric, ModelSpec

SCHEMA = 1


def dumps(spec: ModelSpec) -> str:
    """The specification as JSON text."""
    return json.dumps(spec.to_dict(), indent=1)


def loads(text: str, *, where: str = "") -> ModelSpec:
    """Read a specification back.

    Raises:
        RegistryError: the text is no specification, or one of a later version of lifecycle.
    """
    try:
        tree = json.loads(text)
        if tree["schema"] > SCHEMA:
            raise RegistryError(
                f"the model's specification has schema {tree['schema']}, this lifecycle reads "
                f"{SCHEMA}",
                where=where,
                fix="upgrade mlflow-lifecycle",
            )
        return ModelSpec(
            **{
                **tree,
                "features": tuple(Column(**item) for item in tree["features"]),
                "classes": tuple(tree["classes"]),
                "metrics": tuple(Metric(**item) for item in tree["metrics"]),
                "lineage": Lineage(**tree["lineage"]),
            }
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RegistryError(
            f"the model's specification cannot be read: {error}",
            where=where,
            fix="register the model again",
        ) from error


def from_signature(signature: Mapping[str, Any] | None) -> ModelSpec:
    """What MLflow's signature says of a model that we neither trained nor adopted.

    >>> inputs = '[{"type": "double", "name": "age", "required": true}]'
    >>> from_signature({"inputs": inputs}).features
    (Column(name='age', dtype='double', required=True),)

    Args:
        signature: the signature as `MLmodel` holds it; None where there is none.

    Returns:
        A specification with the columns and nothing else: task "regression" (answers are passed
        on as they come), no target, no classes. Without named columns the features are empty.

    Raises:
        RegistryError: the signature is damaged.
    """
    try:
        inputs = json.loads((signature or {}).get("inputs") or "[]")
        named = [item for item in inputs if item.get("name") and isinstance(item.get("type"), str)]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RegistryError(
            f"the signature in MLmodel cannot be read: {error}", fix="log the model again"
        ) from error
    columns = tuple(
        Column(item["name"], item["type"], bool(item.get("required", True))) for item in named
    )
    return ModelSpec(SCHEMA, "regression", columns)
