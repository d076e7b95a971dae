import re

import pytest

from lifecycle import errors
from lifecycle.errors import GateRefused, LifecycleError, MissingExtra
from lifecycle.records import GateReport, GateResult, Outcome


def every_error() -> list[type[LifecycleError]]:
    found = [LifecycleError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == "lifecycle.errors"]


def test_the_drawn_tree_is_the_tree():
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"── (\w+)", errors.__doc__)) | {"LifecycleError"}
    assert drawn == {kind.__name__ for kind in every_error()}


@pytest.mark.parametrize("kind", every_error())
def test_the_drawn_builtin_is_a_base(kind: type[LifecycleError]):
    assert errors.__doc__ is not None
    found = re.search(rf"\b{kind.__name__} +\((\w+)\)", errors.__doc__)
    if found:
        assert found[1] in {base.__name__ for base in kind.__mro__}


def test_an_error_says_what_where_and_the_next_step():
    error = LifecycleError("no rows", where="live.csv", fix="check the export.")
    assert str(error) == "no rows (live.csv). Next: check the export."
    assert error.to_dict()["message"] == str(error)


def test_a_missing_extra_names_what_to_install():
    error = MissingExtra("evidently", extra="monitor", purpose="the report")
    assert 'pip install "mlflow-lifecycle[monitor]"' in str(error)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.FAIL, 2), (Outcome.UNSURE, 3)])
def test_a_refusal_carries_its_report_and_exit_code(outcome: Outcome, code: int):
    report = GateReport("churn", 2, (GateResult("floor", outcome, "why"),))
    error = GateRefused("refused", report=report)
    assert error.exit_code == code
    assert error.to_dict()["report"]["results"][0]["reason"] == "why"
