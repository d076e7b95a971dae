"""What a rollout is, what was counted of it, what the counts prove, and what is decided.

>>> spec = RolloutSpec("churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0)))
>>> Rollout(spec, seq=12).open
True
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lifecycle.records.governance import Arm
from lifecycle.records.record import EXIT_CODES, Outcome, Record

RUNNING, HELD = "running", "held"
PROMOTED, ROLLED_BACK, ABORTED, FINISHED = "promoted", "rolled back", "aborted", "finished"
OPEN = (RUNNING, HELD)


@dataclass(frozen=True)
class RolloutSpec(Record):
    """What was agreed before anything moved; it stands in the ledger and never changes."""

    name: str
    strategy: str  # a row of lifecycle.rollout.strategies.STRATEGIES
    # the first is the champion's; the shares are those of an A/B test, else `steps` say them
    arms: tuple[Arm, ...]
    steps: tuple[float, ...] = ()  # the challenger's share at each step, 0 … 1, rising
    margins: tuple[float, ...] = ()  # how many times worse is still allowed to leave each step
    guards: tuple[str, ...] = ()  # as `lifecycle.rollout.guards.parse` reads them, one a value
    metric: str = ""  # A/B: the guard whose value is to improve
    alpha: float = 0.05  # of all guards together
    salt: str = ""  # of the assignment: another rollout, other people
    hold_back: float = 0.0  # the champion's share at the last step
    step_seconds: float = 0.0  # that a step lasts at least
    max_seconds: float = 0.0  # that all lasts at most; 0: any
    at_end: str = "hold"  # what becomes of it then: hold, rollback or promote
    allocation: str = "fixed"  # A/B: fixed shares, or thompson
    sample: float = 1.0  # shadow: the share of requests that is copied
    limits: Mapping[str, float] = field(default_factory=dict)  # shadow: by name, how far apart


@dataclass(frozen=True)
class Rollout(Record):
    """A rollout as the ledger's entries have it."""

    spec: RolloutSpec
    seq: int  # the entry that began it, which is its name
    status: str = RUNNING
    step: int = 0
    shares: tuple[float, ...] = ()  # of the spec's arms at this step
    started: str = ""  # ISO 8601, UTC
    since: str = ""  # when this step began
    ended: str = ""
    reason: str = ""  # of the last entry that changed the status
    run_id: str = ""  # MLflow's run with the series and the evidence
    holder: str = ""  # the controller that has the lease
    generation: int = 0  # of that lease: decisions of an older one do not count
    until: str = ""  # when the lease ends
    history: tuple[
        tuple[float, ...], ...
    ] = ()  # the shares of each step so far; (): it was left out

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.status in OPEN

    @property
    def champion(self) -> Arm:
        """The arm that all others are held against."""
        return self.spec.arms[0]

    @property
    def challenger(self) -> Arm:
        """The arm that is tried; of several the first."""
        return self.spec.arms[1]


@dataclass(frozen=True)
class Tally(Record):
    """What was counted of one guard in one arm at one step; tallies of disjoint units add up.

    A unit is a request or, where requests have keys, a key until its first event. Of a number,
    `s`, `v` and `w` are the sums of the contrast with the champion's arm, in the order of time.
    A step may be told in blocks of time: arms are held against each other within a block, so that
    labels which reach the arms at different delays compare the same hours.
    """

    guard: str  # as in the spec; empty: the requests themselves
    arm: str
    step: int
    units: int = 0
    events: int = 0
    total: float = 0.0  # of the values
    s: float = 0.0
    v: float = 0.0
    w: float = 0.0
    block: int = 0  # of time within the step


@dataclass(frozen=True)
class GuardEvidence(Record):
    """What the counts prove of one guard in one arm against the champion's.

    Evidence is the natural logarithm of an e-value; it convinces when it reaches its limit, at
    whichever look.
    """

    guard: str
    arm: str
    kind: str  # event: rates and their ratio; number: means and their difference
    champion_units: int = 0
    champion_events: int = 0
    units: int = 0
    events: int = 0
    champion_rate: float | None = None  # or mean
    rate: float | None = None
    ratio: float | None = None  # or difference
    low: float | None = None
    high: float | None = None
    harm: float = 0.0
    harm_limit: float = 0.0
    certificate: float | None = None  # that it is no more than `margin` worse; None: not asked for
    certificate_limit: float = 0.0
    margin: float | None = None
    outcome: Outcome = Outcome.UNSURE  # fail: harm is proven; pass: the certificate is there
    reason: str = ""


@dataclass(frozen=True)
class Look(Record):
    """One look at a rollout: a pure function of the spec, the step and the tallies."""

    name: str
    rollout: int  # its entry
    step: int
    time: str
    tallies: tuple[Tally, ...] = ()
    evidence: tuple[GuardEvidence, ...] = ()
    action: str = "wait"  # wait, step, promote, rollback, hold, finish
    to_step: int | None = None
    shares: tuple[float, ...] = ()  # that the arms are to have then
    outcome: Outcome = Outcome.UNSURE
    reason: str = ""
    best: str = ""  # A/B: the arm that is proven better
    probabilities: tuple[float, ...] = ()  # A/B, thompson: that each arm is the best
    exposed: Mapping[str, int] = field(default_factory=dict)  # users (or requests) by arm
    coverage: Mapping[str, Any] = field(default_factory=dict)  # rows, labels, copies dropped

    @property
    def exit_code(self) -> int:
        """2 when it is rolled back, held or broken off, 3 without enough evidence yet, else 0."""
        if self.action in ("rollback", "hold") or self.outcome is Outcome.FAIL:
            return 2
        return EXIT_CODES[Outcome.UNSURE] if self.action == "wait" else 0


@dataclass(frozen=True)
class RolloutStatus(Record):
    """A rollout with what the last look found."""

    name: str
    rollout: Rollout | None = None  # None: there never was one
    look: Look | None = None
    looks: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # the series, oldest first
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """2 when it was rolled back or is held, else 0."""
        stopped = (ROLLED_BACK, HELD)
        return 2 if self.rollout is not None and self.rollout.status in stopped else 0


@dataclass(frozen=True)
class Forecast(Record):
    """What one guard will be able to find, at the present traffic."""

    guard: str
    rate: float | None  # the champion's, as it was logged; None: nothing is known
    ratio: float  # of the harm that is looked for
    requests: float | None  # until it is found, at the median; None: it never is
    days: float | None = None
    exposed: float | None = None  # requests that the challenger answers until then
    kind: str = "event"  # number: the rate is a mean, and the ratio one of means


@dataclass(frozen=True)
class RolloutPlan(Record):
    """What `rollout start --plan` says before anything moves."""

    spec: RolloutSpec
    per_day: float | None  # requests a day, as they were logged; None: nothing was
    harms: tuple[Forecast, ...] = ()
    steps: tuple[Forecast, ...] = ()  # one a step: until its certificate, of an equal challenger
    notes: tuple[str, ...] = ()
