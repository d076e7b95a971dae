"""Compressed bodies: requests by Content-Encoding, answers by Accept-Encoding; gzip and deflate.

>>> import gzip
>>> packed = gzip.compress(b"[1, 2]")
>>> plain(Request("POST", "/", headers={b"content-encoding": b"gzip"}, body=packed), 100)
b'[1, 2]'

RFC 9110, https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1; deflate is the zlib format. A body
may not unfold to more than the server takes uncompressed.
"""

import gzip
import zlib

from lifecycle.serve.wire import Refused, Request, Response

SMALL = 1024  # bytes; shorter answers are not worth it
_LEVEL = 1
_WINDOW = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's wbits of each format


def plain(request: Request, limit: int) -> bytes:
    """A request's body, uncompressed.

    Args:
        request: its header Content-Encoding names at most one coding.
        limit: bytes of the longest body.

    Raises:
        Refused: 415 for another coding, 413 for a body that unfolds too far, 400 for a damaged one.
    """
    coding = request.headers.get(b"content-encoding")
    if coding is None:
        return request.body
    name = coding.decode("latin-1").strip().lower()
    if name in ("", "identity"):
        return request.body
    window = _WINDOW.get(name)
    if window is None:
        raise Refused(415, f"the content encoding {name[:50]!r} is not read; send gzip or deflate")
    unfolding = zlib.decompressobj(window)
    try:
        body = unfolding.decompress(request.body, limit + 1)
    except zlib.error:
        raise Refused(400, f"the body is not {name}") from None
    if len(body) > limit:
        raise Refused(413, f"the body unfolds to more than {limit} bytes")
    if not unfolding.eof or unfolding.unused_data:
        raise Refused(400, f"the body is not {name}: it is cut off, or something follows it")
    return body


def folded(request: Request, response: Response) -> Response:
    """An answer, compressed where the client takes that and it is worth it.

    >>> asking = Request("GET", "/", headers={b"accept-encoding": b"gzip;q=0, deflate"})
    >>> folded(asking, Response(200, b"x" * 2000)).headers[0]
    (b'content-encoding', b'deflate')
    """
    accepted = request.headers.get(b"accept-encoding")
    if accepted is None or len(response.body) < SMALL:
        return response
    for name, compress in ((b"gzip", _gzip), (b"deflate", _deflate)):
        if _takes(accepted, name):
            told = ((b"content-encoding", name), (b"vary", b"accept-encoding"))
            body = compress(response.body)
            headers = told + response.headers
            return Response(response.status, body, response.kind, headers, response.close)
    return response


def _takes(accepted: bytes, name: bytes) -> bool:
    for part in accepted.lower().split(b","):
        coding, *weights = (item.strip() for item in part.split(b";"))
        if coding == name:
            return not any(weight.rstrip(b"0.") == b"q=" for weight in weights)
    return False


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL)
