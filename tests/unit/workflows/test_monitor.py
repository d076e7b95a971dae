"""One check of a champion: what it records, when it flags, and when it calls a flag off."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import (
    ColumnDrift,
    Decision,
    DriftReport,
    MonitorReport,
    Outcome,
    Performance,
)
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.triggers import open_flag
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.promote import promote
from lifecycle.workflows.recording import figures, first, summary
from lifecycle.workflows.retrain import retrain
from lifecycle.workflows.status import status

Make = Callable[..., pd.DataFrame]


def flags(config: Config) -> list:
    entries = Ledger(connect(config), config.name).entries()
    return [entry for entry in entries if entry.kind == "flag"]


def harmed(make_churn: Make, rows: int = 300, seed: int = 2) -> pd.DataFrame:
    """Rows like those of training whose labels say the opposite."""
    frame = make_churn(rows, seed=seed, start="2026-03-01")
    return frame.assign(churned=1 - frame["churned"])


def calm(make_churn: Make, rows: int = 200, seed: int = 3) -> pd.DataFrame:
    return make_churn(rows, seed=seed, start="2026-04-01")


def column(name: str, *, drifted: bool = False, **values: float) -> ColumnDrift:
    outcome = Outcome.FAIL if drifted else Outcome.PASS
    return ColumnDrift(name, "numeric", drifted, outcome, **values)


def report(*columns: ColumnDrift, retrain: bool = False, harm: str = "") -> MonitorReport:
    failed = any(item.drifted for item in columns)
    drift = DriftReport(
        Outcome.FAIL if failed else Outcome.PASS, {item.name: item for item in columns}, 100, 40
    )
    seen = None
    if harm:
        seen = Performance("roc_auc", 0.5, 0.4, 0.6, 0.8, 0.7, 0.9, 90, 0, Outcome.FAIL, harm)
    decision = Decision(retrain, ("labels show harm",) if retrain else ())
    return MonitorReport("churn", 1, drift.outcome, (), decision, drift, seen)


def test_a_clean_check_closes_an_open_flag_and_retrain_reads_it(
    serving: Config, make_churn: Make
) -> None:
    bad = harmed(make_churn)
    assert monitor(serving, bad).retrain
    (flag,) = flags(serving)
    assert flag.extra["retrain"] is True
    assert status(serving)[0].last_check.endswith("fail, calls for retraining")

    small = calm(make_churn)
    clean = monitor(serving, small)
    assert clean.outcome is Outcome.PASS, clean.reasons
    assert not clean.retrain, clean.decision.reasons
    before, second = flags(serving)
    assert before == flag  # what was written stays
    assert second.reason.startswith("cleared: labelled rows since training are 2")
    assert second.extra["retrain"] is second.extra["drifted"] is second.extra["harmed"] is False
    kept = artifacts.read_evidence(connect(serving), second.evidence_link, second.evidence_digest)
    assert kept["outcome"] == "pass"
    assert status(serving)[0].last_check.endswith(": pass")
    quiet = retrain(serving, bad, if_flagged=True)
    assert not quiet.decision.retrain
    assert quiet.version is None

    assert monitor(serving, small).repeated
    other = calm(make_churn, seed=4)
    assert not monitor(serving, other).retrain
    assert len(flags(serving)) == 2, "nothing is open, so nothing is closed"

    assert monitor(serving, harmed(make_churn, seed=5)).retrain
    assert len(flags(serving)) == 3
    assert status(serving)[0].last_check.endswith("calls for retraining")


def test_a_check_that_drifts_but_calls_for_nothing_closes_it_too_and_says_so(
    serving: Config, make_churn: Make
) -> None:
    client = connect(serving)
    call = draft(kind="flag", version=1, reason="harmed", extra={"retrain": True})
    Ledger(client, "churn").append(lambda _: call)
    moved = calm(make_churn).drop(columns="churned")
    found = monitor(serving, moved.assign(charges=moved["charges"] + 60))
    assert found.drifted
    assert not found.retrain
    last = flags(serving)[-1]
    assert last.reason.startswith("cleared: the inputs or scores moved")
    assert "; moved: charges" in last.reason
    assert open_flag(Ledger(client, "churn").entries(), registry.find(client, "churn")) is None


def test_a_clean_check_of_another_champion_closes_nothing(
    serving: Config, make_churn: Make
) -> None:
    call = draft(kind="flag", version=7, reason="harmed", extra={"retrain": True})
    Ledger(connect(serving), "churn").append(lambda _: call)
    monitor(serving, calm(make_churn))
    assert [entry.version for entry in flags(serving)] == [7]


def test_a_check_is_a_run_with_figures_verdict_and_a_picture(
    serving: Config, make_churn: Make
) -> None:
    live = make_churn(120, seed=6, start="2026-05-01").drop(columns="churned")
    found = monitor(serving, live)
    client = connect(serving)
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "churn/monitoring"
    assert run.data.metrics["live_rows"] == 120
    assert run.data.metrics["drifted_columns"] == 0
    assert run.data.params["version"] == "churn/1"
    assert run.data.tags["lifecycle.outcome"] == str(found.outcome)
    assert "lifecycle.window_end" not in run.data.tags  # only the log's windows go on
    stored = {item.path for item in client.list_artifacts(found.run_id, "lifecycle")}
    assert "lifecycle/drift.png" in stored
    tags = client.get_model_version("churn", "1").tags
    assert tags["lifecycle.drift"] == str(found.drift.outcome)
    assert tags["lifecycle.last_check"] >= "2026"
    assert found.window == ("2026-05-01T00:00:00+00:00", "2026-05-02T05:45:00+00:00")


def test_what_cannot_be_checked_records_nothing(
    serving: Config, make_churn: Make, tmp_path
) -> None:
    with pytest.raises(DataError, match=r"ends \(2026-01-01\) before it begins"):
        monitor(serving, since="2026-02-01", until="2026-01-01")
    with pytest.raises(DataError, match="cannot be written") as told:
        monitor(serving, calm(make_churn, rows=60), html=tmp_path / "no" / "page.html")
    assert "folder that exists" in told.value.fix
    nothing = monitor(serving)
    assert (nothing.outcome, nothing.exit_code, nothing.run_id) == (Outcome.UNSURE, 3, "")
    client = connect(serving)
    experiment = client.get_experiment_by_name("churn/monitoring")
    assert not client.search_runs([experiment.experiment_id])
    assert "lifecycle.last_check" not in client.get_model_version("churn", "1").tags
    assert status(serving)[0].last_check == ""


def test_a_champion_that_was_never_trained_here_is_told_to_be_adopted(
    config: Config, logged_model: Callable[..., str]
) -> None:
    client = connect(config)
    client.create_registered_model("churn")
    client.create_model_version("churn", logged_model(client))
    promote(config, "churn/1", to="production", force=True, reason="as it is")
    with pytest.raises(ModelNotFound, match="lifecycle adopt churn/1 --reference"):
        monitor(config, pd.DataFrame({"x": [1.0], "z": [2.0]}))


def test_a_summary_names_harm_first_then_at_most_three_columns() -> None:
    columns = [column(name, drifted=True) for name in "abcde"]
    assert summary(report(*columns)) == "moved: a, b, c and 2 more"
    assert summary(report(*columns[:3])) == "moved: a, b, c"
    full = report(*columns[:1], column("z"), retrain=True, harm="roc_auc fell")
    assert summary(full) == "roc_auc fell; moved: a; retrain: labels show harm"
    assert summary(report(column("a"))) == ""


def test_a_decision_without_reasons_has_a_word_all_the_same() -> None:
    assert first(Decision(retrain=True, reasons=())) == "called for"
    assert first(Decision(retrain=True, reasons=("one", "two"))) == "one"


def test_figures_are_named_as_mlflow_allows_and_absent_ones_left_out() -> None:
    odd = column("prix (€)/an", drifted=True, p_value=0.001, effect=1.5)
    found = {item.name: item.value for item in figures(report(odd, harm="fell"))}
    assert found == {
        "drifted_columns": 1,
        "live_rows": 40,
        "live_roc_auc": 0.5,
        "expected_roc_auc": 0.8,
        "prix ____an/p_value": 0.001,
        "prix ____an/effect": 1.5,
    }


def test_figures_of_all_columns_are_recorded_however_many_there_are() -> None:
    many = [column(f"c{number}", p_value=0.5, effect=0.1, score=0.2) for number in range(400)]
    found = figures(report(*many))
    assert [item.name for item in found[:2]] == ["drifted_columns", "live_rows"]
    assert len({item.name for item in found}) == 2 + 3 * 400


def test_columns_whose_names_differ_in_forbidden_marks_keep_figures_of_their_own() -> None:
    found = figures(report(*(column(name, effect=0.1) for name in ("a€", "a$", "a_"))))
    assert [item.name for item in found[2:]] == ["a_/effect", "a_.2/effect", "a_.3/effect"]


def test_the_same_rows_in_another_order_are_another_check(
    serving: Config, make_churn: Make
) -> None:
    live = make_churn(80, seed=8, start="2026-05-01").drop(columns=["churned", "ts"])
    once = monitor(serving, live)
    assert monitor(serving, live).run_id == once.run_id
    changed = live.assign(tenure=np.where(live.index == 5, 1.0, live["tenure"]))
    assert monitor(serving, changed).run_id != once.run_id


def test_a_check_that_cannot_tell_calls_nothing_off(serving: Config, make_churn: Make) -> None:
    assert monitor(serving, harmed(make_churn)).retrain
    few = monitor(serving, calm(make_churn, rows=5))
    assert few.outcome is Outcome.UNSURE
    assert not few.retrain
    assert len(flags(serving)) == 1
    client = connect(serving)
    assert open_flag(Ledger(client, "churn").entries(), registry.find(client, "churn")) is not None
