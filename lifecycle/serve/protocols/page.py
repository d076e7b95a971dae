"""An OpenAPI document as a page: one file that loads nothing and runs no script.

>>> html({"info": {"title": "a<b", "version": "1"}, "paths": {}, "tags": []})[:15]
'<!doctype html>'

Everything that comes from a model, names of columns above all, is escaped.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--page:#fff;--box:#f6f8fa;
--get:#0969da;--post:#1a7f37}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--page:#15181c;
--box:#1d2127;--get:#4493f8;--post:#3fb950}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2rem 1.25rem 4rem;background:var(--page);
color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .25rem}
h2{font-size:1.25rem;margin:2.5rem 0 .5rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
p{margin:.25rem 0 .75rem;color:var(--soft)}
a{color:var(--get)}
nav a{margin-right:1rem}
code,pre,.path{font:13px/1.5 ui-monospace,Menlo,Consolas,monospace}
pre{margin:.4rem 0 .9rem;padding:.7rem .9rem;background:var(--box);border:1px solid var(--line);
border-radius:6px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere}
table{border-collapse:collapse;margin:.5rem 0 1rem;width:100%}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600}
details{border-bottom:1px solid var(--line)}
summary{display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem .8rem;padding:.45rem 0;
cursor:pointer}
summary::-webkit-details-marker{display:none}
summary .path{font-weight:600;overflow-wrap:anywhere}
summary .about{color:var(--soft)}
.get,.post{font:600 12px/1.75 ui-monospace,Menlo,Consolas,monospace;width:3rem}
.get{color:var(--get)}.post{color:var(--post)}
.in{padding:.2rem 0 .8rem 3.8rem}
h3{font-size:.95rem;margin:.9rem 0 .2rem}
@media (max-width:40rem){.in{padding-left:0}}
"""


def html(document: dict[str, Any]) -> str:
    """The page.

    Args:
        document: as `lifecycle.serve.protocols.openapi.described` makes it.
    """
    info = document["info"]
    tags = [tag["name"] for tag in document["tags"]]
    links = "".join(f'<a href="#t{index}">{escape(tag)}</a>' for index, tag in enumerate(tags))
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(info['title'])}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>\n"
        f"<p>{escape(info.get('description', ''))} For programs: "
        '<a href="/openapi.json">/openapi.json</a>, OpenAPI 3.1.</p>\n'
        f"<nav>{links}</nav>\n"
    )
    parts = [head]
    for index, tag in enumerate(tags):
        parts.append(f'<h2 id="t{index}">{escape(tag)}</h2>\n')
        operations = list(_operations(document, tag))
        parts.append(_columns(operations))
        parts += [_entry(path, method, found) for path, method, found in operations]
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _operations(document: dict[str, Any], tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A tag's operations; predictions first."""
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag in operation["tags"]
    ]
    yield from sorted(found, key=lambda item: (item[1] != "post", "{" in item[0]))


def _columns(operations: list[tuple[str, str, dict[str, Any]]]) -> str:
    """The columns of the model whose operations these are."""
    for path, _, operation in operations:
        if path.endswith(":predict"):
            content = operation["requestBody"]["content"]["application/json"]
            row = content["schema"]["oneOf"][0]["properties"]["instances"]["items"]
            lines = "".join(
                f"<tr><td><code>{escape(name)}</code></td><td>{_type(schema)}</td>"
                f"<td>{_need(name, schema, row)}</td></tr>\n"
                for name, schema in row["properties"].items()
            )
            return f"<table><tr><th>column</th><th>type</th><th></th></tr>\n{lines}</table>\n"
    return ""


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "any")
    kinds = [item for item in (kind if isinstance(kind, list) else [kind]) if item != "null"]
    return escape(" or ".join(kinds) + (", a time" if "examples" in schema else ""))


def _need(name: str, schema: dict[str, Any], row: dict[str, Any]) -> str:
    if name in row["required"]:
        return "required"
    return escape(schema.get("description", "may be null or missing"))


def _entry(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    example = body.get("application/json", {}).get("example")
    shown = path
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            shown = shown.replace(f"{{{parameter['name']}}}", str(parameter["schema"]["enum"][0]))
    inner = [f"<pre>{escape(_curl(shown, example))}</pre>\n"]
    if len(body) > 1:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body)
        inner.append(f"<p>Bodies: {kinds}</p>\n")
    answered = operation["responses"]["200"]["content"].get("application/json", {}).get("example")
    if answered is not None:
        inner.append(f"<h3>200</h3><pre>{escape(_json(answered))}</pre>\n")
    told = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td>"
        f"<td>{escape(parameter.get('description', 'in the path'))}</td></tr>\n"
        for parameter in operation.get("parameters", [])
    ) + "".join(
        f"<tr><td><code>{code}</code></td><td>{escape(answer['description'])}</td></tr>\n"
        for code, answer in operation["responses"].items()
        if code != "200"
    )
    inner.append(f"<table>{told}</table>\n")
    opened = " open" if example is not None and "{" not in path else ""
    return (
        f'<details{opened}><summary><span class="{method}">{method.upper()}</span>'
        f'<span class="path">{escape(path)}</span>'
        f'<span class="about">{escape(operation["summary"])}</span></summary>\n'
        f'<div class="in">{"".join(inner)}</div></details>\n'
    )


def _curl(path: str, example: Any) -> str:
    address = f"http://127.0.0.1:5001{path}"
    if example is None:
        return f"curl {address}"
    body = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
    return f"curl {address} -H 'Content-Type: application/json' \\\n  -d '{body}'"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
