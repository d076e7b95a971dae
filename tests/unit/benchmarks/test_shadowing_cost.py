"""The bench of shadows: medians, changes in per cent, and whether its goal is reached."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "serving"))

from processes import Load
from shadowing_cost import Turn, document, options, row

GIVEN = argparse.Namespace(rounds=3, seconds=2)


def turn(loop, *, coverage=None):
    return Turn(loop, 2 * loop, 1e6 / loop, 50.0, 900.0, coverage)


OFF = [turn(20.0), turn(21.0), turn(400.0)]


def test_a_row_has_medians_and_the_change():
    on = [turn(22.0, coverage=1.0), turn(22.05, coverage=0.5), turn(10.0, coverage=0.9)]
    text = row(Load(16), OFF, on)
    assert text.startswith("16 | 21.0 \u2192 22.0 (+4.8 %) | 42.0 \u2192 44.0 (+4.8 %) | ")
    assert text.endswith(" | 90.0%")
    assert text.count("|") == 6


@pytest.mark.parametrize(
    ("loop", "verdict"),
    [(23.0, "reached;"), (25.0, "reached by the median;"), (26.0, "missed;")],
)
def test_the_goal_is_that_of_the_worst_load_and_else_of_the_median(loop, verdict):
    loads = {Load(1): (OFF, [turn(21.0)]), Load(64): (OFF, [turn(loop)])}
    text = document({"linear": loads}, GIVEN, minutes=4.4)
    assert f"on the answer path: {verdict}" in text
    assert "(linear at 64)" in text
    assert "`python benchmarks/serving/shadowing_cost.py`" in text
    assert "4 minutes" in text
    assert text.count("| linear |") == 2


def test_an_unknown_model_is_refused(capsys):
    with pytest.raises(SystemExit):
        options(["--only", "linear,nothing"])
    assert "'nothing'" in capsys.readouterr().err
    assert options(["--only", "linear,forest"]).only == ["linear", "forest"]
