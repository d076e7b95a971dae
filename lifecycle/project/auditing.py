"""What auditors ask of a project: its chain, its evidence as files, cards, the same model again.

>>> import lifecycle as lc
>>> lc.Project.verify is verify
True
"""

# ruff: noqa: D417 - `self` is the project that the method belongs to

from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.project.references import Data, Reference, named_ref
from lifecycle.records import Card, Exported, Reproduction, Transfer, Verification

if TYPE_CHECKING:
    from lifecycle.project import Project


def verify(self: "Project", *, head: str | Path | None = None) -> Verification:
    """Recompute the ledger's chain, and compare aliases and files with what it recorded.

    Args:
        head: a digest, or the file that `lifecycle history --head` wrote.
    """
    from lifecycle.workflows.verify import verify

    return verify(self.config, head=head)


def export_audit(
    self: "Project",
    folder: str | Path,
    *,
    version: Reference | None = None,
    year: int | None = None,
    files: bool = False,
) -> Exported:
    """Write the evidence of a version, a year or all of it as a folder to check offline.

    Args:
        folder: one that is not there yet.
        version: only what is about this one.
        year: only what happened in it, UTC.
        files: copy the model's files, too, not their digests alone.
    """
    from lifecycle.workflows.export import export_audit

    ref = self.name if version is None else named_ref(self.name, version)
    return export_audit(self.config, folder, ref=ref, year=year, files=files)


def transfer(self: "Project", version: Reference, *, registry: str, name: str = "") -> Transfer:
    """Carry a version with its evidence to another registry, once; its gates judge it there.

    Args:
        version: of this registry.
        registry: the tracking URI of the other one.
        name: of the model there; by default as here.
    """
    from lifecycle.workflows.transfer import transfer

    return transfer(self.config, named_ref(self.name, version), to=registry, name=name)


def card(self: "Project", version: Reference, *, output: str | Path | None = None) -> Card:
    """A version's model card, made of what is recorded; `output` ends with .md or .html."""
    from lifecycle.workflows.card import card

    return card(self.config, named_ref(self.name, version), output=output)


def reproduce(self: "Project", version: Reference, *, data: Data = None) -> Reproduction:
    """Train a version again on its recorded rows, or on `data` that are the same; compare."""
    from lifecycle.workflows.reproduce import reproduce

    return reproduce(self.config, named_ref(self.name, version), data=data)
