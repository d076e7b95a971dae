"""What the documentation says is so: commands, code, links, settings; nothing in it is stale."""

import ast
import functools
import importlib.util
import json
import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import click
import pytest

import lifecycle
from lifecycle import errors
from lifecycle.cli import main
from lifecycle.config import load_config

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# words that would send a reader's machine, or a package manager, somewhere of ours
REGISTRIES = re.compile(r"(pypi|pythonhosted|npmjs|deb\.debian)\.(org|com)")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(home|root|Users|work|farm)/\w")


def relative(path):
    return str(path.relative_to(ROOT))


def blocks(path, *languages):
    """The fenced blocks of a page, or the code cells of a notebook."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [body for language, body in found if language in languages]


def commands(path):
    """The command lines of a page, from `console` blocks and from inline code."""
    text = path.read_text(encoding="utf-8")
    bodies = [body.replace("\\\n", " ") for body in blocks(path, "console", "bash")]
    lines = [line for body in bodies for line in body.splitlines()]
    inline = re.findall(r"`((?:make|lifecycle) [^`\n]+)`", FENCE.sub("", text))
    return [line for line in [*lines, *inline] if line and not line.startswith("#")]


@functools.cache
def tracked():
    """The text files of the repository; outside one, those of the folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    names = listed.stdout.split("\0") if listed.returncode == 0 else [relative(p) for p in PAGES]
    found = []
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".parquet", ".png", ".svg"}:
            found.append((name, path.read_text(encoding="utf-8")))
    return found


def names_of(command):
    """All options of a command and of the group above it."""
    return {option for item in command.params for option in item.opts} | {"--help"}


def command_of(words):
    """The command that a line calls, and what it is called with; groups have verbs of their own."""
    found, rest = main, words[1:]
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        assert rest[0] in found.commands, " ".join(words)
        found, rest = found.commands[rest[0]], rest[1:]
    return found, rest


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_commands_are_known(path):
    for line in commands(path):
        words = shlex.split(line)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS, line
        elif words[0] == "lifecycle" and len(words) > 1 and re.fullmatch("[a-z]+", words[1]):
            command, rest = command_of(words)
            options = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert options <= names_of(command), line


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_command_lines_parse(path):
    for body in blocks(path, "console"):
        for line in body.splitlines():
            words = shlex.split(line)
            if words[:1] == ["lifecycle"]:
                command, rest = command_of(words)
                context = command.make_context(command.name, rest, resilient_parsing=False)
                assert isinstance(context, click.Context)


@pytest.mark.parametrize("target", ["demo", "test", "check", "check-all", "clean"])
def test_the_makefile_has_what_the_readme_promises(target):
    assert target in TARGETS
    assert re.search(rf"^{target}:.*## \w", MAKEFILE, re.MULTILINE), "make help does not list it"


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=relative)
def test_python_blocks_compile_and_use_names_that_exist(path):
    for body in blocks(path, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = {"lc": lifecycle, "project": lifecycle.Project}.get(node.value.id)
                if owner is lifecycle.Project and node.attr in {"name", "config"}:
                    continue
                assert owner is None or hasattr(owner, node.attr), f"{node.value.id}.{node.attr}"
            elif (
                isinstance(node, ast.ImportFrom) and node.module and node.module[:9] == "lifecycle"
            ):
                module = import_module(node.module)
                for name in node.names:
                    part = f"{node.module}.{name.name}"
                    assert hasattr(module, name.name) or importlib.util.find_spec(part), part


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_links_lead_somewhere(path):
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://")):
            file, _, anchor = target.partition("#")
            found = path.parent / file if file else path
            assert found.exists(), f"{relative(path)} links to {target}"
            if anchor:
                heads = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
                assert anchor in slugs, target


def test_every_page_can_be_reached_from_the_readme():
    seen, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop().resolve()
        if page not in seen and page.suffix == ".md" and page.is_file():
            seen.add(page)
            text = page.read_text(encoding="utf-8")
            queue += [page.parent / link for link in re.findall(r"\]\(([^)#\s]+\.md)", text)]
    assert {page.resolve() for page in PAGES} <= seen


@pytest.mark.parametrize("name", ["configuration.md", "errors.md"])
def test_a_page_made_from_the_code_is_fresh(name):
    path = ROOT / "docs" / "build_pages.py"
    spec = importlib.util.spec_from_file_location("build_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == module.PAGES[name](), "stale; run `make docs`"
    silent = [line for line in written.splitlines() if line.endswith("|  |")]
    assert silent == [], "say in the code what it means, then run `make docs`"


@pytest.mark.parametrize("path", ["lifecycle.toml", "examples/flights/lifecycle.toml"])
def test_the_examples_of_a_configuration_can_be_read(path):
    config = load_config(ROOT / path, environ={})
    assert (config.name, config.target, config.time, config.key) == (
        "flights", "late", "time", "flight_id",
    )  # fmt: skip


def test_the_page_of_errors_has_them_all():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", page, re.MULTILINE)
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.LifecycleError)
    }
    assert {name for name, _ in rows} == set(kinds) - {"LifecycleError"}
    for name, parents in rows:
        said = set(re.findall(r"`(\w+)`", parents))
        assert said <= {parent.__name__ for parent in kinds[name].__mro__}, name


def test_the_page_of_rollouts_has_every_guard_and_strategy():
    from lifecycle.rollout.guards import GUARDS, parse
    from lifecycle.rollout.strategies import STRATEGIES

    page = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (yes)? ?\|$", page, re.MULTILINE)
    told = {name: (about, labels == "yes") for name, about, labels in rows if name in GUARDS}
    assert set(told) == set(GUARDS)
    for name in GUARDS:
        guard = parse(name).guard
        assert told[name] == (guard.about, guard.labelled), name
    section = page.partition("## Three strategies")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(STRATEGIES)


def test_the_page_of_rollouts_tells_the_defaults_that_there_are():
    from lifecycle.rollout.weighing import ASSIGNMENT_ALPHA

    page = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")
    rules = load_config(environ={}).rollout
    assert f"({', '.join(f'{margin:g}' for margin in rules.margins)})" in page
    assert f"`hold_back`, {rules.hold_back:g} %" in page
    assert f"tested at\n{ASSIGNMENT_ALPHA:g}" in page
    for key in ("sample", "differing", "shift", "scale", "max_hours", "at_end", "controller"):
        assert hasattr(rules, key)


def test_the_page_of_storage_has_every_event_of_a_rollout():
    from lifecycle.rollout import events

    page = (ROOT / "docs" / "how-it-is-stored.md").read_text(encoding="utf-8")
    section = page.partition("## A rollout")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    names = ("START", "LEASE", "STEP", "HOLD", "RESUME", "END")
    assert told == {getattr(events, name) for name in names}


def test_the_own_guard_of_the_page_works(tmp_path, monkeypatch):
    import polars as pl

    from lifecycle.rollout.guards import parse

    (body,) = blocks(ROOT / "docs" / "rollouts.md", "python")
    (tmp_path / "guards_of_the_page.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    watched = parse("guards_of_the_page:refunds")
    rows = pl.DataFrame({"features": [{"refunded": 1}, {"refunded": 0}]})
    assert watched.values(rows).to_list() == [True, False]
    assert watched.guard.about == "The customer asked for the money back."


def test_the_rollout_in_the_readme_is_decided_as_it_says():
    path = ROOT / "docs" / "build_images.py"
    spec = importlib.util.spec_from_file_location("build_images", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = module.rollout()
    assert (told.rollout.status, told.look.action) == ("rolled back", "rollback")
    assert told.rollout.spec.steps[told.rollout.step] == 0.05
    assert told.rollout.reason.startswith("errors:")
    assert [one["action"] for one in told.looks].count("step") == 1


def test_no_addresses_of_package_registries_and_no_paths_of_one_machine():
    guilty = [
        f"{name}: {found[0]}"
        for name, text in tracked()
        for pattern in (REGISTRIES, MACHINE_PATHS)
        if name != relative(Path(__file__)) and (found := pattern.search(text))
    ]
    assert guilty == []


@pytest.mark.usefixtures("config")
def test_the_readmes_notebook_runs(make_churn):
    rows = make_churn(1200)
    rows[:800].to_parquet("customers.parquet")
    rows[800:].drop(columns="churned").to_parquet("today.parquet")
    rows[800:][["customer_id", "ts", "churned"]].to_parquet("labels.parquet")
    (body,) = blocks(ROOT / "README.md", "python")
    said = {}
    exec(compile(body, "README.md", "exec"), said)
    assert len(said["scores"]) == 400
    assert said["report"].performance.labelled_rows == 400
    assert len(body.splitlines()) <= 10


def test_the_readmes_story_is_the_demos():
    (told,) = blocks(ROOT / "README.md", "text")
    demo = (ROOT / "lifecycle" / "demo.py").read_text(encoding="utf-8")
    heads = [line.split()[0] for line in told.splitlines() if not line.startswith(" ")]
    said = re.findall(r"\.say\(\s*\"(\w+)\"", demo)
    assert set(said) == {*heads, "done", "look"}


def test_the_readme_names_each_command_once():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `lifecycle ([\w-]+)` \|", text, re.MULTILINE) == list(main.commands)


def test_the_readmes_picture_is_there_and_small():
    pictures = re.findall(
        r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    assert pictures
    assert all((ROOT / picture).stat().st_size < 300_000 for picture in pictures)


def test_the_changelog_has_an_unreleased_section():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## Unreleased$", text, re.MULTILINE)
    assert lifecycle.__version__ == re.search(
        r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )[1]  # fmt: skip
