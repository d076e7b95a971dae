"""Write the pages that the code knows best: docs/configuration.md and docs/errors.md.

Settings come from the fields and comments of lifecycle/config.py, errors from the classes and
docstrings of lifecycle/errors.py. `make docs` runs it; a test fails when a page is stale.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGURATION = """\
# Configuration

<!-- written by `make docs` from lifecycle/config.py; edit the comments there -->

Nothing has to be configured: `lifecycle train churn --data rows.parquet --target churned` works
as it stands. What is the same every time goes into `lifecycle.toml` in the working directory, or
into the table `[tool.lifecycle]` of `pyproject.toml`. `lifecycle init FILE` writes a first one
from your data; [lifecycle.toml](../lifecycle.toml) is a worked example.

Later sources win: defaults, the file, the environment, the options of a command. The environment
variable `LIFECYCLE_SECTION_KEY` sets `key` in `[section]`, as `LIFECYCLE_TRAIN_SEED=7` does;
`LIFECYCLE_NAME` and its like set the keys at the top. `LIFECYCLE_CONFIG` names another file. A
list is written with commas in the environment. An unknown key or a value that does not fit is an
error that names the file, the key and the nearest that exists.
"""

ERRORS = """\
# Errors

<!-- written by `make docs` from lifecycle/errors.py; edit the docstrings there -->

Every error is a `LifecycleError` and says what was wrong, where, and the next step. On the command
line it is one line on standard error, or `{"error": {…}}` on standard output with `--json`. The
exit code is 1, for `ApprovalRefused` and `GateRefused` 2, or 3 when the gates had not enough
evidence.

| error | also a | means |
|---|---|---|
"""


def errors() -> str:
    """The page of errors: a row a class."""
    tree = ast.parse((ROOT / "lifecycle" / "errors.py").read_text(encoding="utf-8"))
    rows = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name != "LifecycleError":
            bases = [ast.unparse(base) for base in node.bases]
            also = ", ".join(f"`{base}`" for base in bases if base != "LifecycleError")
            means = (ast.get_docstring(node) or "").partition("\n")[0]
            rows.append(f"| `{node.name}` | {also} | {means} |")
    return ERRORS + "\n".join(rows) + "\n"


def configuration() -> str:
    """The page of settings: a table a section."""
    text = (ROOT / "lifecycle" / "config.py").read_text(encoding="utf-8")
    comments = dict(_comments(text))
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    top = classes.pop("Config")
    parts = [CONFIGURATION, "## At the top\n", _table(top, comments)]
    for node in classes.values():
        title, _, rest = (ast.get_docstring(node) or "").partition("`: ")
        about = rest[:1].upper() + rest[1:]
        parts += [f"## {title.strip('`')}\n", f"{about}\n", _table(node, comments)]
    return "\n".join(parts)


def _table(node: ast.ClassDef, comments: dict[int, str]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or item.value is None:
            continue
        kind, default = ast.unparse(item.annotation), _default(item.value)
        name = ast.unparse(item.target)
        if kind.endswith("Config") or name == "path":
            continue
        meaning = comments.get(item.end_lineno or 0) or comments.get(item.lineno, "")
        lines.append(f"| `{name}` | {_kind(kind)} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _kind(annotation: str) -> str:
    names = {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "true or false",
        "tuple[str, ...]": "list of texts",
        "tuple[float, ...]": "list of numbers",
        "Mapping[str, float]": "table of numbers",
    }
    if annotation.startswith("Literal["):
        allowed = ast.literal_eval(annotation.removeprefix("Literal"))
        return ", ".join(f"`{value}`" for value in allowed if value)
    return names[annotation]


def _default(value: ast.expr) -> str:
    if isinstance(value, ast.Call):  # field(default_factory=dict)
        return "empty"
    default = ast.literal_eval(value)
    if default in ("", ()):
        return "empty"
    if isinstance(default, tuple):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _comments(text: str) -> Iterator[tuple[int, str]]:
    """The line that a comment is about, and what it says; one of its own is about the next."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            alone = token.line.lstrip().startswith("#")
            yield token.start[0] + alone, token.string.lstrip("# ").replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"configuration.md": configuration, "errors.md": errors}

if __name__ == "__main__":
    for name, text in PAGES.items():
        (ROOT / "docs" / name).write_text(text(), encoding="utf-8")
