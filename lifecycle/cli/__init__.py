"""One command per verb: parse, build, call one workflow, show what came back.

How all of them behave is in `lifecycle.command`. Workflows are imported when their command runs,
so that `--help` answers at once. A module here holds the verbs of one part of a model's life; the
order of the imports is the order of `--help`.
"""

# ruff: noqa: I001 - see above

from lifecycle.cli import training
from lifecycle.cli import releasing
from lifecycle.cli import serving
from lifecycle.cli import monitoring
from lifecycle.cli import rollouts
from lifecycle.cli import auditing
from lifecycle.cli.group import main

__all__ = ["auditing", "main", "monitoring", "releasing", "rollouts", "serving", "training"]
