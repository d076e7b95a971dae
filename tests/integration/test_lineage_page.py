"""docs/lineage.md says what happens: its commands run, its settings hold, its files are there."""

import re
from pathlib import Path

import pytest

from lifecycle.records import Lineage
from lifecycle.stores import artifacts, recorded, registry
from lifecycle.stores.lineage import LOCK, RECIPE
from lifecycle.stores.tracking import connect

PAGE = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text(encoding="utf-8")


def test_every_field_that_the_page_names_is_recorded():
    table = PAGE.split("| recorded |")[1].split("\n\n")[0]
    named = set(
        re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    )
    assert named - {"recipe"} <= set(Lineage.__dataclass_fields__), named
    for name in (LOCK, RECIPE):
        assert f"`lifecycle/{name}`" in PAGE


@pytest.mark.slow
@pytest.mark.usefixtures("in_world")
def test_the_story_of_the_page(cli):
    code, again = cli("reproduce", "churn/1")
    assert (code, again["same"], again["changed_answers"]) == (0, True, 0)
    code, told = cli("reproduce", "churn/1", "--data", "live.parquet")
    assert code == 1
    assert "not those that the version was trained on" in told["error"]["what"]
    code, made = cli("signing-key", "release.pem")
    assert (code, Path("release.pem").stat().st_mode & 0o777) == (0, 0o600)
    assert made["trusted"].startswith("ed25519:")
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    plain = Path("lifecycle.toml").read_text()
    Path("lifecycle.toml").write_text(plain + settings)
    try:
        code, told = cli("score", "churn/1", "--input", "live.parquet", "--output", "new.parquet")
        assert (code, Path("new.parquet").exists()) == (1, False)
        assert "it is not signed" in told["error"]["what"]
        assert "lifecycle sign churn/1" in told["error"]["fix"]
        code, version = cli("sign", "churn/1")
        assert code == 0, version
        code, scored = cli("score", "churn/1", "--input", "live.parquet", "--output", "new.parquet")
        assert (code, scored["rows"]) == (0, 80)
        code, _ = cli("evaluate", "churn/1", "--data", "live.parquet")
        assert code == 0
        _, history = cli("history", "churn")
        assert history["entries"][-1]["kind"] == "sign"
    finally:
        Path("lifecycle.toml").write_text(plain)
    from lifecycle.config import load_config

    client = connect(load_config())
    found = registry.find(client, "churn/1")
    assert found.tags[recorded.SIGNATURE]
    run_id = artifacts.spec(client, found).data_run_id
    assert b"scikit-learn==" in artifacts.run_file(client, run_id, LOCK)
