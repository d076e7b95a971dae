"""The ledger's bench: its tables say what was measured, what was not, and what broke."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "benchmarks" / "ledger"))

from ledger_tables import PARTS, document, figure, row

RACE = {
    "entries": 400, "decisions": 731, "killed": 0, "broken": {}, "failed": [], "p50_ms": 7.125,
    "p95_ms": 123.4, "seconds": 20.0, "load": 1.5,
}  # fmt: skip


def test_a_table_a_part_and_a_row_a_registry():
    text = document({"sqlite, races": RACE}, "python run.py")
    assert text.count("| sqlite |") == text.count("| postgres |") == len(PARTS)
    assert "| sqlite | 400 | 731 | 0 | 0 | 7.12 | 123 | 20.00 | 1.50 |" in text
    assert text.count("not measured") == 3 * len(PARTS) - 1
    assert "`python run.py`" in text


def test_what_broke_is_counted_and_what_is_missing_says_why():
    broken = {**RACE, "broken": {"lost": ["a"], "doubled": ["b"]}, "failed": [3]}
    text = document({"http, races": broken, "postgres, long": {"failed": "no\nPostgres"}}, "x")
    assert "| http | 400 | 731 | 0 | 3 |" in text
    assert "| postgres | Postgres |" in text


def test_every_row_has_the_columns_of_its_head():
    for line in document({"sqlite, races": RACE}, "x").splitlines():
        if line.startswith("| registry"):
            columns = line.count("|")
        elif line.startswith("|"):
            assert line.count("|") == columns, line


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.50"), (250.4, "250"), (10_000, "10,000"), (None, ""), ("x", "x")]
)
def test_figures(value, shown):
    assert figure(value) == shown
    assert row("sqlite", {"a": value, "load": 1}, ["a"]) == f"| sqlite | {shown} | 1 |\n"


def test_a_command_has_the_time_of_the_processor_beside_its_own():
    cell = {"entries": 10_000, "history": 14.0, "history cpu": 3.25, "load": 13.0}
    assert "| 14.00 (3.25) |" in document({"sqlite, long": cell}, "x")
