"""What an auditor is given: a folder of evidence, what a check of it found, a card, a transfer.

>>> FolderCheck("churn-2026", missing=(Finding("gate-3", Outcome.UNSURE, "gone"),)).exit_code
3
"""

from dataclasses import dataclass, field

from lifecycle.records.governance import Finding
from lifecycle.records.record import Outcome, Record


@dataclass(frozen=True)
class Exported(Record):
    """A folder of evidence that was written."""

    name: str
    folder: str
    scope: str  # version 3, year 2026, or everything
    entries: int  # of the whole ledger
    shown: int  # of them in the folder; of the others only their links
    files: int
    head: str  # digest of the ledger's last entry: note it down elsewhere
    seal: str  # sha256 of SHA256SUMS: likewise
    missing: tuple[str, ...] = ()  # evidence that could not be had, and why

    @property
    def exit_code(self) -> int:
        """0 all of it, 3 evidence was missing."""
        return 3 if self.missing else 0


@dataclass(frozen=True)
class FolderCheck(Record):
    """What a check of such a folder found, without MLflow."""

    folder: str
    name: str = ""
    scope: str = ""
    entries: int = 0
    shown: int = 0
    files: int = 0
    head: str = ""
    seal: str = ""
    problems: tuple[Finding, ...] = ()
    missing: tuple[Finding, ...] = ()  # not there already when the folder was written

    @property
    def outcome(self) -> Outcome:
        """Whether everything holds."""
        if self.problems:
            return Outcome.FAIL
        return Outcome.UNSURE if self.missing else Outcome.PASS

    @property
    def exit_code(self) -> int:
        """0 everything holds, 2 something does not, 3 evidence was missing at export."""
        return {Outcome.PASS: 0, Outcome.FAIL: 2}.get(self.outcome, 3)


@dataclass(frozen=True)
class Transfer(Record):
    """A version that was carried to another registry with its evidence."""

    source: str  # churn/3
    target: str  # churn/1
    registry: str  # of the target
    digest: str  # of the files, the same on both sides
    source_head: str = ""  # of the source's ledger, which the target's entry names
    target_head: str = ""  # of the target's ledger, which the source's entry names
    repeated: bool = False  # it had been carried over before; nothing was written


@dataclass(frozen=True)
class CardFact(Record):
    """One line of a model card, and the record that it was taken from."""

    name: str
    value: str
    source: str = ""  # spec.json, ledger entry 5, …


@dataclass(frozen=True)
class CardSection(Record):
    """Facts of a model card that belong together."""

    title: str
    facts: tuple[CardFact, ...]


@dataclass(frozen=True)
class Card(Record):
    """A model card (Mitchell et al. 2019), made of records alone."""

    name: str
    version: int
    stage: str
    sections: tuple[CardSection, ...] = field(default_factory=tuple)

    def section(self, title: str) -> CardSection:
        """The section of this title; an empty one where the card has none."""
        found = (item for item in self.sections if item.title == title)
        return next(found, CardSection(title, ()))


@dataclass(frozen=True)
class SigningKey(Record):
    """A pair of keys that was made: the files, and the public one as text."""

    private: str
    public: str
    trusted: str
