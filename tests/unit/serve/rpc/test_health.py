"""The standard health service, and what load balancers may ask without a key."""

import threading

import grpc
import pytest

from lifecycle.serve.engine import Engine
from lifecycle.serve.rpc.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, said
from lifecycle.serve.rpc.messages import SERVICES, message
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import Service

HEALTH = "grpc.health.v1.Health"


def asked(name=""):
    return message("grpc.health.v1.HealthCheckRequest")(service=name)


@pytest.mark.parametrize("name", ["", "churn", *SERVICES])
def test_the_server_its_services_and_models_are_healthy(rpc, name):
    assert rpc.call(HEALTH, "Check", asked(name)).status == SERVING
    rpc.service.draining = True
    assert rpc.call(HEALTH, "Check", asked(name)).status == NOT_SERVING


def test_an_unknown_service_is_not_found(rpc):
    code, details = rpc.refused(HEALTH, "Check", asked("churm"))
    assert (code, "'churm'" in details) == ("NOT_FOUND", True)
    stream = rpc.stub(HEALTH, "Watch")(asked("churm"), timeout=30)
    assert next(stream).status == SERVICE_UNKNOWN
    stream.cancel()


def test_without_models_nothing_is_healthy():
    empty = Service(Engine(SlotTable(), secret=b"s"))
    assert said(empty, "") == NOT_SERVING
    assert said(empty, "churn") == SERVICE_UNKNOWN


def test_a_watch_tells_each_change_and_ends_with_the_server(rpc):
    stream = rpc.stub(HEALTH, "Watch")(asked(), timeout=30)
    assert next(stream).status == SERVING
    threading.Timer(0.3, setattr, (rpc.service, "draining", True)).start()
    assert [found.status for found in stream] == [NOT_SERVING]


def test_a_watch_of_a_client_that_goes_does_no_harm(rpc):
    stream = rpc.stub(HEALTH, "Watch")(asked(), timeout=0.5)
    assert next(stream).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code().name == "DEADLINE_EXCEEDED"
    assert rpc.call(HEALTH, "Check", asked()).status == SERVING
