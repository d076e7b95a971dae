"""The page for auditors is what its commands print, and its commands tell the truth."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
OUTPUT = re.compile(r"\n```text\n.*?^```\n", re.MULTILINE | re.DOTALL)
VARYING = (
    (r"\d{17,}", "N"),
    (r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::[\d.]+)?(?:\+00:00)?)?", "TIME"),
    (r"\b[0-9a-f]{8,}\b(?:…)?", "HEX"),
    (r"-?\d+(?:\.\d+)+", "N"),
    (r"[\s─]+", " "),
)


@pytest.fixture
def builder():
    spec = importlib.util.spec_from_file_location("build_audit", ROOT / "docs" / "build_audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alike(text):
    """A text without what differs from run to run: times, digests, figures, widths."""
    for pattern, stands_for in VARYING:
        text = re.sub(pattern, stands_for, text)
    return text.strip()


def test_the_page_is_its_template_with_outputs(builder):
    """All but the outputs is as docs/build_audit.py has it now."""
    template = builder.BLOCK.sub(
        lambda found: f"```console\n{found[1]}```\n",
        builder.TEMPLATE.replace("{settings}", builder.SETTINGS),
    ).replace("{today}", "TIME")
    assert alike(OUTPUT.sub("", PAGE)) == alike(template), "stale: python docs/build_audit.py"


def test_no_command_of_the_page_failed_that_should_not():
    errors = [line for line in PAGE.splitlines() if line.startswith(("lifecycle:", "Usage:"))]
    assert len(errors) == 1
    assert "nobody has asked" in errors[0]
    assert "Traceback" not in PAGE
    assert PAGE.count("RESULT: everything holds") == 1
    assert PAGE.count("do not rely on this folder") == 1


def test_the_chain_of_the_page_holds_by_hand():
    digest = re.search(r"^([0-9a-f]{64})  -$", PAGE, re.MULTILINE)[1]
    assert f'"prev":"{digest}"' in PAGE


@pytest.mark.slow
def test_the_commands_print_what_the_page_says(builder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    for name in [key for key in os.environ if key.startswith("LIFECYCLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("LIFECYCLE_ACTOR", "ann")
    built = OUTPUT.findall(builder.build())
    written = OUTPUT.findall(PAGE)
    assert len(built) == len(written)
    for now, then in zip(built, written, strict=True):
        assert alike(now) == alike(then), "stale: python docs/build_audit.py"
