"""Write an ONNX graph node by node, in double precision.

>>> graph = Graph()
>>> x = graph.input("x", "double")
>>> y = graph.add("Mul", x, graph.constant(np.array([[2.0]])))
>>> session_output(graph.build(y), {"x": np.array([[1.5]])}).tolist()
[[3.0]]
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.models.predicting import Array

OPSET = 20
ML_OPSET = 5
IR_VERSION = 10
LESS_OR_EQUAL = 0
SUM = 1


class Graph:
    """An ONNX graph that is being written.

    >>> Graph().constant(np.zeros(2))
    'c0'
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, dtype: str) -> str:
        """An input of shape (n, 1) of one of our types: text, or numbers as double."""
        from onnx import TensorProto, helper

        kind = TensorProto.STRING if dtype == "string" else TensorProto.DOUBLE
        self.inputs.append(helper.make_tensor_value_info(name, kind, [None, 1]))
        return name

    def constant(self, values: Array) -> str:
        """Constant numbers or texts; gives their name."""
        from onnx import TensorProto, helper, numpy_helper

        name = f"c{len(self.constants)}"
        if values.dtype == object:
            texts = [text.encode() for text in values.reshape(-1)]
            made = helper.make_tensor(name, TensorProto.STRING, values.shape, texts)
        else:
            made = numpy_helper.from_array(np.asarray(values, order="C"), name)
        self.constants.append(made)
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One operation; gives the name of its result."""
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        )
        return name

    def columns(self, value: str, places: Sequence[int] | Array) -> str:
        """Some columns of an (n, columns) value."""
        return self.add("Gather", value, self.constant(np.asarray(places, dtype=np.int64)), axis=1)

    def block(self, name: str, *, texts: bool, width: int) -> str:
        """An input of shape (n, width), of texts or of doubles."""
        from onnx import TensorProto, helper

        kind = TensorProto.STRING if texts else TensorProto.DOUBLE
        self.inputs.append(helper.make_tensor_value_info(name, kind, [None, width]))
        return name

    def cast(self, value: str, kind: str) -> str:
        """Numbers as DOUBLE, FLOAT or INT64."""
        from onnx import TensorProto

        return self.add("Cast", value, to=getattr(TensorProto, kind))

    def build(self, output: str, *, notes: Mapping[str, object] | None = None) -> bytes:
        """The finished model.

        Args:
            output: the name of the result, shape (n, columns).
            notes: what a reader must know, by name; stored as JSON in the model's metadata.
        """
        from onnx import TensorProto, helper

        result = helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, None])
        graph = helper.make_graph(
            self.nodes, "model", self.inputs, [result], initializer=self.constants
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="mlflow-lifecycle")
        model.ir_version = IR_VERSION
        if notes:
            helper.set_model_props(model, {key: json.dumps(item) for key, item in notes.items()})
        content: bytes = model.SerializeToString()
        return content


def session_output(content: bytes, inputs: dict[str, Array]) -> Array:
    """Run a model once."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, inputs)[0]
    return result


class Trees:
    """Decision trees as ONNX's TreeEnsemble (ai.onnx.ml 5), thresholds and leaves in double.

    >>> trees = Trees()
    >>> trees.leaf_only(0.5, target=0)
    >>> len(trees.roots)
    1
    """

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.questions = 0
        self.leaves = 0
        self._parts: dict[str, list[Array]] = {name: [] for name in (*NODES, *LEAVES)}

    def leaf_only(self, value: float, *, target: int) -> None:
        """A tree that is one leaf: a question with one answer."""
        self.tree(
            np.array([1, -1, -1]),
            np.array([2, -1, -1]),
            features=np.zeros(3, dtype=np.int64),
            splits=np.zeros(3),
            missing=np.zeros(3, dtype=np.int64),
            values=np.array([0.0, value, value]),
            target=target,
        )

    def tree(
        self,
        left: Array,
        right: Array,
        *,
        features: Array,
        splits: Array,
        missing: Array,
        values: Array,
        target: int,
    ) -> None:
        """One tree in arrays of shape (nodes,); `left` below 0 marks a leaf.

        Args:
            left: the node that follows where the feature is not above the split.
            right: the node that follows elsewhere.
            features: column of each question.
            splits: threshold of each question.
            missing: whether NaN goes left.
            values: answer of each leaf.
            target: column of the result that the answers are added to.
        """
        leaf = np.asarray(left) < 0
        if leaf[0]:
            self.leaf_only(float(values[0]), target=target)
            return
        ask = ~leaf
        place = np.where(leaf, np.cumsum(leaf) - 1 + self.leaves, 0)
        place[ask] = np.arange(ask.sum()) + self.questions
        left, right = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
        self.roots.append(self.questions)
        made = {
            "features": np.asarray(features)[ask],
            "splits": np.asarray(splits)[ask],
            "missing": np.asarray(missing)[ask],
            "yes": place[left[ask]],
            "yes_is_leaf": leaf[left[ask]],
            "no": place[right[ask]],
            "no_is_leaf": leaf[right[ask]],
            "weights": np.asarray(values)[leaf],
            "targets": np.full(int(leaf.sum()), target),
        }
        for name, part in made.items():
            self._parts[name].append(part)
        self.questions += int(ask.sum())
        self.leaves += int(leaf.sum())

    def write(self, graph: Graph, value: str, *, targets: int) -> str:
        """Add the trees to a graph; gives the sums of their answers, shape (n, targets)."""
        from onnx import numpy_helper

        joined = {name: np.concatenate(parts) for name, parts in self._parts.items()}

        def doubles(name: str) -> Any:
            return numpy_helper.from_array(joined[name].astype(np.float64), name)

        def integers(name: str) -> list[int]:
            found: list[int] = joined[name].astype(np.int64).tolist()
            return found

        modes = np.full(self.questions, LESS_OR_EQUAL, dtype=np.uint8)
        return graph.add(
            "TreeEnsemble",
            value,
            domain="ai.onnx.ml",
            n_targets=targets,
            aggregate_function=SUM,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=integers("features"),
            nodes_splits=doubles("splits"),
            nodes_modes=numpy_helper.from_array(modes, "modes"),
            nodes_truenodeids=integers("yes"),
            nodes_trueleafs=integers("yes_is_leaf"),
            nodes_falsenodeids=integers("no"),
            nodes_falseleafs=integers("no_is_leaf"),
            nodes_missing_value_tracks_true=integers("missing"),
            leaf_targetids=integers("targets"),
            leaf_weights=doubles("weights"),
        )


NODES = ("features", "splits", "missing", "yes", "yes_is_leaf", "no", "no_is_leaf")
LEAVES = ("weights", "targets")
