import gzip
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.protocols.compression import SMALL, folded, plain
from lifecycle.serve.wire import Refused, Request, Response

PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}
UNPACK = {b"gzip": gzip.decompress, b"deflate": zlib.decompress}


def request(body=b"", **headers):
    given = {
        name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()
    }
    return Request("POST", "/", headers=given, body=body)


@given(body=st.binary(max_size=300), coding=st.sampled_from(sorted(PACK)))
@settings(max_examples=40, deadline=None)
def test_packed_bodies_come_back(body, coding):
    assert plain(request(PACK[coding](body), content_encoding=coding.upper()), 300) == body


@pytest.mark.parametrize("coding", [{}, {"content_encoding": ""}, {"content_encoding": "identity"}])
def test_plain_bodies_stay(coding):
    assert plain(request(b"[1]", **coding), 3) == b"[1]"


REFUSED = {
    "another coding": ("br", b"x", 415, "'br' is not read"),
    "two codings": ("gzip, gzip", gzip.compress(b"x"), 415, "gzip, gzip"),
    "no gzip": ("gzip", b"not packed", 400, "is not gzip"),
    "the other coding": ("gzip", zlib.compress(b"x"), 400, "is not gzip"),
    "nothing": ("gzip", b"", 400, "cut off"),
    "half a body": ("gzip", gzip.compress(b"x" * 99)[:-9], 400, "cut off"),
    "something behind it": ("deflate", zlib.compress(b"x") + b"y", 400, "follows"),
    "a false checksum": ("gzip", gzip.compress(b"abc")[:-8] + bytes(8), 400, "is not gzip"),
    "one byte too many": ("gzip", gzip.compress(b"x" * 101), 413, "more than 100 bytes"),
    "a bomb": ("gzip", gzip.compress(bytes(50_000_000)), 413, "more than 100 bytes"),
    "a bomb of the other kind": ("deflate", zlib.compress(bytes(50_000_000)), 413, "more than"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bodies_that_are_refused(what):
    coding, body, status, reason = REFUSED[what]
    with pytest.raises(Refused, match=reason) as caught:
        plain(request(body, content_encoding=coding), 100)
    assert caught.value.status == status


LONG = Response(200, b"x" * SMALL, b"text/plain", ((b"x-id", b"1"),))
ACCEPTED = [
    ("gzip", b"gzip"),
    ("deflate", b"deflate"),
    ("gzip, deflate, br", b"gzip"),
    ("GZIP;q=0.5", b"gzip"),
    ("gzip;q=0, deflate", b"deflate"),
    ("gzip ; q=0.000 , deflate ; q=1", b"deflate"),
]


@pytest.mark.parametrize(("accepted", "coding"), ACCEPTED)
def test_answers_are_packed_as_the_client_takes_them(accepted, coding):
    answer = folded(request(accept_encoding=accepted), LONG)
    assert dict(answer.headers)[b"content-encoding"] == coding
    assert dict(answer.headers)[b"vary"] == b"accept-encoding"
    assert dict(answer.headers)[b"x-id"] == b"1"
    assert answer.kind == LONG.kind
    assert UNPACK[coding](answer.body) == LONG.body


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "*", "zip"])
def test_answers_stay_as_they_are_for_others(accepted):
    assert folded(request(accept_encoding=accepted), LONG) is LONG
    assert folded(request(), LONG) is LONG


def test_short_answers_are_not_worth_it():
    short = Response(200, b"x" * (SMALL - 1))
    assert folded(request(accept_encoding="gzip"), short) is short


V2 = "/v2/models/total/infer"
TF = "/v1/models/total:predict"
ROWS = 600
V2_BODY = {
    "inputs": [
        {"name": "x", "datatype": "FP64", "shape": [ROWS], "data": [1.0] * ROWS},
        {"name": "n", "datatype": "INT64", "shape": [ROWS], "data": [1] * ROWS},
    ]
}
TF_BODY = {"instances": [{"x": 1.0, "n": 1}] * ROWS}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize(("path", "body"), [(V2, V2_BODY), (TF, TF_BODY)])
def test_both_directions_at_once(app, ask, coding, path, body):
    headers = {"Content-Encoding": coding, "Accept-Encoding": coding}
    sent = PACK[coding](json.dumps(body).encode())
    status, found, answer = ask(app, "POST", path, sent, headers=headers)
    assert (status, found["content-encoding"]) == (200, coding)
    plain_status, other, expected = ask(app, "POST", path, json.dumps(body).encode())
    assert (plain_status, other.get("content-encoding")) == (200, None)
    said, wanted = json.loads(UNPACK[coding.encode()](answer)), json.loads(expected)
    said.pop("id", None), wanted.pop("id", None)
    assert said == wanted


@pytest.mark.parametrize("path", [V2, TF])
def test_a_bomb_is_413_in_the_protocols_form(post, path):
    status, said = post(path, gzip.compress(bytes(50_000_000)), content_encoding="gzip")
    assert (status, list(said)) == (413, ["error"])
    status, said = post(path, b"x", content_encoding="zstd")
    assert (status, said["error"][:20]) == (415, "the content encoding")
