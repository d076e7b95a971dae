"""With only the base package installed each verb works, or says which extra it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HIDDEN = (
    "evidently",
    "onnxruntime",
    "onnx",
    "skl2onnx",
    "httptools",
    "uvloop",
    "optuna",
    "apprise",
)
PROGRAM = f'''
import contextlib, io, json, os, sys
from importlib.machinery import PathFinder

class Hide(PathFinder):
    """As the usual finder, but blind to some packages."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in {HIDDEN!r}
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[:] = [Hide if item is PathFinder else item for item in sys.meta_path]
from lifecycle.cli import main

told = []
for arguments, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    sys.argv = ["lifecycle", *arguments, "--json"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main(sys.argv[1:])
        except SystemExit as stop:
            code = stop.code or 0
    for name in environment:
        del os.environ[name]
    told.append([code, json.loads(out.getvalue())])
print(json.dumps(told))
'''
STEPS: list[tuple[list[str], dict[str, str], int, str]] = [
    (["train", "--data", "good.parquet"], {}, 0, ""),
    (["gate", "churn/1"], {}, 0, ""),
    (["promote", "churn/1", "--to", "staging"], {}, 0, ""),
    (["promote", "churn/1", "--to", "production"], {}, 0, ""),
    (["score", "churn", "--input", "live.parquet", "--output", "s.csv"], {}, 0, "sklearn"),
    (["drift", "good.parquet", "good.parquet"], {}, 0, ""),
    (["drift", "good.parquet", "live.parquet", "--html", "d.html"], {}, 1, "[monitor]"),
    (["monitor", "--live", "live.parquet", "--html", "m.html"], {}, 1, "[monitor]"),
    (["monitor", "--live", "live.parquet"], {}, 2, "labelled rows since training"),
    (["monitor", "--notify", "json://127.0.0.1:9"], {}, 1, "[alerts]"),
    (["serve", "churn", "--port", "0"], {}, 1, "[serve]"),
    (["train", "--data", "good.parquet"], {"LIFECYCLE_TRAIN_TUNE": "2"}, 1, "[tune]"),
    (["status", "churn"], {}, 0, "onnx is not installed"),
    (["history", "churn"], {}, 0, ""),
    (["doctor"], {}, 0, ""),
]


@pytest.fixture
def folder(new_world: Path, make_churn) -> Path:
    settings = (new_world / "lifecycle.toml").read_text().replace("compile = false", "")
    (new_world / "lifecycle.toml").write_text(settings)
    make_churn(800).to_parquet("good.parquet")
    make_churn(200, seed=1, start="2026-02-01").to_parquet("live.parquet")
    return new_world


@pytest.mark.slow
def test_each_verb_works_or_names_its_extra(folder: Path) -> None:
    asked = json.dumps([[arguments, environment] for arguments, environment, *_ in STEPS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked],
        capture_output=True, text=True, timeout=300, check=False, cwd=folder, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    for (arguments, _, code, words), (got, told) in zip(
        STEPS, json.loads(done.stdout), strict=True
    ):
        assert got == code, (arguments, told)
        assert words in json.dumps(told), (arguments, json.dumps(told))
        assert (code == 1) == ("error" in told), (arguments, told)
        if code == 1:
            assert told["error"]["type"] == "MissingExtra", told
    assert not (folder / "d.html").exists()
    assert not (folder / "m.html").exists()
