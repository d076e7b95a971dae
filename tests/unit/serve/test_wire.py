import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError, ModelNotFound
from lifecycle.records import Arm, Plan
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import (
    Refused,
    Request,
    Response,
    Route,
    Routes,
    Service,
    choose,
    named,
    status,
)


def said(text):
    return lambda _request: Response(200, text)


def failure(code, message):
    return f"{code} {message}".encode()


def other(code, _message):
    return b"other %d" % code


ROUTES = Routes(
    [
        Route("POST", "/invocations", said(b"invocations"), failure),
        Route("GET", "/ping", said(b"ping"), failure),
        Route("GET", "/v2/models/{model}", said(b"model"), other),
        Route("POST", "/v2/models/{model}/infer", said(b"infer"), other),
        Route("POST", "/v2/models/{model}/versions/{version}/infer", said(b"of version"), other),
        Route("POST", "/v1/models/{model}:predict", said(b"predict"), other),
        Route("GET", "/v1/models/{model}", said(b"status"), other),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "body", "params"),
    [
        ("POST", "/invocations", b"invocations", {}),
        ("GET", "/ping", b"ping", {}),
        ("HEAD", "/ping", b"ping", {}),
        ("GET", "/v2/models/churn", b"model", {"model": "churn"}),
        ("POST", "/v2/models/churn/infer", b"infer", {"model": "churn"}),
        (
            "POST",
            "/v2/models/a b/versions/7/infer",
            b"of version",
            {"model": "a b", "version": "7"},
        ),
        ("POST", "/v1/models/churn:predict", b"predict", {"model": "churn"}),
        ("GET", "/v1/models/churn", b"status", {"model": "churn"}),
    ],
)
def test_a_route_is_found_with_what_its_names_stand_for(method, path, body, params):
    route, found = ROUTES.find(method, path)
    assert (route.handler(Request(method, path)).body, found) == (body, params)
    assert ROUTES.known(path).failure is route.failure


@pytest.mark.parametrize(
    "path", ["/", "", "/nothing", "/v2/models/", "/v2/models/a/b/infer", "/ping/", "/v1/models/a:x"]
)
def test_a_path_that_is_not_there(path):
    with pytest.raises(Refused) as caught:
        ROUTES.find("GET", path)
    assert caught.value.status == 404
    assert ROUTES.known(path) is None


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [("GET", "/invocations", "POST"), ("PUT", "/v2/models/churn", "GET"), ("HEAD", "", "")],
)
def test_a_method_that_a_path_does_not_take(method, path, takes):
    with pytest.raises(Refused) as caught:
        ROUTES.find(method, path)
    if takes:
        assert caught.value.status == 405
        assert str(caught.value).endswith(f" takes {takes}")


def test_params_of_one_request_are_not_anothers():
    first = ROUTES.find("GET", "/v2/models/churn")[1]
    first["model"] = "changed"
    assert ROUTES.find("GET", "/v2/models/churn")[1] == {"model": "churn"}


@given(path=st.text(max_size=30).map(lambda text: f"/{text}"), method=st.sampled_from(["GET", "X"]))
@settings(max_examples=100, deadline=None)
def test_any_path_is_found_or_refused(path, method):
    try:
        route, _ = ROUTES.find(method, path)
    except Refused as error:
        assert error.status in {404, 405}  # noqa: PT017
    else:
        assert route.method == "GET"


def test_a_header_as_text():
    request = Request("GET", "/", headers={b"x-model": "é".encode(), b"odd": b"\xff"})
    assert request.text(b"x-model") == "é"
    assert request.text(b"odd") == "\ufffd"
    assert request.text(b"x-routing-key") == ""


def with_headers(**headers):
    raw = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Request("POST", "/", headers=raw)


@pytest.fixture
def two(make_slot):
    """An engine with two arms of churn and one version of late."""
    plan = Plan("churn", (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0)), salt="r")
    table = SlotTable().with_group(plan, {7: make_slot(7), 8: make_slot(8)})
    return Engine(table.with_only(make_slot(3, name="late")), secret=b"s" * 32)


def test_who_answers_is_chosen_by_path_then_by_headers(two):
    asked = with_headers(x_model="late", x_model_version="3")
    assert choose(two, with_headers()).slot.version == 7
    assert choose(two, asked).slot.model == "late"
    assert choose(two, asked, model="churn", version="8").slot.version == 8
    keyed = choose(two, with_headers(x_routing_key="k1"))
    assert (keyed.key, keyed.arm.name) == ("k1", "champion")
    assert choose(two, with_headers(x_model_version="8")).arm.name == "asked"


@pytest.mark.parametrize("version", ["seven", "-7", "7.0", "\u0667", "7" * 10, " 7", "0x7"])
def test_a_version_that_is_no_number(two, version):
    with pytest.raises(Refused, match="X-Model-Version") as caught:
        choose(two, with_headers(x_model_version=version))
    assert caught.value.status == 400


def test_a_model_or_version_that_is_not_served(two):
    for headers in ({"x_model": "other"}, {"x_model_version": "9"}):
        with pytest.raises(ModelNotFound) as caught:
            choose(two, with_headers(**headers))
        assert status(caught.value) == 404
    assert status(LogError("full")) == 503


def test_an_answer_says_who_made_it(two, make_slot):
    rows = make_slot().decoder.json(b'{"inputs": {"age": 50, "plan": "x"}}')
    answer = two.answer("churn", rows)
    assert named(answer) == (
        (b"x-model-version", b"7"),
        (b"x-model-arm", b"champion"),
        (b"x-prediction-id", answer.id.encode()),
    )


def test_a_service_is_ready_with_a_model_until_it_drains(two):
    service = Service(two)
    assert service.ready
    service.draining = True
    assert not service.ready
    assert not Service(Engine(SlotTable(), secret=b"s" * 32)).ready
