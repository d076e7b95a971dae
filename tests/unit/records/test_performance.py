import json

import pytest

from lifecycle.records import (
    Calibration,
    CalibrationBin,
    Decision,
    DriftReport,
    Estimate,
    LabelCoverage,
    MonitorReport,
    Outcome,
    Performance,
    PerformancePoint,
    Slice,
)


def test_coverage_counts_what_is_missing():
    coverage = LabelCoverage(200, 150, Outcome.PASS)
    assert (coverage.missing, coverage.share, coverage.selective) == (50, 0.75, False)
    assert {"missing": 50, "share": 0.75}.items() <= coverage.to_dict().items()


def test_a_window_without_rows_has_no_share():
    assert LabelCoverage(0, 0, Outcome.UNSURE).share is None


@pytest.mark.parametrize(
    ("outcome", "holds"), [(Outcome.PASS, True), (Outcome.FAIL, False), (Outcome.UNSURE, None)]
)
def test_an_estimate_holds_fails_or_cannot_be_judged(outcome: Outcome, *, holds: bool | None):
    estimate = Estimate("cbpe", "roc_auc", 0.8, 0.7, 0.9, 0.8, 100, outcome=outcome)
    assert estimate.holds is holds


def test_a_report_carries_all_of_it_as_json():
    performance = Performance(
        "mae", 1.0, 0.9, 1.1, 1.0, 0.9, 1.1, 80, 20, Outcome.PASS,
        over_time=(PerformancePoint("2026-01-01", "2026-01-02", 50, 40, 1.0, 0.9, 1.1),),
    )  # fmt: skip
    report = MonitorReport(
        "churn", 1, Outcome.PASS, (), Decision(retrain=False, reasons=()),
        DriftReport(Outcome.PASS, {}, 10, 10), performance,
        labels=LabelCoverage(100, 80, Outcome.PASS),
        estimate=Estimate("direct loss", "mae", float("nan"), None, None, 1.0, 100),
        calibration=Calibration(80, Outcome.PASS, (CalibrationBin(0.0, 0.1, 80, 0.05, 0.04),)),
        slices=(Slice("x = 'a'", 9, 9, "mae", 1.0, 0.9, 1.1, 1.0, 1.0, 0.5, Outcome.PASS),),
    )  # fmt: skip
    tree = json.loads(json.dumps(report.to_dict()))
    assert tree["labels"]["missing"] == 20
    assert tree["estimate"]["value"] is None
    assert tree["calibration"]["bins"][0]["rows"] == 80
    assert tree["slices"][0]["where"] == "x = 'a'"
    assert tree["performance"]["over_time"][0]["labelled"] == 40
    assert tree["late_rows"] == 0
