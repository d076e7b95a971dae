"""Bring a version to users step by step, on evidence: the group `rollout` and its verbs."""

from functools import partial
from typing import Any

import click

from lifecycle.cli.group import main, name_argument, name_of, named
from lifecycle.command import Commands
from lifecycle.command import verb as _verb
from lifecycle.config import Config

WATCH_SECONDS = 2.0  # between two looks at the registry of somebody who watches


@main.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def rollout(context: click.Context) -> None:
    """Try a version on live requests: shadow, canary or A/B."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


verb = partial(_verb, rollout)
logs_option = click.option(
    "--log", multiple=True, metavar="DIR", help="Folder of a prediction log; may be repeated."
)
reason_option = click.option("--reason", default="", help="Goes into the ledger.")


@verb
@click.argument("ref")
@click.option("--strategy", default="", metavar="NAME", help="shadow, canary or ab.")
@click.option("--steps", metavar="1,5,25,50,100", help="Percent of requests at each step.")
@click.option("--guard", "guards", multiple=True, metavar="G", help="NAME[:COLUMN[=VALUE]][<=N].")
@click.option("--metric", default="", metavar="G", help="A/B: the guard that is to improve.")
@click.option("--also", multiple=True, metavar="REF", help="A/B: a further version.")
@click.option("--sample", metavar="PERCENT", help="Shadow: requests that are copied.")
@click.option("--force", is_flag=True, help="Although its gates did not pass; needs --reason.")
@reason_option
@click.option("--plan", "only_plan", is_flag=True, help="Say what it would find; move nothing.")
@logs_option
def start(
    config: Config,
    *,
    ref: str,
    strategy: str,
    steps: str | None,
    guards: tuple[str, ...],
    metric: str,
    also: tuple[str, ...],
    sample: str | None,
    force: bool,
    reason: str,
    only_plan: bool,
    log: tuple[str, ...],
) -> Any:
    """Start a rollout of REF beside the champion; exit 2: refused."""
    config = named(config, name_of(ref), rollout__steps=steps, rollout__sample=sample)
    from lifecycle.workflows import rollout

    asked: dict[str, Any] = {
        "strategy": strategy, "guards": guards, "others": also, "metric": metric, "log": log,
        "steps": config.rollout.steps if steps else (),
    }  # fmt: skip
    if only_plan:
        return rollout.plan(config, ref, **asked)
    return rollout.start(config, ref, **asked, force=force, reason=reason)


@verb
@name_argument
@click.option("--watch", is_flag=True, help="Until it ends, or Ctrl-C.")
@logs_option
def status(config: Config, *, name: str, watch: bool, log: tuple[str, ...]) -> Any:
    """Shares, evidence, users exposed; exit 2: held, rolled back."""
    config = named(config, name)
    from lifecycle.workflows.rollout import status

    if not watch:
        return status(config, log=log)
    from lifecycle.views.rollout_live import live, until_it_ends

    with live() as show:
        return until_it_ends(lambda: status(config, log=log), show, seconds=WATCH_SECONDS)


@verb
@name_argument
@reason_option
def step(config: Config, *, name: str, reason: str) -> Any:
    """Go to the next step by hand."""
    config = named(config, name)
    from lifecycle.workflows.rollout import step

    return step(config, reason=reason)


@verb
@name_argument
@click.option("--force", is_flag=True, help="In spite of gates or a proven harm; needs --reason.")
@reason_option
@logs_option
def promote(config: Config, *, name: str, force: bool, reason: str, log: tuple[str, ...]) -> Any:
    """End it with the challenger as champion."""
    config = named(config, name)
    from lifecycle.workflows.rollout import promote

    return promote(config, reason=reason, force=force, log=log)


@verb
@name_argument
@reason_option
def abort(config: Config, *, name: str, reason: str) -> Any:
    """End it; the champion answers everything again."""
    config = named(config, name)
    from lifecycle.workflows.rollout import abort

    return abort(config, reason=reason)


@verb
@name_argument
@click.option("--reason", required=True, help="Goes into the ledger.")
def resume(config: Config, *, name: str, reason: str) -> Any:
    """Let a rollout go on that was held."""
    config = named(config, name)
    from lifecycle.workflows.rollout import resume

    return resume(config, reason=reason)


@verb
@name_argument
@click.option("--once", is_flag=True, help="One look, as for cron; exit 3: not enough evidence.")
@click.option("--every", type=float, metavar="SECONDS", help="Between two looks.")
@logs_option
def run(config: Config, *, name: str, once: bool, every: float | None, log: tuple[str, ...]) -> Any:
    """Look, decide and act until it ends: the controller."""
    config = named(config, name)
    from lifecycle.views.rollout_live import live
    from lifecycle.workflows.controller import run

    with live() as show:
        return run(config, once=once, seconds=every, log=log, shown=None if once else show)


@verb
@name_argument
@click.option("--rollout", type=int, metavar="SEQ", help="The entry that began it; else the last.")
@logs_option
def explain(config: Config, *, name: str, rollout: int | None, log: tuple[str, ...]) -> Any:
    """Compute the last decision again from its evidence."""
    config = named(config, name)
    from lifecycle.workflows.rollout import explain

    return explain(config, rollout=rollout, log=log)
