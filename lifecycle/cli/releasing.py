"""Bring versions to where they serve: gate, promote, rollback, history."""

from typing import Any

import click

from lifecycle.cli.group import name_argument, name_of, named, verb
from lifecycle.config import Config


@verb
@click.argument("ref")
def gate(config: Config, *, ref: str) -> Any:
    """Check REF against limits and the champion; exit 2: refused."""
    from lifecycle.workflows.gate import gate

    return gate(config.with_values(name=name_of(ref)), ref)


@verb
@click.argument("ref")
@click.option("--to", required=True, metavar="STAGE")
@click.option("--force", is_flag=True, help="Skip gates and stages between; needs --reason.")
@click.option("--reason", default="")
def promote(config: Config, *, ref: str, to: str, force: bool, reason: str) -> Any:
    """Move REF to a stage; exit 2 when the gates refuse."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.promote import promote

    return promote(config, ref, to=to, force=force, reason=reason)


@verb
@name_argument
@click.option("--reason", required=True)
def rollback(config: Config, *, name: str, reason: str) -> Any:
    """Put the version that was in production before back."""
    config = named(config, name)
    from lifecycle.workflows.rollback import rollback

    return rollback(config, reason=reason)


@verb
@name_argument
def history(config: Config, *, name: str) -> Any:
    """Who moved what, when and why."""
    config = named(config, name)
    from lifecycle.workflows.history import history

    return history(config)
