"""TensorFlow Serving's REST interface, and KServe's version 1, which shares its paths.

    POST /v1/models/{model}[/versions/{version} | /labels/{label}]:(predict | classify | regress)
    GET  /v1/models/{model}[/versions/{version} | /labels/{label}]            status
    GET  /v1/models/{model}[/versions/{version} | /labels/{label}]/metadata

>>> failure(404, "no such model")
b'{"error":"no such model"}'
>>> LABELS
{'stable': 'champion', 'canary': 'challenger'}

https://www.tensorflow.org/tfx/serving/api_rest is the protocol. A label is an alias: of the plan's
arms, or one that the version had when it was loaded. As TensorFlow Serving, it looks at no content
type: `curl -d` sends one of forms.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import ModelSpec
from lifecycle.serve.choices import Choice
from lifecycle.serve.duplicates import refuse_duplicates
from lifecycle.serve.engine import Answer
from lifecycle.serve.protocols.bodies import parsed
from lifecycle.serve.protocols.compression import folded, plain
from lifecycle.serve.protocols.signatures import Part, Signatures
from lifecycle.serve.slots import Group, Slot
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

LABELS = {"stable": "champion", "canary": "challenger"}
SIGNATURE = "serving_default"
DTYPES = {
    "BOOL": "DT_BOOL",
    "BYTES": "DT_STRING",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
}
_encode = msgspec.json.Encoder().encode


class _Predict(msgspec.Struct, forbid_unknown_fields=True):
    instances: Raw = Raw(b"")
    inputs: Raw = Raw(b"")
    params: Raw = Raw(b"")  # not TensorFlow Serving's: what MLflow's models take beside rows
    signature_name: str = ""


class _Examples(msgspec.Struct, forbid_unknown_fields=True):
    examples: list[dict[str, Any]]
    context: dict[str, Any] | None = None
    signature_name: str = ""


_PREDICT = msgspec.json.Decoder(_Predict)
_EXAMPLES = msgspec.json.Decoder(_Examples)


def routes(service: Service) -> list[Route]:
    """The protocol's routes."""
    asked = _Servables(service)
    found: list[Route] = []
    for place in ("", "/versions/{version}", "/labels/{label}"):
        path = f"/v1/models/{{model}}{place}"
        found += [
            Route("GET", path, asked.status, failure),
            Route("GET", f"{path}/metadata", asked.metadata, failure),
            Route("POST", f"{path}:predict", asked.predict, failure),
            Route("POST", f"{path}:classify", asked.classify, failure),
            Route("POST", f"{path}:regress", asked.regress, failure),
        ]
    return found


class _Servables:
    """The models of a server, asked by name, version or label."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.signatures = Signatures()

    def predict(self, request: Request) -> Asked:
        choice = self._choice(request)
        decoder = choice.slot.decoder
        body = plain(request, self.service.max_body)
        form, rewritten = instances_of(body, records=bool(decoder.names) and decoder.forms is None)
        rows = decoder.json(rewritten)
        key = "predictions" if form == "instances" else "outputs"

        def write(answer: Answer) -> Response:
            said = _encode({key: answer.predictions})
            return folded(request, Response(200, said, headers=named(answer)))

        return Asked(choice, rows, write)

    def classify(self, request: Request) -> Asked:
        choice = self._choice(request)
        spec = choice.slot.loaded.spec
        if not spec.classes:
            raise DataError(f"{choice.slot.model} gives no scores of classes", fix="use :predict")
        return self._judged(request, choice, lambda answer: classes_of(answer, spec))

    def regress(self, request: Request) -> Asked:
        choice = self._choice(request)
        if choice.slot.loaded.spec.classes:
            raise DataError(f"{choice.slot.model} answers with classes", fix="use :classify")
        return self._judged(request, choice, numbers_of)

    def _judged(self, request: Request, choice: Choice, judge: Callable[[Answer], Any]) -> Asked:
        body = plain(request, self.service.max_body)
        rows = choice.slot.decoder.json(examples_of(body))

        def write(answer: Answer) -> Response:
            try:
                said = _encode({"result": judge(answer)})
            except DataError as error:
                return Response(400, failure(400, str(error)), headers=named(answer))
            return folded(request, Response(200, said, headers=named(answer)))

        return Asked(choice, rows, write)

    def status(self, request: Request) -> Response:
        group, version = self._group(request)
        versions = sorted(group.slots, reverse=True) if version is None else [version]
        said = _encode(_status(self.service, request.params["model"], versions))
        return Response(200 if self.service.ready else 503, said)

    def metadata(self, request: Request) -> Chore:
        group, version = self._group(request)
        one = group.slots[group.plan.arms[0].version if version is None else version]
        return Chore(lambda: Response(200, _encode(_metadata(one, self.signatures))))

    def _choice(self, request: Request) -> Choice:
        model = request.params["model"]
        version = self._group(request)[1]
        return choose(self.service.engine, request, model, "" if version is None else str(version))

    def _group(self, request: Request) -> tuple[Group, int | None]:
        """The model that a path names, and the version by number or label; None: by neither."""
        model, params = request.params["model"], request.params
        group = self.service.engine.table.find(model)
        if "label" in params:
            return group, labelled(group, params["label"])
        text = params.get("version")
        if text is None:
            return group, None
        version = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if version not in group.slots:
            raise ModelNotFound(f"Servable not found for request: Specific({model}, {text[:20]})")
        return group, version


def failure(_code: int, message: str) -> bytes:
    """An error's body."""
    return _encode({"error": message})


def instances_of(body: bytes, *, records: bool = False) -> tuple[str, bytes]:
    """Which form a predict request has, and the same as MLflow's form of that name.

    >>> instances_of(b'{"signature_name": "serving_default", "instances": [[1.0]]}')
    ('instances', b'{"instances":[[1.0]]}')

    Args:
        body: JSON.
        records: instances that are objects become `dataframe_records`, which is the same to a
            model of columns, and is read faster.

    Raises:
        DataError: it is of neither form, or of both.
    """
    asked = parsed(_PREDICT, body)
    _check_signature(asked.signature_name)
    given = [form for form in ("instances", "inputs") if getattr(asked, form)]
    if len(given) != 1:
        raise DataError(
            f"the body has {' and '.join(given) or 'neither instances nor inputs'}",
            fix='send {"instances": [row, …]} or {"inputs": {column: values, …}}',
        )
    raw = bytes(getattr(asked, given[0]))
    if asked.params or body.count(b":") - raw.count(b":") != 1 + bool(asked.signature_name):
        refuse_duplicates(body)
    more = b',"params":%b' % bytes(asked.params) if asked.params else b""
    name = given[0].encode()
    if records and name == b"instances" and raw.startswith(b"[{"):
        name = b"dataframe_records"
    return given[0], b'{"%b":%b%b}' % (name, raw, more)


def examples_of(body: bytes) -> bytes:
    """A classify or regress request as MLflow's `dataframe_records`.

    A feature's value may be a list of one; what stands in `context` goes for each example.

    >>> examples_of(b'{"context": {"plan": "pro"}, "examples": [{"age": [31]}]}')
    b'{"dataframe_records":[{"plan":"pro","age":31}]}'

    Raises:
        DataError: it is no such request.
    """
    refuse_duplicates(body)
    asked = parsed(_EXAMPLES, body)
    _check_signature(asked.signature_name)
    records = [
        {
            name: value[0] if isinstance(value, list) and len(value) == 1 else value
            for name, value in {**(asked.context or {}), **example}.items()
        }
        for example in asked.examples
    ]
    return _encode({"dataframe_records": records})


def _check_signature(name: str) -> None:
    if name not in ("", SIGNATURE):
        raise DataError(
            f"the signature {name[:100]!r} is not there", fix=f"leave it out, or send {SIGNATURE}"
        )


def labelled(group: Group, label: str) -> int:
    """The version that a label stands for.

    Raises:
        Refused: 400, as TensorFlow Serving, when it stands for none.
    """
    alias = LABELS.get(label, label)
    for name in (label, alias):
        for arm in group.plan.arms:
            if arm.name == name:
                return arm.version
    for version, one in group.slots.items():
        if one.loaded.version and alias in one.loaded.version.aliases:
            return version
    raise Refused(400, f"Unrecognized servable version label: {label[:100]}")


def classes_of(answer: Answer, spec: ModelSpec) -> list[list[tuple[str, float]]]:
    """Each row's classes with their scores, in the order of the specification.

    Raises:
        DataError: the model gives no scores.
    """
    scores = answer.output.scores
    if scores is None:
        raise DataError(f"{answer.model} gives no scores", fix="use :predict")
    names = [label if isinstance(label, str) else _encode(label).decode() for label in spec.classes]
    return [list(zip(names, row, strict=True)) for row in scores.tolist()]


def numbers_of(answer: Answer) -> list[float]:
    """Each row's number.

    Raises:
        DataError: the model answers something else.
    """
    prediction = answer.output.prediction
    if prediction.ndim != 1 or prediction.dtype.kind not in "iuf":
        raise DataError(f"{answer.model} answers with no number", fix="use :predict")
    found: list[float] = prediction.tolist()
    return found


def _status(service: Service, model: str, versions: list[int]) -> dict[str, Any]:
    """TensorFlow Serving's status and KServe's readiness in one."""
    state = "UNLOADING" if service.draining else "AVAILABLE"
    return {
        "name": model,
        "ready": service.ready,
        "model_version_status": [
            {
                "version": str(version),
                "state": state,
                "status": {"error_code": "OK", "error_message": ""},
            }
            for version in versions
        ],
    }


def _metadata(one: Slot, signatures: Signatures) -> dict[str, Any]:
    signature = signatures.of(one)
    defined = {
        "inputs": {part.name: _tensor(part) for part in signature.inputs},
        "outputs": {part.name: _tensor(part) for part in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": one.model, "signature_name": "", "version": str(one.version)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: defined}}},
    }


def _tensor(part: Part) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in part.shape]
    return {
        "dtype": DTYPES.get(part.datatype, f"DT_{part.datatype}"),
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": part.name,
    }
