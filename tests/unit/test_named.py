import math

import pytest

from lifecycle.errors import ConfigError
from lifecycle.named import named, nearest

TABLE = {"root": "math:sqrt", "broken": "no_such_module:thing", "lost": "math:no_such_name"}


def test_a_table_name_is_resolved():
    assert named("root", TABLE, kind="gate") is math.sqrt


def test_an_import_string_is_resolved_with_nested_attributes():
    assert named("pathlib:Path.cwd", TABLE, kind="gate")().is_dir()


@pytest.mark.parametrize(
    ("name", "part"),
    [("rot", "did you mean 'root'"), ("broken", "no_such_module"), ("lost", "no_such_name")],
)
def test_what_cannot_be_resolved_is_named(name: str, part: str):
    with pytest.raises(ConfigError, match=part):
        named(name, TABLE, kind="gate")


def test_nearest_lists_what_is_known():
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"
