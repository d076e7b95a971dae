"""The model card: every line from a record, nothing made up, and safe to print."""

import json
import re
import shutil

import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, ModelNotFound
from lifecycle.models import specs
from lifecycle.records import Card, CardFact, CardSection, Check, Entry, GateResult, Outcome
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.views import audit_pages, card_sheets
from lifecycle.views.notebook import html
from lifecycle.views.terminal import text
from lifecycle.workflows.card import _judged, _moved, _seen, card
from lifecycle.workflows.dossier import about, dossier
from lifecycle.workflows.gate import gate

FIGURE = re.compile(r"\d+\.\d{2,}|\b[0-9a-f]{64}\b")


@pytest.fixture(scope="module")
def world(champion_database, tmp_path_factory):
    """A registry with churn/1, gated and in production, and what people wrote about it."""
    folder = tmp_path_factory.mktemp("carded")
    shutil.copy(champion_database, folder / "mlflow.db")
    config = Config().with_values(
        name="churn", models__compile=False, tracking__uri=f"sqlite:///{folder / 'mlflow.db'}"
    )
    client = connect(config)
    client.update_registered_model("churn", "Calls customers | who [may](http://evil) leave.")
    client.update_model_version("churn", "1", "The first <b>try</b>.")
    gate(config.with_values(gates__use="floor,champion", gates__floor={"roc_auc": 0.99}), "churn/1")
    return config


@pytest.fixture(scope="module")
def made(world):
    return card(world, "churn/1")


def values(found, title):
    return {fact.name: fact.value for fact in found.section(title).facts}


def test_a_card_tells_what_is_recorded(made, world):
    client = connect(world)
    version = registry.find(client, "churn/1")
    spec = artifacts.spec(client, version)
    assert (made.name, made.version, made.stage) == ("churn", 1, "production")
    assert [item.title for item in made.sections] == [
        "Purpose", "Data", "Metrics", "Inputs", "Gates", "Origin", "History", "In service",
        "Limits", "Files",
    ]  # fmt: skip
    purpose = values(made, "Purpose")
    assert purpose["intended use"] == "Calls customers | who [may](http://evil) leave."
    assert purpose["this version"] == "The first <b>try</b>."
    assert (purpose["predicts"], purpose["task"]) == ("churned", "binary")
    data = values(made, "Data")
    assert data["sha256"] == spec.lineage.data_digest
    assert data["rows"] == f"{spec.lineage.data_rows:,}"
    assert data["time span of training"] == f"{spec.trained_from} to {spec.trained_to}"
    assert data["training rows"] == f"{spec.trained_rows:,}"
    figures = values(made, "Metrics")
    assert figures["roc_auc (decides)"] == str(spec.metric).removeprefix("roc_auc ")
    assert len(figures) == len(spec.metrics)
    assert values(made, "Files")["registered"] == version.digest
    assert "importance" in values(made, "Inputs")["tenure"]
    origin = values(made, "Origin")
    assert origin["environment digest"] == spec.lineage.environment_digest
    assert origin["seed"] == str(spec.lineage.seed)


def test_a_card_has_verdict_moves_and_limits(made, world):
    ledger = Ledger(connect(world), "churn").entries()
    judged = next(item for item in ledger if item.kind == "gate")
    gates = values(made, "Gates")
    assert gates["verdict"].startswith("fail")
    assert gates["evidence sha256"] == judged.evidence_digest
    assert len(made.section("History").facts) == len(ledger)
    forced = values(made, "Limits")["forced"]
    assert forced == "a test"
    assert any(name.startswith("floor") for name in values(made, "Limits"))
    assert values(made, "In service")["in production"].endswith("to now")


def test_every_figure_and_digest_of_a_card_is_in_a_record(made, world):
    """The records as one text: no figure of the card may be from elsewhere."""
    client = connect(world)
    version = registry.find(client, "churn/1")
    ledger = Ledger(client, "churn").entries()
    found = dossier(client, version, ledger)
    importance = json.loads(
        artifacts.run_file(client, version.tags["lifecycle.spec_run"], "importance.json")
    )
    records = json.dumps([
        found.spec.to_dict(), version.to_dict(), found.report.to_dict(), importance, found.holdout,
        [item.to_dict() for item in ledger], [vars(item) for item in found.files],
    ])  # fmt: skip
    numbers = [float(item) for item in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", records)]
    for section in made.sections:
        for fact in section.facts:
            assert fact.source, fact
            for figure in FIGURE.findall(fact.value):
                if len(figure) == 64:
                    assert figure in records, fact
                else:
                    digits = len(figure.partition(".")[2])
                    near = 0.51 * 10**-digits
                    assert any(abs(abs(item) - float(figure)) <= near for item in numbers), fact


def test_another_record_makes_another_card(world, made):
    client = connect(world)
    run_id = registry.find(client, "churn/1").tags["lifecycle.spec_run"]
    version = registry.find(client, "churn/1")
    ledger = Ledger(client, "churn").entries()
    before = dossier(client, version, ledger)
    assert specs.dumps(before.spec) == artifacts.run_file(client, run_id, "spec.json").decode()
    client.update_model_version("churn", "1", "Another text.")
    try:
        assert values(card(world, "churn/1"), "Purpose")["this version"] == "Another text."
    finally:
        client.update_model_version("churn", "1", "The first <b>try</b>.")
    assert values(card(world, "churn@champion"), "Metrics") == values(made, "Metrics")


def test_a_version_of_nobody_has_a_card_that_says_so(config, logged_model):
    import mlflow

    from lifecycle.stores.tracking import quiet

    client = connect(config)
    uri = logged_model(client)
    with quiet():
        mlflow.register_model(uri, "plain")
    found = card(config, "plain/1")
    assert values(found, "Purpose")["intended use"] == "not recorded"
    assert values(found, "Gates") == {"verdict": "the gates were never run"}
    assert values(found, "Files")["registered"] == "not recorded"
    assert "hold-out" in values(found, "Limits")


def test_a_card_is_written_as_markdown_and_as_a_page(world, made, tmp_path):
    card(world, "churn/1", output=tmp_path / "card.md")
    card(world, "churn/1", output=str(tmp_path / "card.html"))
    words = (tmp_path / "card.md").read_text()
    assert words == card_sheets.markdown(made)
    assert "## Metrics" in words
    assert "[may](http://evil)" not in words
    assert "\\[may\\](http://evil)" in words
    assert "<b>" not in words.replace("\\<b>", "")
    page = (tmp_path / "card.html").read_text()
    assert page == audit_pages.card(made)
    assert "<b>try</b>" not in page
    assert "&lt;b&gt;try" in page
    assert "<script" not in page
    rows = [line for line in words.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == sum(len(item.facts) + 1 for item in made.sections)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in rows), "a mark breaks a row"


def test_what_cannot_be_written_is_refused_first(world, tmp_path):
    with pytest.raises(ConfigError, match=r"'.pdf'"):
        card(world, "churn/1", output=tmp_path / "card.pdf")
    with pytest.raises(DataError, match="cannot be written"):
        card(world, "churn/1", output=tmp_path / "nowhere" / "card.md")
    with pytest.raises(ModelNotFound):
        card(world, "churn/9")
    assert list(tmp_path.iterdir()) == []


def test_a_card_is_seen_in_terminal_and_notebook(made):
    shown = text(made, width=160)
    for said in ("PURPOSE", "METRICS", "recorded in", "spec.json", "every line names the record"):
        assert said in shown
    assert "METRICS" in html(made)
    assert text(made, width=40)
    narrow = Card("churn", 3, "none", (CardSection("Data", (CardFact("rows", "12", "x"),)),))
    assert narrow.to_dict()["sections"][0]["facts"][0] == {
        "name": "rows", "value": "12", "source": "x",
    }  # fmt: skip
    assert narrow.section("Nothing").facts == ()


def test_texts_of_others_cannot_steer_a_terminal():
    fact = CardFact("reason", "good\x1b[2J\u202eevil\nnext", "ledger entry 1")
    record = Card("churn", 1, "none", (CardSection("History", (fact,)),))
    for shown in (text(record), card_sheets.markdown(record), audit_pages.card(record)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "good�\\[2J�evil next" in card_sheets.markdown(record)


def test_entries_and_checks_in_one_line():
    moved = Entry(
        7, "", "", "2026-03-01T10:00:00.000+00:00", "ann", "stage", 3, "staging", "production",
        "gates passed", extra={"forced": True},
    )  # fmt: skip
    fact = _moved(moved)
    assert (fact.name, fact.source) == ("2026-03-01 10:00:00", "ledger entry 7")
    assert fact.value == (
        "stage; staging → production; by ann (self-declared); gates passed; forced past the gates"
    )
    one = Check(
        "2026-03-08", 3, Outcome.FAIL, rows=1200, drifted_columns=("a", "b"), metric="roc_auc",
        value=0.71234, harmed=True, part="carrier=EV",
    )  # fmt: skip
    assert _seen(one) == (
        "fail; 1,200 rows; carrier=EV; moved: a, b; roc_auc 0.7123; worse than on the hold-out"
    )
    assert _judged(GateResult("size", Outcome.UNSURE, "no file")) == "not enough evidence: no file"


def test_what_is_about_a_version():
    entries = [
        draft(kind="register", version=1),
        draft(kind="stage", version=2, to="production", extra={"replaced": 1}),
        draft(kind="erase"),
    ]
    assert about(entries, 1) == (entries[0], entries[1])
    assert about(entries, 2) == (entries[1],)
    assert about(entries, 3) == ()
