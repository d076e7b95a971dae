"""What the ledger says against a write to the registry; pure, for the server's plugin.

>>> Guard(()).alias("champion", 3)
''

The rule is one: names, tags and stages that are ours may only become what the ledger says, whoever
writes them. Our own verbs write the ledger first, and so pass. A model without a ledger is plain
MLflow's, and nothing is said against anything. Each answer is a sentence, or empty: go on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lifecycle.approvals import objection
from lifecycle.config import ApprovalsConfig
from lifecycle.records import Entry
from lifecycle.records.rollouts import Rollout
from lifecycle.rollout.state import rollouts
from lifecycle.stages import MOVES, ORDER, PRODUCTION, STAGING, Standing, standing
from lifecycle.stores.aliases import (
    CHALLENGER,
    PROJECTED,
    ROLLOUT,
    SHADOW,
    STAGE,
    said_of_model,
    said_of_versions,
    tried,
)

SCHEME = "lifecycle+"  # what the address of a guarded store begins with
OURS = "lifecycle."  # what our tags begin with
ALIASES = ("champion", "previous", STAGING, CHALLENGER, SHADOW)
VERDICT = "lifecycle.gate"
VERDICT_DIGEST = "lifecycle.gate_digest"
FREE = ("lifecycle.drift", "lifecycle.last_check")  # what monitoring says, at any time


@dataclass(frozen=True)
class Guard:
    """The rules for one model.

    Args:
        entries: its ledger.
        policy: the approvals that the server asks for.
        order: the stages.
    """

    entries: Sequence[Entry]
    policy: ApprovalsConfig = field(default_factory=ApprovalsConfig)
    order: Sequence[str] = ORDER

    @cached_property
    def now(self) -> Standing:
        """Who is where."""
        return standing(self.entries, self.order)

    @cached_property
    def rollouts(self) -> tuple[Rollout, ...]:
        """All that there were."""
        return rollouts(self.entries, self.order)

    def alias(self, alias: str, version: int) -> str:
        """Against setting an alias."""
        if not self.entries or alias not in ALIASES:
            return ""
        meant = self._meant(alias)
        if meant is None:
            return f"the ledger names no {alias}"
        if meant != version:
            return f"the ledger says that {alias} is version {meant}"
        return self._against(version) if alias in ("champion", STAGING) else ""

    def no_alias(self, alias: str) -> str:
        """Against removing an alias."""
        if not self.entries or alias not in ALIASES:
            return ""
        meant = self._meant(alias)
        if meant is None:
            return ""
        return f"the ledger says that {alias} is version {meant}"

    def stage(self, version: int, stage: str, *, archive: bool) -> str:
        """Against one of MLflow's own stages.

        Args:
            version: which is to have it.
            stage: None, Staging, Production or Archived.
            archive: whether others are archived with it.
        """
        if not self.entries:
            return ""
        here = self.now.stages.get(version, self.order[0])
        known = {self.order[-1]: "archived", PRODUCTION: "production", STAGING: "staging"}
        if stage.lower() != known.get(here, "none"):
            return f"the ledger says that version {version} is in stage {here!r}"
        if archive and here != PRODUCTION:
            return "the ledger does not say that others leave the stage"
        return self._against(version) if here in (PRODUCTION, STAGING) else ""

    def deletion(self, version: int | None = None) -> str:
        """Against deleting a version, or the whole model."""
        serving = self.now.production
        if serving is not None and version in (None, serving):
            return f"version {serving} is in production"
        tried_now = [arm.version for item in self.rollouts if item.open for arm in item.spec.arms]
        return f"version {version} is being rolled out" if version in tried_now else ""

    def rename(self) -> str:
        """Against another name, under which there would be no ledger."""
        return "its ledger is kept under its name" if self.entries else ""

    def tag(self, version: int, key: str, value: str, present: Mapping[str, str]) -> str:
        """Against setting a tag of a version.

        Args:
            version: whose tag it is; 0 for one that is being made.
            key: of the tag.
            value: of the tag.
            present: the tags that it has.
        """
        if not key.startswith(OURS) or key in FREE:
            return ""
        if key == STAGE:
            here = self.now.stages.get(version)
            meant = f"{here!r}" if here else "nothing"
            return "" if value == here else f"the ledger says of {key}: {meant}"
        if key == ROLLOUT:
            meant = said_of_versions(self.rollouts).get(version, "")
            return "" if value == meant else f"the ledger says of {key}: {meant or 'nothing'}"
        if key in (VERDICT, VERDICT_DIGEST):
            return self._verdict(version, key, value)
        if not self.entries or present.get(key, value) == value:
            return ""
        if self.now.stages.get(version, self.order[0]) == self.order[0]:
            return ""  # it is adopted anew, before anything was decided upon it
        return f"{key} is recorded, and version {version} has been moved since"

    def model_tag(self, key: str, value: str) -> str:
        """Against setting a tag of the model."""
        if key == ROLLOUT:
            meant = said_of_model(self.rollouts)
            return "" if value == meant else f"the ledger says of {key}: {meant or 'nothing'}"
        if key != PROJECTED:
            return ""
        right = value.isascii() and value.isdigit() and int(value) <= len(self.entries)
        return "" if right else f"the ledger has {len(self.entries)} entries"

    def no_tag(self, key: str) -> str:
        """Against removing a tag of a version or of the model."""
        ours = key.startswith(OURS) and key not in FREE
        return "what lifecycle has recorded stays" if ours and self.entries else ""

    def _verdict(self, version: int, key: str, value: str) -> str:
        gates = [item for item in self.entries if item.kind == "gate" and item.version == version]
        last = gates[-1] if gates else None
        if last is None:
            return f"the ledger has no gate report of version {version}"
        meant = last.evidence_digest if key == VERDICT_DIGEST else str(last.extra.get("outcome"))
        return "" if value == meant else f"the ledger says of {key}: {meant!r}"

    def _meant(self, alias: str) -> int | None:
        if alias in (CHALLENGER, SHADOW):
            return tried(self.entries, self.rollouts, self.now.production).get(alias)
        meant = {"champion": self.now.production, "previous": self.now.previous}
        return meant.get(alias, self.now.staging)

    def _against(self, version: int) -> str:
        """What the rules say against the move that brought a version where it is."""
        moves = [item for item in self.entries if item.kind in MOVES and item.version == version]
        if not moves:
            return ""
        why = objection(self.entries, moves[-1].seq, self.policy, self.order)
        return f"entry {moves[-1].seq} of the ledger is not in order: {why}" if why else ""


def plain(address: str) -> str:
    """MLflow's own address of a database, from the one that asks for a guarded store.

    >>> plain("lifecycle+postgresql://db/mlflow")
    'postgresql://db/mlflow'
    """
    return address.removeprefix(SCHEME)
