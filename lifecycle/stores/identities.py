"""Who the tracking server says that we are.

>>> from lifecycle.config import Config
>>> from lifecycle.stores.tracking import connect
>>> authenticated(connect(Config()))  # doctest: +SKIP
Identity(actor='ann', how='authenticated by https://mlflow.example.org')

A server with MLflow's authentication (`mlflow server --app-name basic-auth`, or an authorization
function of one's own, for tokens) answers `GET /api/2.0/mlflow/users/current` with the name that
belongs to the password or token of the very request. No other server has that address. A name that
a client gives itself (`LIFECYCLE_ACTOR`) never comes to count as authenticated this way.
"""

import json
from typing import TYPE_CHECKING

from lifecycle.records import Identity
from lifecycle.records.approvals import AUTHENTICATED
from lifecycle.stores.tracking import answers, public

if TYPE_CHECKING:
    from mlflow import MlflowClient

CURRENT = "/api/2.0/mlflow/users/current"
PLAIN = (404, 405, 501)  # what a server without authentication says of that address


def authenticated(client: "MlflowClient") -> Identity | None:
    """The user whom the tracking server authenticates; None where it asks nobody who they are.

    Args:
        client: what `connect` gave; its password, token or certificate are MLflow's own
            (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_TOKEN`, …).

    Raises:
        RegistryError: the server refused the credentials; RegistryUnavailable: no answer in time.
    """
    address = str(client.tracking_uri)
    if not address.startswith(("http://", "https://")):
        return None
    with answers(public(address)):
        from mlflow.exceptions import MlflowException
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        answer = http_request(
            get_default_host_creds(address), CURRENT, "GET", raise_on_status=False
        )
        if answer.status_code in PLAIN:
            return None
        if answer.status_code != 200:
            raise MlflowException(f"{CURRENT} was answered with {answer.status_code}")
        name = username(answer.text)
    return Identity(name, f"{AUTHENTICATED}{public(address)}") if name else None


def username(text: str) -> str:
    """The name in the server's answer; empty when it is none of MLflow's.

    >>> username('{"user": {"id": 2, "username": "ann", "is_admin": false}}')
    'ann'
    >>> username("<html>")
    ''
    """
    try:
        return str(json.loads(text)["user"]["username"])
    except (ValueError, KeyError, TypeError):
        return ""
