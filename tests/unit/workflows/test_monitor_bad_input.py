"""Tables, profiles and moments that cannot be used: a clear answer, and nothing is recorded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import DataError, LifecycleError, RegistryUnavailable
from lifecycle.records import Outcome
from lifecycle.stores import artifacts, registry, runs
from lifecycle.stores.tracking import connect
from lifecycle.workflows.monitor import monitor

Make = Callable[..., pd.DataFrame]


def recorded(config: Config) -> int:
    client = connect(config)
    experiment = client.get_experiment_by_name("churn/monitoring")
    return len(client.search_runs([experiment.experiment_id])) if experiment else 0


@pytest.fixture
def with_profile(serving: Config) -> Iterator[Callable[[str], Config]]:
    """The champion with another profile stored; its own is put back, since others use its files."""
    client = connect(serving)
    version = registry.find(client, "churn")
    run_id = artifacts.spec(client, version).data_run_id or version.tags["lifecycle.spec_run"]
    file = client.download_artifacts(run_id, "lifecycle/data/profile.json")
    before = Path(file).read_text(encoding="utf-8")

    def store(text: str) -> Config:
        runs.log_files(client, run_id, {"data/profile.json": text})
        return serving

    yield store
    store(before)


def test_no_rows_are_not_enough_evidence(serving: Config, make_churn: Make) -> None:
    report = monitor(serving, make_churn(50).head(0))
    assert (report.outcome, report.run_id) == (Outcome.UNSURE, "")
    assert report.reasons == ("there are no live rows",)
    assert recorded(serving) == 0


def test_one_row_is_not_enough_evidence(serving: Config, make_churn: Make) -> None:
    report = monitor(serving, make_churn(50).head(1))
    assert report.exit_code == 3


def test_a_table_of_something_else_is_refused(serving: Config) -> None:
    with pytest.raises(DataError, match="none of the columns of churn/1") as told:
        monitor(serving, pd.DataFrame({"bread": [1.0] * 60, "butter": ["a"] * 60}))
    assert "bread, butter against " in told.value.where
    assert recorded(serving) == 0


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', "[]", '{"v": 99}'])
def test_a_damaged_profile_is_named(
    serving: Config, make_churn: Make, with_profile: Callable[[str], Config], text: str
) -> None:
    with pytest.raises(LifecycleError) as told:
        monitor(with_profile(text), make_churn(60).drop(columns="churned"))
    assert told.value.fix
    assert recorded(serving) == 0


def test_the_profile_of_another_model_is_refused(
    serving: Config, make_churn: Make, with_profile: Callable[[str], Config]
) -> None:
    from lifecycle.drift import build_profile
    from lifecycle.workflows.compare import to_polars

    other = build_profile(to_polars(pd.DataFrame({"bread": [1.0, 2.0] * 40}), "reference"))
    with pytest.raises(DataError, match="stored with churn/1 is of another model"):
        monitor(with_profile(other.dumps()), make_churn(60))
    assert recorded(serving) == 0


def test_a_dead_registry_is_an_error_and_no_receiver_is_asked(serving: Config, webhook) -> None:
    dead = serving.with_values(tracking__uri="http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable):
        monitor(dead, every="1d", notify=[webhook.address])
    assert webhook.got == []
