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
    """Move REF to a stage; exit 2: the gates refuse."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.promote import promote

    return promote(config, ref, to=to, force=force, reason=reason)


@verb
@click.argument("ref")
@click.option("--to", required=True, metavar="STAGE")
@click.option("--reason", default="")
def request(config: Config, *, ref: str, to: str, reason: str) -> Any:
    """Ask those who may to approve that REF moves to a stage."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.approvals import request

    return request(config, ref, to=to, reason=reason)


@verb
@click.argument("ref")
@click.option("--reason", default="")
def approve(config: Config, *, ref: str, reason: str) -> Any:
    """Approve what was requested for REF; exit 2: it is void."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.approvals import approve

    return approve(config, ref, reason=reason)


@verb
@click.argument("ref")
@click.option("--reason", required=True)
def reject(config: Config, *, ref: str, reason: str) -> Any:
    """Say no to what was requested for REF; its approvals are void."""
    config = config.with_values(name=name_of(ref))
    from lifecycle.workflows.approvals import reject

    return reject(config, ref, reason=reason)


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
@click.option("--at", metavar="T", help="Which version served then, and why: a date or a time.")
@click.option("--csv", "csv", metavar="FILE", help="Write it there, one row an entry.")
@click.option("--head", metavar="FILE", help="Write the ledger's head, for `verify --head`.")
def history(config: Config, *, name: str, at: str | None, csv: str | None, head: str | None) -> Any:
    """Who moved what, when and why; --at: what served then."""
    config = named(config, name)
    from lifecycle.workflows.history import history, history_at, write_csv

    if at is not None and head is not None:
        raise click.UsageError("--head writes the head of the whole ledger: leave out --at")
    found = history(config, head=head) if at is None else history_at(config, at)
    if csv is not None:
        write_csv(found, csv)
    return found
