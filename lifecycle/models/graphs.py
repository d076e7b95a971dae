"""Write an ONNX graph node by node, in double precision.

>>> graph = Graph()
>>> x = graph.input("x", "double")
>>> y = graph.add("Mul", x, graph.constant(np.array([[2.0]])))
>>> session_output(graph.build(y), {"x": np.array([[1.5]])}).tolist()
[[3.0]]
"""

import json
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
            made = numpy_helper.from_array(np.ascontiguousarray(values), name)
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

    def cast(self, value: str, kind: str) -> str:
        """Numbers as DOUBLE, FLOAT or INT64."""
        from onnx import TensorProto

        return self.add("Cast", value, to=getattr(TensorProto, kind))

    def build(self, output: str, *, null: str | None = None) -> bytes:
        """The finished model.

        Args:
            output: the name of the result, shape (n, columns).
            null: the text that stands for null in text inputs.
        """
        from onnx import TensorProto, helper

        result = helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, None])
        graph = helper.make_graph(
            self.nodes, "model", self.inputs, [result], initializer=self.constants
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="mlflow-lifecycle")
        model.ir_version = IR_VERSION
        if null is not None:
            helper.set_model_props(model, {"null": json.dumps(null)})
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
        self.features: list[int] = []
        self.splits: list[float] = []
        self.children: list[tuple[tuple[int, int], tuple[int, int]]] = []  # (node, is leaf) twice
        self.missing: list[int] = []
        self.weights: list[float] = []
        self.targets: list[int] = []

    def leaf_only(self, value: float, *, target: int) -> None:
        """A tree that is one leaf: a question with one answer."""
        self.weights.append(value)
        self.targets.append(target)
        leaf = (len(self.weights) - 1, 1)
        self.roots.append(len(self.features))
        self.features.append(0)
        self.splits.append(0.0)
        self.children.append((leaf, leaf))
        self.missing.append(0)

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
        if left[0] < 0:
            self.leaf_only(float(values[0]), target=target)
            return
        place: dict[int, tuple[int, int]] = {}
        first = len(self.features)
        for node in range(len(left)):
            if left[node] < 0:
                place[node] = (len(self.weights), 1)
                self.weights.append(float(values[node]))
                self.targets.append(target)
            else:
                place[node] = (len(self.features), 0)
                self.features.append(int(features[node]))
                self.splits.append(float(splits[node]))
                self.missing.append(int(missing[node]))
        questions = [node for node in range(len(left)) if left[node] >= 0]
        self.roots.append(first)
        self.children += [(place[int(left[node])], place[int(right[node])]) for node in questions]

    def write(self, graph: Graph, value: str, *, targets: int) -> str:
        """Add the trees to a graph; gives the sums of their answers, shape (n, targets)."""
        from onnx import numpy_helper

        def doubles(values: list[float], name: str) -> Any:
            return numpy_helper.from_array(np.array(values, dtype=np.float64), name)

        modes = np.full(len(self.features), LESS_OR_EQUAL, dtype=np.uint8)
        return graph.add(
            "TreeEnsemble",
            value,
            domain="ai.onnx.ml",
            n_targets=targets,
            aggregate_function=SUM,
            post_transform=0,
            tree_roots=self.roots,
            nodes_featureids=self.features,
            nodes_splits=doubles(self.splits, "splits"),
            nodes_modes=numpy_helper.from_array(modes, "modes"),
            nodes_truenodeids=[yes[0] for yes, _ in self.children],
            nodes_trueleafs=[yes[1] for yes, _ in self.children],
            nodes_falsenodeids=[no[0] for _, no in self.children],
            nodes_falseleafs=[no[1] for _, no in self.children],
            nodes_missing_value_tracks_true=self.missing,
            leaf_targetids=self.targets,
            leaf_weights=doubles(self.weights, "leaves"),
        )
