"""A rollout in a terminal and a notebook: shares and evidence as bars, and the reason in words."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import (
    Arm,
    Forecast,
    GuardEvidence,
    Look,
    Outcome,
    Rollout,
    RolloutPlan,
    RolloutSpec,
    RolloutStatus,
    Tally,
)
from lifecycle.views import notebook, terminal
from lifecycle.views.evidence_tables import SHOWN
from lifecycle.views.layout import Gauge, Sheet
from lifecycle.views.rollout_sheets import line, listed
from lifecycle.views.sheets import sheet

WIDE = 150
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_an_open_rollout_has_a_bar_for_each_arm_and_each_guard(make_rollout) -> None:
    shown = terminal.text(make_rollout(3), width=WIDE)
    assert shown.splitlines()[:4] == [
        "churn: canary of version 8 against version 7, step 2 of 5, running",
        "  champion    ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0 %  version 7, 11,800 users",
        "  challenger  ██████████████████████████████ 100 %  version 8, 640 users",
        "  steps       1 → [5] → 25 → 50 → 100 %, the champion keeps 5 %",
    ]
    assert "last look   2026-03-01 09:00, wait: waiting for errors" in shown
    errors = next(row for row in shown.splitlines() if row.startswith(" errors"))
    assert re.split(r"\s{2,}", errors.strip()) == [
        "errors", "2 %", "2.03 %", "1.02", "████████░░░░", "████████░░░░",
        "not proven either way yet",
    ]  # fmt: skip
    assert "2.5 of 4.1        1.8 of 3.0 (≤ 2 times)" in shown


def test_the_guard_nearest_to_harm_stands_first(make_rollout, make_evidence) -> None:
    made = make_rollout(3)
    rows = (make_evidence("far", 0.1), make_evidence("near", 0.9), make_evidence("proven", 1.4))
    shown = sheet(replace(made, look=replace(made.look, evidence=rows)))
    assert [row[0] for row in shown.rows] == ["proven", "near", "far"]
    assert [row[4].mark for row in shown.rows] == ["bad", "unsure", ""]
    assert shown.marks == ["bad", "", ""]


def test_latency_is_told_in_milliseconds_and_percent(make_rollout) -> None:
    shown = terminal.text(make_rollout(3), width=WIDE)
    assert "3.32 ms" in shown, "exp(1.2)"
    assert "+5.13 %" in shown, "exp(0.05)"
    assert "(≤ 1.2 times)" in shown


def test_another_number_is_told_as_it_is(make_evidence) -> None:
    score = make_evidence("score", 0.2, kind="number", rate=0.51, champion_rate=0.5, ratio=0.01,
                          low=-0.02, high=0.04, margin=0.1)  # fmt: skip
    shown = terminal.text(score, width=WIDE)
    assert "shift" in shown
    assert "+0.01" in shown
    assert "[-0.02, +0.04]" in shown


def test_an_open_end_of_an_interval_is_told(make_evidence) -> None:
    shown = terminal.text(make_evidence("errors", 0.1, high=None, low=0.2), width=WIDE)
    assert "[0.2, ∞]" in shown
    shown = terminal.text(make_evidence("errors", 0.1, high=1e300, low=0.2), width=WIDE)
    assert "[0.2, ∞]" in shown
    bare = terminal.text(make_evidence("errors", 0.0, ratio=None, low=None, high=None))
    assert "None" not in bare


@pytest.mark.parametrize(
    ("status", "title", "mark"),
    [
        ("rolled back", "churn: canary of version 8 against version 7, rolled back", "bad"),
        ("promoted", "churn: canary of version 8 against version 7, promoted", "good"),
        ("held", "churn: canary of version 8 against version 7, step 2 of 5, held", "unsure"),
        ("running", "churn: canary of version 8 against version 7, step 2 of 5, running", ""),
    ],
)
def test_how_it_ended_is_the_title(make_rollout, status: str, title: str, mark: str) -> None:
    shown = sheet(make_rollout(4, status=status))
    assert (shown.title, shown.mark) == (title, mark)


def test_a_rollback_says_why(make_rollout) -> None:
    shown = dict(sheet(make_rollout(4, status="rolled back")).facts)
    assert shown["because"] == "errors: harm is proven"
    assert shown["started"] == "2026-03-01 08:00, ended 2026-03-01 09:30"
    assert "last look" not in shown


def test_a_held_one_says_why_and_what_to_do_is_a_warning(make_rollout) -> None:
    made = make_rollout(4, status="held", warnings=("the log cannot be read",))
    made = replace(made, rollout=replace(made.rollout, reason="assignment is off"))
    shown = sheet(made)
    assert dict(shown.facts)["held because"] == "assignment is off"
    assert shown.notes[-1] == "the log cannot be read"


def test_before_the_first_look_it_says_what_looks() -> None:
    spec = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))
    shown = terminal.text(RolloutStatus("churn", Rollout(spec, 3)))
    assert "churn: shadow of version 8 against version 7, running" in shown
    assert "no look yet: lifecycle rollout run churn" in shown
    assert "steps" not in shown


def test_without_a_rollout_it_says_how_to_start_one() -> None:
    shown = terminal.text(RolloutStatus("churn"))
    assert shown == ("churn: no rollout yet\n  start one: lifecycle rollout start churn/VERSION\n")
    assert line(RolloutStatus("churn")) == "churn: no rollout yet"


def test_arms_of_a_test_are_told_apart(make_evidence, make_rollout) -> None:
    arms = (Arm("champion", 7, 0.4), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.3))
    made = make_rollout(3)
    spec = replace(made.rollout.spec, strategy="ab", arms=arms, steps=())
    made = replace(made, rollout=replace(made.rollout, spec=spec, shares=()))
    rows = tuple(make_evidence("label", 0.2, arm=arm.name) for arm in arms[1:])
    made = replace(made, look=replace(made.look, evidence=rows, best="challenger-2",
                                       probabilities=(0.05, 0.25, 0.7)))  # fmt: skip
    shown = sheet(made)
    assert shown.title == "churn: A/B test of version 8 and 9 against version 7, running"
    assert [row[0] for row in shown.rows] == ["label\nchallenger", "label\nchallenger-2"]
    facts = dict(shown.facts)
    assert facts["challenger-2"] == Gauge(0.3, " 30 %  version 9", "")
    assert facts["proven best"] == "challenger-2"
    assert facts["best with probability"] == "champion 5 %, challenger 25 %, challenger-2 70 %"


def test_a_shadow_is_told_in_its_own_words(make_evidence) -> None:
    arms = (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0))
    spec = RolloutSpec("churn", "shadow", arms, sample=0.25)
    known = {"arm": "shadow", "margin": 0.1, "champion_rate": 0.004, "rate": 0.045}
    rows = (
        make_evidence("differs", 0.0, **known, ratio=0.041, low=0.03, high=0.05),
        make_evidence("latency", 0.0, kind="number", **{**known, "margin": 1.5}, ratio=1.1,
                      low=1.05, high=1.2),
    )  # fmt: skip
    look = Look("churn", 3, 0, "2026-03-01T08:00:00+00:00", evidence=rows)
    shown = sheet(RolloutStatus("churn", Rollout(spec, 3), look))
    assert shown.headers[2] == "shadow"
    assert shown.headers[5] == "towards finishing"
    assert shown.rows[0][3] == "+4.1 %\n[+3 %, +5 %]", "points of percent"
    assert shown.rows[0][5].words.endswith("(≤ 10 %)")
    assert shown.rows[1][3] == "1.1\n[1.05, 1.2]", "a ratio, not its logarithm"
    assert shown.rows[1][1].startswith("0.004 ms")
    assert "copies of 25 % of the requests" in dict(shown.facts)["shadow"].words


def test_many_guards_are_folded_away(make_rollout) -> None:
    names = tuple(f"label_error:carrier={at}" for at in range(SHOWN + 3))
    shown = sheet(make_rollout(2, guards=names))
    assert (len(shown.rows), len(shown.rest), shown.folded) == (SHOWN, 3, "3 more guards")
    page = notebook.html(make_rollout(2, guards=names))
    assert f"carrier={SHOWN + 2}" in page
    assert listed(names).endswith(", label_error:carrier=5 and 9 more")


def test_one_line_says_what_matters(make_rollout) -> None:
    assert line(make_rollout(4, status="rolled back")) == (
        "churn: canary of version 8 against version 7, rolled back; champion 100 %, "
        "challenger 0 %; errors: harm 4.5 of 4.1; errors: harm is proven"
    )
    assert line(make_rollout(2, warnings=("old",))).endswith("; wait; old")


def test_a_look_has_all_it_counted(make_evidence) -> None:
    tallies = (
        Tally("errors", "champion", 0, 1200, 24),
        Tally("errors", "challenger", 0, 60, 1),
        Tally("latency", "challenger", 0, 60, 0, s=0.25, v=1.5, w=3.0),
        Tally("", "champion", 0, 1200),
    )
    rows = (make_evidence("errors", 0.3),)
    made = Look(
        "churn", 12, 0, "2026-03-01T08:00:00+00:00", tallies, rows, "step", 1,
        reason="the certificate is there", exposed={"challenger": 60},
    )  # fmt: skip
    shown = sheet(made)
    assert shown.title == "churn: look at rollout 12, step 1, 2026-03-01 08:00"
    assert shown.mark == "good"
    facts = dict(shown.facts)
    assert facts["decision"] == "go to the next step, number 2"
    assert facts["because"] == "the certificate is there"
    assert facts["users exposed"] == "challenger 60"
    assert shown.rest == [
        ("requests", "champion", "step 1", "1,200 units", "0 events"),
        ("errors", "challenger", "step 1", "60 units", "1 event"),
        ("errors", "champion", "step 1", "1,200 units", "24 events"),
        ("latency", "challenger", "step 1", "60 units", "s 0.25, v 1.5"),
    ]
    assert "4 counts by guard, arm and step" in notebook.html(made)


def test_a_look_without_evidence_says_so() -> None:
    shown = terminal.text(Look("churn", 12, 0, "2026-03-01T08:00:00+00:00"))
    assert "nothing was counted yet" in shown


def test_what_start_gives_back_says_where_to_look(make_rollout) -> None:
    shown = terminal.text(make_rollout(2).rollout)
    assert "guards: errors, latency, invalid; alpha 0.05 for all of them" in shown
    assert "see it: lifecycle rollout status churn" in shown


def test_a_plan_says_what_it_finds_and_when() -> None:
    arms = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    spec = RolloutSpec("churn", "canary", arms, (0.01, 1.0), (5.0,), ("errors",))
    made = RolloutPlan(
        spec, 20_000.0,
        (Forecast("errors", 0.02, 2.0, 27_000.0, 1.35, 568.0), Forecast("label", None, 1.5, None)),
        (Forecast("errors", 0.02, 5.0, 4000.0, 0.2, 40.0),), ("as logged in May",),
    )  # fmt: skip
    shown = sheet(made)
    assert shown.title == "churn: what a canary of version 8 against version 7 would find"
    assert shown.rows == [
        ("errors: 2 times as many", "2 %", "27,000 requests", "32 h", "568"),
        ("label: 1.5 times as many", "unknown", "never", "", ""),
        ("leave 1 %: errors proven below 5 times", "2 %", "4,000 requests", "4.8 h", "40"),
    ]
    assert dict(shown.facts)["requests"] == "20,000 a day"
    assert "as logged in May" in shown.notes
    silent = sheet(RolloutPlan(spec, None))
    assert dict(silent.facts)["requests"] == "nothing was logged"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_in_ascii_alone_every_bar_is_drawn(make_rollout, width: int) -> None:
    shown = terminal.text(make_rollout(3), width=width, blocks=False)
    assert "##############################" in shown or width == 40
    assert "█" not in shown


def test_names_of_others_are_harmless(make_rollout, hostile: str) -> None:
    made = make_rollout(3, guards=(f"label_error:x={hostile}",))
    assert "\x1b" not in terminal.text(made)
    page = notebook.html(made)
    assert "<script>" not in page
    assert "\u202e" not in page


def test_a_page_has_a_bar_for_each_arm_and_the_series(make_rollout) -> None:
    page = notebook.html(make_rollout(5))
    assert page.count('class="gauge"') == 2
    assert "The rollout over time" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


@given(share=finite, part=finite)
@settings(max_examples=40, deadline=None)
def test_a_bar_is_drawn_whatever_the_figure(share: float, part: float) -> None:
    shown = Sheet("x", facts=[("arm", Gauge(share, "a"))], headers=("g",), rows=[
        ("one", Gauge(part, "b")),
    ])  # fmt: skip
    bars = re.findall(r"[█░]+", terminal.text(shown, width=100))
    assert [len(bar) for bar in bars] == [30, 12]
    for bar, value in zip(bars, (share, part), strict=True):
        assert ("█" in bar) == (value > 0)
        assert ("░" in bar) == (value < 1)
    assert "nan" not in notebook.html(shown)


FIGURES = st.fixed_dictionaries(
    dict.fromkeys(("ratio", "low", "high", "rate", "harm", "harm_limit", "certificate"), finite)
)


@given(figures=FIGURES, kind=st.sampled_from(["event", "number"]), guard=st.text(max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_evidence_can_be_shown(figures: dict[str, float], kind: str, guard: str) -> None:
    made = GuardEvidence(
        guard, "challenger", kind, **figures, certificate_limit=figures["harm_limit"], margin=1.25,
        outcome=Outcome.UNSURE,
    )  # fmt: skip
    for one in (made, replace(made, guard="latency")):
        assert terminal.text(one)
        assert notebook.html(one)
