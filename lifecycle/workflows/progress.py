"""One progress bar on standard error, where that is a terminal.

>>> with bar("training", 3) as advance:
...     advance(1)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_taken: ContextVar[bool] = ContextVar("_taken", default=False)


@contextmanager
def bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for as long as the block runs; inside another one it stays hidden.

    Args:
        what: is going on.
        total: steps; None where nobody knows how many there will be.

    Yields:
        What is called with the steps that were done.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if _taken.get() or not console.is_terminal:
        yield _nothing
        return
    shown = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with only_bar(), Progress(*shown, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda steps: progress.advance(task, steps)


def _nothing(_steps: int) -> None:
    """Where no bar is shown."""


@contextmanager
def only_bar() -> Iterator[None]:
    """Keeps the bars of what runs in the block hidden: its caller shows one of its own."""
    before = _taken.set(True)
    try:
        yield
    finally:
        _taken.reset(before)
