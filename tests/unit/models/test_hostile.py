"""Model files that were written to do harm: each is refused, and none of its code has run."""

import contextlib
import io
import json
import os
import pickle
import zipfile

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from lifecycle.errors import ModelNotFound, ModelRefused, UntrustedModel
from lifecycle.models import files
from lifecycle.models.flavours import LIGHTGBM, danger
from lifecycle.models.loading import load
from lifecycle.records import Column, ModelSpec

SPEC = ModelSpec(1, "binary", (Column("x", "double"),), classes=(0, 1))
FRAME = pd.DataFrame({"x": np.linspace(-1.0, 1.0, 20)})
FITTED = LogisticRegression().fit(FRAME, (FRAME["x"] > 0).astype(int))


@pytest.fixture(autouse=True)
def trap(tmp_path, monkeypatch):
    """A file that is there after a test only if somebody's code was run."""
    path = tmp_path / "harm was done"
    monkeypatch.setenv("TRAP", str(path))
    return path


class Harm:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch "$TRAP"',)


CODE = 'import os; open(os.environ["TRAP"], "w").close()\n'


def model(tmp_path, flavors, contents, **described):
    """A model's folder as its author wants it."""
    root = tmp_path / "model"
    root.mkdir()
    (root / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, **described}))
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def sklearn(path="model.skops", how="skops", loader="mlflow.sklearn"):
    return {
        "sklearn": {"pickled_model": path, "serialization_format": how},
        "python_function": {"loader_module": loader, "model_path": path},
    }


def other(name, data, **own):
    return {
        name: {"data": data, **own},
        "python_function": {"loader_module": f"mlflow.{name}", "data": data},
    }


PICKLED = {
    "scikit-learn, cloudpickle": (
        sklearn("model.pkl", "cloudpickle"),
        {"model.pkl": cloudpickle.dumps(Harm())},
    ),
    "scikit-learn, pickle under another name": (
        sklearn("weights.bin", "pickle"),
        {"weights.bin": pickle.dumps(Harm())},
    ),
    "LightGBM, a pickle under another name": (
        other("lightgbm", "model.txt", model_class="lightgbm.sklearn.LGBMClassifier"),
        {"model.txt": pickle.dumps(Harm())},
    ),
    "LightGBM, named as cloudpickle": (
        other(
            "lightgbm",
            "model.lgb",
            model_class="lightgbm.sklearn.LGBMClassifier",
            serialization_format="cloudpickle",
        ),
        {"model.lgb": cloudpickle.dumps(Harm())},
    ),
    "LightGBM, code of its own before the real one": (
        {
            "lightgbm": {"data": "model.lgb"},
            "python_function": {
                "loader_module": "mlflow.lightgbm",
                "data": "model.lgb",
                "code": "code",
            },
        },
        {"model.lgb": "tree", "code/lightgbm.py": CODE},
    ),
    "XGBoost, code of its own in the flavour": (
        other("xgboost", "model.xgb", code="code"),
        {"model.xgb": "{}", "code/xgboost.py": CODE},
    ),
    "XGBoost, a class of the author's choice": (
        other("xgboost", "model.xgb", model_class="antigravity.fly"),
        {"model.xgb": "{}"},
    ),
    "ONNX, a library of its own": (
        other("onnx", "model.onnx", providers=[["CPUExecutionProvider", {"plugin": "evil.so"}]]),
        {"model.onnx": "", "evil.so": ""},
    ),
    "ONNX, options that write files": (
        other(
            "onnx",
            "model.onnx",
            providers=["CPUExecutionProvider"],
            onnx_session_options={"extra_session_config": {"a": "b"}},
        ),
        {"model.onnx": ""},
    ),
    "a loader of its own": (
        {"python_function": {"loader_module": "evil", "code": "code"}},
        {"code/evil.py": CODE + "def _load_pyfunc(path): return None\n"},
    ),
    "a Python model": (
        {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "m.pkl"}},
        {"m.pkl": cloudpickle.dumps(Harm())},
    ),
    "PyTorch": (
        {"python_function": {"loader_module": "mlflow.pytorch", "data": "data"}},
        {"data/model.pth": pickle.dumps(Harm())},
    ),
    "no loader": ({"python_function": {}}, {"model.pkl": pickle.dumps(Harm())}),
    "a loader that is no name": ({"python_function": {"loader_module": ["os"]}}, {"a": ""}),
}


@pytest.mark.parametrize("kind", PICKLED)
def test_what_may_run_code_is_refused_and_has_not_run(kind, tmp_path, trap):
    flavors, contents = PICKLED[kind]
    root = model(tmp_path, flavors, contents)
    with pytest.raises(UntrustedModel, match="runs its author's code") as told:
        load(root, spec=SPEC, digest="")
    assert not trap.exists()
    assert "allow_pickle" in told.value.fix


@pytest.mark.parametrize("kind", ["scikit-learn, cloudpickle", "a loader of its own"])
def test_the_trap_works_where_pickles_are_allowed(kind, tmp_path, trap):
    flavors, contents = PICKLED[kind]
    root = model(tmp_path, flavors, contents)
    with contextlib.suppress(ModelRefused):
        load(root, spec=SPEC, digest="", allow_pickle=True)
    assert trap.exists(), "else the other tests show nothing"


@pytest.mark.parametrize("kind", PICKLED)
def test_even_where_pickles_are_allowed_the_digest_comes_first(kind, tmp_path, trap):
    flavors, contents = PICKLED[kind]
    root = model(tmp_path, flavors, contents)
    with pytest.raises(ModelRefused, match="not those that were registered"):
        load(root, spec=SPEC, digest="sha256:" + "0" * 64, allow_pickle=True)
    assert not trap.exists()


def test_lightgbm_may_ask_for_its_own_types_and_no_others(tmp_path):
    skopsed = skops.io.dumps(FITTED)
    common = {"model_class": "lightgbm.sklearn.LGBMClassifier", "serialization_format": "skops"}
    flavors = other("lightgbm", "model.skops", **common, skops_trusted_types=sorted(LIGHTGBM))
    root = model(tmp_path, flavors, {"model.skops": skopsed})
    assert danger(root, {"flavors": flavors}) == ""
    for asked in (["os.system"], ["builtins.eval", "lightgbm.basic.Booster"], [1]):
        flavors["lightgbm"]["skops_trusted_types"] = asked
        assert str(asked[0]) in danger(root, {"flavors": flavors})


@pytest.mark.parametrize("name", ["catboost", "lightgbm", "onnx", "xgboost"])
def test_models_whose_formats_hold_numbers_only_are_no_danger(name, tmp_path):
    flavors = other(name, "model.bin")
    assert danger(model(tmp_path, flavors, {"model.bin": ""}), {"flavors": flavors}) == ""


@pytest.mark.parametrize(
    "kind", ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRanker"]
)
def test_the_classes_of_xgboost_are_no_danger(kind, tmp_path):
    flavors = other("xgboost", "model.xgb", model_class=kind)
    assert danger(model(tmp_path, flavors, {"model.xgb": ""}), {"flavors": flavors}) == ""


# ------------------------------------------------------------------ names that lead elsewhere

ELSEWHERE = ["../outside.skops", "a/../../outside.skops", "/etc/passwd", "", ".", "..", None, 3,
             ["model.skops"], "a\0b", "..\\outside.skops"]  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE, ids=repr)
@pytest.mark.parametrize("how", ["skops", "cloudpickle"])
def test_a_description_that_leads_out_of_the_folder_is_refused(name, how, tmp_path, trap):
    harmful = skops.io.dumps(FITTED) if how == "skops" else cloudpickle.dumps(Harm())
    (tmp_path / "outside.skops").write_bytes(harmful)
    root = model(tmp_path, sklearn(name, how), {"model.skops": harmful, "a/b": ""})
    with pytest.raises(ModelRefused):
        load(root, spec=SPEC, digest="", allow_pickle=True)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "onnx", "catboost"])
@pytest.mark.parametrize("data", ["../outside", "/etc/passwd"])
def test_other_flavours_may_not_lead_out_either(name, data, tmp_path):
    root = model(tmp_path, other(name, data), {"x": ""})
    with pytest.raises(ModelRefused, match="no file of the model's folder"):
        load(root, spec=SPEC, digest="")


def test_links_are_refused_wherever_they_lead(tmp_path):
    for target in ("outside", "model/model.skops", "gone"):
        folder = tmp_path / target.replace("/", "-")
        folder.mkdir()
        root = model(folder, sklearn("link.skops"), {"model.skops": skops.io.dumps(FITTED)})
        (folder / "outside").write_bytes(skops.io.dumps(FITTED))
        (root / "link.skops").symlink_to(folder / target)
        with pytest.raises(ModelRefused, match="which is a link"):
            files.digest(root)
        with pytest.raises(ModelRefused):
            load(root, spec=SPEC, digest="sha256:" + "0" * 64)


def test_a_linked_folder_or_a_pipe_does_not_slip_past_the_digest(tmp_path):
    root = model(tmp_path, sklearn(), {"model.skops": b""})
    known = files.digest(root)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text(CODE)
    (root / "code").symlink_to(tmp_path / "code", target_is_directory=True)
    with pytest.raises(ModelRefused, match="'code', which is a link"):
        files.verify(root, known)
    (root / "code").unlink()
    os.mkfifo(root / "pipe")
    with pytest.raises(ModelRefused, match="neither a file nor a folder"):
        files.verify(root, known)


def test_a_link_out_of_the_folder_is_seen_without_a_digest_too(tmp_path):
    root = model(tmp_path, sklearn("data/model.skops"), {})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "model.skops").write_bytes(skops.io.dumps(FITTED))
    (root / "data").symlink_to(tmp_path / "data", target_is_directory=True)
    with pytest.raises(ModelRefused, match="leads out of the model's folder"):
        load(root, spec=SPEC, digest="")


def test_a_folder_that_is_itself_reached_by_a_link_is_fine(tmp_path):
    root = model(tmp_path, sklearn(), {"model.skops": skops.io.dumps(FITTED)})
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    known = files.digest(tmp_path / "link")
    assert known == files.digest(root)
    assert load(tmp_path / "link", spec=SPEC, digest=known).how == "sklearn"


# ------------------------------------------------------------------ files that changed

CHANGES = {
    "a byte of the model": lambda root: flip(root / "model.skops"),
    "a byte of MLmodel": lambda root: flip(root / "MLmodel"),
    "a file more": lambda root: (root / "conda.yaml").write_text(""),
    "a file less": lambda root: (root / "notes.txt").unlink(),
    "another name": lambda root: (root / "notes.txt").rename(root / "note.txt"),
    "two files exchanged": lambda root: exchange(root / "notes.txt", root / "more.txt"),
    "a hidden file": lambda root: (root / ".hidden").write_text(""),
    "a name of bytes that are no text": lambda root: (root / "\udcff").write_text(""),
    "MLflow's own file in another place": lambda root: (
        root / "data" / "registered_model_meta"
    ).write_text("x"),
    "loader_module elsewhere": lambda root: (root / "MLmodel").write_text(
        yaml.safe_dump({"flavors": sklearn(loader="evil")})
    ),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchange(one, two):
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_files_is_refused(change, tmp_path):
    contents = {"model.skops": skops.io.dumps(FITTED), "notes.txt": "a", "more.txt": "b"}
    root = model(tmp_path, sklearn(), {**contents, "data/x": ""})
    known = files.digest(root)
    assert load(root, spec=SPEC, digest=known).how == "sklearn"
    CHANGES[change](root)
    with pytest.raises(ModelRefused, match="not those that were registered"):
        load(root, spec=SPEC, digest=known)


# ------------------------------------------------------------------ crafted skops files


def crafted(node, **more):
    """A skops file whose one step is a node of the author's making."""
    content = skops.io.dumps(FunctionTransformer())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema["content"]["content"]["func"] = node
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("schema.json", json.dumps({**schema, **more}))
    return made.getvalue()


def text(value):
    return {
        "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
        "content": json.dumps(value), "is_json": True,
    }  # fmt: skip


def row(*items):
    return {
        "__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode",
        "content": list(items),
    }  # fmt: skip


SHELL = text('touch "$TRAP"')
SYSTEM = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode",
          "content": "system"}  # fmt: skip
NODES = {
    "a function": SYSTEM,
    "a function as the old format has it": {
        **SYSTEM, "content": {"module_path": "os", "function": "system"},
    },
    "a function that says it is another": {
        **SYSTEM, "__class__": "f_classif",
        "__module__": "sklearn.feature_selection._univariate_selection",
        "content": {"module_path": "os", "function": "system"},
    },
    "a call by operator": {
        "__class__": "call", "__module__": "operator", "__loader__": "OperatorFuncNode",
        "attrs": row(SYSTEM, SHELL),
    },
    "a call by operator under a trusted name": {
        "__class__": "call", "__module__": "sklearn.tree._tree", "__loader__": "OperatorFuncNode",
        "attrs": row(SYSTEM, SHELL),
    },
    "a method": {
        "__class__": "method", "__module__": "builtins", "__loader__": "MethodNode",
        "content": {"func": "system", "obj": SYSTEM},
    },
    "a method of a trusted object": {
        "__class__": "Tree", "__module__": "sklearn.tree._tree", "__loader__": "MethodNode",
        "content": {"func": "__reduce__", "obj": text("x")},
    },
    "a partial": {
        "__class__": "partial", "__module__": "functools", "__loader__": "PartialNode",
        "content": {"func": SYSTEM, "args": row(SHELL), "kwds": row(), "namespace": row()},
    },
    "an object of another type": {
        "__class__": "Popen", "__module__": "subprocess", "__loader__": "ObjectNode",
        "content": row(SHELL),
    },
    "what a constructor is called with": {
        "__class__": "system", "__module__": "os", "__loader__": "ConstructorFromReduceNode",
        "content": row(SHELL),
    },
    "what a loss is built with": {
        "__class__": "system", "__module__": "os", "__loader__": "LossNode",
        "content": row(SHELL),
    },
    "what a tree is built with": {
        "__class__": "system", "__module__": "os", "__loader__": "TreeNode",
        "content": row(SHELL),
    },
    "a type": {"__class__": "Popen", "__module__": "subprocess", "__loader__": "TypeNode"},
    "a loader that is none": {
        "__class__": "x", "__module__": "y", "__loader__": "EvilNode", "content": "z",
    },
    "no node": "text",
    "nothing": None,
    "a node without an end": {
        "__class__": "x", "__module__": "y", "__loader__": "CachedNode", "__id__": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 1, 2, 99])
@pytest.mark.parametrize("kind", NODES)
def test_a_crafted_skops_file_is_refused(kind, protocol, tmp_path, trap):
    content = crafted(NODES[kind], protocol=protocol)
    root = model(tmp_path, sklearn(), {"model.skops": content})
    with pytest.raises(ModelRefused):
        load(root, spec=SPEC, digest="")
    assert not trap.exists()


def test_a_skops_file_that_is_nested_without_end_is_refused(tmp_path):
    deep = '{"content":' * 100_000 + "1" + "}" * 100_000
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("schema.json", deep)
    root = model(tmp_path, sklearn(), {"model.skops": made.getvalue()})
    with pytest.raises(ModelRefused, match="cannot be read"):
        load(root, spec=SPEC, digest="")


def bomb(size, *, name="schema.json"):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{name}{number or ''}", b"0" * (size // 4))
    return made.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path):
    content = bomb(80 * 2**20)
    assert len(content) < 2**20
    root = model(tmp_path, sklearn(), {"model.skops": content})
    with pytest.raises(ModelRefused, match=r"would grow to 83,886,080 bytes"):
        load(root, spec=SPEC, digest="")
    common = {"model_class": "lightgbm.sklearn.LGBMClassifier", "serialization_format": "skops"}
    (root / "MLmodel").write_text(
        yaml.safe_dump({"flavors": other("lightgbm", "model.skops", **common)})
    )
    with pytest.raises(ModelRefused, match="would grow"):
        load(root, spec=SPEC, digest="")


def test_a_small_file_that_was_compressed_is_read(tmp_path):
    plain, packed = io.BytesIO(skops.io.dumps(FITTED)), io.BytesIO()
    with (
        zipfile.ZipFile(plain) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    root = model(tmp_path, sklearn(), {"model.skops": packed.getvalue()})
    assert load(root, spec=SPEC, digest="").how == "sklearn"


# ------------------------------------------------------------------ descriptions


@pytest.mark.parametrize(
    "content",
    [
        "flavors: [1]",
        "flavors: text",
        "flavors: {sklearn: 3}",
        "flavors: {sklearn: {serialization_format: skops}}",
        "!!python/object/apply:os.system ['touch \"$TRAP\"']",
        "flavors: &a {x: *a}",
        "[" * 400,
        "\0",
        "- 1",
    ],
    ids=lambda text: text[:30],
)
def test_a_description_that_is_none_is_one_error(content, tmp_path, trap):
    root = model(tmp_path, {}, {"model.skops": skops.io.dumps(FITTED)})
    (root / "MLmodel").write_text(content)
    with pytest.raises((ModelRefused, ModelNotFound)):
        load(root, spec=SPEC, digest="")
    assert not trap.exists()


def test_a_description_without_end_is_not_read(tmp_path):
    root = model(tmp_path, {}, {})
    with (root / "MLmodel").open("wb") as stream:
        stream.truncate(2**30)
    with pytest.raises(ModelRefused, match="larger than"):
        load(root, spec=SPEC, digest="")
