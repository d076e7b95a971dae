"""MLflow's webhooks: signed as MLflow's own code signs them, once, and not too late."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_TIMESTAMP_HEADER,
)
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import get_example_payload_for_event

from lifecycle.serve.hooks import DELIVERY, SECONDS, SIGNATURE, TIMESTAMP, Hooks, signed
from lifecycle.serve.wire import Refused

NOW = 1_790_000_000.0
SECRET = "s3cret-ä"


def event(entity="model_version_alias", action="created", **data):
    data = {"name": "churn", "alias": "champion", "version": "8", **data}
    tree = {"entity": entity, "action": action, "timestamp": "2026-01-01T00:00:00", "data": data}
    return json.dumps(tree).encode()


def delivered(body, *, delivery="d1", at=NOW, secret=SECRET):
    """The headers that MLflow's own code makes."""
    sent = str(int(at))
    mark = _generate_hmac_signature(secret, delivery, sent, body.decode())
    return {
        WEBHOOK_DELIVERY_ID_HEADER.lower().encode(): delivery.encode(),
        WEBHOOK_TIMESTAMP_HEADER.lower().encode(): sent.encode(),
        WEBHOOK_SIGNATURE_HEADER.lower().encode(): mark.encode(),
    }


@pytest.fixture
def heard():
    return []


@pytest.fixture
def hooks(heard):
    return Hooks(SECRET, models=["churn"], hurry=lambda: heard.append("look"))


def refused(hooks, headers, body, now=NOW):
    with pytest.raises(Refused) as caught:
        hooks.take(headers, body, now=now)
    return caught.value.status


@pytest.mark.parametrize("action", ["created", "deleted"])
def test_an_alias_of_a_served_model_asks_for_a_look(hooks, heard, action):
    body = event(action=action)
    assert hooks.take(delivered(body), body, now=NOW) is True
    assert heard == ["look"]


@pytest.mark.parametrize("action", ["set", "deleted"])
def test_a_rollout_that_moves_asks_for_a_look(hooks, heard, action):
    body = event("model_version_tag", action, key="lifecycle.rollout", value="running: step 1")
    assert hooks.take(delivered(body), body, now=NOW) is True
    assert heard == ["look"]


@pytest.mark.parametrize(
    "body",
    [
        event(name="other"),
        event("model_version_tag", "set", key="lifecycle.stage", value="staging"),
        event("model_version_tag", "set", key="lifecycle.rollout", name="other"),
        event(entity="model_version"),
        event(entity="registered_model"),
        event(entity="prompt_alias"),
        b'{"entity": "model_version_alias", "action": "created"}',
    ],
)
def test_other_events_are_taken_and_ask_for_nothing(hooks, heard, body):
    assert hooks.take(delivered(body), body, now=NOW) is False
    assert heard == []


@pytest.mark.parametrize(
    "name",
    ["registered_model.created", "model_version.created", "model_version_tag.set",
     "model_version_tag.deleted", "model_version_alias.created", "model_version_alias.deleted",
     "prompt_alias.created", "budget_policy.exceeded"],
)  # fmt: skip
def test_every_event_that_mlflow_sends_is_read(heard, name):
    one = WebhookEvent.from_str(name)
    data = get_example_payload_for_event(one)
    body = json.dumps({"entity": one.entity.value, "action": one.action.value, "data": data})
    hooks = Hooks(SECRET, models=["example_model"], hurry=lambda: heard.append("look"))
    taken = hooks.take(delivered(body.encode()), body.encode(), now=NOW)
    assert taken is name.startswith("model_version_alias")
    assert len(heard) == taken


@given(st.text(min_size=1), st.text(st.characters(codec="utf-8")), st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_we_sign_as_mlflow_does(secret, payload, at):
    secret = secret.encode("utf-8", "ignore").decode() or "x"
    wanted = _generate_hmac_signature(secret, "id", str(at), payload)
    found = signed(secret.encode(), b"id", str(at).encode(), payload.encode())
    assert found[SIGNATURE].decode() == wanted


@pytest.mark.parametrize(
    "change",
    [
        {SIGNATURE: b""},
        {SIGNATURE: b"v1,"},
        {SIGNATURE: b"v2,AAAA"},
        {SIGNATURE: "v1,ä".encode()},
        {DELIVERY: b"d2"},
        {DELIVERY: b""},
        {TIMESTAMP: b"1790000001"},
        {TIMESTAMP: b""},
    ],
)
def test_what_is_not_signed_so_is_refused(hooks, heard, change):
    body = event()
    assert refused(hooks, {**delivered(body), **change}, body) == 401
    assert refused(hooks, {}, body) == 401
    assert heard == []


def test_another_body_or_secret_is_refused(hooks, heard):
    body = event()
    assert refused(hooks, delivered(body), event(version="9")) == 401
    assert refused(hooks, delivered(body, secret="other"), body) == 401
    assert refused(hooks, delivered(body), body + b" ") == 401
    assert heard == []


def test_an_empty_delivery_id_is_refused_even_when_it_is_signed(hooks):
    body = event()
    assert refused(hooks, delivered(body, delivery=""), body) == 401


@pytest.mark.parametrize(
    ("age", "status"), [(0, 0), (299, 0), (-299, 0), (301, 401), (-301, 401), (10**9, 401)]
)
def test_a_delivery_is_good_for_five_minutes(hooks, age, status):
    body = event()
    headers = delivered(body, at=NOW - age)
    if status:
        assert refused(hooks, headers, body) == status
    else:
        assert hooks.take(headers, body, now=NOW)


@pytest.mark.parametrize("sent", [b"", b"soon", b"-1", b"1e9", b"9" * 400, b"1790000000.0"])
def test_a_timestamp_that_is_no_time_is_refused_though_signed(hooks, sent):
    body = event()
    headers = signed(SECRET.encode(), b"d1", sent, body)
    assert refused(hooks, headers, body) == 401


def test_a_replay_is_refused(hooks, heard):
    body = event()
    hooks.take(delivered(body), body, now=NOW)
    assert refused(hooks, delivered(body), body, now=NOW + 1) == 409
    assert hooks.take(delivered(body, delivery="d2"), body, now=NOW + 1)
    assert heard == ["look", "look"]


def test_what_was_refused_may_be_sent_again(hooks):
    body = event()
    assert refused(hooks, delivered(body, secret="other"), body) == 401
    broken = b"nonsense"
    assert refused(hooks, delivered(broken, delivery="d2"), broken) == 400
    assert hooks.take(delivered(body), body, now=NOW)
    assert hooks.take(delivered(body, delivery="d2"), body, now=NOW)


def test_memory_of_deliveries_is_bounded_by_time(hooks):
    for index in range(50):
        at = NOW + index * SECONDS
        body = event()
        hooks.take(delivered(body, delivery=str(index), at=at), body, now=at)
        assert len(hooks._seen) <= 3


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"entity": 1}', b"[" * 10_000, b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(hooks, heard, body):
    headers = signed(SECRET.encode(), b"d1", str(int(NOW)).encode(), body)
    assert refused(hooks, headers, body) == 400
    assert heard == []


def test_without_a_secret_nothing_is_taken(heard):
    hooks = Hooks("", models=["churn"], hurry=lambda: heard.append("look"))
    body = event()
    headers = signed(b"", b"d1", str(int(NOW)).encode(), body)
    assert refused(hooks, headers, body) == 404
    assert heard == []


def test_the_clock_is_asked_where_no_time_is_given(hooks):
    body = event()
    assert hooks.take(delivered(body, at=time.time()), body)
    with pytest.raises(Refused):
        hooks.take(delivered(body, delivery="old", at=NOW - 10**8), body)


# the route --------------------------------------------------------------------------------------


def test_the_route_answers_and_refuses_in_mlflows_form(engine, make_app, ask, hooks, heard):
    app = make_app(engine, hook=hooks.take)
    body = event()
    headers = {key.decode(): text.decode() for key, text in delivered(body, at=time.time()).items()}
    assert ask(app, "POST", "/hooks/mlflow", body, headers=headers)[::2] == (
        200,
        b'{"followed":true}',
    )
    status, _, said = ask(app, "POST", "/hooks/mlflow", body, headers=headers)
    assert (status, json.loads(said)["error_code"]) == (409, "RESOURCE_CONFLICT")
    status, _, said = ask(app, "POST", "/hooks/mlflow", body)
    assert (status, json.loads(said)["error_code"]) == (401, "UNAUTHENTICATED")
    assert ask(app, "GET", "/hooks/mlflow")[0] == 405
    assert heard == ["look"]


def test_a_server_without_hooks_says_so(engine, make_app, ask):
    assert ask(make_app(engine), "POST", "/hooks/mlflow", b"{}")[0] == 404
