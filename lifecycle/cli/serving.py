"""Answer requests and keep what was answered: serve, keys, score, feedback, erase, status."""

from typing import Any

import click

from lifecycle.cli.group import log_option, name_argument, name_of, named, verb
from lifecycle.command import wants_json
from lifecycle.config import Config
from lifecycle.errors import ConfigError


@verb
@click.argument("ref")
@click.option("--input", "source", required=True, metavar="FILE", help="Parquet or CSV.")
@click.option("--output", required=True, metavar="FILE", help="Parquet or CSV.")
@log_option
def score(config: Config, *, ref: str, source: str, output: str, log: str | None) -> Any:
    """Predict each row of a file; an interrupted run goes on."""
    config = named(config, name_of(ref), log__dir=log)
    from lifecycle.workflows.score import score

    return score(config, ref, source, output)


@verb
@click.argument("names", nargs=-1)
@click.option("--host", help="Address to bind; loopback unless told otherwise.")
@click.option("--port", type=int, help="0 takes a free one.")
@click.option("--workers", type=int)
@click.option("--grpc-port", type=int, help="Answer gRPC there as well.")
@click.option("--api-keys", metavar="FILE", help="Ask for a key of it; see `lifecycle keys`.")
@click.option("--tls-cert", metavar="FILE", help="Certificate chain in PEM.")
@click.option("--tls-key", metavar="FILE", help="Its private key.")
@log_option
def serve(
    config: Config, *, names: tuple[str, ...], log: str | None, **given: str | int | None
) -> None:
    """Serve the champions of NAMES over MLflow's protocol."""
    from lifecycle.serve.server import serve

    config = named(config, name_of(names[0]) if names else "", log__dir=log)
    values = {f"serve__{key}": value for key, value in given.items() if value is not None}
    serve(config.with_values(**values), names or (config.name,))


@verb
@click.argument("action", type=click.Choice(["add", "list", "remove"]))
@click.argument("file", required=False)
@click.option("--name", metavar="NAME", help="Whose key it is.")
@click.option(
    "--rate", default="", metavar="100/s", help="Requests it may make; also /min, /h, /d."
)
def keys(config: Config, *, action: str, file: str | None, name: str | None, rate: str) -> Any:
    """Make, list or remove a server's API keys.

    FILE is by default the configured [serve] api_keys. A key is shown once, when it is made.
    """
    file = file or config.serve.api_keys
    if not file:
        raise ConfigError("no file of keys is named", fix="write: lifecycle keys add FILE --name N")
    if action != "list" and not name:
        raise ConfigError("no key is named", fix=f"add --name NAME to: lifecycle keys {action}")
    from lifecycle.serve.keys import changed

    told, lines = changed(file, action, name or "", rate=rate)
    if wants_json():
        return told
    click.echo("\n".join(lines))
    if action == "add":
        click.echo("Keep it now: it is shown this once. The file holds only its hash.", err=True)
    return None


@verb
@name_argument
@click.option("--labels", required=True, metavar="FILE", help="By id, or by key and time.")
@click.option(
    "--tolerance", metavar="5m", help="How far from its prediction a label's time may be."
)
@log_option
def feedback(
    config: Config, *, name: str, labels: str, tolerance: str | None, log: str | None
) -> Any:
    """Join late labels to predictions, all of them or none."""
    config = named(config, name, log__dir=log)
    from lifecycle.workflows.feedback import feedback

    return feedback(config, labels, **({} if tolerance is None else {"tolerance": tolerance}))


@verb
@name_argument
@click.option("--key", required=True, metavar="K", help="Whose rows, as the log has the key.")
@click.option("--reason", required=True, help="For the ledger; it must not name the key.")
@log_option
def erase(config: Config, *, name: str, key: str, reason: str, log: str | None) -> Any:
    """Erase one person's rows and labels from the log."""
    config = named(config, name, log__dir=log)
    from lifecycle.workflows.erase import erase

    return erase(config, key=key, reason=reason)


@verb
@click.argument("name", required=False)
def status(config: Config, *, name: str | None) -> Any:
    """What serves, how, and what the last check said."""
    from lifecycle.workflows.status import status

    return status(config, name)
