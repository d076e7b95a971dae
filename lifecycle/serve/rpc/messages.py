"""The messages of all calls, as classes of a descriptor pool of our own.

>>> request = message("inference.ModelInferRequest")(model_name="churn", id="7")
>>> message("inference.ModelInferRequest").FromString(request.SerializeToString()).model_name
'churn'

The pool is private: a program may hold another copy of the same schemas (tritonclient and kserve
each bring one of `inference`), and two of a name in one pool is an error of protobuf.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import any_pb2, descriptor_pool, message_factory, wrappers_pb2

from lifecycle.serve.rpc.schema import descriptor

SCHEMAS = (
    "inference.proto",
    "health.proto",
    "tensorflow_error.proto",
    "tensorflow.proto",
    "tensorflow_serving.proto",
)
SERVICES = (
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "grpc.health.v1.Health",
)


@cache
def pool() -> Any:
    """The descriptor pool with all schemas in it."""
    made = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        made.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for name in SCHEMAS:
        text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        made.AddSerializedFile(descriptor(name, text).SerializeToString())
    return made


@cache
def message(name: str) -> Any:
    """The class of a message.

    Args:
        name: with its package, as in `inference.ModelInferRequest`.

    Raises:
        KeyError: no schema has it.
    """
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def methods(service: str) -> dict[str, Any]:
    """The methods of a service by name; each has input_type, output_type and server_streaming.

    >>> methods("grpc.health.v1.Health")["Watch"].server_streaming
    True
    """
    return dict(pool().FindServiceByName(service).methods_by_name)
