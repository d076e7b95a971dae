"""`lifecycle serve` without the prediction log, which no option switches off.

    python unlogged.py serve NAME --config lifecycle.toml --port 5001

The writer is built as ever, but the engine does not take it.
"""

import sys

from lifecycle.cli import main
from lifecycle.serve.engine import Engine


def ignored(engine: Engine, writer: object) -> None:
    """The engine is given a writer."""


setattr(Engine, "writer", property(lambda _: None, ignored))  # noqa: B010 - a property over a field
sys.exit(main(sys.argv[1:]))
