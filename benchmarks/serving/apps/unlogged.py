"""`lifecycle serve` without the prediction log: its engine is built as ever, then loses its writer.

    python unlogged.py serve NAME --config lifecycle.toml --port 5001

It measures what the log costs; the log itself cannot be switched off.
"""

import sys
from collections.abc import Sequence
from typing import Any

from lifecycle.cli import main
from lifecycle.config import Config
from lifecycle.serve import server

build = server.build


def without_log(config: Config, names: Sequence[str]) -> Any:
    """What `build` gives, its engine without a writer."""
    made = build(config, names)
    made[0].engine.writer = None
    return made


server.build = without_log
sys.exit(main(sys.argv[1:]))
