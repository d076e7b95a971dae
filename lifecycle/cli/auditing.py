"""Check the set-up and what is recorded: doctor."""

from typing import Any

import click

from lifecycle.cli.group import verb
from lifecycle.config import Config


@verb
@click.option("--fix", is_flag=True, help="Mend what can be mended safely.")
def doctor(config: Config, *, fix: bool) -> Any:
    """Check the set-up and say what to do about what is wrong."""
    from lifecycle.workflows.doctor import doctor

    return doctor(config, fix=fix)
