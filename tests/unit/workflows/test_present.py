"""The model card says what is known and nothing else."""

from dataclasses import replace

import pytest

from lifecycle.models.importance import Importance
from lifecycle.records import Column, Lineage, Metric, ModelSpec
from lifecycle.workflows.present import card, figures

SPEC = ModelSpec(
    1,
    "binary",
    (Column("tenure", "double"), Column("plan", "string", required=False)),
    target="churned",
    classes=("no", "yes"),
    estimator="LogisticRegression",
    metrics=(Metric("roc_auc", 0.81, 0.79, 0.83), Metric("f1", 0.5)),
    split="time",
    trained_from="2026-01-01T00:00:00+00:00",
    trained_to="2026-03-10T00:00:00+00:00",
    trained_rows=12_000,
    holdout_rows=3_000,
    lineage=Lineage(data_digest="ab12", data_rows=15_000, data_source="churn.parquet", seed=7),
)


def lines(spec=SPEC, ranked=()):
    return card("churn", spec, ranked).splitlines()


def test_figures_without_an_interval_have_a_dash():
    assert figures(SPEC.metrics) == [
        "| roc_auc | 0.8100 | 0.7900 … 0.8300 |",
        "| f1 | 0.5000 | - |",
    ]


def test_a_card_says_what_is_predicted_from_what():
    told = lines()
    assert told[0] == "# churn"
    assert "Predicts `churned` (binary: no, yes) with `LogisticRegression`." in told
    assert (
        "Trained on 12,000 rows from 2026-01-01T00:00:00+00:00 to 2026-03-10T00:00:00+00:00; "
        "judged on 3,000 rows held out (time split)." in told
    )
    assert "- data: churn.parquet, 15,000 rows, sha256 ab12" in told
    assert "- seed: 7" in told


def test_inputs_carry_their_importance_where_it_is_known():
    told = lines(ranked=(Importance("tenure", 0.0312, 0.004),))
    assert "| tenure | double | no | 0.0312 ± 0.0040 |" in told
    assert "| plan | string | yes | - |" in told


def test_a_threshold_is_told_with_the_class_it_decides_for():
    assert not [line for line in lines() if line.startswith("Answers")]
    told = lines(replace(SPEC, threshold=0.25))
    assert "Answers `yes` where its score is 0.2500 or more." in told


@pytest.mark.parametrize(
    ("lineage", "line"),
    [
        (Lineage(), "- code: no git repository"),
        (Lineage(code_commit="abc"), "- code: abc"),
        (Lineage(code_commit="abc", code_dirty=True), "- code: abc with uncommitted changes"),
        (Lineage(cause="ledger entry 4: drift"), "- cause: ledger entry 4: drift"),
    ],
)
def test_origin_says_what_git_and_the_ledger_know(lineage, line):
    assert line in lines(replace(SPEC, lineage=lineage))


def test_what_is_not_known_is_left_out():
    told = lines(replace(SPEC, task="regression", classes=(), trained_from=None, trained_to=None))
    assert "Predicts `churned` (regression) with `LogisticRegression`." in told
    assert any(line.startswith("Trained on 12,000 rows; judged") for line in told)
    assert not [line for line in told if "cause" in line]


def test_tables_are_whole_markdown():
    told = lines()
    for start in ("| metric |", "| column |"):
        place = next(at for at, line in enumerate(told) if line.startswith(start))
        width = told[place].count("|")
        assert told[place + 1].count("|") == width
        assert told[place + 2].count("|") == width
        assert not told[place - 1]
