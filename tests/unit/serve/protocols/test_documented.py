"""The commands of docs/serving.md's section on protocols do what it says."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from lifecycle.models.predicting import Output, labels
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable

PAGE = (Path(__file__).parents[4] / "docs" / "serving.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## Protocols\n")[2].partition("\n## ")[0]
COMMANDS = [
    shlex.split(command)
    for block in re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)
    for command in re.split(r"\n(?=curl)", block.replace("\\\n", " ").strip())
]
SPEC = ModelSpec(
    1,
    "binary",
    (Column("x", "double"), Column("plan", "string"), Column("age", "long")),
    classes=(0, 1),
)


def answer(columns):
    scores = np.column_stack([1 - columns["x"], columns["x"]])
    return Output(labels(scores, SPEC.classes, threshold=None), scores)


def option(words, name):
    return words[words.index(name) + 1] if name in words else None


def test_there_is_one_for_each_protocol():
    paths = " ".join(words[1] for words in COMMANDS)
    for part in ("/invocations", "/v2/models/churn/infer", ":predict", ":classify", "/metadata"):
        assert part in paths
    assert len(COMMANDS) == 7


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[1])
def test_each_command_works(make_slot, make_app, ask, words):
    table = SlotTable().with_only(make_slot(7, answer, SPEC))
    app = make_app(Engine(table, secret=b"s" * 32))
    path = words[1].removeprefix("http://127.0.0.1:5001")
    body, header = option(words, "-d"), option(words, "-H")
    # what curl sends by itself
    headers = dict([header.split(": ")] if header else [("Content-Type", "application/x-www-form")])
    sent = (body or "").encode()
    status, _, said = ask(app, "POST" if body else "GET", path, sent, headers=headers)
    assert status == 200, said
    found = json.loads(said)
    expected = {
        "/invocations": {"predictions": [0]},
        "/v1/models/churn/labels/stable:predict": {"predictions": [0]},
        "/v1/models/churn:classify": {"result": [[["0", 0.7], ["1", 0.3]]]},
    }.get(path)
    if expected is not None:
        assert found == expected
    if path.endswith("/infer"):
        assert found["id"] == "r1"
        assert [output["data"] for output in found["outputs"]] == [[0], [0.7, 0.3]]
