"""Small enough to be shipped and loaded: the bytes of the files that serve.

>>> from lifecycle.gates.given import Files
>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import ModelSpec
>>> model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: None)
>>> print(size(GateInput(model, files=Files({"MLmodel": 800, "model.skops": 2_500_000}))).reason)
2.50 MB in 2 files, the largest is model.skops (2.50 MB); no limit is set
"""

from lifecycle.gates.given import GateInput, failed, passed
from lifecycle.records import GateResult

MB = 1e6  # bytes, as the units of the SI have it


def size(given: GateInput) -> GateResult:
    """Hold the bytes of all files of the version, the compiled one included, against `size_mb`."""
    limit = given.limits.size_mb
    if given.files is None or not given.files.sizes:
        return passed("size", "the version's files were not looked at")
    sizes = given.files.sizes
    whole = sum(sizes.values()) / MB
    largest = max(sizes, key=lambda name: sizes[name])
    said = (
        f"{whole:.2f} MB in {len(sizes)} files, the largest is {largest} "
        f"({sizes[largest] / MB:.2f} MB)"
    )
    if limit <= 0.0:
        return passed("size", f"{said}; no limit is set", value=whole)
    figures = {"value": whole, "limit": limit}
    if whole > limit:
        return failed("size", f"{said}; {limit:g} MB are allowed", **figures)
    return passed("size", f"{said}; {limit:g} MB are allowed", **figures)
