"""One bar on a terminal's standard error, none elsewhere, never two at once."""

from contextlib import redirect_stderr
from io import StringIO

import pytest

from lifecycle.workflows.progress import bar, only_bar


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def work():
    with bar("training", 2) as advance:
        for _ in range(2):
            with bar("scoring", None) as inner:
                inner(1)
            advance(1)


def test_the_outer_bar_counts_and_the_inner_one_is_hidden(terminal):
    with redirect_stderr(terminal):
        work()
    said = terminal.getvalue()
    assert "training" in said
    assert "2/2" in said
    assert "scoring" not in said


def test_callers_with_a_bar_of_their_own_hide_it(terminal):
    with redirect_stderr(terminal):
        with only_bar():
            work()
        assert terminal.getvalue() == ""
        work()
    assert terminal.getvalue()


def test_no_terminal_no_bar(capsys):
    work()
    assert capsys.readouterr() == ("", "")
