from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config, load_config
from lifecycle.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "lifecycle.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_defaults_need_no_file():
    config = load_config(environ={})
    assert config.serve.host == "127.0.0.1"
    assert config.path == ""


def test_file_is_read():
    write('name = "churn"\n[train]\nseed = 3\ncandidates = ["knn"]\n[gates.floor]\nroc_auc = 0.7\n')
    config = load_config(environ={})
    assert (config.name, config.train.seed, config.train.candidates) == ("churn", 3, ("knn",))
    assert config.gates.floor == {"roc_auc": 0.7}
    assert config.path == "lifecycle.toml"


def test_pyproject_section_is_read_when_there_is_no_file():
    write('[tool.lifecycle]\nname = "churn"\n', "pyproject.toml")
    assert load_config(environ={}).name == "churn"


def test_file_goes_before_pyproject():
    write('[tool.lifecycle]\nname = "one"\n', "pyproject.toml")
    write('name = "two"\n')
    assert load_config(environ={}).name == "two"


def test_environment_goes_before_file():
    write("[train]\nseed = 3\n")
    environ = {"LIFECYCLE_TRAIN_SEED": "4", "LIFECYCLE_MODELS_ALLOW_PICKLE": "true"}
    config = load_config(environ=environ)
    assert config.train.seed == 4
    assert config.models.allow_pickle is True


def test_environment_lists_are_separated_by_commas():
    config = load_config(environ={"LIFECYCLE_GATES_USE": "floor, latency"})
    assert config.gates.use == ("floor", "latency")


def test_secret_is_no_setting():
    assert load_config(environ={"LIFECYCLE_SECRET": "x" * 40}) == Config()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[trian]\nseed = 1", ["lifecycle.toml", "trian", "did you mean 'train'"]),
        ("[train]\nsead = 1", ["train.sead", "did you mean 'seed'"]),
        ('[train]\nseed = "many"', ["train.seed", "'many'", "int"]),
        ("[train]\nseed = true", ["train.seed", "int"]),
        ('[train]\nsplit = "tme"', ["train.split", "'time'", "'stratified'"]),
        ("[train]\ncandidates = [1]", ["train.candidates", "list of strings"]),
        ("train = 3", ["[train]"]),
        ("[gates]\nfloor = 3", ["gates.floor"]),
        ('[models]\nallow_pickle = "perhaps"', ["models.allow_pickle", "bool"]),
        ("name = [1]", ["name", "str"]),
        ("name = ", ["lifecycle.toml", "cannot be read"]),
    ],
)
def test_a_wrong_key_is_named_with_file_and_what_is_allowed(text: str, parts: list[str]):
    write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(environ={})
    for part in parts:
        assert part in str(caught.value)


def test_a_wrong_variable_is_named():
    with pytest.raises(ConfigError, match="LIFECYCLE_TRAIN_SEED"):
        load_config(environ={"LIFECYCLE_TRAIN_SEED": "x"})


def test_a_named_file_must_exist():
    with pytest.raises(ConfigError, match=r"other\.toml"):
        load_config("other.toml", environ={})


def test_with_values_reaches_sections_and_changes_nothing_else():
    config = Config().with_values(name="a", serve__port=0, gates__floor={"roc_auc": 0.5})
    assert (config.name, config.serve.port) == ("a", 0)
    assert config.gates.floor == {"roc_auc": 0.5}
    assert Config().name == ""


def test_with_values_refuses_unknown_keys():
    with pytest.raises(ConfigError, match="nmae"):
        Config().with_values(nmae="a")


def test_tracking_uri_falls_back_to_mlflow_then_sqlite(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert Config().tracking_uri == "http://127.0.0.1:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert Config().tracking_uri == "sqlite:///mlflow.db"
    assert Config().with_values(tracking__uri="sqlite:///x.db").tracking_uri == "sqlite:///x.db"


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
def test_environment_and_arguments_agree(seed: int, holdout: float):
    environ = {"LIFECYCLE_TRAIN_SEED": str(seed), "LIFECYCLE_TRAIN_HOLDOUT": repr(holdout)}
    given_here = Config().with_values(train__seed=seed, train__holdout=holdout)
    assert load_config(environ=environ) == given_here


@pytest.mark.parametrize("text", ["1, 10,100", "1.0,10,100.0"])
def test_lists_of_numbers_are_read_from_the_environment(text):
    config = load_config(environ={"LIFECYCLE_ROLLOUT_STEPS": text})
    assert config.rollout.steps == (1.0, 10.0, 100.0)


def test_lists_of_numbers_are_read_from_a_file():
    write("[rollout]\nsteps = [1, 2.5, 100]\n")
    assert load_config(environ={}).rollout.steps == (1.0, 2.5, 100.0)


@pytest.mark.parametrize("value", ['["1", "many"]', "[true]", "5", '"1,,2"'])
def test_what_is_no_list_of_numbers_is_refused(value):
    write(f"[rollout]\nmargins = {value}\n")
    with pytest.raises(ConfigError, match="write a list of numbers"):
        load_config(environ={})
