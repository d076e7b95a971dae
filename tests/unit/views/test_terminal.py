"""What a check looks like in a terminal, at 80 characters, in a pipe and in plain ASCII."""

import io
import subprocess
import sys

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from lifecycle import records as r
from lifecycle.records import Outcome
from lifecycle.views import terminal
from lifecycle.views.layout import Gauge, Sheet
from lifecycle.views.sheets import sheet

TABLE = """\
drifted: 60 rows against 40
  held against  the same hours

              reference
 column       live             moved in  effect  p       distance
 ────────────────────────────────────────────────────────────────
 temp         ▄█▄              location  0.8     <1e-12  0.9
 numeric       ▃█▃                                       ± 0.02
              null 0 % → 17 %
 plan         ██                                 1
 categorical  ██

  temp is higher: median 3 instead of 2
"""
CALM = {"drifted": False, "outcome": Outcome.PASS}


@pytest.fixture
def report(numeric, levels):
    temp = numeric(
        "temp", reference=[0, 10, 20, 10, 0], live=[0, 0, 10, 30, 10], nulls=(0, 10),
        score=0.9, score_name="wasserstein", bounds={"wasserstein": 0.02}, p_value=1e-15,
        effect=0.8, test="location", reason="temp is higher: median 3 instead of 2",
    )  # fmt: skip
    plan = levels(
        "plan", levels=["a", "b"], reference=[50, 50, 0], live=[50, 50, 0], **CALM, p_value=1.0
    )
    columns = {"temp": temp, "plan": plan}
    return r.DriftReport(Outcome.FAIL, columns, 40, 60, (temp.reason,), matched="the same hours")


def test_the_table_at_eighty_characters(report):
    assert terminal.text(report, width=80) == TABLE


def test_in_ascii(report):
    shown = terminal.text(report, width=80, blocks=False)
    assert " temp         =@=              location" in shown
    assert " numeric       -@-" in shown


def test_beside_where_there_is_room_and_below_elsewhere(report):
    assert terminal.text(report, width=80).count("temp is higher") == 1
    wide = terminal.text(report, width=140)
    assert wide.count("temp is higher") == 1
    (line,) = [line for line in wide.splitlines() if line.startswith(" temp")]
    assert line.endswith("temp is higher: median 3 instead of 2")


def test_a_reason_without_its_columns_name_gets_it_below(numeric):
    column = numeric("temp", reference=[0, 9, 0], live=[0, 9, 0], reason="only 9 rows", **CALM)
    report = r.DriftReport(Outcome.PASS, {"temp": column}, 9, 9)
    assert "  temp: only 9 rows" in terminal.text(report, width=80)


def _printed(record, *, terminal_too=False, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=90, force_terminal=terminal_too, color_system=None)
    console.print(terminal.drawn(record))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_blocks_on_a_terminal_and_ascii_in_a_pipe(report):
    assert "▄█▄" in _printed(report, terminal_too=True)
    piped = _printed(report)
    assert "▄" not in piped
    assert "=@=" in piped


def test_an_encoding_of_ascii_alone_is_no_crash(numeric, hostile):
    column = numeric(f"気温 {hostile}", reference=[0, 9, 0], live=[0, 9, 9], nulls=(0, 9))
    report = r.DriftReport(Outcome.FAIL, {column.name: column}, 9, 27, ("★ moved → more",))
    shown = _printed(report, terminal_too=True, encoding="ascii")
    assert "\\u6c17\\u6e29" in shown
    assert "null 0 % -> 33 %" in shown
    assert "* moved -> more" in shown


def test_a_name_cannot_steer_the_terminal(numeric, hostile):
    column = numeric(hostile, reference=[0, 9, 0], live=[0, 9, 0], reason=f"{hostile} moved")
    shown = terminal.text(r.DriftReport(Outcome.FAIL, {hostile: column}, 9, 9), width=140)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "<script>" in shown


@pytest.mark.parametrize("name", ["x" * 80, "気温の平均値" * 8, "טמפרטורה" * 9, "no-blank_" * 9])
def test_long_names_wrap_and_nothing_is_wider_than_the_terminal(numeric, name):
    column = numeric(name, reference=[0, *[9] * 60, 0], live=[3, *[9] * 60, 3], nulls=(0, 99),
                     score=12.345, bounds={"w": 0.1}, score_name="w", effect=-1.25,
                     p_value=1e-15, test="out of range", reason=f"{name} is elsewhere")  # fmt: skip
    shown = terminal.text(r.DriftReport(Outcome.FAIL, {name: column}, 9, 9), width=80)
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert "▁" in shown or "█" in shown
    assert "".join(shown.split()).count(name[:4]) >= 1
    assert "out of range" in " ".join(shown.split())


def test_two_hundred_columns_are_twelve_rows_and_a_count(numeric):
    columns = {
        f"c{at}": numeric(f"c{at}", reference=[0, 9, 0], live=[0, 9, 0], **CALM)
        for at in range(200)
    }
    shown = terminal.text(r.DriftReport(Outcome.PASS, columns, 9, 9), width=80)
    assert "188 more columns, none of them worse" in shown
    assert shown.count("numeric") == 12


def test_no_columns_at_all():
    shown = terminal.text(r.DriftReport(Outcome.UNSURE, {}, 0, 0, ("no rows",)), width=80)
    assert shown == "not enough evidence: 0 rows against 0\n  no rows\n"


def test_nullable_boolean_date_and_list_columns_are_drawn_or_named():
    from lifecycle.workflows.compare import compare

    frame = pd.DataFrame({
        "flag": pd.array([True, None, False] * 20, dtype="boolean"),
        "count": pd.array([1, None, 3] * 20, dtype="Int64"),
        "day": pd.date_range("2026-01-01", periods=60),
        "empty": [None] * 60,
        "constant": [1.0] * 60,
    })  # fmt: skip
    report = compare(frame, frame)
    shown = " ".join(terminal.text(report, width=140).split())
    for name in frame:
        assert name in shown


def test_checks_as_strips_and_rows(make_checks):
    shown = terminal.text(make_checks(8), width=100)
    assert shown.splitlines()[0] == "churn: 8 checks, 4 found drift, 4 found harm"
    assert "  column 0  ▁▁▁▁████" in shown
    assert "  column 2  ▁▁▁▁▃▃▃▃" in shown
    assert "  roc_auc   █▇▆▅▄▃▂▁" in shown
    assert "2025-01-06 to" in shown
    assert "[0.7800, 0.8200]" in shown
    narrow = terminal.text(make_checks(60), width=80)
    assert max(map(cell_len, narrow.splitlines())) <= 80
    assert "48 earlier checks" in narrow


def test_strips_are_ascii_in_a_pipe(make_checks):
    assert "column 0  ....@@@@" in terminal.text(make_checks(8), width=100, blocks=False)


def test_one_check_without_labels_or_columns(make_checks):
    one = make_checks(1, columns=0, labels=False, estimates=False)
    shown = terminal.text(one, width=80)
    assert shown.startswith("churn: 1 check, none found drift\n")
    assert sheet(one).headers[4] == "metric"


def test_the_command_line_in_a_pipe_of_ascii(tmp_path):
    frame = pd.DataFrame({"気温": range(60), "b": ["x", "y"] * 30})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.assign(b="x").to_parquet(tmp_path / "b.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle", "drift", "a.parquet", "b.parquet"],
        capture_output=True, check=False, cwd=tmp_path,
        env={"PATH": "", "PYTHONIOENCODING": "ascii", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr.decode()
    shown = done.stdout.decode("ascii")
    assert "\\u6c17\\u6e29" in shown
    assert "Traceback" not in done.stderr.decode()


def test_a_gauge_is_drawn_in_what_the_output_can_show():
    shown = Sheet(
        "x", facts=[("arm", Gauge(0.5, "half", "good"))], rows=[("a", Gauge(0.25, "1 of 4"))]
    )
    assert "arm  ███████████████░░░░░░░░░░░░░░░ half" in terminal.text(shown)
    assert "arm  ###############............... half" in terminal.text(shown, blocks=False)
    assert "███░░░░░░░░░" in terminal.text(shown)
