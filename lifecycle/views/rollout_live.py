"""A rollout while it goes on: drawn in place on a terminal, else a line whenever it changes.

>>> from lifecycle.records import RolloutStatus
>>> line(RolloutStatus("churn"))
'churn: no rollout yet'
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from lifecycle.errors import RegistryUnavailable
from lifecycle.records import RolloutStatus
from lifecycle.views.rollout_sheets import line
from lifecycle.views.terminal import drawn

Show = Callable[[RolloutStatus], None]


@contextmanager
def live(console: Console | None = None) -> Iterator[Show]:
    """What shows a status: the whole drawing in place, and nothing of it is left afterwards.

    A pipe or file gets one line, and another when that changes, with the time before it.
    """
    out = console or Console(highlight=False)
    if out.is_terminal:
        with Live(console=out, transient=True, auto_refresh=False) as screen:
            yield lambda status: screen.update(drawn(status), refresh=True)
        return
    told = [""]

    def show(status: RolloutStatus) -> None:
        words = line(status)
        if words != told[0]:
            told[0] = words
            now = time.strftime("%H:%M:%S")
            out.print(f"{now} {words}", soft_wrap=True, markup=False)

    yield show


def until_it_ends(ask: Callable[[], RolloutStatus], show: Show, *, seconds: float) -> RolloutStatus:
    """Show the status over and over until no rollout is open.

    A registry that does not answer is said and asked again; only the first answer must come.

    Args:
        ask: what gives the status.
        show: what `live` gave.
        seconds: between two questions.

    Returns:
        The last status.
    """
    last = ask()
    show(last)
    while last.rollout is not None and last.rollout.open:
        time.sleep(seconds)
        try:
            last = ask()
            show(last)
        except RegistryUnavailable as error:
            show(replace(last, warnings=(*last.warnings, f"not of now: {error}")))
    return last
