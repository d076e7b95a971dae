"""A ledger as a sheet: the last entries, what served when, what verify found."""

from dataclasses import replace

from lifecycle.records import Entry, Finding, History, Outcome, Served, Tenure, Verification
from lifecycle.views import history_sheets as sheets
from lifecycle.views.notebook import html
from lifecycle.views.terminal import text


def entry(seq, **values):
    time = f"2026-03-01T{seq % 24:02d}:00:00.000+00:00"
    return Entry(seq, "", f"id-{seq}", time, "ann", values.pop("kind", "stage"), **values)


def history(count):
    return History(
        "churn", tuple(entry(seq, version=1, to="staging") for seq in range(1, count + 1))
    )


def test_a_short_ledger_is_shown_whole_with_its_head():
    record = replace(history(3), entries=(*history(2).entries, replace(entry(3), digest="ab" * 32)))
    shown = sheets.history(record)
    assert len(shown.rows) == 3
    assert shown.folded == ""
    assert shown.facts == (("head", "ab" * 32),)
    assert "ab" * 32 in text(record)


def test_of_a_long_ledger_the_last_are_shown_and_the_rest_is_told_of():
    shown = sheets.history(history(10_000))
    assert len(shown.rows) == sheets.SHOWN
    assert shown.rows[-1][0] == "10000"
    assert len(shown.rest) == sheets.LISTED
    assert "9,940 earlier entries (all: --json or --csv)" in text(history(10_000))
    assert "<details>" in html(history(10_000))


def test_entries_of_a_rollout_say_what_happened_in_it():
    one = entry(2, kind="rollout", version=8, source="5 %", to="25 %", extra={"event": "step"})
    shown = sheets.history(History("churn", (one,)))
    assert shown.rows[0][3:6] == ("rollout step", "8", "5 % → 25 %")


def test_what_served_is_said_with_its_grounds():
    began = entry(
        7, version=3, to="production", reason="gates passed, entry 6", evidence_digest="cd" * 32,
        evidence_link="runs:/x/gate.json", extra={"forced": True},
    )  # fmt: skip
    ended = entry(9, kind="rollback", version=2, reason="wrong prices")
    tenure = Tenure(3, began.time, ended.time, began, ended)
    shown = text(Served("churn", "2026-03-01", (tenure,)), width=200)
    assert "churn on 2026-03-01: version 3" in shown
    assert "2026-03-01 07:00:00" in shown
    assert "gates passed, entry 6" in shown
    assert "entry 7 was forced" in shown
    assert "runs:/x/gate.json" in shown
    assert "ended by entry 9, rollback by ann: wrong prices" in shown
    assert Served("churn", "x", (tenure,)).to_dict()["version"] == 3


def test_nobody_and_a_champion_from_before_the_ledger_are_said():
    nobody = Served("churn", "2020-01-01", ())
    assert nobody.version is None
    assert "no version was in production" in text(nobody)
    before = text(
        Served("churn", "2026-01-01", (Tenure(4, until="2026-02-01T00:00:00"),)), width=200
    )
    assert "before the ledger" in before
    assert "MLflow's champion" in before


def found(*outcomes):
    findings = [Finding(f"thing {at}", item, "said", "do") for at, item in enumerate(outcomes)]
    return Verification("churn", 12, "ef" * 32, tuple(findings), signed=2)


def test_a_verification_shows_what_is_broken_first_and_its_code():
    good, bad, gone = Outcome.PASS, Outcome.FAIL, Outcome.UNSURE
    for outcomes, code, said in (
        ((good,), 0, "as it was recorded"),
        ((good, gone), 3, "1 thing could not be looked at"),
        ((good, gone, bad), 2, "1 thing not as recorded"),
    ):
        record = found(*outcomes)
        assert record.exit_code == code
        assert record.passed is (code == 0)
        assert said in text(record)
    rows = sheets.verification(found(good, gone, bad)).rows
    assert [row[0] for row in rows] == ["thing 2", "thing 1", "thing 0"]
    assert "12, 2 signed by a trusted key" in text(found(good))


def test_many_findings_are_folded_but_no_fault_is_hidden_by_what_is_fine():
    many = found(*[Outcome.FAIL] * 100, *[Outcome.PASS] * 50)
    shown = sheets.verification(many)
    assert len(shown.rows) == sheets.MOST_BROKEN + sheets.MOST_FINE
    assert shown.folded == "78 more findings (all: --json)"
    assert "100 things not as recorded" in text(many)


def test_a_hostile_reason_steers_nobody():
    hostile = entry(1, version=1, to="production", reason="<script>x</script>\x1b[31m\u202e")
    for record in (
        History("churn", (hostile,)),
        Served("churn", "x", (Tenure(1, hostile.time, entry=hostile, ended=hostile),)),
    ):
        assert "<script>" not in html(record)
        assert "\x1b" not in text(record)
        assert "\u202e" not in text(record)
