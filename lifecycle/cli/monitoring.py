"""Watch what serves and train again: drift, monitor, checks, retrain."""

from typing import Any

import click

from lifecycle.cli.group import log_option, name_argument, named, verb
from lifecycle.config import Config


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
    config = named(config, name, log__dir=log)
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
    config = named(config, name)
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
    config = named(config, name)
    from lifecycle.workflows.retrain import retrain

    return retrain(config, data, validation=validation, if_flagged=if_flagged)
