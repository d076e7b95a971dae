"""Evidence against its limit: bars, words, units and marks, case by case."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, GuardEvidence, Outcome, RolloutSpec
from lifecycle.views.evidence_tables import SHOWN, against, part, percent, table
from lifecycle.views.layout import BAD, GOOD, PLAIN, UNSURE, Gauge
from lifecycle.views.rollout_series import unit_of

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
SPEC = RolloutSpec("churn", "canary", PAIR, (0.05, 1.0), (2.0,), ("errors",))


@pytest.mark.parametrize(
    ("near", "mark"), [(0.0, PLAIN), (0.49, PLAIN), (0.5, UNSURE), (0.99, UNSURE), (1.0, BAD)]
)
def test_harm_is_marked_from_half_of_its_limit_on(make_evidence, near: float, mark: str) -> None:
    cell = table([make_evidence("errors", near)], SPEC)["rows"][0][4]
    assert (cell.mark, cell.share) == (mark, pytest.approx(near))


@pytest.mark.parametrize(("near", "mark"), [(0.0, PLAIN), (0.9, PLAIN), (1.0, GOOD), (7.0, GOOD)])
def test_a_certificate_is_good_when_it_is_there(make_evidence, near: float, mark: str) -> None:
    one = make_evidence("errors", 0.0, certificate=3.0 * near)
    cell = table([one], SPEC)["rows"][0][5]
    assert isinstance(cell, Gauge)
    assert cell.mark == mark


def test_what_is_not_asked_for_has_no_bar(make_evidence) -> None:
    one = make_evidence("score", 0.1, certificate=None, margin=None)
    assert table([one], SPEC)["rows"][0][5] == ""
    bare = GuardEvidence("errors", "challenger", "event")
    assert table([bare], SPEC)["rows"][0][4:] == ("", "")


@pytest.mark.parametrize(
    ("guard", "kind", "arm", "told"),
    [
        ("errors", "event", "challenger", ("ratio", "0.05")),
        ("errors:carrier=UA", "event", "challenger-2", ("ratio", "0.05")),
        ("latency", "number", "challenger", ("percent", "+5.13 %")),
        ("latency<=50", "event", "challenger", ("ratio", "0.05")),
        ("latency:plan=pro", "number", "challenger", ("percent", "+5.13 %")),
        ("label", "number", "challenger", ("difference", "+0.05")),
        ("mypkg.guards:refunds", "event", "challenger", ("ratio", "0.05")),
        ("differs", "event", "shadow", ("points", "+5 %")),
        ("shift", "number", "shadow", ("difference", "+0.05")),
        ("scale", "number", "shadow", ("ratio", "0.05")),
        ("latency", "number", "shadow", ("ratio", "0.05")),
        ("error_size", "number", "shadow", ("difference", "+0.05")),
        ("label_error", "event", "shadow", ("ratio", "0.05")),
    ],
)  # fmt: skip
def test_each_comparison_is_told_in_its_unit(make_evidence, guard, kind, arm, told) -> None:
    one = make_evidence(guard, 0.1, kind=kind, arm=arm, ratio=0.05, low=None, high=None)
    assert (unit_of(one), table([one], None)["rows"][0][3]) == told


@pytest.mark.parametrize(
    ("kinds", "title"),
    [
        ({"errors": "event"}, "ratio"),
        ({"label": "number"}, "shift"),
        ({"errors": "event", "latency": "number"}, "ratio, shift"),
    ],
)
def test_the_heading_fits_what_is_compared(make_evidence, kinds, title) -> None:
    rows = [make_evidence(name, 0.1, kind=kind) for name, kind in kinds.items()]
    assert table(rows, SPEC)["headers"][3] == title


def test_a_reason_does_not_say_the_guard_again(make_evidence) -> None:
    one = make_evidence("errors", 0.1, reason="errors: 2 times the rate")
    assert table([one], SPEC)["said"] == ["2 times the rate"]


def test_the_check_of_shares_counts_units(make_evidence) -> None:
    one = make_evidence("assignment", 0.1, rate=0.05, units=640, certificate=None)
    assert table([one], SPEC)["rows"][0][2] == "5 %\n640 units"


def test_rows_are_marked_when_something_is_proven(make_evidence) -> None:
    rows = [make_evidence("a", 1.2), make_evidence("b", 0.2, outcome=Outcome.PASS),
            make_evidence("c", 0.1)]  # fmt: skip
    assert table(rows, SPEC)["marks"] == [BAD, GOOD, ""]


@given(st.integers(0, 3 * SHOWN))
@settings(max_examples=20, deadline=None)
def test_no_guard_is_lost(many: int) -> None:
    rows = [GuardEvidence(f"g{at}", "challenger", "event", harm=at, harm_limit=40.0)
            for at in range(many)]  # fmt: skip
    made = table(rows, SPEC)
    names = [row[0] for row in made["rows"]] + [row[0] for row in made["rest"]]
    assert names == [f"g{at}" for at in reversed(range(many))], "nearest to harm first"
    assert bool(made["folded"]) == (many > SHOWN)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_a_part_is_a_share(value: float, limit: float) -> None:
    assert 0.0 <= part(value, limit) <= 1.0


def test_figures_in_words() -> None:
    assert [percent(one) for one in (0.0, 0.000123, 0.5, 1.0)] == [
        "0 %",
        "0.0123 %",
        "50 %",
        "100 %",
    ]
    assert against(2.44, 4.09) == "2.4 of 4.1"
