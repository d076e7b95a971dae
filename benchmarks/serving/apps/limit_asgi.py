"""The HTTP limit on uvicorn: read a body, decode its JSON, give a fixed answer."""

from typing import Any

import msgspec

decode = msgspec.json.decode
BODY = b'{"predictions":[1]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
END = {"type": "http.response.body", "body": BODY}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer anything; /ping has no body."""
    if scope["type"] == "lifespan":
        message = {"type": ""}
        while message["type"] != "lifespan.shutdown":
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    if body:
        decode(body)
    await send(START)
    await send(END)
