"""Rows answered as the open rollout would: by key, by one draw, by the champion alone."""

import pytest

from lifecycle.errors import DataError, ModelNotFound, ServeError
from lifecycle.rollout.assignment import place
from lifecycle.workflows.rollout import start
from lifecycle.workflows.route import ask, route

FORCED = {"force": True, "reason": "a test"}


@pytest.fixture
def rows(make_churn):
    return make_churn(30, seed=4, start="2026-03-01").drop(columns="churned")


@pytest.mark.usefixtures("second")
def test_a_key_goes_where_the_rollouts_salt_puts_it(serving, rows) -> None:
    assert set(route(serving, rows)["arms"]) == {"champion"}
    made = start(serving, "churn/2", steps=(40, 100), guards=("errors",), **FORCED)
    found = route(serving, rows)
    places = [place(made.spec.salt, str(key)) < 0.4 for key in rows["customer_id"]]
    assert [arm == "challenger" for arm in found["arms"]] == places
    assert [version == 2 for version in found["versions"]] == places
    turned = route(serving, rows.iloc[::-1])
    assert turned["arms"] == found["arms"][::-1], "whatever the order of the rows"
    assert turned["predictions"] == found["predictions"][::-1]


@pytest.mark.usefixtures("second")
def test_a_shadow_answers_nobody(serving, rows) -> None:
    start(serving, "churn/2", strategy="shadow", **FORCED)
    assert set(route(serving, rows)["versions"]) == {1}


def test_rows_that_cannot_be_used(serving, rows) -> None:
    with pytest.raises(DataError, match="no rows"):
        route(serving, rows.head(0))
    with pytest.raises(DataError):
        route(serving, rows[["customer_id"]])
    with pytest.raises(ModelNotFound):
        route(serving.with_values(name="nobody"), rows)


@pytest.mark.parametrize("address", ["127.0.0.1:5001", "file:///etc/hosts", "", "ftp://x"])
def test_only_web_addresses_are_asked(address: str, rows) -> None:
    with pytest.raises(ServeError, match="no address"):
        ask(address, "churn", rows)
