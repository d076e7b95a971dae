"""How long a version takes, measured as it answers.

>>> pace = Pace()
>>> pace.measured(1, 200_000)
>>> pace.expected(1)
200000.0
"""

import math
from dataclasses import dataclass

INLINE_NS = 1_000_000  # what takes longer is predicted in a thread of its own
LONGEST_NS = 10_000_000  # what requests that are put together take at most
BOUNDLESS = 1 << 30  # rows
_SHARE = 0.2  # weight of the newest measurement
_PATIENCE = 4  # calls
_SMALL = 8  # rows up to which a call costs the same


@dataclass(slots=True)
class Pace:
    """How long a version takes, smoothed; nanoseconds.

    Of two measurements in a row the smaller one counts: whatever else the machine does makes a
    call longer now and then, and one such call must not send a fast model into a thread.
    """

    call: float = 0.0  # a call of few rows
    row: float = 0.0  # each row of a long call
    last_call: float = math.inf  # as measured last
    last_row: float = math.inf
    slow: int = 0  # calls in the thread that computed little and took long all the same
    patience: int = _PATIENCE  # so many of these, and the loop's thread is tried again

    def measured(self, rows: int, nanoseconds: int) -> None:
        """Take in the time of one call."""
        if nanoseconds < INLINE_NS:
            self.patience = _PATIENCE
        if rows <= _SMALL:
            cost, self.last_call = min(nanoseconds, self.last_call), nanoseconds
            self.call += (_SHARE if self.call else 1.0) * (cost - self.call)
        else:
            each = nanoseconds / rows
            cost, self.last_row = min(each, self.last_row), each
            self.row += (_SHARE if self.row else 1.0) * (cost - self.row)

    def measured_in_thread(self, rows: int, nanoseconds: int, computed: int) -> None:
        """Take in the time of a call in the thread, and how much of it the thread computed.

        A busy loop makes the thread wait for the interpreter, and then a fast model looks slow
        there for ever. So when calls compute little, the loop's thread is tried now and then; for
        a model that really waits, for a disk or another server, ever more rarely.
        """
        if nanoseconds < INLINE_NS or computed >= INLINE_NS:
            self.slow = 0
            self.measured(rows, nanoseconds)
            return
        self.slow += 1
        if self.slow >= self.patience:
            self.slow, self.patience = 0, 2 * self.patience
            self.call, self.row = float(computed), 0.0
            self.last_call = self.last_row = math.inf
        else:
            self.measured(rows, nanoseconds)

    def expected(self, rows: int) -> float:
        """What a call will take; before one is measured, rows are taken to cost a little each."""
        each = self.row or self.call / 100
        return max(self.call, rows * each) if rows > _SMALL else self.call

    def affordable(self) -> int:
        """How many rows a call may have, to end in time.

        >>> Pace(row=20_000.0).affordable()
        500
        """
        each = self.row or self.call / 100
        return int(LONGEST_NS / each) if each else BOUNDLESS
