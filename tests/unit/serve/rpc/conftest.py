"""A gRPC server and an HTTP listener on one loop in a thread, asked through real channels."""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from lifecycle.config import Config
from lifecycle.serve.app import App
from lifecycle.serve.batch import Limits
from lifecycle.serve.engine import Engine
from lifecycle.serve.http import Connection, Http
from lifecycle.serve.rpc.messages import message, methods
from lifecycle.serve.rpc.server import RpcServer
from lifecycle.serve.wire import Service

V2 = "inference.GRPCInferenceService"
TF = "tensorflow.serving.PredictionService"


class Asking:
    """A channel to the server: `call(service, method, request)` gives the answer's message."""

    def __init__(self, address: str, web: int, service: Service) -> None:
        self.address, self.web, self.service = address, web, service
        self.channel = grpc.insecure_channel(address)
        self.trailers: dict[str, str] = {}

    def stub(self, service: str, method: str) -> Any:
        """The callable of one method."""
        kind = methods(service)[method]
        make = self.channel.unary_stream if kind.server_streaming else self.channel.unary_unary
        return make(
            f"/{service}/{method}",
            request_serializer=lambda made: made if isinstance(made, bytes) else _written(made),
            response_deserializer=message(kind.output_type.full_name).FromString,
        )

    def call(self, service: str, method: str, request: Any, **options: Any) -> Any:
        """One call; raises grpc.RpcError."""
        answer, call = self.stub(service, method).with_call(request, **{"timeout": 30, **options})
        self.trailers = dict(call.trailing_metadata())
        return answer

    def v2(self, method: str, request: Any = None, **options: Any) -> Any:
        """A call of the Open Inference Protocol."""
        name = methods(V2)[method].input_type.full_name
        return self.call(V2, method, message(name)() if request is None else request, **options)

    def tf(self, method: str, request: Any, **options: Any) -> Any:
        """A call of TensorFlow Serving's."""
        return self.call(TF, method, request, **options)

    def refused(self, service: str, method: str, request: Any, **options: Any) -> tuple[str, str]:
        """The status and the details of a call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(service, method, request, **options)
        self.trailers = dict(caught.value.trailing_metadata() or ())
        return caught.value.code().name, caught.value.details()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The same question over HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=30)
        try:
            head = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), head)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def _written(made: Any) -> bytes:
    data: bytes = made.SerializeToString()
    return data


@contextmanager
def running(
    engine: Engine,
    *,
    guard: Any = None,
    limits: Limits | None = None,
    receive: float = 5.0,
    age: float = 300.0,
    **values: Any,
) -> Iterator[Asking]:
    config = Config().with_values(**{f"serve__{key}": value for key, value in values.items()})
    service = Service(engine)
    up, told = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        app = App(service, guard=guard, limits=limits)
        web = Http(app.handle)
        server = await loop.create_server(lambda: Connection(web), "127.0.0.1", 0)
        rpc = RpcServer(app, config, "127.0.0.1", age=age)
        await rpc.start()
        found.update(address=rpc.address, web=server.sockets[0].getsockname()[1], rpc=rpc)
        up.set()
        while not told.is_set():
            await asyncio.sleep(0.01)
        service.draining = True
        server.close()
        await rpc.stop(300, receive=receive)
        web.abort()
        app.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert up.wait(30)
    asking = Asking(found["address"], found["web"], service)
    asking.rpc, asking.told = found["rpc"], told
    try:
        yield asking
    finally:
        asking.channel.close()
        told.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def rpc(engine: Engine) -> Iterator[Asking]:
    """A server of version 7 of churn, see the fixtures one folder up."""
    with running(engine) as asking:
        yield asking


@pytest.fixture
def serving_rpc() -> Callable[..., Any]:
    """`with serving_rpc(engine, guard=…, max_body_mb=…) as asking`."""
    return running


@pytest.fixture(scope="module")
def serve_many() -> Callable[..., Any]:
    """The same for a server that a whole file asks."""
    return running


def infer_request(columns: dict[str, tuple[str, Any]], *, raw: bool = False, **fields: Any) -> Any:
    """A ModelInferRequest of columns, `{"age": ("FP64", [31.0])}`."""
    from lifecycle.serve.protocols.tensors import of_values, to_raw
    from lifecycle.serve.rpc.inference import CONTENTS

    request = message("inference.ModelInferRequest")(**fields)
    for name, (datatype, values) in columns.items():
        item = request.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        if raw:
            one = of_values(name, datatype, (len(values),), values)
            request.raw_input_contents.append(to_raw(one))
        else:
            getattr(item.contents, CONTENTS[datatype]).extend(values)
    return request


@pytest.fixture
def make_infer() -> Callable[..., Any]:
    """`make_infer({"age": ("FP64", [31.0])}, raw=…, model_name=…)`."""
    return infer_request


def predict_request(columns: dict[str, tuple[str, Any]], **spec: Any) -> Any:
    """A PredictRequest of columns, `{"age": ("FP64", [31.0])}`."""
    from lifecycle.serve.rpc.tensorprotos import TYPES

    request = message("tensorflow.serving.PredictRequest")()
    for name, (datatype, values) in columns.items():
        number, field = TYPES[datatype]
        request.inputs[name].dtype = number
        request.inputs[name].tensor_shape.dim.add(size=len(values))
        getattr(request.inputs[name], field).extend(values)
    fill_spec(request.model_spec, **spec)
    return request


def fill_spec(spec: Any, *, version: int | None = None, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(spec, name, value)
    if version is not None:
        spec.version.value = version


@pytest.fixture
def make_predict() -> Callable[..., Any]:
    """`make_predict({"age": ("FP64", [31.0])}, name=…, version=…, version_label=…)`."""
    return predict_request
