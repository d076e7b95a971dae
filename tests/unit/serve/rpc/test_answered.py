"""Refusals, keys, deadlines, limits and the loop that calls and requests share."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError, LogError, ModelNotFound
from lifecycle.models.predicting import Output
from lifecycle.serve.batch import Limits
from lifecycle.serve.engine import Engine
from lifecycle.serve.rpc.answered import CODES, DETAILS, headers, metadata
from lifecycle.serve.rpc.messages import message
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import Refused
from lifecycle.stores.predictions import PredictionLog

V2 = "inference.GRPCInferenceService"
TF = "tensorflow.serving.PredictionService"
TWO = {"age": ("FP64", [31.0, 60.0]), "plan": ("BYTES", [b"pro", b"basic"])}


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (Refused(429, "too often"), "RESOURCE_EXHAUSTED", "too often"),
        (DataError("no rows"), "INVALID_ARGUMENT", "no rows"),
        (DataError("it is in /secret/path"), "INVALID_ARGUMENT", "it is in …"),
        (ModelNotFound("no such model"), "NOT_FOUND", "no such model"),
        (LogError("disk full", where="/secret"), "UNAVAILABLE", "nothing can be stored now"),
        (Refused(504, "too late"), "DEADLINE_EXCEEDED", "too late"),
        (Refused(503, "too many"), "UNAVAILABLE", "too many"),
        (Refused(418, "teapot"), "UNKNOWN", "teapot"),
        (ZeroDivisionError("/secret/path"), "INTERNAL", "an error of the server"),
        (DataError("x" * 10_000), "INVALID_ARGUMENT", "x" * 100),
    ],
)
def test_each_error_has_a_status_and_tells_nothing_of_the_inside(rpc, error, code, told):
    def guard(_request):
        raise error

    rpc.rpc.answers.app.guard = guard
    found, details = rpc.refused(V2, "ServerMetadata", b"")
    assert found == code
    assert told in details
    assert "secret" not in details
    assert len(details) <= DETAILS + 1
    inside = code in {"INTERNAL", "UNAVAILABLE"} and not isinstance(error, Refused)
    assert ("x-error-id" in rpc.trailers) == inside
    if inside:
        assert rpc.trailers["x-error-id"] in details


def test_every_status_is_one_of_grpc():
    assert all(hasattr(grpc.StatusCode, name) for name in CODES.values())


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x-a", "X-A", "b-bin"]), TEXT), max_size=6))
def test_metadata_becomes_headers(pairs):
    found = headers(pairs)
    for name in {name.lower() for name, _ in pairs}:
        values = [value for key, value in pairs if key.lower() == name]
        assert found[name.encode()].decode() == ", ".join(values)


def test_what_metadata_cannot_hold_is_left_out():
    assert metadata(((b"a", b"x\n"), (b"b", "é".encode()), (b"c", b"ok"))) == (("c", "ok"),)


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0fabc", b"hello"])
def test_a_body_that_is_no_message_is_refused(rpc, make_infer, body):
    code, details = rpc.refused(V2, "ModelInfer", body)
    assert (code, details.partition(" no ")[2]) == (
        "INVALID_ARGUMENT", "inference.ModelInferRequest",
    )  # fmt: skip
    assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


@settings(max_examples=30, deadline=None)
@given(body=st.binary(max_size=60))
def test_no_bytes_are_an_error_of_the_server(shared_rpc, body):
    for service, method in ((V2, "ModelInfer"), (TF, "Predict"), (TF, "Classify")):
        code, _ = shared_rpc.refused(service, method, body)
        assert code in {"INVALID_ARGUMENT", "NOT_FOUND"}


@pytest.fixture(scope="module")
def shared_rpc(one_slot, serve_many):
    with serve_many(Engine(SlotTable().with_only(one_slot), secret=b"s")) as asking:
        yield asking


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/a.B/C"])
def test_what_is_not_there_is_unimplemented(rpc, path):
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.unary_unary(path)(b"", timeout=10)
    assert caught.value.code().name == "UNIMPLEMENTED"


def test_a_model_that_raises_is_internal_and_names_the_log(rpc, make_infer):
    broken = {"age": ("FP64", [99.0]), "plan": ("BYTES", [b"a"])}
    code, details = rpc.refused(V2, "ModelInfer", make_infer(broken))
    assert code == "INTERNAL"
    assert "secret" not in details
    assert rpc.trailers["x-prediction-id"] in details


def test_refusals_are_counted_as_those_of_http(rpc, make_infer):
    rpc.refused(V2, "ModelInfer", make_infer(TWO, model_name="churm"))
    rpc.v2("ModelInfer", make_infer(TWO))
    refused = rpc.service.engine.figures.refused
    assert refused[f"/{V2}/ModelInfer", 404] == 1


def test_the_routing_key_and_the_version_come_as_metadata(rpc, make_infer, tmp_path):
    rpc.v2("ModelInfer", make_infer(TWO), metadata=(("x-routing-key", "c7"),))
    code, details = rpc.refused(
        V2, "ModelInfer", make_infer(TWO), metadata=(("x-model-version", "8"),)
    )
    assert (code, "8" in details) == ("NOT_FOUND", True)
    rpc.service.engine.writer.close()
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["c7", "c7"]


@pytest.mark.parametrize("method", ["ModelInfer", "ServerLive"])
def test_a_request_id_comes_back(rpc, make_infer, method):
    request = make_infer(TWO) if method == "ModelInfer" else b""
    rpc.v2(method, request, metadata=(("x-request-id", "r-17"),))
    assert rpc.trailers["x-request-id"] == "r-17"
    rpc.v2(method, request, metadata=(("x-request-id", "r" * 200),))
    assert "x-request-id" not in rpc.trailers


def test_an_error_carries_the_request_id_too(rpc):
    rpc.refused(V2, "ModelInfer", b"hello", metadata=(("x-request-id", "r-18"),))
    assert rpc.trailers["x-request-id"] == "r-18"


def guard(request):
    """A key for everything; `often` asked too often."""
    key = request.headers.get(b"x-api-key") or request.headers.get(b"authorization", b"")[7:]
    if key == b"often":
        raise Refused(429, "too often", headers=((b"retry-after", b"3"),))
    if key != b"good":
        raise Refused(401, "send an API key", headers=((b"www-authenticate", b"Bearer"),))


def test_keys_come_as_metadata(engine, serving_rpc, make_infer):
    request = make_infer(TWO)
    with serving_rpc(engine, guard=guard) as rpc:
        assert rpc.refused(V2, "ModelInfer", request) == ("UNAUTHENTICATED", "send an API key")
        assert rpc.trailers["www-authenticate"] == "Bearer"
        assert rpc.refused(TF, "Predict", b"")[0] == "UNAUTHENTICATED"
        often = rpc.refused(V2, "ModelInfer", request, metadata=(("x-api-key", "often"),))
        assert often == ("RESOURCE_EXHAUSTED", "too often")
        assert rpc.trailers["retry-after"] == "3"
        for key in (("x-api-key", "good"), ("authorization", "Bearer good")):
            assert rpc.v2("ModelInfer", request, metadata=(key,)).model_name == "churn"


def test_health_needs_no_key(engine, serving_rpc):
    with serving_rpc(engine, guard=guard) as rpc:
        assert rpc.v2("ServerLive").live
        assert rpc.v2("ServerReady").ready
        check = message("grpc.health.v1.HealthCheckRequest")()
        assert rpc.call("grpc.health.v1.Health", "Check", check).status == 1
        assert rpc.refused(V2, "ServerMetadata", b"")[0] == "UNAUTHENTICATED"


def test_a_message_beyond_the_limit_is_refused_unread(engine, serving_rpc, make_infer):
    large = {"age": ("FP64", [31.0] * 150_000), "plan": ("BYTES", [b"a"] * 150_000)}
    with serving_rpc(engine, max_body_mb=1) as rpc:
        for compression in (None, grpc.Compression.Gzip):
            request = make_infer(large, raw=True)
            code, details = rpc.refused(V2, "ModelInfer", request, compression=compression)
            assert (code, "larger than max" in details) == ("RESOURCE_EXHAUSTED", True)
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_packed_message_is_read(rpc, make_infer, compression):
    answer = rpc.v2("ModelInfer", make_infer(TWO), compression=compression)
    assert list(answer.outputs[0].contents.bytes_contents) == [b"no", b"yes"]


def test_a_long_message_is_read_in_a_thread(rpc, make_infer):
    rows = 5000
    many = {"age": ("FP64", [31.0, 60.0] * rows), "plan": ("BYTES", [b"a"] * 2 * rows)}
    answer = rpc.v2("ModelInfer", make_infer(many))
    assert list(answer.outputs[0].contents.bytes_contents) == [b"no", b"yes"] * rows
    many["age"] = ("FP64", [31.0, float("nan")] * rows)
    assert rpc.refused(V2, "ModelInfer", make_infer(many))[0] == "INVALID_ARGUMENT"


@pytest.fixture
def slow(make_slot):
    """An engine whose model waits for `gate`, and says in `asked` that it was asked."""
    gate, asked = threading.Event(), threading.Event()

    def answer(columns):
        asked.set()
        gate.wait(20)
        time.sleep(0.002)
        return Output(np.full(len(columns["age"]), "no", dtype=object))

    engine = Engine(SlotTable().with_only(make_slot(7, answer)), secret=b"s")
    yield engine, gate, asked
    gate.set()


def known_as_slow(rpc, gate, asked, make_infer):
    """Ask so often that the model is known to be slow, and asked in a thread; then it waits."""
    gate.set()
    for _ in range(3):
        rpc.v2("ModelInfer", make_infer(TWO))
    gate.clear()
    asked.clear()


def test_a_deadline_ends_the_call_and_harms_no_other(slow, serving_rpc, make_infer):
    engine, gate, asked = slow
    with serving_rpc(engine) as rpc:
        known_as_slow(rpc, gate, asked, make_infer)
        code, _ = rpc.refused(V2, "ModelInfer", make_infer(TWO), timeout=0.3)
        assert code == "DEADLINE_EXCEEDED"
        assert asked.is_set()
        assert rpc.v2("ServerLive").live  # while the model is still at it
        gate.set()
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


def test_a_full_queue_is_unavailable_and_the_time_limit_a_deadline(slow, serving_rpc, make_infer):
    engine, gate, asked = slow
    with serving_rpc(engine, limits=Limits(queue=1, seconds=1.5)) as rpc:
        known_as_slow(rpc, gate, asked, make_infer)
        calls = [rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30)]
        assert asked.wait(10)
        calls += [rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30) for _ in range(4)]
        codes = [call.exception(30).code().name for call in calls]
        assert codes[0] == "DEADLINE_EXCEEDED"  # it was being predicted
        assert sorted(codes[1:]) == ["DEADLINE_EXCEEDED", *["UNAVAILABLE"] * 3]
        gate.set()
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


def test_calls_that_come_together_are_predicted_together(slow, serving_rpc, make_infer):
    engine, gate, asked = slow
    with serving_rpc(engine) as rpc:
        known_as_slow(rpc, gate, asked, make_infer)
        calls = [rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30)]
        assert asked.wait(10)
        calls += [rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30) for _ in range(8)]
        # one that the model's columns do not take harms none of them
        code, _ = rpc.refused(V2, "ModelInfer", make_infer({"age": ("FP64", [1.0])}))
        gate.set()
        found = [call.result(30) for call in calls]
        assert code == "INVALID_ARGUMENT"
        assert len({answer.id for answer in found}) == 9


def test_a_cancelled_call_harms_no_other(slow, serving_rpc, make_infer):
    engine, gate, asked = slow
    with serving_rpc(engine) as rpc:
        known_as_slow(rpc, gate, asked, make_infer)
        call = rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30)
        assert asked.wait(10)
        call.cancel()
        gate.set()
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


def test_stopping_answers_what_is_in_flight(slow, serving_rpc, make_infer):
    engine, gate, asked = slow
    with serving_rpc(engine) as rpc:
        known_as_slow(rpc, gate, asked, make_infer)
        call = rpc.stub(V2, "ModelInfer").future(make_infer(TWO), timeout=30)
        assert asked.wait(10)
        rpc.told.set()
        threading.Timer(0.3, gate.set).start()
        assert call.result(20).model_name == "churn"


def test_traces_follow_calls_as_they_follow_requests(rpc, make_infer):
    told = []

    def trace(request, reply):
        def end(response):
            told.append((request.method, request.path, response.status, dict(response.headers)))
            reply(response)

        return end

    rpc.rpc.answers.app.trace = trace
    answer = rpc.v2("ModelInfer", make_infer(TWO))
    rpc.refused(V2, "ModelInfer", make_infer(TWO, model_name="churm"))
    rpc.v2("ServerLive")  # the two before have ended by now
    path = f"/{V2}/ModelInfer"
    assert [item[:3] for item in told[:2]] == [("POST", path, 200), ("POST", path, 404)]
    assert told[0][3][b"x-prediction-id"].decode() == answer.id


def test_a_message_that_never_comes_holds_up_nothing(engine, serving_rpc, make_infer):
    gate = threading.Event()

    def never():
        gate.wait(90)
        yield from ()

    with serving_rpc(engine, receive=0.2) as rpc:
        call = rpc.channel.stream_unary(f"/{V2}/ModelInfer").future(never())
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"
        rpc.told.set()  # the server waits minutes for calls that have come
        assert call.exception(60).code().name in {"CANCELLED", "UNAVAILABLE"}
        gate.set()


def test_a_message_that_never_comes_is_given_up(engine, serving_rpc, make_infer):
    gate = threading.Event()

    def never():
        gate.wait(90)
        yield from ()

    with serving_rpc(engine, age=0.3, timeout_seconds=0.5) as rpc:
        call = rpc.channel.stream_unary(f"/{V2}/ModelInfer").future(never())
        for _ in range(12):  # meanwhile connections are renewed, and no call of theirs fails
            assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"
            time.sleep(0.1)
        assert call.exception(60).code().name in {"CANCELLED", "UNAVAILABLE"}
        gate.set()
        assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


def test_a_busy_client_is_told_to_go_elsewhere(rpc, make_infer):
    """Until the server is gone it hears UNAVAILABLE, which clients try again, and nothing else."""
    rpc.v2("ModelInfer", make_infer(TWO))
    rpc.told.set()
    codes = set()
    for _ in range(2000):
        try:
            rpc.v2("ModelInfer", make_infer(TWO))
        except grpc.RpcError as error:
            codes.add((error.code().name, error.details()))
            break
    assert codes == {("UNAVAILABLE", "the server stops")}


def test_calls_and_requests_at_once_get_their_own_answers(rpc, make_infer, make_predict):
    ages = np.random.default_rng(3).uniform(18, 90, 90).round(3).tolist()

    def v2(age):
        asked = {"age": ("FP64", [age]), "plan": ("BYTES", [b"a"])}
        answer = rpc.v2("ModelInfer", make_infer(asked, id=str(age)))
        assert answer.id == str(age)
        return answer.outputs[0].contents.bytes_contents[0].decode()

    def tf(age):
        asked = {"age": ("FP64", [age]), "plan": ("BYTES", [b"a"])}
        return rpc.tf("Predict", make_predict(asked)).outputs["predictions"].string_val[0].decode()

    def http(age):
        return rpc.post("/invocations", {"inputs": {"age": [age], "plan": ["a"]}})[1][
            "predictions"
        ][0]

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit((v2, tf, http)[place % 3], age) for place, age in enumerate(ages)]
        found = [one.result(60) for one in asking]
    assert found == ["yes" if age > 40 else "no" for age in ages]


def test_nothing_is_busy_when_all_is_answered(rpc, make_infer):
    rpc.v2("ModelInfer", make_infer(TWO))
    rpc.refused(V2, "ModelInfer", b"hello")
    assert not rpc.rpc.quiet  # one was answered just now
    deadline = time.monotonic() + 20
    while not rpc.rpc.quiet and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rpc.rpc.quiet
    assert rpc.rpc.answers.busy == 0
