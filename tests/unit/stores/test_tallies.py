"""What is counted of a rollout, from real logs and labels."""

import random
import shutil
import tempfile
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.records import Arm, Rollout, RolloutSpec
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.tallies import Measure, counted, pairs
from lifecycle.stores.upkeep import tend

SECRET = b"k" * 32
BEGAN = 1_775_044_800_000_000  # 2026-04-01T12:00
SECOND, HOUR = 1_000_000, 3_600_000_000
ARMS = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
VERSIONS = {arm.name: arm.version for arm in ARMS} | {"shadow": 8}


def rollout(*, arms=ARMS, step=2, **values):
    spec = RolloutSpec("churn", "canary", arms, steps=(0.1, 0.5, 1.0))
    started = datetime.fromtimestamp(BEGAN / 1e6, UTC).isoformat()
    return Rollout(spec, seq=3, step=step, started=started, **values)


def event(text="errors", **values):
    given = {"needs": ("error",), "by_request": True} | values
    return Measure(text, lambda rows: rows["error"].is_not_null(), **given)


def wrong(text="wrong", **values):
    def differs(rows):
        return rows["prediction"].cast(pl.String).ne_missing(rows["label"].cast(pl.String))

    return Measure(text, differs, needs=("prediction", "label"), labelled=True, **values)


def latency(text="latency", **values):
    given = {"kind": "number", "needs": ("latency_ms",), "by_request": True} | values
    return Measure(text, lambda rows: rows["latency_ms"], **given)


class Log:
    """A log that requests are written to one by one, with their labels."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.writer = PredictionWriter(folder, seal_seconds=1e6, background=False)

    def answer(self, arm="champion", at=1.0, *, error=None, rows=1, label=None, **more):
        """One request, `at` seconds after the rollout began; gives its id."""
        now = BEGAN + int(at * SECOND)
        version = more.pop("version", VERSIONS.get(arm, 7))
        model, token = more.pop("model", "churn"), more.pop("token", "")
        step, key = more.get("step", 0), more.get("key")
        token = token or ids.issue(
            SECRET, model="churn", version=version, time=now, arm=arm, step=step, rows=rows,
            key=key if isinstance(key, str) else None,
        )  # fmt: skip
        given = {"time": now, "latency_ms": 1.0, "features": {"x": np.zeros(rows)}} | more
        answers = given.pop("prediction", np.ones(rows, int))
        given["prediction"] = None if error else np.asarray(answers)
        self.writer.append(model, version, token, arm=arm, error=error, **given)
        if label is not None:
            self.label([token], [label])
        return token

    def label(self, tokens, labels):
        batch = pl.DataFrame({"prediction_id": tokens, "label": labels})
        return LabelStore(self.folder).add("churn", batch, SECRET)

    def counted(self, *measures, of=None, **options):
        return counted([self.folder], of or rollout(), measures, **options)


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path / "log")
    yield made
    made.writer.close()


def table(found, guard, *, blocks=False):
    """(arm, step) -> (units, events), without cells of nothing."""
    cells = defaultdict(lambda: (0, 0))
    for item in found.tallies:
        if item.guard == guard:
            at = (item.arm, item.step, item.block) if blocks else (item.arm, item.step)
            units, events = cells[at]
            cells[at] = (units + item.units, events + item.events)
    return {at: cell for at, cell in cells.items() if cell != (0, 0)}


def test_requests_without_keys_are_units_of_their_own(log):
    for at in range(6):
        log.answer("champion", at, error="failed" if at == 0 else None)
    for at in range(4):
        log.answer("challenger", at, error="failed" if at < 3 else None)
    found = log.counted(event())
    assert table(found, "errors") == {("champion", 0): (6, 1), ("challenger", 0): (4, 3)}
    assert table(found, "") == {("champion", 0): (6, 6), ("challenger", 0): (4, 4)}
    assert found.exposed == {"challenger": 4}


def test_an_empty_log_and_no_folder_give_nothing(log, tmp_path):
    for folders in ([log.folder], [tmp_path / "nowhere"], []):
        found = counted(folders, rollout(), [event(), latency(), wrong()])
        assert (found.tallies, found.exposed) == ((), {"challenger": 0})
        assert (found.coverage["rows"], found.coverage["first"]) == (0, "")


def test_steps_are_told_apart_and_unreached_ones_do_not_count(log):
    for step in range(3):
        log.answer("challenger", step, step=step)
    found = log.counted(event(), of=rollout(step=1))
    assert table(found, "errors") == {("challenger", 0): (1, 0), ("challenger", 1): (1, 0)}
    assert found.coverage["others"] == {}


def test_only_the_arms_of_the_rollout_count(log):
    log.answer("champion")
    log.answer("challenger")
    log.answer("champion", version=6)  # who was champion before
    log.answer("challenger", version=9)
    for arm in ("asked", "asked", "fallback", "batch"):
        log.answer(arm)
    log.answer("challenger", -1)  # of the rollout before
    log.answer("asked", -1)
    found = log.counted(event())
    assert table(found, "errors") == {("champion", 0): (1, 0), ("challenger", 0): (1, 0)}
    assert found.coverage["rows"] == 2
    assert found.coverage["others"] == {
        "asked": 2, "batch": 1, "challenger": 1, "champion": 1, "fallback": 1,
    }  # fmt: skip


def test_what_comes_after_the_end_does_not_count(log):
    log.answer("champion", 1)
    log.answer("champion", 100)
    ended = datetime.fromtimestamp(BEGAN / 1e6 + 50, UTC).isoformat()
    assert table(log.counted(event(), of=rollout(ended=ended)), "errors") == {
        ("champion", 0): (1, 0)
    }


def test_a_key_counts_until_its_first_event_over_the_whole_rollout(log):
    log.answer("champion", 1, key="ann")
    log.answer("champion", 2, key="ann", error="failed")
    log.answer("champion", 3, key="ann", error="failed")
    log.answer("challenger", 4, key="ann", step=1, error="failed")
    log.answer("challenger", 5, key="bob", step=1)
    log.answer("challenger", 6, key="bob", step=2, error="failed")
    log.answer("champion", 7, key="bob", step=2)
    assert table(log.counted(event()), "errors") == {
        ("champion", 0): (1, 1), ("challenger", 1): (1, 0), ("challenger", 2): (1, 1),
    }  # fmt: skip


def test_a_key_is_at_risk_of_one_guard_after_an_event_of_another(log):
    log.answer("champion", 1, key="ann", error="failed")
    log.answer("champion", 2, key="ann", step=1, latency_ms=80.0)
    slow = Measure("slow", lambda rows: rows["latency_ms"] > 50, needs=("latency_ms",))
    found = log.counted(event(), slow)
    assert table(found, "errors") == {("champion", 0): (1, 1)}
    assert table(found, "slow") == {("champion", 0): (1, 0), ("champion", 1): (1, 1)}


def test_a_key_says_something_of_the_shares_only_once(log):
    for step in range(3):
        log.answer("challenger", step, key="ann", step=step)
        log.answer("champion", step, key=f"new {step}", step=step)
    found = log.counted()
    assert table(found, "") == {
        ("challenger", 0): (1, 1), ("champion", 0): (1, 1), ("champion", 1): (1, 1),
        ("champion", 2): (1, 1),
    }  # fmt: skip
    seen = {(item.arm, item.step): item.total for item in found.tallies}
    assert seen["challenger", 2] == 1.0
    assert found.exposed == {"challenger": 1}


def test_rows_of_one_request_are_one_unit(log):
    log.answer("challenger", 1, rows=1000, error="failed", features={"x": np.zeros(1000)})
    log.answer("challenger", 2, rows=3)
    found = log.counted(event(), latency(), wrong("invalid", by_request=False))
    assert table(found, "errors") == {("challenger", 0): (2, 1)}
    assert table(found, "latency") == {("challenger", 0): (2, 0)}
    assert found.coverage["rows"] == 1003
    assert found.exposed == {"challenger": 2}


def test_labelled_rows_of_one_request_are_one_cluster(log):
    token = log.answer("champion", rows=4, prediction=[1, 1, 1, 1])
    log.label([f"{token}.{row}" for row in range(3)], [0, 0, 1])
    assert table(log.counted(wrong()), "wrong") == {("champion", 0): (1, 1)}


def test_rows_of_one_request_with_keys_of_their_own_are_units(log):
    token = log.answer("champion", rows=3, key=["ann", "bob", "cleo"])
    log.label([f"{token}.{row}" for row in range(3)], [1, 0, 1])
    log.answer("challenger", rows=3, key=["ann", "bob", "cleo"], error="failed")
    found = log.counted(wrong(), event())
    assert table(found, "wrong") == {("champion", 0): (3, 1)}
    # the request failed once, not once a key
    assert table(found, "errors") == {("champion", 0): (1, 0), ("challenger", 0): (1, 1)}


def test_rows_of_one_request_of_one_key_are_that_key(log):
    log.answer("champion", 1, rows=2, key="ann", error="failed", features={"x": np.zeros(2)})
    log.answer("champion", 2, key="ann", error="failed")
    assert table(log.counted(event()), "errors") == {("champion", 0): (1, 1)}


def test_a_key_and_a_request_of_the_same_name_are_two_units(log):
    token = log.answer("champion", 1, error="failed")
    log.answer("champion", 2, key=token, error="failed")
    assert table(log.counted(event()), "errors") == {("champion", 0): (2, 2)}


def test_the_time_of_a_row_may_lie_years_back(log):
    long_ago = 1_357_000_000_000_000
    log.answer("champion", 1, time=long_ago, key="ann", error="failed")
    log.answer("champion", -5, time=long_ago)
    log.answer("champion", 2, time=long_ago - HOUR, key="ann")  # later, of an earlier flight
    found = log.counted(event())
    assert table(found, "errors") == {("champion", 0): (1, 1)}
    assert found.coverage["first"].startswith("2026-04-01T12:00:01")


def test_sealed_merged_and_waiting_rows_count_alike(log):
    measures = [event(), latency(), wrong()]
    for at in range(40):
        log.answer("champion" if at % 2 else "challenger", at, key=f"k{at % 7}", label=at % 2)
    before = log.counted(*measures)
    for at in range(40, 80):
        log.answer("champion" if at % 2 else "challenger", at, key=f"k{at % 7}", label=at % 2)
        if at % 10 == 0:
            log.writer.seal()
    log.writer.seal()
    sealed = log.counted(*measures)
    tend(log.folder, everything=True)
    assert log.counted(*measures) == sealed
    assert sealed.coverage["rows"] == 2 * before.coverage["rows"] == 80


def test_counting_twice_changes_nothing_and_leaves_no_file(log):
    for at in range(10):
        log.answer("champion" if at % 2 else "challenger", at, label=1)
    log.writer.seal()
    files = sorted(log.folder.rglob("*"))
    first = log.counted(event(), wrong())
    assert log.counted(event(), wrong()) == first
    assert sorted(log.folder.rglob("*")) == files


def test_a_folder_counts_once_by_whichever_path(log, tmp_path, monkeypatch):
    log.answer("champion")
    (tmp_path / "link").symlink_to(log.folder)
    monkeypatch.chdir(tmp_path)
    found = counted([log.folder, "log", "link", "./log/"], rollout(), [event()])
    assert table(found, "errors") == {("champion", 0): (1, 0)}


def test_a_copy_of_a_folder_counts_once(log, tmp_path):
    for at in range(5):
        log.answer("champion" if at % 2 else "challenger", at, label=1)
    log.writer.seal()
    shutil.copytree(log.folder, tmp_path / "copy")
    both = counted([log.folder, tmp_path / "copy"], rollout(), [event(), wrong()])
    alone = log.counted(event(), wrong())
    assert both.tallies == alone.tallies


def test_labels_of_one_folder_are_of_predictions_in_another(log, tmp_path):
    token = log.answer("challenger", prediction=[1])
    other = Log(tmp_path / "other")
    other.answer("champion", prediction=[1], label=1)
    other.label([token], [0])
    other.writer.close()
    found = counted([log.folder, other.folder], rollout(), [wrong()])
    assert table(found, "wrong") == {("champion", 0): (1, 0), ("challenger", 0): (1, 1)}


def test_labels_count_whenever_they_come_and_only_labelled_rows_do(log):
    tokens = [log.answer("challenger", at, prediction=[1]) for at in range(4)]
    assert table(log.counted(wrong()), "wrong") == {}
    log.label(tokens[:1], [0])
    assert table(log.counted(wrong()), "wrong") == {("challenger", 0): (1, 1)}
    log.label(tokens[1:3], [1, 0])
    found = log.counted(wrong())
    assert table(found, "wrong") == {("challenger", 0): (3, 2)}
    assert found.coverage["labelled"] == {"champion": 0.0, "challenger": 0.75}
    assert "labelled" not in log.counted(event()).coverage


def test_a_late_label_takes_the_later_rows_of_its_key_away(log):
    early = log.answer("champion", 1, key="ann", prediction=[1])
    log.answer("challenger", 2, key="ann", step=1, prediction=[1], label=0)
    assert table(log.counted(wrong()), "wrong") == {("challenger", 1): (1, 1)}
    log.label([early], [0])
    assert table(log.counted(wrong()), "wrong") == {("champion", 0): (1, 1)}


def test_labels_are_counted_by_blocks_of_time(log):
    for hours in (0.5, 0.6, 1.5, 47.9, 48.1, 51.9, 52.1, 335.9, 336.1, 360.1):
        log.answer("champion", hours * 3600, prediction=[1], label=1)
    blocks = {block: cell[0] for (_, _, block), cell in table(
        log.counted(wrong()), "wrong", blocks=True
    ).items()}  # fmt: skip
    assert blocks == {0: 2, 1: 1, 47: 1, 48: 2, 49: 1, 119: 1, 120: 1, 121: 1}
    assert {item.block for item in log.counted(event()).tallies} == {0}


def test_a_segment_is_the_rows_of_one_value_whatever_its_type(log):
    for at, (carrier, big) in enumerate([("UA", 1.0), ("UA", 2.0), ("AA", 1.0), (None, None)]):
        log.answer(
            "champion", at, error="failed" if at == 0 else None,
            features={"carrier": np.array([carrier], object), "big": np.array([big], float)},
        )  # fmt: skip
    found = log.counted(
        event("UA", column="carrier", value="UA"),
        event("AA", column="carrier", value="AA"),
        event("none", column="carrier", value="ZZ"),
        event("one", column="big", value="1"),
        event("two", column="big", value="2.0"),
        event("missing", column="no such", value="1"),
    )
    assert table(found, "UA") == {("champion", 0): (2, 1)}
    assert table(found, "AA") == {("champion", 0): (1, 0)}
    assert table(found, "one") == {("champion", 0): (2, 1)}
    assert table(found, "two") == {("champion", 0): (1, 0)}
    assert table(found, "none") == table(found, "missing") == {}


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        (np.array([True]), "true"),
        (np.array([True]), "1"),
        (np.array([3], np.int8), "3"),
        (np.array([3], np.int8), "3.0"),
        (np.array(["1.0"], object), "1.0"),
        (np.array([0.25]), "0.25"),
    ],
)
def test_values_are_named_as_people_write_them(log, stored, value):
    log.answer("champion", features={"it": stored})
    found = log.counted(event(column="it", value=value))
    assert table(found, "errors") == {("champion", 0): (1, 0)}


def test_versions_with_other_features_are_counted_together(log):
    features = {"plan": np.array(["pro"], object), "new": np.array([1])}
    log.answer("champion", features={"plan": np.array(["pro"], object)})
    log.answer("challenger", features=features, error="failed")
    log.answer("challenger", features={}, error="failed before they were known")
    log.answer("champion", features={"new": np.array([1.0])})
    log.writer.seal()
    found = log.counted(event(column="plan", value="pro"), event("new", column="new", value="1"))
    assert table(found, "errors") == {("champion", 0): (1, 0), ("challenger", 0): (1, 1)}
    assert table(found, "new") == {("champion", 0): (1, 0), ("challenger", 0): (1, 1)}


def test_answers_of_other_types_are_counted_together(log):
    log.answer("champion", prediction=np.array(["no"], object), label="no")
    log.answer("challenger", prediction=np.array([1]))
    log.writer.seal()
    assert table(log.counted(wrong()), "wrong") == {("champion", 0): (1, 0)}


def test_classes_tell_what_is_unknown(log):
    unknown = Measure("unknown", lambda rows: ~rows["known"], needs=("known",))
    log.answer("champion", prediction=[1])
    log.answer("champion", prediction=[2])
    log.answer("champion", prediction=np.array([0.0]))
    log.answer("champion", error="failed")
    assert table(log.counted(unknown, classes=(0, 1)), "unknown") == {("champion", 0): (3, 1)}
    assert table(log.counted(unknown, classes=(False, True)), "unknown") == {
        ("champion", 0): (3, 1)
    }
    assert table(log.counted(unknown), "unknown") == {}


def test_values_that_are_null_do_not_count(log):
    log.answer("champion", latency_ms=None)
    log.answer("champion", latency_ms=3.0)
    (total,) = [item for item in log.counted(latency()).tallies if item.guard and item.units]
    assert (total.units, total.total) == (1, 3.0)


def test_numbers_are_contrasted_in_the_order_of_time_with_keys_as_clusters(log):
    given = []

    def contrasts(values, arm, share, units, steps):
        given.append((values, arm, share, units, steps))
        return {0: (1.0, 2.0, 3.0), 1: (4.0, 5.0, 6.0)}

    log.answer("champion", 3, latency_ms=3.0, key="ann")
    log.answer("challenger", 1, latency_ms=1.0)
    log.answer("champion", 2, latency_ms=2.0)
    log.answer("champion", 5, latency_ms=5.0, step=1, key="ann")
    log.answer("challenger", 4, latency_ms=4.0, step=1, key="bob")
    found = log.counted(latency(), contrasts=contrasts)
    ((values, arm, share, units, steps),) = given
    assert values.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert arm.tolist() == [True, False, False, True, False]
    assert share.tolist() == pytest.approx([1 / 3] * 3 + [0.5] * 2)
    assert steps.tolist() == [0, 0, 0, 1, 1]
    assert units[2] == units[4]
    assert len(set(units.tolist())) == 4
    sums = {(item.arm, item.step): (item.total, item.s, item.v, item.w) for item in found.tallies}
    assert sums["challenger", 0] == (1.0, 1.0, 2.0, 3.0)
    assert sums["challenger", 1] == (4.0, 4.0, 5.0, 6.0)
    assert sums["champion", 0] == (5.0, 0.0, 0.0, 0.0)


def test_each_of_several_arms_is_held_against_the_champion(log):
    given = []

    def contrasts(values, arm, share, units, _):
        given.append((values.tolist(), arm.tolist(), share.tolist(), units))
        return {0: (float(len(given)), 0.0, 0.0)}

    arms = (*ARMS, Arm("challenger-2", 9, 0.0))
    log.answer("champion", 1, latency_ms=1.0)
    log.answer("challenger", 2, latency_ms=2.0)
    log.answer("challenger-2", 3, latency_ms=3.0, version=9)
    found = log.counted(latency(), event(), of=rollout(arms=arms), contrasts=contrasts)
    assert given == [
        ([1.0, 2.0], [False, True], [0.5, 0.5], None),
        ([1.0, 3.0], [False, True], [0.5, 0.5], None),
    ]
    assert {item.arm: item.s for item in found.tallies if item.guard == "latency"} == {
        "champion": 0.0, "challenger": 1.0, "challenger-2": 2.0,
    }  # fmt: skip
    assert found.exposed == {"challenger": 1, "challenger-2": 1}


def test_shares_are_not_judged_before_all_servers_know_of_the_rollout(log):
    log.answer("champion", 1)
    assert table(log.counted(event(), settling=timedelta(seconds=4)), "") == {}
    log.answer("challenger", 3)
    for at in (8, 9, 10, 11, 12):
        log.answer("champion", at)
    found = log.counted(event(), settling=timedelta(seconds=4))
    assert table(found, "") == {("champion", 0): (3, 3)}  # from 2 · 3 + 4 seconds on
    assert table(found, "errors") == {("champion", 0): (6, 0), ("challenger", 0): (1, 0)}
    log.answer("champion", 2, step=1)
    assert ("champion", 1) in table(log.counted(settling=timedelta(seconds=4)), "")


def test_a_damaged_file_is_named(log):
    log.answer("champion")
    log.writer.seal()
    (path,) = log.folder.glob("model=*/date=*/*.parquet")
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(LogError, match="cannot be read") as refused:
        log.counted(event())
    assert str(path) in str(refused.value)


def test_measures_of_one_source_are_computed_once(log):
    calls = []

    def failed(rows):
        calls.append(len(rows))
        return rows["error"].is_not_null()

    features = {"carrier": np.array(["UA"], object)}
    log.answer("champion", features=features)
    texts = [("errors", ""), ("errors:carrier=UA", "UA"), ("errors:carrier=AA", "AA")]
    made = [
        Measure(text, failed, needs=("error",), column="carrier" if value else "", value=value,
                source="errors")
        for text, value in texts
    ]  # fmt: skip
    found = log.counted(*made)
    assert calls == [1]
    assert table(found, "errors:carrier=UA") == {("champion", 0): (1, 0)}
    assert table(found, "errors:carrier=AA") == {}


# -- shadow -------------------------------------------------------------------------------------

SHADOWED = (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0))


def copied(log, at, token, *, arm="shadow", **more):
    given = {"features": {}, "model": "churn@shadow", "token": token} | more
    log.answer(arm, at, **given)


def test_copies_are_in_no_arm(log):
    copied(log, 1, log.answer("champion", 0))
    found = log.counted(event(), of=rollout(arms=SHADOWED))
    assert table(found, "errors") == {("champion", 0): (1, 0)}
    assert found.coverage["rows"] == 1
    assert found.exposed == {}


def test_pairs_have_both_answers_and_the_label(log):
    token = log.answer("champion", 1, prediction=[1], score=np.array([0.7]), key="ann", label=0)
    copied(log, 2, token, prediction=[0], score=np.array([0.2]), latency_ms=4.0)
    several = log.answer("champion", 3, rows=2, prediction=[1, 0])
    copied(log, 4, several, rows=2, prediction=[1, 1])
    log.answer("champion", 5)
    copied(log, 6, log.answer("champion", -7))
    copied(log, 3, several, rows=2, prediction=[0, 0], arm="champion", version=7)  # once more
    frame = pairs([log.folder, log.folder], rollout(arms=SHADOWED))
    assert frame["prediction_id"].to_list() == [token, f"{several}.0", f"{several}.1"]
    assert frame.row(0, named=True) == {
        "prediction_id": token, "time": datetime(2026, 4, 1, 12, 0, 1, tzinfo=UTC), "step": 0,
        "key": "ann", "latency_ms": 1.0, "prediction": 1, "score": 0.7, "error": None,
        "shadow_latency_ms": 4.0, "shadow_prediction": 0, "shadow_score": 0.2,
        "shadow_error": None, "again_latency_ms": None, "again_prediction": None,
        "again_score": None, "again_error": None, "label": 0,
    }  # fmt: skip
    assert frame["again_prediction"].to_list() == [None, 0, 0]
    assert frame["shadow_prediction"].to_list() == [0, 1, 1]
    assert pairs([log.folder / "none"], rollout(arms=SHADOWED)).height == 0


# -- rules --------------------------------------------------------------------------------------

REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["champion", "challenger"]),
        st.integers(0, 2),  # step
        st.sampled_from([None, "ann", "bob", "cleo", "dan"]),
        st.booleans(),  # failed
    ),
    max_size=25,
)


def by_hand(requests):
    """Units and events, request after request."""
    units, events, over = defaultdict(set), defaultdict(int), set()
    for at, (arm, step, key, failed) in enumerate(requests):
        unit = key or at
        if unit in over:
            continue
        units[arm, step].add(unit)
        if failed:
            events[arm, step] += 1
            over.add(unit)
    return {cell: (len(found), events[cell]) for cell, found in units.items()}


def write(folder, requests, order=None, only=lambda _: True):
    log = Log(folder)
    for at in order or range(len(requests)):
        arm, step, key, failed = requests[at]
        if only(key or str(at)):
            log.answer(arm, at, step=step, key=key, error="failed" if failed else None)
    log.writer.close()
    return log


@given(requests=REQUESTS, seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_tallies_are_those_counted_by_hand_in_whichever_order_rows_are_written(requests, seed):
    order = list(range(len(requests)))
    random.Random(seed).shuffle(order)
    with tempfile.TemporaryDirectory() as folder:
        found = write(folder, requests, order).counted(event())
        assert table(found, "errors") == by_hand(requests)


@given(requests=REQUESTS)
@settings(max_examples=15, deadline=None)
def test_tallies_of_logs_that_share_no_key_add_up(requests):
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder, name) for name in ("one", "two")]
        write(names[0], requests, only=lambda unit: sum(unit.encode()) % 2)
        write(names[1], requests, only=lambda unit: not sum(unit.encode()) % 2)
        together = counted(names, rollout(), [event()])
        alone = [counted([name], rollout(), [event()]) for name in names]
        for guard in ("errors", ""):
            sums = defaultdict(lambda: (0, 0))
            for part in alone:
                for cell, (units, events) in table(part, guard).items():
                    sums[cell] = (sums[cell][0] + units, sums[cell][1] + events)
            assert table(together, guard) == dict(sums)
        assert together.exposed["challenger"] == sum(p.exposed["challenger"] for p in alone)


def test_the_present_step_of_an_older_record_does_not_hide_what_came_before(log):
    log.answer("challenger", 1, step=0, key="ann", error="failed")
    log.answer("challenger", 2, step=1, key="ann", error="failed")
    now = replace(rollout(), step=0)
    assert table(log.counted(event(), of=now), "errors") == {("challenger", 0): (1, 1)}
    assert PredictionLog(log.folder).read("churn").height == 2
