"""What an auditor reads: the page, the plain words, and what a check of the folder found."""

import pytest

from lifecycle.records import Entry, Exported, Finding, FolderCheck, Outcome, Tenure, Transfer
from lifecycle.views import audit_pages
from lifecycle.views.notebook import html
from lifecycle.views.terminal import text

HEAD = {"digest": "ab" * 32, "seq": 9}


def manifest(**values):
    return {
        "model": "churn", "scope": {"version": None, "year": 2026}, "entries": 9, "shown": 2,
        "head": HEAD, "created": "2026-12-31", "by": "ann", "registry": "sqlite:///m.db",
        "lifecycle": "1.0", "missing": [], **values,
    }  # fmt: skip


def entry(seq, **values):
    time = f"2026-03-0{seq}T10:00:00.000+00:00"
    return Entry(seq, "", "", time, "ann", "stage", 1, digest="cd" * 32, **values)


def test_the_readme_names_scope_head_and_what_it_proves():
    said = " ".join(audit_pages.readme(manifest()).split())
    assert said.startswith("# Evidence of the model churn: year 2026 ")
    assert f"{HEAD['digest']} (entry 9)" in said
    assert "2 of 9 entries are shown here" in said
    assert "What it proves, and what not" in said
    both = audit_pages.readme(manifest(scope={"version": 3, "year": 2026}))
    assert both.startswith("# Evidence of the model churn: version 3, year 2026\n")
    assert "everything" in audit_pages.readme(manifest(scope={"version": None, "year": None}))


def test_the_page_tells_what_served_and_which_entries_are_left_out():
    shown = [entry(2, source="none", to="staging"), entry(5, to="production", reason="<good>")]
    spans = [Tenure(1, since=shown[1].time, entry=shown[1])]
    page = audit_pages.page(manifest(), shown, spans, [], [])
    assert "Which version served when" in page
    assert "2026-03-05 10:00:00" in page
    assert "now" in page
    assert "<small>self-declared</small>" in page
    assert "&lt;good&gt;" in page
    for gap in (">1<", "3…4", "6…9"):
        assert gap in page, gap
    assert "1 entry left out" in page
    assert "4 entries left out" in page


def test_a_page_without_entries_and_tenures_says_so():
    page = audit_pages.page(manifest(shown=0), [], [], [], [])
    assert "No version was in production" in page
    assert "9 entries left out" in page


def test_a_page_shows_first_what_is_missing():
    lost = {"where": "evidence of entry 5", "why": "the run is gone", "digest": "00"}
    page = audit_pages.page(manifest(missing=[lost]), [entry(5)], [], [], [])
    assert page.index("evidence of entry 5: the run is gone") < page.index("The ledger: ")


@pytest.mark.parametrize(
    ("record", "title", "code"),
    [
        (FolderCheck("d", "churn", "version 3", 9, 2, 14), "churn, version 3: everything holds", 0),
        (
            FolderCheck("d", "churn", "version 3", problems=(Finding("x", Outcome.FAIL, "cut"),)),
            "churn, version 3: 1 problem: do not rely on this folder", 2,
        ),
        (
            FolderCheck("d", "churn", missing=(Finding("x", Outcome.UNSURE, "gone"),)),
            "churn: what is here holds; evidence was missing when it was written", 3,
        ),
        (FolderCheck("d", problems=(Finding("x", Outcome.FAIL, "cut"),)), "d: 1 problem", 2),
    ],
)  # fmt: skip
def test_a_check_of_a_folder_says_its_verdict_first(record, title, code):
    assert text(record).startswith(title)
    assert record.exit_code == code
    assert title.partition(":")[0] in html(record)


def test_an_export_says_what_to_note_down():
    done = Exported("churn", "out", "year 2026", 9, 2, 14, "ab" * 32, "cd" * 32, ("entry 5: gone",))
    shown = text(done, width=160)
    assert "ab" * 32 in shown
    assert "cd" * 32 in shown
    assert "missing: entry 5: gone" in shown
    assert "python3 -I out/verify.py" in shown
    assert done.exit_code == 3


def test_a_transfer_says_where_it_went():
    done = Transfer("churn/3", "churn/1", "https://prod", "sha256:ab", "cd", "ef", repeated=True)
    shown = text(done)
    assert shown.startswith("churn/3: was carried over before; nothing was written")
    assert "churn/1 of https://prod" in shown
