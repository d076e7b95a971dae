"""One command per verb: parse, build, call one workflow, show what came back.

How all of them behave is in `lifecycle.command`. Workflows are imported when their command runs,
so that `--help` answers at once.
"""

from functools import partial
from typing import Any

import click

from lifecycle import __version__
from lifecycle.command import Commands, show, wants_json
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


def _named(config: Config, name: str = "", **values: Any) -> Config:
    given = {key: value for key, value in values.items() if value not in (None, "", ())}
    named = config.with_values(**({"name": name} if name else {}), **given)
    if not named.name:
        raise ConfigError("no model is named", fix="give its NAME or set it in lifecycle.toml")
    return named


name_argument = click.argument("name", required=False, default="")
log_option = click.option("--log", metavar="DIR", help="Folder of the prediction log.")


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
    config = _named(config, name, **columns)
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
    """Say how good REF is on labelled rows, alone or against another."""
    config = _named(config, _name(ref), target=target)
    from lifecycle.workflows.evaluate import evaluate

    return evaluate(config, ref, data, against=against)


@verb
@click.argument("ref")
def gate(config: Config, *, ref: str) -> Any:
    """Check REF against limits and the champion; exit 2: refused."""
    from lifecycle.workflows.gate import gate

    return gate(config.with_values(name=_name(ref)), ref)


@verb
@click.argument("ref")
@click.option("--to", required=True, metavar="STAGE")
@click.option("--force", is_flag=True, help="Skip gates and stages between; needs --reason.")
@click.option("--reason", default="")
def promote(config: Config, *, ref: str, to: str, force: bool, reason: str) -> Any:
    """Move REF to a stage; exit 2 when the gates refuse."""
    config = config.with_values(name=_name(ref))
    from lifecycle.workflows.promote import promote

    return promote(config, ref, to=to, force=force, reason=reason)


@verb
@name_argument
@click.option("--reason", required=True)
def rollback(config: Config, *, name: str, reason: str) -> Any:
    """Put the version that was in production before back."""
    config = _named(config, name)
    from lifecycle.workflows.rollback import rollback

    return rollback(config, reason=reason)


@verb
@name_argument
def history(config: Config, *, name: str) -> Any:
    """Who moved what, when and why."""
    config = _named(config, name)
    from lifecycle.workflows.history import history

    return history(config)


@verb
@click.argument("ref")
@click.option("--input", "source", required=True, metavar="FILE", help="Parquet or CSV.")
@click.option("--output", required=True, metavar="FILE", help="Parquet or CSV.")
@log_option
def score(config: Config, *, ref: str, source: str, output: str, log: str | None) -> Any:
    """Predict each row of a file; an interrupted run goes on."""
    config = _named(config, _name(ref), log__dir=log)
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

    config = _named(config, _name(names[0]) if names else "", log__dir=log)
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
    config = _named(config, name, log__dir=log)
    from lifecycle.workflows.feedback import feedback

    return feedback(config, labels, **({} if tolerance is None else {"tolerance": tolerance}))


@verb
@name_argument
@click.option("--key", required=True, metavar="K", help="Whose rows, as the log has the key.")
@click.option("--reason", required=True, help="For the ledger; it must not name the key.")
@log_option
def erase(config: Config, *, name: str, key: str, reason: str, log: str | None) -> Any:
    """Erase one person's rows and labels from the log."""
    config = _named(config, name, log__dir=log)
    from lifecycle.workflows.erase import erase

    return erase(config, key=key, reason=reason)


@verb
@click.argument("name", required=False)
def status(config: Config, *, name: str | None) -> Any:
    """What serves, how, and what the last check said."""
    from lifecycle.workflows.status import status

    return status(config, name)


@verb
@click.argument("ref")
@click.option("--reference", metavar="FILE", help="Rows the model was trained on.")
@click.option("--target", metavar="COLUMN")
@click.option("--time", metavar="COLUMN")
@click.option("--key", metavar="COLUMN")
def adopt(config: Config, *, ref: str, reference: str | None, **columns: str | None) -> Any:
    """Take over a version that plain MLflow registered."""
    config = _named(config, _name(ref), **columns)
    from lifecycle.workflows.adopt import adopt

    return adopt(config, ref, reference=reference, target=config.target or None)


@verb
@click.argument("reference")
@click.argument("current")
@click.option("--time", metavar="COLUMN", help="Rows in order of time count as runs.")
@click.option("--html", metavar="FILE", help="Write Evidently's report there.")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="What counts.")
def drift(
    config: Config,
    *,
    reference: str,
    current: str,
    time: str | None,
    html: str | None,
    engine: str,
) -> Any:
    """Compare two files or folders; exit 2 when they differ. No registry is needed.

    REFERENCE may be a stored profile (.json); tables of any size are read in bounded memory.
    """
    from lifecycle.workflows.compare import compare

    report = compare(reference, current, time=time or config.time or None, engine=engine)
    if html:
        from lifecycle.workflows.compare import write_html

        write_html(report, html)
    return report


@verb
@name_argument
@click.option("--live", metavar="FILE", help="A file instead of the prediction log.")
@click.option("--since", metavar="TIME", help="Start of the window; else the last one's end.")
@click.option("--until", metavar="TIME", help="End of the window; else now.")
@click.option("--every", metavar="LENGTH", help="Each complete window, as in 6h or 1d; catches up.")
@click.option("--rows", type=int, metavar="N", help="Each complete window of N logged rows.")
@click.option("--version", metavar="N", help="Another version than the champion.")
@click.option("--arm", metavar="NAME", help="Only what this arm of a rollout answered.")
@click.option("--segment", metavar="COLUMN=VALUE", help="Only rows of this segment.")
@click.option("--alarms-per-year", type=float, metavar="N", help="False alarms; sets alpha.")
@click.option("--notify", multiple=True, metavar="URL", help="Who is told; apprise's or env:NAME.")
@click.option("--html", metavar="FILE", help="Write Evidently's report there.")
@log_option
def monitor(config: Config, *, name: str, live: str | None, log: str | None, **options: Any) -> Any:
    """Check live data against the reference; exit 2: flagged."""
    config = _named(config, name, log__dir=log)
    from lifecycle.workflows.monitor import monitor

    return monitor(config, live, **options)


@verb
@name_argument
@click.option("--since", metavar="TIME", help="Windows that end then or later.")
@click.option("--until", metavar="TIME", help="Windows that begin before.")
@click.option("--version", type=int, metavar="N", help="Only checks of this version.")
@click.option("--part", default="", metavar="TEXT", help="Of a part of the rows: COLUMN=VALUE.")
@click.option("--html", metavar="FILE", help="Write the timelines there as a page.")
@click.option("--png", metavar="FILE", help="Or as a picture.")
def checks(config: Config, *, name: str, html: str | None, png: str | None, **wanted: Any) -> Any:
    """What past checks found: drift and performance over time."""
    config = _named(config, name)
    from lifecycle.workflows.checks import checks, write_pictures

    found = checks(config, **wanted)
    write_pictures(found, html=html, png=png)
    return found


@verb
@name_argument
@click.option("--data", required=True, metavar="FILE", help="Parquet or CSV.")
@click.option("--validation", metavar="FILE")
@click.option("--if-flagged", is_flag=True, help="Only when the last check called for it.")
def retrain(
    config: Config, *, name: str, data: str, validation: str | None, if_flagged: bool
) -> Any:
    """Train again on fresh rows; what passes is the challenger."""
    config = _named(config, name)
    from lifecycle.workflows.retrain import retrain

    return retrain(config, data, validation=validation, if_flagged=if_flagged)


@verb
@click.option("--fix", is_flag=True, help="Mend what can be mended safely.")
def doctor(config: Config, *, fix: bool) -> Any:
    """Check the set-up and say what to do about what is wrong."""
    from lifecycle.workflows.doctor import doctor

    return doctor(config, fix=fix)


def _name(ref: str) -> str:
    from lifecycle.records import ModelRef

    return ModelRef.parse(ref).name
