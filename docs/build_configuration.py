"""Write docs/configuration.md from lifecycle/config.py: keys, types, defaults, comments.

`make docs` runs it; a test fails when the page is stale.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "lifecycle" / "config.py"
PAGE = ROOT / "docs" / "configuration.md"
HEAD = """\
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


def page() -> str:
    """The whole page."""
    text = SOURCE.read_text(encoding="utf-8")
    comments = dict(_comments(text))
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    top = classes.pop("Config")
    parts = [HEAD, "## At the top\n", _table(top, comments)]
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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
