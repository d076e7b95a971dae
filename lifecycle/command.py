"""How each command behaves: what it shows, its exit code, and its errors as text or as JSON.

Exit codes: 0 fine, 1 error (usage errors too), 2 refused or flagged, 3 not enough evidence.
With `--json` exactly one JSON object goes to standard output and everything else to standard
error.

>>> from lifecycle.records import EXIT_CODES, Outcome
>>> EXIT_CODES[Outcome.FAIL], EXIT_CODES[Outcome.UNSURE]
(2, 3)
"""

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from typing import Any

import click

from lifecycle.config import load_config
from lifecycle.errors import LifecycleError
from lifecycle.named import nearest


class Commands(click.Group):
    """A group whose usage errors exit with 1 and, under `--json`, are JSON like all others."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command; click would exit with 2, which means refused or flagged here."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
            sys.exit(code if isinstance(code, int) else 0)
        except click.Abort:
            click.echo("stopped; nothing half-written is left", err=True)
            sys.exit(130)
        except click.ClickException as error:
            wrong = LifecycleError(error.format_message().rstrip("."), fix="see --help")
            _fail(wrong, as_json="--json" in sys.argv)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of a model's life, not of the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; a misspelt one gets the nearest name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def verb(group: click.Group, work: Callable[..., Any]) -> click.Command:
    """A command with `--json` and `--config`: what `work` returns is shown and sets the code."""

    @group.command(name=work.__name__.rstrip("_").replace("_", "-"), help=work.__doc__)
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
    @click.option("--config", "path", metavar="FILE", help="Configuration; ./lifecycle.toml.")
    @functools.wraps(work)
    def command(as_json: bool, path: str | None, **options: Any) -> None:
        try:
            with redirect_stdout(sys.stderr) if as_json else nullcontext():
                config = load_config(path)
                result = work(config, **options)
        except LifecycleError as error:
            _fail(error, as_json=as_json)
        except KeyboardInterrupt:
            raise click.Abort from None
        except Exception as error:
            if not as_json:
                raise
            _fail(_unexpected(error), as_json=True)
        show(result, as_json=as_json)
        sys.exit(getattr(result, "exit_code", 0))

    return command


def wants_json() -> bool:
    """Whether the command that runs was called with `--json`."""
    return bool(click.get_current_context().params["as_json"])


def _unexpected(error: Exception) -> LifecycleError:
    kind = type(error).__name__
    return LifecycleError(f"unexpected {kind}: {error}", fix="run without --json to see where")


def show(result: Any, *, as_json: bool) -> None:
    """Print a result as one JSON object, or draw it; nothing for None."""
    if result is None:
        return
    if as_json:
        import json

        from lifecycle.records import plain

        value = plain(result)
        click.echo(json.dumps({"models": value} if isinstance(value, list) else value))
    else:
        from rich.console import Console

        from lifecycle.views.terminal import UNKNOWN_WIDTH, drawn

        width = None if sys.stdout.isatty() else UNKNOWN_WIDTH
        Console(width=width, highlight=False).print(drawn(result))


def _fail(error: LifecycleError, *, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({"error": error.to_dict()}))
    else:
        report = getattr(error, "report", None)
        if report is not None:
            show(report, as_json=False)
        click.echo(f"lifecycle: {error}", err=True)
    sys.exit(error.exit_code)
