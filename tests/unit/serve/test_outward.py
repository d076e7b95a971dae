"""What may leave the server: messages without paths and addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.outward import LONGEST, masked, outward


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ("gone: /srv/log", "gone: …"),
        ("gone (/srv/log/x.json)", "gone (…)"),
        ("'/srv/log' is gone", "'…' is gone"),
        ("/srv/a and /srv/b", "… and …"),
        ("[Errno 2] No such file: '/opt/.x/y-1_2.skops'", "[Errno 2] No such file: '…'"),
        ("at sqlite:////data/mlflow.db now", "at … now"),
        ("HTTP from http://user:pass@host:5000/api?x=1", "HTTP from …"),
        ("~/models/a is no model", "… is no model"),
        (r"C:\Users\me\model.pkl is gone", "… is gone"),
        ("s3://bucket/key, then", "…, then"),
    ],
)
def test_paths_and_addresses_become_dots(inside, outside):
    assert outward(inside) == outside
    assert masked(inside) == outside


@pytest.mark.parametrize(
    "text",
    [
        "churn/7 fails", "churn@champion", "3 of 4 rows", "100/s", "a/b/c", "1/2", "and/or",
        "the column 'age' is missing", "x = 1 / 2", "", "see --tls-cert, --tls-key",
        'send {"labels": [{…}, …]}', "text/csv or application/json",
    ],
)  # fmt: skip
def test_what_is_no_path_stays(text):
    assert masked(text) == outward(text) == text


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("a\x1fb", r"a\x1fb"),
        ("a\x00", r"a\x00"),
        ("a\nb", r"a\nb"),
        ("\ud83d", r"\ud83d"),
        ("é中", "é中"),
    ],
)
def test_what_cannot_be_seen_is_named(given, seen):
    assert masked(given) == seen
    assert masked(given).isprintable()


def test_one_line_of_bounded_length():
    assert outward("a\n  b\tc") == "a b c"
    assert len(outward("x" * 10_000)) == LONGEST + 1
    assert len(masked("x" * 10_000)) == 10_000


@given(st.lists(st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}", fullmatch=True), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_absolute_path_gets_through(parts):
    path = "/" + "/".join(parts)
    for text in (path, f"in {path}", f"({path})", f"'{path}'", f"x: {path}: y", f'File "{path}"'):
        assert path not in outward(text)
        assert parts[0] + "/" not in outward(text)
