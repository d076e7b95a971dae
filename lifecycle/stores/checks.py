"""What is kept of checks: one run each in experiment NAME/monitoring, found again by its tags.

>>> key_of("churn/3", ""), key_of("churn/3", "carrier=EV") == key_of("churn/3", "")
('ef075ba7c729bb1d', False)
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.stores.tracking import answers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

CHECK = "lifecycle.check"  # what was checked, so that it is checked once
VERSION = "lifecycle.version"
SCOPE = "lifecycle.scope"  # of which rows, in words
CHAMPION = "champion"  # the scope of a check of all that the version in production answered
SERIES = "lifecycle.series"  # whose windows follow each other: a version's, or a part of it
WINDOW_START = "lifecycle.window_start"
WINDOW_END = "lifecycle.window_end"  # of the log's windows: where the next one begins
OUTCOME = "lifecycle.outcome"
ALPHA = "lifecycle.alpha"
NEWS = "lifecycle.news"  # key of the check whose news of an incident this run tells
MESSAGE = "lifecycle.message"  # what is to be told of an incident
ALERT = "lifecycle.alert."  # and the digest of an address: pending, or when it was sent
PENDING = "pending"
CHECKED = "lifecycle.checked"  # of the experiment: when a check was last recorded there
ACTIVE = timedelta(days=30)  # a model that was checked within counts as one that is monitored
SUFFIX = "/monitoring"
MOST_PENDING = 50  # messages that are sent again in one call


@dataclass(frozen=True)
class Past:
    """The last check of a series."""

    end: datetime  # of its window, UTC
    recorded: datetime  # UTC


def key_of(ref: str, part: str) -> str:
    """What names a series of checks in a tag: a version and a part of its rows."""
    return hashlib.sha256(f"{ref}\n{part}".encode()).hexdigest()[:16]


def past(client: "MlflowClient", experiment: str, series: str) -> Past | None:
    """The check of a series whose window ended last; None where there was none.

    Args:
        client: of the registry.
        experiment: id of NAME/monitoring.
        series: what `key_of` gave.
    """
    query = f"tags.`{SERIES}` = '{series}' AND tags.`{WINDOW_END}` != ''"
    found = _runs(client, experiment, query, f"tags.`{WINDOW_END}` DESC", 1)
    if not found:
        return None
    end = datetime.fromisoformat(found[0].data.tags[WINDOW_END])
    return Past(end.replace(tzinfo=UTC), _at(found[0].info.start_time))


def same(client: "MlflowClient", experiment: str, key: str) -> "Run | None":
    """The run that recorded this very check; None where it was not recorded."""
    found = _runs(client, experiment, f"tags.`{CHECK}` = '{key}'", "attributes.start_time DESC", 1)
    return found[0] if found else None


def told(client: "MlflowClient", experiment: str, key: str) -> bool:
    """Whether a run that ended tells what the check of this key had entered of an incident."""
    query = f"tags.`{NEWS}` = '{key}'"
    return bool(_runs(client, experiment, query, "attributes.start_time DESC", 1))


def pending(client: "MlflowClient", experiment: str, digest: str) -> "list[Run]":
    """The runs whose message an address has not got yet, oldest first."""
    query = f"tags.`{ALERT}{digest}` = '{PENDING}'"
    return _runs(client, experiment, query, "attributes.start_time ASC", MOST_PENDING)


def monitored(client: "MlflowClient", now: datetime, *, beside: str) -> int:
    """How many models of this tracking server are checked, and share a year's false alarms.

    Args:
        client: of the registry.
        now: the present moment.
        beside: id of the experiment of the model that is checked now; it counts in any case.
    """
    names = {beside}
    for experiment in _experiments(client):
        last = experiment.tags.get(CHECKED, "")
        if last and datetime.fromisoformat(last) >= now - ACTIVE:
            names.add(str(experiment.experiment_id))
    return len(names)


def _experiments(client: "MlflowClient") -> Iterator["Experiment"]:
    token = ""
    while True:
        with answers("monitoring experiments"):
            page = client.search_experiments(
                filter_string=f"name LIKE '%{SUFFIX}'", page_token=token or None
            )
        yield from page
        token = page.token or ""
        if not token:
            return


def _runs(
    client: "MlflowClient", experiment: str, query: str, order: str, most: int
) -> "list[Run]":
    with answers("monitoring runs"):
        return list(
            client.search_runs(
                [experiment],
                f"{query} AND attributes.status = 'FINISHED'",
                order_by=[order],
                max_results=most,
            )
        )


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
