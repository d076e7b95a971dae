"""Addresses are checked before any work and never shown; a message arrives, or it does not."""

import email
import logging
import socket
import time
from email import policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.workflows.receivers import Receiver, receivers

SECRET = "hunter2"


def test_a_webhook_gets_title_text_and_kind(webhook):
    (receiver,) = receivers([f"{webhook.address}?token={SECRET}"])
    assert receiver.send("churn/3 drifted", "charges is higher\nrun 5f", "failure")
    (got,) = webhook.got
    assert got["title"] == "churn/3 drifted"
    assert got["message"] == "charges is higher\nrun 5f"
    assert got["type"] == "failure"


def test_a_mail_gets_there(mailbox):
    host, port = mailbox.server_address
    address = f"mailto://{host}:{port}?from=churn@example.org&to=team@example.org"
    (receiver,) = receivers([address])
    assert receiver.send("churn/3 drifted", "größer: charges", "failure")
    (got,) = mailbox.got
    message = email.message_from_string(got, policy=policy.default)
    assert message["Subject"] == "churn/3 drifted"
    assert "team@example.org" in message["To"]
    body = message.get_body(("plain", "html")).get_content()
    assert "größer: charges" in body


def test_what_is_not_taken_is_no_error_and_says_nothing(webhook, capfd):
    (receiver,) = receivers([webhook.address])
    webhook.answer = 500
    assert not receiver.send("title", "body", "info")
    webhook.stop()
    assert not receiver.send("title", "body", "info")
    webhook.start()
    webhook.answer = 200
    assert receiver.send("title", "body", "info")
    assert capfd.readouterr() == ("", "")
    assert not logging.getLogger("apprise").disabled


def test_a_receiver_that_never_answers_is_given_up(webhook):
    (receiver,) = receivers([webhook.address])
    webhook.delay.clear()
    begun = time.monotonic()
    assert not receiver.send("title", "body", "info", limit=0.3)
    assert time.monotonic() - begun < 3.5, "before its own limit of four seconds"


def test_a_mail_server_that_never_speaks_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        (receiver,) = receivers([f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org"])
        assert not receiver.send("title", "body", "info", limit=0.3)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"json://me:{SECRET}@127.0.0.1:8000/{SECRET}?t={SECRET}", "json://127.0.0.1"),
        (f"jsons://hooks.example.org/{SECRET}", "jsons://hooks.example.org"),
        (f"mailto://me:{SECRET}@example.org", "mailto://example.org"),
        (f"mailtos://me:{SECRET}@example.org", "mailtos://example.org"),
        (f"slack://{SECRET}AAA/BBB/CCC", "slack://… ("),
        (f"tgram://{SECRET}:abc/12345", "tgram://… ("),
        (f"discord://{SECRET}/token", "discord://… ("),
        (f"JSON://{SECRET}@[broken", "json://… ("),
    ],
)
def test_what_is_secret_is_never_shown(address, shown):
    receiver = Receiver.read(address)
    assert receiver.shown.startswith(shown)
    assert SECRET not in repr(receiver)
    assert SECRET.lower() not in (receiver.shown + receiver.digest).lower()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["json", "slack", "tgram", "mailto", "discord", "teams"]),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6),
)
def test_no_part_but_scheme_and_machine_is_shown(scheme, secret):
    receiver = Receiver.read(f"{scheme}://u{secret}:{secret}@h.org/{secret}?{secret}={secret}")
    assert receiver.shown in (f"{scheme}://h.org", f"{scheme}://… ({receiver.digest})")


def test_an_address_may_stand_in_the_environment(monkeypatch, webhook):
    monkeypatch.setenv("HOOK", f"{webhook.address}?t={SECRET}")
    (receiver,) = receivers(["env:HOOK"])
    assert receiver == Receiver.read(f"{webhook.address}?t={SECRET}")
    assert receiver.send("title", "body", "success")
    with pytest.raises(ConfigError, match="variable 'HOOKS' is not set"):
        receivers(["env:HOOKS"])
    monkeypatch.setenv("HOOK", f"nonsense://{SECRET}")
    with pytest.raises(ConfigError) as told:
        receivers(["env:HOOK"])
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"nonsense://{SECRET}", "^nonsense://… is no address"),
        (f"https://example.org/{SECRET}", "^https://… .*for a webhook write json://HOST/PATH"),
        (f"slack://{SECRET}", "^slack://… is no address"),
        (SECRET, "^an address without a scheme"),
        (f"ftp {SECRET}://x", "^an address without a scheme"),
    ],
)
def test_a_bad_address_is_named_by_its_scheme_only(address, said):
    with pytest.raises(ConfigError, match=said) as told:
        receivers([address])
    assert SECRET not in str(told.value)


def test_each_address_counts_once_and_empty_ones_not_at_all(webhook):
    assert len(receivers([webhook.address, "", " ", f" {webhook.address} "])) == 1
    assert receivers([]) == ()
