"""MLflow's webhooks: what moves, aliases and rollouts, is followed at once, not at the next look.

>>> heard = []
>>> hooks = Hooks("secret", models=["churn"], hurry=lambda: heard.append("look"))
>>> body = (
...     b'{"entity": "model_version_alias", "action": "created",'
...     b' "data": {"name": "churn", "alias": "champion", "version": "8"}}'
... )
>>> headers = signed(b"secret", b"delivery-1", b"1790000000", body)
>>> hooks.take(headers, body, now=1790000001.0), heard
(True, ['look'])

MLflow signs `<delivery id>.<timestamp>.<body>` with HMAC-SHA256 and sends `v1,<base64>`, after
https://www.standardwebhooks.com; see `mlflow/webhooks/delivery.py`. A delivery is taken once and
for five minutes.
"""

import base64
import hmac
import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from lifecycle.serve.wire import Refused

SIGNATURE = b"x-mlflow-signature"
DELIVERY = b"x-mlflow-delivery-id"
TIMESTAMP = b"x-mlflow-timestamp"
ROLLOUT = "lifecycle.rollout"  # tag of a version that is tried
SECONDS = 300.0  # that a delivery may be old, or ahead
ALIAS, TAG = "model_version_alias", "model_version_tag"  # entities of events


class _Event(msgspec.Struct):
    entity: str
    action: str
    data: dict[str, object] = {}


class Hooks:
    """Checks deliveries, and asks for a look at the registry when one concerns what serves.

    Args:
        secret: the webhook's secret; empty: deliveries are not taken.
        models: names of the models that are followed.
        hurry: has the registry looked at now; must not block.
    """

    def __init__(self, secret: str, *, models: Collection[str], hurry: Callable[[], None]) -> None:
        self._secret, self._models, self._hurry = secret.encode(), models, hurry
        self._seen: dict[str, float] = {}  # verified deliveries alone, so nobody else can fill it

    def take(self, headers: Mapping[bytes, bytes], body: bytes, *, now: float = 0.0) -> bool:
        """Take a delivery.

        Args:
            headers: of the request.
            body: as it was signed.
            now: seconds since 1970; 0: the clock's.

        Returns:
            Whether it concerns an alias, or the rollout, of a model that is followed here.

        Raises:
            Refused: 401 for a wrong signature or time, 409 for a delivery that was taken already,
                400 for a body that is no event, 404 where no secret is set.
        """
        if not self._secret:
            raise Refused(404, "webhooks are not taken here; set [serve] webhook_secret")
        now = now or time.time()
        delivery, sent = headers.get(DELIVERY, b""), headers.get(TIMESTAMP, b"")
        wanted = signed(self._secret, delivery, sent, body)[SIGNATURE]
        if not delivery or not hmac.compare_digest(wanted, headers.get(SIGNATURE, b"")):
            raise Refused(401, "the webhook's signature is not right; is the secret the same?")
        if not (sent.isdigit() and abs(int(sent[:12]) - now) <= SECONDS):
            raise Refused(401, "the webhook's timestamp is too old or ahead; are the clocks right?")
        name = delivery.decode("utf-8", "replace")
        self._seen = {key: at for key, at in self._seen.items() if now - at <= 2 * SECONDS}
        if name in self._seen:
            raise Refused(409, "this delivery was taken already")
        try:
            event = msgspec.json.decode(body, type=_Event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused(400, "the body is no event of MLflow") from None
        self._seen[name] = now
        moved = event.entity == ALIAS
        # a rollout's steps show in a tag of its versions
        moved = moved or (event.entity == TAG and event.data.get("key") == ROLLOUT)
        ours = moved and event.data.get("name") in self._models
        if ours:
            self._hurry()
        return ours


def signed(secret: bytes, delivery: bytes, sent: bytes, body: bytes) -> dict[bytes, bytes]:
    """The three headers of a delivery as MLflow writes them, names in lower case.

    Args:
        secret: the webhook's secret.
        delivery: the delivery's id.
        sent: when, in whole seconds since 1970.
        body: what is sent.
    """
    mark = hmac.digest(secret, b"%b.%b.%b" % (delivery, sent, body), "sha256")
    return {
        DELIVERY: delivery,
        TIMESTAMP: sent,
        SIGNATURE: b"v1," + base64.b64encode(mark),
    }
