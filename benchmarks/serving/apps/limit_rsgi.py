"""The HTTP limit on granian: read a body, decode its JSON, give a fixed answer."""

from typing import Any

import msgspec

decode = msgspec.json.decode
BODY = b'{"predictions":[1]}'
HEADERS = [("content-type", "application/json")]


async def app(scope: Any, protocol: Any) -> None:
    """Answer anything; /ping has no body."""
    del scope
    body = await protocol()
    if body:
        decode(body)
    protocol.response_bytes(200, HEADERS, BODY)
