"""Compile any Pipeline with skl2onnx, in a process of its own that can be given up.

Run as `python -m lifecycle.models.foreign ESTIMATOR SPEC OUTPUT`; the three are files.

>>> from lifecycle.records import Column
>>> kinds_of(ModelSpec(1, "binary", (Column("age", "double"), Column("plan", "string"))))
[('age', 'double'), ('plan', 'string')]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lifecycle.models import specs
from lifecycle.records import ModelSpec

NUMBERS = {"double", "float", "long", "integer"}


class CannotCompile(Exception):
    """Why not, in plain words."""


def kinds_of(spec: ModelSpec) -> list[tuple[str, str]]:
    """Name and kind of every input: double or string.

    Raises:
        CannotCompile: an input is of another type.
    """
    kinds = []
    for item in spec.features:
        if item.dtype not in NUMBERS | {"string"}:
            raise CannotCompile(f"skl2onnx takes no {item.dtype} column ({item.name})")
        kinds.append((item.name, "string" if item.dtype == "string" else "double"))
    return kinds


def convert(estimator: Any, spec: ModelSpec, *, timeout: float) -> bytes:
    """The ONNX model that skl2onnx makes of an estimator.

    Raises:
        CannotCompile: skl2onnx cannot, or not in `timeout` seconds.
    """
    import cloudpickle

    kinds_of(spec)
    with tempfile.TemporaryDirectory(prefix="lifecycle-") as folder:
        given, described, made = (Path(folder) / name for name in ("model", "spec", "onnx"))
        given.write_bytes(cloudpickle.dumps(estimator))
        described.write_text(specs.dumps(spec), encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(given), str(described), str(made)]
        try:
            done = subprocess.run(  # noqa: S603 - our own module
                command,
                capture_output=True,
                timeout=timeout,
                check=False,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCompile(f"skl2onnx had not finished after {timeout:.0f} s") from error
        if done.returncode != 0 or not made.is_file():
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            raise CannotCompile(f"skl2onnx cannot convert it: {lines[-1][:300]}")
        return made.read_bytes()


def write(estimator: Any, spec: ModelSpec, output: Path) -> None:
    """Convert with double inputs, or with float32 ones where there is no double operator."""
    import onnxruntime
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import (
        DoubleTensorType,
        FloatTensorType,
        StringTensorType,
    )

    reasons: list[str] = []
    for number in (DoubleTensorType, FloatTensorType):
        inputs = [
            (name, (StringTensorType if kind == "string" else number)([None, 1]))
            for name, kind in kinds_of(spec)
        ]
        options = {"zipmap": False} if spec.classes else {}
        try:
            model = convert_sklearn(
                estimator, initial_types=inputs, options={id(estimator): options}
            )
            content = _last_output(model, scores=bool(spec.classes))
            onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - skl2onnx fails in many ways
            reasons.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            continue
        output.write_bytes(content)
        return
    raise CannotCompile(reasons[-1])


def _last_output(model: Any, *, scores: bool) -> bytes:
    """Keep the scores of a classifier; its labels are taken by our own rule."""
    if scores:
        while len(model.graph.output) > 1:
            del model.graph.output[0]
    content: bytes = model.SerializeToString()
    return content


def main(estimator: str, spec: str, output: str) -> None:
    """Read the three files' paths, convert, write."""
    import cloudpickle

    loaded = cloudpickle.loads(Path(estimator).read_bytes())
    write(loaded, specs.loads(Path(spec).read_text(encoding="utf-8")), Path(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
