"""Files that run nobody's code: a pickle, a foreign type or a path to code is refused.

>>> from lifecycle.gates.given import Files
>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import ModelSpec
>>> model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: None)
>>> print(files(GateInput(model, files=Files({"MLmodel": 800}, "skops"))).reason)
loaded as skops, which holds no code; 1 file
"""

from lifecycle.gates.given import GateInput, failed, passed
from lifecycle.records import GateResult


def files(given: GateInput) -> GateResult:
    """Refuse a version whose files must not be loaded, and name what is allowed all the same.

    What can run code is found by `lifecycle.models` without loading anything. `[models]
    allow_pickle` lets it be loaded, and then the result says which code that is.
    """
    gate, found = "files", given.files
    if found is None:
        return passed(gate, "the version's files were not looked at")
    if found.refused:
        return failed(gate, found.refused)
    count = f"{len(found.sizes)} file{'' if len(found.sizes) == 1 else 's'}"
    if found.risks:
        said = "; ".join(found.risks)
        return passed(gate, f"allowed by [models] allow_pickle, although {said}; {count}")
    return passed(gate, f"loaded as {found.format}, which holds no code; {count}")
