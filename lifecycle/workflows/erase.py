"""Erase one person's rows from the prediction log; the ledger says that it was done, not of whom.

>>> from lifecycle.config import Config
>>> erase(Config(), key="c7", reason="asked for on 3 May")
Traceback (most recent call last):
lifecycle.errors.ConfigError: no model name is set. Next: set `name` in lifecycle.toml.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError
from lifecycle.records import Entry, Erasure
from lifecycle.stores import erasing, ids, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.log import PredictionLog
from lifecycle.stores.tracking import connect

KIND = "erase"  # of the ledger's entry


def erase(config: Config, *, key: str, reason: str) -> Erasure:
    """Erase what the prediction log holds of one key: rows, a shadow's copies of them, and labels.

    The ledger gets an entry with a keyed hash of the key, the counts, who and why. A server may go
    on: what it has logged and not sealed is hidden at once, and is gone when it is sealed. Training
    data, hold-outs and reports in MLflow are not touched, nor is what somebody copied.

    Args:
        config: names the model and `[log] dir`.
        key: as the log has it: the row's key column, or the request's routing key.
        reason: goes into the ledger, which nothing leaves again; it must not name the key.

    Returns:
        What was erased; nothing found is no error, and is not recorded.

    Raises:
        ConfigError: no model is named.
        DataError: no key or reason was given, or the reason names the key.
        ModelNotFound: neither the log nor the registry knows the model.
        LogError: a file is damaged or cannot be written; what was erased stays so, and the same
            call goes on.
        RegistryUnavailable: the ledger cannot be read; nothing was erased. Or it cannot be written
            any more: the same call records it.
    """
    name = config.name
    if not name:
        raise ConfigError("no model name is set", fix="set `name` in lifecycle.toml")
    _check(key, reason)
    client = connect(config)
    ledger = Ledger(client, name)
    ledger.entries()  # what could not be recorded is not done
    directory = Path(config.log.dir)
    if not _logged(PredictionLog(directory), name):
        registry.versions(client, name)  # says when there is no such model
        return Erasure(name)
    erased = erasing.erase(directory, name, key, secret=ids.secret(directory))
    if not erased.anything:
        return Erasure(name, key_hash=erased.key_hash)
    counts = {
        "predictions": erased.sealed + erased.unsealed,
        "labels": erased.labels,
        "key": erased.key_hash,
        "interrupted": erased.again,
    }

    if erased.copies:
        counts["copies"] = erased.copies

    def decide(_: Sequence[Entry]) -> Entry:
        return draft(kind=KIND, reason=reason, extra=counts)

    entry = ledger.append(decide)
    erasing.done(directory, erased)
    return Erasure(
        name,
        predictions=erased.sealed + erased.unsealed,
        unsealed=erased.unsealed,
        labels=erased.labels,
        files=erased.files,
        key_hash=erased.key_hash,
        entry=entry.seq if entry else 0,
        interrupted=erased.again,
        copies=erased.copies,
    )


def _check(key: str, reason: str) -> None:
    if not key:
        raise DataError("no key was given", fix="name the one whose rows go: --key")
    if not reason.strip():
        raise DataError("an erasure needs a reason", fix="say why: --reason")
    if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", reason):
        raise DataError(
            "the reason names the key, and nothing leaves the ledger again",
            where=reason,
            fix="name a ticket, or nothing that tells who it was",
        )


def _logged(log: PredictionLog, name: str) -> bool:
    labels = log.directory / "labels" / f"model={quote(name, safe='')}"
    return name in log.models() or labels.is_dir() or len(log.read(name)) > 0
