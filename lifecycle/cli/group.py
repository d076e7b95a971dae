"""The command group, and what its commands share: options and how a model is named."""

from functools import partial
from typing import Any

import click

from lifecycle import __version__
from lifecycle.command import Commands
from lifecycle.command import verb as _verb
from lifecycle.config import Config
from lifecycle.errors import ConfigError


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="lifecycle")
@click.pass_context
def main(context: click.Context) -> None:
    """Train, gate, stage, serve, watch and retrain MLflow models.

    Begin with `lifecycle demo`. Exit codes: 0 fine, 1 error, 2 refused or flagged,
    3 not enough evidence.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


verb = partial(_verb, main)


def named(config: Config, name: str = "", **values: Any) -> Config:
    """The configuration with a model's name and whatever else was given.

    >>> named(Config(), "churn", target=None).name
    'churn'

    Raises:
        ConfigError: there is no name, neither given nor configured.
    """
    given = {key: value for key, value in values.items() if value not in (None, "", ())}
    chosen = config.with_values(**({"name": name} if name else {}), **given)
    if not chosen.name:
        raise ConfigError("no model is named", fix="give its NAME or set it in lifecycle.toml")
    return chosen


name_argument = click.argument("name", required=False, default="")
log_option = click.option("--log", metavar="DIR", help="Folder of the prediction log.")


def name_of(ref: str) -> str:
    """The model's name in a reference.

    >>> name_of("models:/churn/7")
    'churn'
    """
    from lifecycle.records import ModelRef

    return ModelRef.parse(ref).name
