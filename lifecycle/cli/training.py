"""Make models: demo, init, train, evaluate, adopt."""

from typing import Any

import click

from lifecycle.cli.group import name_argument, name_of, named, verb
from lifecycle.command import show, wants_json
from lifecycle.config import Config


@verb
@click.option("--keep", metavar="DIR", help="Work in this folder instead of a temporary one.")
def demo(config: Config, *, keep: str | None) -> Any:  # noqa: ARG001 - the demo brings its own
    """Show the whole loop on real flights, in about a minute."""
    from lifecycle.demo import demo

    told = demo(keep)
    return told if wants_json() else None


@verb
@click.argument("data", metavar="FILE")
@click.option("--output", default="lifecycle.toml", show_default=True, metavar="FILE")
def init(config: Config, *, data: str, output: str) -> Any:  # noqa: ARG001 - there is none yet
    """Write a commented lifecycle.toml for the data in FILE."""
    from lifecycle.workflows.init import init

    init(data, output=output)
    click.echo(f"wrote {output}; look it over, then: lifecycle train --data {data}", err=True)
    return {"output": output} if wants_json() else None


@verb
@name_argument
@click.option("--data", required=True, metavar="FILE", help="Parquet or CSV.")
@click.option("--validation", metavar="FILE", help="Rows to judge on; else a hold-out of --data.")
@click.option("--target", metavar="COLUMN")
@click.option("--time", metavar="COLUMN")
@click.option("--key", metavar="COLUMN")
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="NAME",
    help="A name of the table or module:Class; may be repeated.",
)
@click.option("--no-register", is_flag=True, help="Train and track only.")
def train(
    config: Config,
    *,
    name: str,
    data: str,
    validation: str | None,
    candidates: tuple[str, ...],
    no_register: bool,
    **columns: str | None,
) -> Any:
    """Train candidates, track them, register the best."""
    config = named(config, name, **columns)
    from lifecycle.workflows.train import register, train

    training = train(config, data, candidates=candidates, validation=validation)
    if no_register or not config.train.register:
        return training
    version = register(config, training.best)
    if not wants_json():
        show(training, as_json=False)
    return version


@verb
@click.argument("ref")
@click.option("--data", required=True, metavar="FILE", help="Labelled rows, Parquet or CSV.")
@click.option("--against", metavar="REF", help="Another version, on the same rows.")
@click.option("--target", metavar="COLUMN")
def evaluate(
    config: Config, *, ref: str, data: str, against: str | None, target: str | None
) -> Any:
    """Say how good REF is on labelled rows, alone or compared."""
    config = named(config, name_of(ref), target=target)
    from lifecycle.workflows.evaluate import evaluate

    return evaluate(config, ref, data, against=against)


@verb
@click.argument("ref")
@click.option("--reference", metavar="FILE", help="Rows the model was trained on.")
@click.option("--target", metavar="COLUMN")
@click.option("--time", metavar="COLUMN")
@click.option("--key", metavar="COLUMN")
def adopt(config: Config, *, ref: str, reference: str | None, **columns: str | None) -> Any:
    """Take over a version that plain MLflow registered."""
    config = named(config, name_of(ref), **columns)
    from lifecycle.workflows.adopt import adopt

    return adopt(config, ref, reference=reference, target=config.target or None)
