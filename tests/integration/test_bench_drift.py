"""The drift bench as people run it: one command, others' rules beside ours, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "drift"))

from changes import CHANGES
from evidently_rule import evidently, few_values, package, preset, scorer, verify
from measuring import measure
from run import main, options, pooled, read, speed_rows
from streams import STREAMS
from tables import Plan, Size

BENCH = Path(__file__).parents[2] / "benchmarks" / "drift"
RULES = '''
import os


def never(reference, time):
    """A rule that someone plugs in; asked about every other window."""
    return lambda window: "quiet"


never.every = 2


def broken(reference, time):
    def judge(window):
        raise RuntimeError("no such window")
    return judge


def deadly(reference, time):
    if reference.height == 401:
        os._exit(3)
    return lambda window: "alarm"
'''


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write to and a module of rules that can be imported."""
    (tmp_path / "my_rules.py").write_text(RULES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def bench(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a person would."""
    command = [sys.executable, str(BENCH / "run.py"), "--output", str(folder / "RESULTS.md")]
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [*command, *arguments], env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("reference_rows", "rows", "change"),
    [
        (700, 120, "one column 0.3 sd"),  # p-values
        (1030, 200, "missing 0 to 30 %"),  # one column has fewer than 1,000 values, others more
        (1600, 250, "new level, 5 %"),  # distances
        (1600, 40, "stuck sensor"),
    ],
)
def test_scores_are_evidentlys_own(reference_rows, rows, change):
    rng = np.random.default_rng(reference_rows + rows)
    stream, names = STREAMS["independent"], ("x3", "x4", "x5", "x7", "c27", "c28", "x0")
    reference = few_values(stream.frame(rng, reference_rows).select(names))
    window = few_values(CHANGES[change](stream.frame(rng, rows).select(names), rng))
    mine = scorer(reference, None)(window)
    theirs, alarm = preset(reference, window)
    assert {name: score for name, (score, _) in mine.items()} == pytest.approx(theirs, abs=1e-9)
    assert evidently(reference, None)(window)["evidently"] == ("alarm" if alarm else "quiet")


def test_the_package_itself_is_a_rule_and_knows_the_time():
    stream = STREAMS["AR(0.9)"]
    reference = stream.frame(np.random.default_rng(0), 1500).select("ts", "x0", "x7", "c27")
    window = stream.frame(np.random.default_rng(1), 300, 2000).select(reference.columns)
    moved = window.with_columns(pl.col("x0", "x7") + 2)
    for frame, alarm in ((reference, "quiet"), (moved, "alarm")):
        assert package(reference, "ts")(frame) == alarm
        assert evidently(reference, "ts")(frame)["evidently"] == alarm
    assert package.every > 1


def test_the_check_against_evidently_sees_another_definition(monkeypatch):
    assert verify() <= 1e-9
    monkeypatch.setattr("evidently_rule.FEW_ROWS", 1500)  # distances where Evidently has p-values
    with pytest.raises(AssertionError, match="scores differ"):
        verify()


@pytest.mark.slow
def test_one_command_writes_a_table_with_a_column_for_each_rule(plugged: Path):
    rules = ["ours", "evidently", "alibi", "nannyml", "my_rules:never", "my_rules:broken"]
    done = bench(plugged, "--quick", "--windows=2", f"--rules={','.join(rules)}", "--only=timed")
    assert done.returncode == 0, done.stderr
    text = (plugged / "RESULTS.md").read_text(encoding="utf-8")
    assert text == done.stdout.removesuffix("\n")
    assert "## Goals" in text
    assert "## False alarms, rows with times" in text
    assert "cores, Python 3" in text
    assert "Evidently's own preset gave the same alarms" in text
    assert "Failed: my_rules:broken: RuntimeError: no such window" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = [line for line in lines if "| ours |" in line and "my_rules:never" in line]
    assert len(heads) == 1
    assert "evidently, any column | alibi at 5 % | alibi at 1 % | nannyml" in heads[0]
    rows = [line.count("|") for line in lines[lines.index(heads[0]) :]]
    assert rows == [heads[0].count("|")] * 18  # 4 streams, 4 sizes
    runs = next(line for line in lines if line.startswith("| AR(0.9) |") and "| 672 |" in line)
    assert runs.count("| 100 % [34, 100] |") >= 1  # who takes the rows for independent
    assert "| 0 % [0, 79] n = 1 |" in runs  # `never` is asked about every other window
    assert "≤ 3 % " in runs
    assert (plugged / "rates.png").stat().st_size < 150_000
    assert "](rates.png)" in text


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on(plugged: Path):
    arguments = ("--windows=2", "--rules=alibi", "--only=season", "--jobs=1")
    first = bench(plugged, *arguments)
    kept = plugged / ".partial" / "jobs.jsonl"
    lines = kept.read_text(encoding="utf-8").splitlines()
    kept.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40], encoding="utf-8")
    again = bench(plugged, *arguments, "--resume")
    assert "[1/1]" in again.stderr
    tables = [text[text.index("| stream") :] for text in (first.stdout, again.stdout)]
    assert tables[0] == tables[1]
    assert len(read(kept)) == len(lines)


@pytest.mark.slow
def test_tables_that_are_not_asked_for_again_stay(plugged: Path, capsys):
    arguments = ["--windows=2", "--quick", "--rules=alibi", f"--output={plugged / 'RESULTS.md'}"]
    assert main([*arguments, "--only=season"]) == 0
    assert main([*arguments, "--only=timed", "--resume"]) == 0
    text = capsys.readouterr().out.split("# Error rates")[-1]
    assert "## Windows shorter than a cycle" in text
    assert "## False alarms, rows with times" in text
    for line in (plugged / ".partial" / "jobs.jsonl").read_text(encoding="utf-8").splitlines():
        job = json.loads(line)
        assert job["counts"]
        assert not job["errors"]


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes():
    plan = Plan("independent", "independent", 400, (Size(50, 4, 3),))
    todo = [(plan, draw) for draw in range(3)]
    found = {draw: result["counts"] for (_, draw), result in pooled(todo, ["alibi"], 2)}
    assert found == {draw: measure(plan, draw, ["alibi"])["counts"] for draw in range(3)}


@pytest.mark.usefixtures("plugged")
@pytest.mark.slow
def test_a_job_that_kills_its_process_fails_alone():
    plans = [
        Plan("independent", "independent", rows, (Size(50, 2, 1),)) for rows in (400, 401, 402)
    ]
    rules = ["my_rules:deadly"]
    found = {
        plan.reference: result for (plan, _), result in pooled([(p, 0) for p in plans], rules, 1)
    }
    assert sorted(found) == [400, 401, 402]
    assert found[401]["counts"] == {}
    assert "the process died" in found[401]["errors"]["0|my_rules:deadly"]
    for rows in (400, 402):
        assert found[rows]["counts"] == {"50|none|my_rules:deadly": [2, 2, 0]}


def test_mistakes_are_told_before_anything_is_measured(plugged: Path):
    for arguments, text in (
        (["--rules=our"], "did you mean 'ours'"),
        (["--rules=my_rules:nowhere"], "cannot be imported"),
        (["--only=rates"], "unknown table 'rates': independent"),
    ):
        done = bench(plugged, *arguments)
        assert done.returncode
        assert text in done.stderr
        assert "Traceback" not in done.stderr
        assert not (plugged / "RESULTS.md").exists()


def test_speed_that_cannot_be_measured_is_a_row(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("run.HERE", tmp_path)
    [row] = speed_rows()
    assert "no rows" in row["failed"]
    code = "def rows():\n    print('reading')\n    return [{'what': 'x', 'seconds': 1.5}]\n"
    (tmp_path / "speed.py").write_text(code, encoding="utf-8")
    assert speed_rows() == [{"what": "x", "seconds": 1.5}]


def test_a_quick_run_leaves_speed_out_unless_it_is_asked_for():
    tables = ["independent", "timed", "changes", "season"]
    assert options(["--quick"]).only == tables
    assert options([]).only == [*tables, "speed"]
    assert options(["--quick", "--only=speed"]).only == ["speed"]
