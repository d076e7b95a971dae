"""What a rollout's entries in the ledger say, as the arguments of `stores.ledger.draft`.

>>> spec = RolloutSpec("churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0)),
...     steps=(0.05, 1.0), hold_back=0.1)
>>> said = begun(spec, run="f3a1")
>>> said["kind"], said["version"], said["to"], said["extra"]["event"]
('rollout', 8, 'challenger', 'start')
>>> shares_at(spec, 0), shares_at(spec, 1)
((0.95, 0.05), (0.1, 0.9))

Entries are read by `state.py`; nothing else needs to know their form. Whoever writes one reads
the ledger first, asks `state.refusal`, and appends with put-if-absent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from math import fsum, isclose, isfinite
from typing import Any

from lifecycle.records import Arm, Rollout, RolloutSpec

KIND = "rollout"  # of the entries
START, LEASE, STEP, HOLD, RESUME, END = "start", "lease", "step", "hold", "resume", "end"
SHADOW = "shadow"  # name of the arm that answers nobody

Said = dict[str, Any]  # kind, version, source, to, extra


def begun(spec: RolloutSpec, run: str = "") -> Said:
    """The entry that begins a rollout; its number is the rollout's name.

    Args:
        spec: a checked spec; it stands in the entry as a whole.
        run: the MLflow run of the series and the evidence.
    """
    to = SHADOW if spec.arms[1].name == SHADOW else "challenger"
    return {
        "kind": KIND,
        "version": spec.arms[1].version,
        "source": None,
        "to": to,
        "extra": {"event": START, "spec": spec.to_dict(), "run": run},
    }


def leased(rollout: Rollout, holder: str, until: str) -> Said:
    """The entry by which a controller takes the lease or keeps it.

    Another holder begins a new generation: decisions of the older ones do not count any more.

    Args:
        rollout: as the ledger has it.
        holder: who decides from now on, as host and process.
        until: when the lease ends, ISO 8601, UTC.
    """
    kept = rollout.holder == holder and rollout.generation > 0
    generation = rollout.generation if kept else rollout.generation + 1
    extra = {"holder": holder, "generation": generation, "until": until}
    return _said(rollout, LEASE, None, None, {**extra, "rollout": rollout.seq})


def stepped(
    rollout: Rollout,
    step: int,
    shares: Sequence[float] = (),
    *,
    probabilities: Sequence[float] = (),
    generation: int | None = None,
) -> Said:
    """The entry that gives the arms other shares.

    Args:
        rollout: as the ledger has it.
        step: the step that begins.
        shares: of the spec's arms; by default as the spec has them at that step.
        probabilities: Thompson: that each arm is the best, as the shares were drawn from.
        generation: of the lease under which it was decided; by default the newest.
    """
    given = tuple(shares) or shares_at(rollout.spec, step)
    extra: dict[str, Any] = {"step": step, "shares": list(given)}
    if probabilities:
        extra["probabilities"] = list(probabilities)
    source, to = told(rollout.shares), told(given)
    return _said(rollout, STEP, source, to, {**extra, **_signed(rollout, generation)})


def held(rollout: Rollout, *, generation: int | None = None) -> Said:
    """The entry that freezes the shares until somebody resumes."""
    return _said(rollout, HOLD, rollout.status, HOLD, _signed(rollout, generation))


def resumed(rollout: Rollout, *, generation: int | None = None) -> Said:
    """The entry that lets a held rollout go on."""
    return _said(rollout, RESUME, rollout.status, "running", _signed(rollout, generation))


def ended(rollout: Rollout, outcome: str, *, generation: int | None = None) -> Said:
    """The entry that ends a rollout: the champion answers everything.

    Args:
        rollout: as the ledger has it.
        outcome: promoted, rolled back, aborted or finished.
        generation: of the lease under which it was decided; by default the newest.
    """
    extra = {"outcome": outcome, **_signed(rollout, generation)}
    return _said(rollout, END, rollout.status, outcome, extra)


def promotion(rollout: Rollout, *, generation: int | None = None) -> dict[str, Any]:
    """What the `stage` entry of the promotion carries in `extra` beside its own.

    That entry alone ends the rollout as promoted; an `end` that follows changes nothing.
    """
    return _signed(rollout, generation)


def shares_at(spec: RolloutSpec, step: int) -> tuple[float, ...]:
    """The shares of the spec's arms at a step; the champion takes what the others leave.

    At the last step the champion keeps at least the hold-back. Without steps they are the arms'
    own shares, and where those do not add up to 1, as in shadow, the champion answers all.
    """
    others = len(spec.arms) - 1
    if spec.steps:
        at = min(max(step, 0), len(spec.steps) - 1)
        share = spec.steps[at]
        if at == len(spec.steps) - 1:
            share = min(share, round(1.0 - spec.hold_back, 12))
        return (round(1.0 - share, 12), *[share / others] * others)
    shares = tuple(arm.share for arm in spec.arms)
    whole = all(isfinite(item) and 0.0 <= item <= 1.0 for item in shares)
    if whole and isclose(fsum(shares), 1.0, abs_tol=1e-9):
        return shares
    return (1.0, *[0.0] * others)


def told(shares: Sequence[float]) -> str:
    """The challengers' shares as the ledger's `source` and `to` have them.

    >>> told((0.75, 0.25)), told((0.5, 0.3, 0.2))
    ('25 %', '30 % + 20 %')
    """
    return " + ".join(f"{100 * item:.6g} %" for item in shares[1:])


def spec_of(value: Any) -> RolloutSpec | None:
    """A spec as an entry has it; None where it cannot be read, and so nothing may follow it.

    >>> spec_of({"arms": "none"}) is None
    True

    Fields of later versions are left out, fields of earlier ones that are missing get defaults.
    """
    if not isinstance(value, Mapping):
        return None
    try:
        arms = tuple(
            Arm(str(item["name"]), _whole(item["version"]), float(item["share"]))
            for item in value["arms"]
        )
        found = RolloutSpec(str(value["name"]), str(value["strategy"]), arms)
        given = {
            item.name: _like(_default(item), value[item.name])
            for item in fields(RolloutSpec)[3:]
            if item.name in value
        }
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None
    shares = [arm.share for arm in arms] + list(given.get("steps", ()))
    whole = all(isfinite(item) and 0.0 <= item <= 1.0 for item in shares)
    return replace(found, **given) if whole and len(arms) > 1 else None


def _default(item: Any) -> Any:
    return item.default_factory() if item.default is MISSING else item.default


def _like(default: Any, value: Any) -> Any:
    """A value of JSON as the field with that default has it."""
    if isinstance(default, tuple):
        if isinstance(value, str):
            raise TypeError("a text is no list")
        return tuple(item if isinstance(item, str) else float(item) for item in value)
    if isinstance(default, Mapping):
        return {str(key): float(item) for key, item in dict(value).items()}
    if isinstance(default, float):
        if not isfinite(float(value)):
            raise ValueError("not a number")
        return float(value)
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no whole number")
    return value


def _signed(rollout: Rollout, generation: int | None) -> dict[str, Any]:
    newest = rollout.generation if generation is None else generation
    return {"rollout": rollout.seq, "generation": newest}


def _said(
    rollout: Rollout, event: str, source: str | None, to: str | None, extra: Mapping[str, Any]
) -> Said:
    return {
        "kind": KIND,
        "version": rollout.challenger.version,
        "source": source,
        "to": to,
        "extra": {"event": event, **extra},
    }
