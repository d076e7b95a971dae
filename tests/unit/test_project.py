from pathlib import Path

import pytest

from lifecycle import ConfigError, ModelRef, ModelVersion, Project
from lifecycle.config import Config


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_arguments_go_before_the_file():
    Path("lifecycle.toml").write_text('name = "a"\ntarget = "y"\n[train]\nseed = 1\n')
    project = Project("b", train__seed=2)
    assert (project.name, project.config.target, project.config.train.seed) == ("b", "y", 2)


def test_the_file_alone_is_enough():
    Path("lifecycle.toml").write_text('name = "a"\n')
    assert Project().name == "a"


def test_a_config_or_a_path_can_be_given():
    assert Project(config=Config().with_values(name="c")).name == "c"
    Path("other.toml").write_text('name = "d"\n')
    assert Project(config="other.toml").name == "d"


def test_without_a_name_it_says_how_to_give_one():
    with pytest.raises(ConfigError, match="Project"):
        Project()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (3, "churn/3"),
        (ModelVersion("churn", 4), "churn/4"),
        (ModelRef("churn", None, "staging"), "churn@staging"),
        ("models:/churn/5", "models:/churn/5"),
    ],
)
def test_versions_may_be_named_in_any_way(given: object, expected: str):
    assert Project("churn")._ref(given) == expected


def test_it_says_where_it_tracks():
    assert "sqlite:///x.db" in repr(Project("churn", tracking__uri="sqlite:///x.db"))
