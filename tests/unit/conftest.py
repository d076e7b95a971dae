"""One trained champion for the unit tests that need one; each gets a copy of its registry."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lifecycle.config import Config


@pytest.fixture(scope="session")
def champion_database(
    template_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_churn: Callable[..., pd.DataFrame],
) -> Path:
    """A registry in which churn/1, a logistic regression on 1,200 customers, is in production."""
    from lifecycle.workflows.promote import promote
    from lifecycle.workflows.train import register, train

    folder = tmp_path_factory.mktemp("champion")
    shutil.copy(template_database, folder / "mlflow.db")
    config = Config().with_values(
        name="churn",
        target="churned",
        time="ts",
        key="customer_id",
        models__compile=False,
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        training = train(config, make_churn(1200), candidates=["logistic_regression"])
        version = register(config, training.best)
        promote(config, version, to="production", force=True, reason="a test")
    return folder / "mlflow.db"


@pytest.fixture
def serving(config: Config, champion_database: Path, tmp_path: Path) -> Config:
    """The configuration of a registry of its own in which churn/1 is in production."""
    shutil.copy(champion_database, tmp_path / "mlflow.db")
    return config.with_values(models__compile=False)
