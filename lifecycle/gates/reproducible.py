"""Whether the version comes out again when it is trained again on the recorded rows.

Off by default, since it costs a training: name it in `[gates] use`.

>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import ModelSpec
>>> model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda columns: None)
>>> again = Reproduction("churn", 3, same=True, rows=400)
>>> reproducible(GateInput(model, reproduction=again)).reason
'trained again, it gives the same 400 answers exactly'
"""

from lifecycle.gates.given import GateInput, Missing, failed, passed
from lifecycle.records import GateResult, Reproduction

NAME = "reproducible"


def reproducible(given: GateInput) -> GateResult:
    """Pass where the same answers come out; the reason names what differs about the place.

    Raises:
        Missing: it could not be trained again: rows that are gone, a version that was adopted.
    """
    found: Reproduction | None = given.reproduction
    if found is None:
        raise Missing(given.reproduction_problem or "the version was not trained again")
    said = passed if found.same else failed
    return said(NAME, str(found), value=found.largest_difference, limit=0.0)
