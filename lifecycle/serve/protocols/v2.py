"""The Open Inference Protocol, version 2, over HTTP: tensors in, tensors out.

    GET  /v2   /v2/health/live   /v2/health/ready   /v2/models
    GET  /v2/models/{model}[/versions/{version}]          what it takes and answers
    GET  /v2/models/{model}[/versions/{version}]/ready
    POST /v2/models/{model}[/versions/{version}]/infer

>>> failure(404, "no such model")
b'{"error":"no such model"}'

The specification is
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md,
binary tensors are those of
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md.
As Triton, it looks at no content type: Triton's clients send none.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version as version_of
from typing import Any

import msgspec
from msgspec import Raw

from lifecycle.errors import DataError
from lifecycle.serve.duplicates import refuse_duplicates
from lifecycle.serve.engine import Answer
from lifecycle.serve.protocols import elements
from lifecycle.serve.protocols.bodies import parsed
from lifecycle.serve.protocols.compression import folded, plain
from lifecycle.serve.protocols.inputs import rows_of
from lifecycle.serve.protocols.signatures import Part, Signatures
from lifecycle.serve.protocols.tensors import Tensor, of_raw, outputs_of, shown, to_raw
from lifecycle.serve.slots import Slot
from lifecycle.serve.wire import (
    Asked,
    Chore,
    Refused,
    Request,
    Response,
    Route,
    Service,
    choose,
    named,
)

OCTETS = b"application/octet-stream"
LENGTH = b"inference-header-content-length"
_encode = msgspec.json.Encoder().encode


class Input(msgspec.Struct):
    """One tensor of a request, its elements not read yet."""

    name: str
    shape: list[int]
    datatype: str
    data: Raw = Raw(b"")
    parameters: dict[str, Any] | None = None


class Wanted(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Inference(msgspec.Struct):
    """A request; the model's name, which KServe's client repeats here, stands in the path."""

    inputs: list[Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Wanted] | None = None
    model_name: str | None = None


_INFERENCE = msgspec.json.Decoder(Inference)


def routes(service: Service) -> list[Route]:
    """The protocol's routes."""
    engine, signatures = service.engine, Signatures()
    server = _encode(
        {
            "name": "lifecycle",
            "version": version_of("mlflow-lifecycle"),
            "extensions": ["binary_tensor_data"],
        }
    )

    def about(_request: Request) -> Response:
        return Response(200, server)

    def live(_request: Request) -> Response:
        return Response(200, b'{"live":true}')

    def ready(_request: Request) -> Response:
        return _readiness(service)

    def models(_request: Request) -> Response:
        return Response(200, _encode({"models": list(engine.table.groups)}))

    def model_ready(request: Request) -> Response:
        name = request.params["model"]
        _served(service, request)
        return _readiness(service, name)

    def metadata(request: Request) -> Chore:
        one = _served(service, request)
        group = engine.table.find(one.model)
        return Chore(lambda: Response(200, _encode(_metadata(one, list(group.slots), signatures))))

    def infer(request: Request) -> Asked:
        choice = choose(engine, request, request.params["model"], _version(request))
        asked, tail = read(request, service.max_body)
        rows = rows_of(choice.slot.decoder, _tensors(asked.inputs, tail), asked.parameters)
        return Asked(choice, rows, _writer(request, asked))

    gets: dict[str, Callable[[Request], Response | Chore]] = {
        "/v2": about,
        "/v2/health/live": live,
        "/v2/health/ready": ready,
        "/v2/models": models,
    }
    found = [Route("GET", path, handler, failure) for path, handler in gets.items()]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route("GET", path, metadata, failure),
            Route("GET", f"{path}/ready", model_ready, failure),
            Route("POST", f"{path}/infer", infer, failure),
        ]
    return found


def failure(_code: int, message: str) -> bytes:
    """An error's body."""
    return _encode({"error": message})


def read(request: Request, limit: int) -> tuple[Inference, bytes]:
    """A request's JSON, and the binary tensors behind it.

    Args:
        request: its header Inference-Header-Content-Length says where the JSON ends.
        limit: bytes of the longest body.

    Raises:
        DataError: the body is no request.
        Refused: the body cannot be unfolded, or is longer than the limit.
    """
    body = plain(request, limit)
    told = request.headers.get(LENGTH)
    tail = b""
    if told is not None:
        length = int(told) if told.isdigit() and len(told) < 12 else -1
        if not 0 < length <= len(body):
            raise DataError(
                f"Inference-Header-Content-Length is {shown(told.decode('latin-1'))}, "
                f"and the body has {len(body)} bytes",
                fix="say how many bytes the JSON has, uncompressed",
            )
        body, tail = body[:length], body[length:]
    asked = parsed(_INFERENCE, body)
    if body.count(b":") != _keys(asked):
        refuse_duplicates(body)
    return asked, tail


def _keys(asked: Inference) -> int:
    """How many keys the request's objects have, if none is there twice or unknown."""
    fields = (asked.id, asked.parameters, asked.outputs, asked.model_name)
    count = 1 + sum(field is not None for field in fields) + len(asked.parameters or ())
    for item in asked.inputs:
        count += 3 + bool(item.data)
        if item.parameters is not None:
            count += 1 + len(item.parameters)
    for wanted in asked.outputs or ():
        count += 1 if wanted.parameters is None else 2 + len(wanted.parameters)
    return count


def _tensors(inputs: Sequence[Input], tail: bytes) -> list[Tensor]:
    """The tensors, of JSON and of the bytes behind it."""
    found: list[Tensor] = []
    place = 0
    for item in inputs:
        parameters = dict(item.parameters or {})
        size = parameters.pop("binary_data_size", None)
        if size is None:
            if not item.data:
                raise DataError(f"tensor {shown(item.name)} has no data", fix="send it")
            found.append(elements.read(item.name, item.datatype, item.shape, item.data, parameters))
            continue
        if item.data:
            raise DataError(f"tensor {shown(item.name)} has both data and binary_data_size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise DataError(
                f"the binary_data_size of tensor {shown(item.name)} is {shown(str(size))}",
                fix="send a number of bytes",
            )
        if size > len(tail) - place:
            raise DataError(
                f"tensor {shown(item.name)} is said to be {str(size)[:20]} bytes, and "
                f"{len(tail) - place} are left",
                fix="send the bytes behind the JSON, with Inference-Header-Content-Length",
            )
        raw = tail[place : place + size]
        place += size
        found.append(of_raw(item.name, item.datatype, item.shape, raw, parameters))
    if place < len(tail):
        last = f"tensor {shown(inputs[-1].name)}" if inputs else "the JSON"
        raise DataError(
            f"{len(tail) - place} bytes follow {last}",
            fix="say in binary_data_size how many bytes each tensor has",
        )
    return found


def _writer(request: Request, asked: Inference) -> Callable[[Answer], Response]:
    """What writes the answer as the request wants it."""

    def write(answer: Answer) -> Response:
        made = {tensor.name: tensor for tensor in outputs_of(answer)}
        default = bool((asked.parameters or {}).get("binary_data_output", False))
        wanted = asked.outputs or [Wanted(name) for name in made]
        listed: list[dict[str, Any]] = []
        tails: list[bytes] = []
        for item in wanted:
            parameters = item.parameters or {}
            tensor = made.get(item.name)
            if tensor is None or "classification" in parameters:
                what = "'classification' is not known" if tensor else "there is none"
                told = f"output {shown(item.name)}: {what}; the model gives {', '.join(made)}"
                return Response(400, failure(400, told), headers=named(answer))
            entry: dict[str, Any] = {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": tensor.shape,
            }
            if parameters.get("binary_data", default) is True:
                tails.append(to_raw(tensor))
                entry["parameters"] = {**tensor.parameters, "binary_data_size": len(tails[-1])}
            else:
                if tensor.parameters:
                    entry["parameters"] = tensor.parameters
                entry["data"] = elements.listed(tensor)
            listed.append(entry)
        body = _encode(
            {
                "model_name": answer.model,
                "model_version": str(answer.version),
                "id": asked.id or answer.id,
                "outputs": listed,
            }
        )
        headers = named(answer)
        if not tails:
            return folded(request, Response(200, body, headers=headers))
        headers += ((LENGTH, b"%d" % len(body)),)
        return folded(request, Response(200, b"".join((body, *tails)), OCTETS, headers))

    return write


def _served(service: Service, request: Request) -> Slot:
    """The version that a path names; without one, the first of the plan."""
    version = _version(request)
    group = service.engine.table.find(request.params["model"])
    if version:
        return choose(service.engine, request, request.params["model"], version).slot
    return group.slots[group.plan.arms[0].version]


def _version(request: Request) -> str:
    version = request.params.get("version", "")
    if version and not (version.isascii() and version.isdigit() and len(version) < 10):
        raise Refused(404, f"version {shown(version)} is not served; send a version's number")
    return version


def _readiness(service: Service, name: str = "") -> Response:
    ready = service.ready
    said: dict[str, Any] = {"ready": ready} | ({"name": name} if name else {})
    if not ready:
        said["error"] = "the server stops" if service.draining else "no model is ready"
    return Response(200 if ready else 503, _encode(said))


def _metadata(one: Slot, versions: Sequence[int], signatures: Signatures) -> dict[str, Any]:
    signature = signatures.of(one)
    return {
        "name": one.model,
        "versions": [str(version) for version in versions],
        "platform": f"mlflow_{one.loaded.how}",
        "inputs": [_part(part) for part in signature.inputs],
        "outputs": [_part(part) for part in signature.outputs],
    }


def _part(part: Part) -> dict[str, Any]:
    said = {"name": part.name, "datatype": part.datatype, "shape": part.shape}
    return {**said, "parameters": part.parameters} if part.parameters else said
