"""The Open Inference Protocol V2 as calls: `inference.GRPCInferenceService`.

>>> request = message("inference.ModelInferRequest")(raw_input_contents=[bytes(8)])
>>> _ = request.inputs.add(name="age", datatype="FP64", shape=[1])
>>> tensors(request)[0].data.tolist()
[0.0]

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
Elements come raw (`raw_input_contents`, as tritonclient sends them) or typed (`contents`, as
kserve's client does), and the answer's come in the same manner.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version as version_of
from typing import Any

from lifecycle.errors import DataError
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer
from lifecycle.serve.protocols.inputs import rows_of
from lifecycle.serve.protocols.signatures import Signatures
from lifecycle.serve.protocols.tensors import Tensor, of_raw, of_values, outputs_of, shown, to_raw
from lifecycle.serve.rpc.answered import Asked, Chore, Handler
from lifecycle.serve.rpc.messages import message
from lifecycle.serve.rpc.tensorprotos import elements
from lifecycle.serve.slots import Slot
from lifecycle.serve.wire import Refused, Request, Service, choose

# the field of InferTensorContents that holds a datatype's elements; FP16 has none
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_FIELDS = tuple(dict.fromkeys(CONTENTS.values()))


def handlers(service: Service) -> dict[str, Handler]:
    """What answers each method."""
    engine, signatures = service.engine, Signatures()

    def live(_asked: Any, _request: Request) -> Any:
        return message("inference.ServerLiveResponse")(live=True)

    def ready(_asked: Any, _request: Request) -> Any:
        return message("inference.ServerReadyResponse")(ready=service.ready)

    def model_ready(asked: Any, request: Request) -> Any:
        chosen(service, request, asked.name, asked.version)
        return message("inference.ModelReadyResponse")(ready=service.ready)

    def metadata(_asked: Any, _request: Request) -> Any:
        return message("inference.ServerMetadataResponse")(
            name="lifecycle", version=version_of("mlflow-lifecycle")
        )

    def model_metadata(asked: Any, request: Request) -> Chore:
        group = engine.table.find(asked.name or engine.table.first)
        one = group.slots[group.plan.arms[0].version]  # of several arms the first is described
        if asked.version:
            one = chosen(service, request, asked.name, asked.version).slot
        return Chore(partial(described, one, list(group.slots), signatures))

    def infer(asked: Any, request: Request) -> Asked:
        choice = chosen(service, request, asked.model_name, asked.model_version)
        rows = rows_of(choice.slot.decoder, tensors(asked), parameters(asked.parameters))
        return Asked(choice, rows, partial(written, asked))

    return {
        "ServerLive": live,
        "ServerReady": ready,
        "ModelReady": model_ready,
        "ServerMetadata": metadata,
        "ModelMetadata": model_metadata,
        "ModelInfer": infer,
    }


def tensors(request: Any) -> list[Tensor]:
    """The tensors of a ModelInferRequest.

    Raises:
        DataError: elements come raw and typed, too few or too many, or do not fit what is said of
            them; names the tensor.
    """
    raw = request.raw_input_contents
    if not raw:
        return [_typed(item) for item in request.inputs]
    if len(raw) != len(request.inputs):
        raise DataError(
            f"raw_input_contents has {len(raw)} entries for {len(request.inputs)} inputs",
            fix="send one entry for each input, in their order",
        )
    found = []
    for item, data in zip(request.inputs, raw, strict=True):
        if item.HasField("contents"):
            raise DataError(
                f"tensor {shown(item.name)} has contents, and raw_input_contents is there as well",
                fix="send the one or the other",
            )
        shape = tuple(item.shape)
        found.append(of_raw(item.name, item.datatype, shape, data, parameters(item.parameters)))
    return found


def _typed(item: Any) -> Tensor:
    contents = item.contents
    if item.datatype == "FP16":
        raise DataError(
            f"tensor {shown(item.name)} is of FP16, which has no typed contents",
            fix="send it in raw_input_contents",
        )
    wanted = CONTENTS.get(item.datatype)
    for field, _values in contents.ListFields():
        if wanted and field.name != wanted:
            raise DataError(
                f"tensor {shown(item.name)} is of {item.datatype} and comes in {field.name}",
                fix=f"send its elements in {wanted}",
            )
    values = list(getattr(contents, wanted)) if wanted else []
    return of_values(
        item.name, item.datatype, tuple(item.shape), values, parameters(item.parameters)
    )


def parameters(found: Any) -> dict[str, Any]:
    """Parameters by name as Python values; those without a value are left out.

    >>> request = message("inference.ModelInferRequest")()
    >>> request.parameters["top"].int64_param = 3
    >>> parameters(request.parameters)
    {'top': 3}
    """
    made: dict[str, Any] = {}
    for name in found:  # quicker than its items()
        value = found[name]
        kind = value.WhichOneof("parameter_choice")
        if kind is not None:
            made[name] = getattr(value, kind)
    return made


def written(asked: Any, answer: Answer) -> Any:
    """The ModelInferResponse: the outputs that were asked for, all where none were named.

    Raises:
        Refused: an output was asked for that the model does not give.
    """
    found = {tensor.name: tensor for tensor in outputs_of(answer)}
    for item in asked.outputs:
        if item.name not in found or "classification" in item.parameters:
            what = "'classification' is not known" if item.name in found else "there is none"
            given = ", ".join(found)
            raise Refused(400, f"output {shown(item.name)}: {what}; the model gives {given}")
    chosen = [found[item.name] for item in asked.outputs] or list(found.values())
    raw = bool(asked.raw_input_contents) or any(one.datatype not in CONTENTS for one in chosen)
    made = message("inference.ModelInferResponse")(
        model_name=answer.model, model_version=str(answer.version), id=asked.id or answer.id
    )
    for one in chosen:
        output = made.outputs.add(name=one.name, datatype=one.datatype, shape=one.shape)
        for key, value in one.parameters.items():
            output.parameters[key].string_param = str(value)
        if raw:
            made.raw_output_contents.append(to_raw(one))
        else:
            getattr(output.contents, CONTENTS[one.datatype]).extend(elements(one))
    return made


def chosen(service: Service, request: Request, model: str, version: str) -> Choice:
    """Who answers a call.

    Raises:
        Refused: the version is no number, so there is none.
        ModelNotFound: the model or version is not served.
    """
    if version and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise Refused(404, f"version {shown(version)} is not served; send a version's number")
    return choose(service.engine, request, model, version)


def described(one: Slot, versions: Sequence[int], signatures: Signatures) -> Any:
    """The ModelMetadataResponse of a version; asks the model once, see Signatures."""
    signature = signatures.of(one)
    made = message("inference.ModelMetadataResponse")(
        name=one.model,
        versions=[str(version) for version in versions],
        platform=f"mlflow_{one.loaded.how}",
    )
    for parts, target in ((signature.inputs, made.inputs), (signature.outputs, made.outputs)):
        for part in parts:
            target.add(name=part.name, datatype=part.datatype, shape=part.shape)
    return made
