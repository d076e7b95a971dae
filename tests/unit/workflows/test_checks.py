"""A report in brief, and the questions that past checks answer, on a real registry."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from lifecycle import records as r
from lifecycle.errors import DataError, ModelNotFound, RegistryError
from lifecycle.records import Check, Checks, Outcome
from lifecycle.stores import timeline
from lifecycle.stores.tracking import connect
from lifecycle.workflows.checks import as_check, checks, enter, pictures, recorded, write_pictures
from lifecycle.workflows.compare import compare

NOW = datetime(2026, 3, 20, tzinfo=UTC)
SEEN = r.Performance("mae", 2.5, 2.4, 2.6, 2.0, 1.9, 2.1, 90, 10, Outcome.FAIL, "worse",
                     higher_is_better=False)  # fmt: skip
GUESS = r.Estimate("direct loss", "mae", 2.3, 2.2, 2.4, 2.0, 100)


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=400), "y": rng.normal(size=400), "none": None})
    drift = compare(frame, frame.assign(x=frame["x"] + 1))
    return r.MonitorReport(
        "churn", 3, Outcome.FAIL, ("x moved",), r.Decision(True, ("harmed",)), drift, SEEN,
        ("2026-03-01T00:00:00", "2026-03-07T23:00:00"), "run1", estimate=GUESS,
    )  # fmt: skip


@pytest.fixture
def client(config):
    return connect(config)


def day(at: int) -> str:
    return f"2026-03-{at:02}T00:00:00"


def one(at: int, **more) -> Check:
    known = {"version": 1, "outcome": Outcome.PASS, "window": (day(at), day(at + 1))}
    return Check(f"2026-04-{at:02}T00:00:00+00:00", **{**known, "run_id": f"run{at}", **more})


@pytest.fixture
def entered(client):
    """Five days, the last of version 2, and a segment; entered out of order."""
    client.create_registered_model("churn")
    for at in (3, 1, 2, 5, 4):
        enter(client, one(at, version=1 + (at == 5)), name="churn", key=str(at))
    enter(client, one(9, part="plan=pro"), name="churn", key="9")


def test_a_report_in_brief_has_its_figures(report):
    brief = as_check(report, time=NOW, part="plan=pro")
    assert (brief.version, brief.outcome, brief.window) == (3, Outcome.FAIL, report.window)
    assert brief.drifted_columns == ("x",)
    assert brief.effects["x"] == report.columns["x"].effect
    assert next(iter(brief.effects)) == "x"
    assert (brief.metric, brief.value, brief.low, brief.high) == ("mae", 2.5, 2.4, 2.6)
    assert (brief.expected, brief.expected_low, brief.expected_high) == (2.0, 1.9, 2.1)
    assert (brief.estimate, brief.estimate_low, brief.estimate_high) == (2.3, 2.2, 2.4)
    assert (brief.harmed, brief.retrain, brief.part, brief.rows) == (True, True, "plan=pro", 400)


def test_without_labels_the_estimate_names_the_metric(report):
    brief = as_check(replace(report, performance=None), time=NOW)
    assert (brief.metric, brief.value, brief.expected) == ("mae", None, 2.0)
    bare = as_check(replace(report, performance=None, estimate=None), time=NOW)
    assert (bare.metric, bare.expected, bare.estimate, bare.harmed) == ("", None, None, False)


def test_what_is_entered_comes_back(client, report):
    brief = as_check(report, time=NOW)
    enter(client, brief, name="churn", key="a")
    (found,) = recorded(client, "churn")
    effects = {name: pytest.approx(size, abs=1e-4) for name, size in brief.effects.items()}
    assert found == replace(brief, effects=effects)


def test_a_zero_is_a_figure(client):
    enter(client, one(1, metric="mae", value=0.0, effects={"x": 0.0}), name="churn", key="a")
    (found,) = recorded(client, "churn")
    assert (found.value, found.effects) == (0.0, {"x": 0.0})


def test_an_infinite_effect_is_left_out(report):
    columns = {"x": replace(report.columns["x"], effect=float("inf"))}
    odd = replace(report, drift=replace(report.drift, columns=columns))
    assert as_check(odd, time=NOW).effects == {}


def test_a_check_that_was_killed_and_made_again_is_one(client):
    enter(client, one(1), name="churn", key="same")
    later = replace(one(1), time="2026-04-02T00:00:00+00:00", run_id="again")
    enter(client, later, name="churn", key="same")
    (found,) = recorded(client, "churn")
    assert found.run_id == "again"


@pytest.mark.usefixtures("entered")
def test_they_come_in_order_of_their_windows(config):
    found = checks(config)
    assert [item.run_id for item in found] == ["run1", "run2", "run3", "run4", "run5"]
    assert isinstance(found, Checks)


@pytest.mark.usefixtures("entered")
@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ({"version": 2}, [5]),
        ({"since": "2026-03-04"}, [3, 4, 5]),
        ({"until": "2026-03-03"}, [1, 2]),
        ({"since": "2026-03-03", "until": "2026-03-04"}, [2, 3]),
        ({"part": "plan=pro"}, [9]),
    ],
)
def test_questions(config, wanted, runs):
    assert [item.run_id for item in checks(config, **wanted)] == [f"run{at}" for at in runs]


@pytest.mark.usefixtures("entered")
def test_the_last_so_many(client):
    assert [item.run_id for item in recorded(client, "churn", most=2)] == ["run5", "run9"]


@pytest.mark.usefixtures("entered")
def test_what_there_is_not_is_said(config):
    with pytest.raises(DataError, match=r"none of the 6 checks.*of version 1, 2, .*plan=pro"):
        checks(config, version=7)
    with pytest.raises(DataError, match="since is 'yesterday-ish'"):
        checks(config, since="yesterday-ish")


def test_no_checks_yet_and_no_such_model(config, client):
    client.create_registered_model("churn")
    with pytest.raises(ModelNotFound, match="no check of churn is recorded yet") as error:
        checks(config)
    assert error.value.fix == "lifecycle monitor churn"
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        checks(config.with_values(name="chrun"))


@pytest.mark.parametrize("entry", [{}, {"outcome": "odd"}, {"outcome": "pass", "window": 5}])
def test_an_entry_of_another_kind_is_an_error_of_ours(config, client, entry):
    timeline.add(client, "churn", "run1", {"version": 1, "time": "2026-01-01", **entry})
    with pytest.raises(RegistryError, match="cannot be read"):
        checks(config)


def test_fields_of_later_versions_are_passed_over(config, client):
    entry = {"outcome": "pass", "version": 1, "time": "2026-01-01", "colour": "green"}
    timeline.add(client, "churn", "run1", entry)
    assert checks(config)[0].outcome is Outcome.PASS


@pytest.mark.usefixtures("entered")
def test_a_check_shows_its_columns_and_the_checks_before_it(client, report):
    brief = as_check(replace(report, run_id="now"), time=NOW)
    files = pictures(client, report, brief)
    assert set(files) == {"drift.png", "timeline.png", "report.html"}
    assert files["drift.png"][:4] == files["timeline.png"][:4] == b"\x89PNG"
    page = files["report.html"]
    assert "churn version 3: drifted and harmed" in page
    assert "churn: the last 6 checks" in page, "five days and this one, not the segment's"
    assert page.count("<svg") == len(report.columns) + 2


@pytest.mark.usefixtures("entered")
def test_timelines_are_written_as_a_page_and_as_a_picture(config, tmp_path):
    found = checks(config)
    write_pictures(found, html=tmp_path / "page.html", png=tmp_path / "page.png")
    assert "churn: 5 checks" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "page.png").read_bytes()[:4] == b"\x89PNG"
    write_pictures(found)
    with pytest.raises(DataError, match="cannot be written"):
        write_pictures(found, html=tmp_path / "no" / "page.html")
