"""TensorFlow Serving as calls: `PredictionService` and `ModelService`.

>>> request = message("tensorflow.serving.PredictRequest")()
>>> request.model_spec.version_label = "stable"
>>> request.model_spec.WhichOneof("version_choice")
'version_label'

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/apis/prediction_service.proto
The answer's `model_spec` says which version answered. A version label is an alias of the registry;
`stable` is the champion and `canary` the challenger. Classify and Regress take Examples.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import ModelSpec
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer
from lifecycle.serve.protocols.inputs import rows_of
from lifecycle.serve.protocols.signatures import Signatures
from lifecycle.serve.protocols.tensors import outputs_of, shown
from lifecycle.serve.protocols.tfserving import SIGNATURE, classes_of, labelled, numbers_of
from lifecycle.serve.rpc.answered import Asked, Chore, Handler
from lifecycle.serve.rpc.messages import message
from lifecycle.serve.rpc.tensorprotos import TYPES, of_examples, tensor, to_proto
from lifecycle.serve.slots import Slot
from lifecycle.serve.wire import Refused, Request, Service, choose

METHOD = "tensorflow/serving/predict"
AVAILABLE, UNLOADING = 30, 40  # ModelVersionStatus.State


def handlers(service: Service) -> dict[str, Handler]:
    """What answers each method of PredictionService."""
    signatures = Signatures()

    def predict(asked: Any, request: Request) -> Asked:
        choice = chosen(service, request, asked.model_spec)
        given = [tensor(name, asked.inputs[name]) for name in sorted(asked.inputs)]
        rows = rows_of(choice.slot.decoder, given)
        return Asked(choice, rows, partial(predicted, list(asked.output_filter)))

    def classify(asked: Any, request: Request) -> Asked:
        choice = chosen(service, request, asked.model_spec)
        spec = choice.slot.loaded.spec
        if not spec.classes:
            raise DataError(f"{choice.slot.model} gives no scores of classes", fix="use Predict")
        return judged(asked, choice, partial(classified, spec))

    def regress(asked: Any, request: Request) -> Asked:
        choice = chosen(service, request, asked.model_spec)
        if choice.slot.loaded.spec.classes:
            raise DataError(f"{choice.slot.model} answers with classes", fix="use Classify")
        return judged(asked, choice, regressed)

    def judged(asked: Any, choice: Choice, write: Callable[[Answer], Any]) -> Asked:
        given = of_examples(asked.input, choice.slot.loaded.spec)
        return Asked(choice, rows_of(choice.slot.decoder, given), write)

    def metadata(asked: Any, request: Request) -> Chore:
        fields = list(asked.metadata_field)
        if fields != ["signature_def"]:
            said = ", ".join(map(shown, fields[:5])) or "empty"
            raise DataError(f"metadata_field is {said}", fix="send 'signature_def'")
        spec, table = asked.model_spec, service.engine.table
        group = table.find(spec.name or table.first)
        one = group.slots[group.plan.arms[0].version]  # of several arms the first is described
        if spec.WhichOneof("version_choice"):
            one = chosen(service, request, spec).slot
        return Chore(partial(described, one, signatures))

    return {
        "Predict": predict,
        "Classify": classify,
        "Regress": regress,
        "GetModelMetadata": metadata,
    }


def statuses(service: Service) -> dict[str, Handler]:
    """What answers each method of ModelService."""

    def status(asked: Any, request: Request) -> Any:
        spec = asked.model_spec
        if spec.WhichOneof("version_choice"):
            versions = [chosen(service, request, spec).slot.version]
        else:
            table = service.engine.table
            versions = sorted(table.find(spec.name or table.first).slots, reverse=True)
        made = message("tensorflow.serving.GetModelStatusResponse")()
        for version in versions:
            state = UNLOADING if service.draining else AVAILABLE
            one = made.model_version_status.add(version=version, state=state)
            one.status.SetInParent()  # its code is 0, which is OK
        return made

    return {"GetModelStatus": status}


def chosen(service: Service, request: Request, spec: Any) -> Choice:
    """Who answers a call.

    Args:
        service: knows who serves.
        request: the call, for its routing key.
        spec: the call's model_spec.

    Raises:
        DataError: another signature is asked for than the one there is.
        Refused: the label stands for no version.
        ModelNotFound: the model or version is not served.
    """
    if spec.signature_name not in ("", SIGNATURE):
        raise DataError(
            f"the signature {shown(spec.signature_name)} is not there",
            fix=f"leave it out, or send {SIGNATURE}",
        )
    kind, version = spec.WhichOneof("version_choice"), ""
    if kind == "version_label":
        table = service.engine.table
        version = str(labelled(table.find(spec.name or table.first), spec.version_label))
    elif kind == "version":
        if not 0 <= spec.version.value < 10**9:
            raise ModelNotFound(f"version {spec.version.value} is not served")
        version = str(spec.version.value)
    return choose(service.engine, request, spec.name, version)


def predicted(names: Sequence[str], answer: Answer) -> Any:
    """The PredictResponse: the outputs of the filter, all where it is empty.

    Raises:
        Refused: the filter has one that the model does not give.
    """
    found = {one.name: one for one in outputs_of(answer)}
    for name in names:
        if name not in found:
            given = ", ".join(found)
            raise Refused(400, f"output_filter: there is no {shown(name)}; there are: {given}")
    made = message("tensorflow.serving.PredictResponse")()
    for name in names or found:
        made.outputs[name].CopyFrom(to_proto(found[name]))
    return _signed(made, answer)


def classified(spec: ModelSpec, answer: Answer) -> Any:
    """The ClassificationResponse: each class with its probability, in the classes' order.

    Raises:
        DataError: the model gives no probabilities.
    """
    made = message("tensorflow.serving.ClassificationResponse")()
    for row in classes_of(answer, spec):
        found = made.result.classifications.add()
        for label, score in row:
            found.classes.add(label=label, score=score)
    return _signed(made, answer)


def regressed(answer: Answer) -> Any:
    """The RegressionResponse.

    Raises:
        DataError: the model answers something other than one number a row.
    """
    made = message("tensorflow.serving.RegressionResponse")()
    for value in numbers_of(answer):
        made.result.regressions.add(value=value)
    return _signed(made, answer)


def described(one: Slot, signatures: Signatures) -> Any:
    """The GetModelMetadataResponse of a version; asks the model once, see Signatures."""
    signature = signatures.of(one)
    defined = message("tensorflow.serving.SignatureDefMap")()
    made = defined.signature_def[SIGNATURE]
    made.method_name = METHOD
    for parts, target in ((signature.inputs, made.inputs), (signature.outputs, made.outputs)):
        for part in parts:
            info = target[part.name]
            info.name, info.dtype = part.name, TYPES[part.datatype][0]
            for size in part.shape:
                info.tensor_shape.dim.add(size=size)
    response = message("tensorflow.serving.GetModelMetadataResponse")()
    response.model_spec.name = one.model
    response.model_spec.version.value = one.version
    response.metadata["signature_def"].Pack(defined)
    return response


def _signed(made: Any, answer: Answer) -> Any:
    """Say which version answered."""
    made.model_spec.name = answer.model
    made.model_spec.version.value = answer.version
    made.model_spec.signature_name = SIGNATURE
    return made
