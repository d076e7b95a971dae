"""Figures of several workers: nothing is lost, nothing doubled, nothing ever falls."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.counts import ENDED, Counts, add, bury, joined, plain
from lifecycle.serve.figures import Figures


def filled(turn=1):
    """Figures of which every table has an entry."""
    figures = Figures()
    for _ in range(turn):
        figures.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
        figures.answered('a "b"\\', 8, 500, rows=1, nanoseconds=10**12)
        figures.answered_together("churn", 7, 3, [400_000, 500_000])
        figures.called("churn", 7, 2)
        figures.turned_away("/invocations", 401)
        figures.swapped("churn")
        figures.not_swapped("late", "version 3: gone")
        figures.labels["churn"] = figures.labels.get("churn", 0) + 5
        figures.arm("churn", 7, "challenger", 2)[0] += 3
        figures.polls_failed += 1
        figures.not_logged += 2
    return figures


def totalled(*trees):
    figures = Figures()
    for tree in trees:
        add(figures, tree)
    return figures


def by_json(figures):
    return json.loads(json.dumps(plain(figures)))


def numbers(text):
    """The counters of an exposition by name and labels."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {key: float(value) for key, _, value in lines if "_process" not in key}


class Workers:
    """Workers of one server; each has figures, a part in the folder, and a pid of its own."""

    def __init__(self, folder):
        self.folder, self.made = folder, 0

    def worker(self):
        self.made += 1
        counts = Counts(Figures(), self.folder)
        counts._name = f"{self.made}-1.counts"
        return self.made, counts


@pytest.fixture
def workers(tmp_path):
    return Workers(tmp_path)


def test_every_table_goes_through_json_and_back():
    figures = filled()
    assert all(vars(figures).values()), "fill what was added to Figures above"
    assert vars(totalled(by_json(figures))) == vars(figures)


def test_sums_are_those_of_one_that_counted_all():
    total = totalled(by_json(filled(1)), by_json(filled(2)))
    assert numbers(total.text()) == numbers(filled(3).text())


def test_adding_changes_no_figures_but_the_sum():
    one = filled()
    before = by_json(one)
    totalled(plain(one), plain(one))
    assert by_json(one) == before


def test_one_worker_writes_no_files(tmp_path):
    figures = filled()
    counts = Counts(figures, None)
    counts.write()
    gauges = [("ready", "…", {}, 1)]
    assert counts.total(gauges) == (figures, gauges)
    assert list(tmp_path.iterdir()) == []


def test_any_worker_gives_the_sum_of_all(workers):
    parts = [workers.worker()[1] for _ in range(3)]
    for index, counts in enumerate(parts):
        for _ in range(index + 1):
            counts.figures.answered("churn", 7, 200, rows=1, nanoseconds=1)
        counts.write([("waiting", "…", {}, index)])
    for index, counts in enumerate(parts):
        total, gauges = counts.total([("waiting", "…", {}, index)])
        assert total.requests == {("churn", 7, 200): 6}
        assert gauges == [
            ("waiting", "…", {}, 3),
            ("workers_died", "Workers that ended unasked.", {}, 0),
        ]


def test_what_was_seen_once_never_falls(workers):
    (_, one), (_, two) = workers.worker(), workers.worker()
    one.figures.answered("churn", 7, 200)
    assert one.total([])[0].requests == {("churn", 7, 200): 1}
    assert two.total([])[0].requests == {("churn", 7, 200): 1}, "what one showed, two shows too"


def test_a_worker_that_died_stays_in_the_sum_once(workers, tmp_path):
    (pid, one), (_, two) = workers.worker(), workers.worker()
    one.figures.answered("churn", 7, 200, rows=2, nanoseconds=5)
    one.figures.not_swapped("churn", "version 9: gone")
    one.write([("ready", "…", {}, 1)])
    two.figures.answered("churn", 7, 200, rows=1, nanoseconds=5)
    before, _ = two.total([("ready", "…", {}, 1)])
    for _ in range(3):
        bury(tmp_path, pid)
    after, gauges = two.total([("ready", "…", {}, 1)])
    assert after.requests == before.requests == {("churn", 7, 200): 2}
    assert after.rows == {("churn", 7): 3}
    assert after.reasons == {}, "what it waited for is another's matter now"
    assert after.swap_failures == {"churn": 1}
    assert ("ready", "…", {}, 1) in gauges
    assert gauges[-1][3] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-1.counts", ENDED]


def test_one_that_reads_while_a_worker_is_buried_counts_it_once(workers, tmp_path):
    (pid, one), (_, two) = workers.worker(), workers.worker()
    one.figures.answered("churn", 7, 200)
    one.write()
    content = (tmp_path / "1-1.counts").read_bytes()
    bury(tmp_path, pid)
    (tmp_path / "1-1.counts").write_bytes(content)  # between the two steps of burying
    assert two.total([])[0].requests == {("churn", 7, 200): 1}


def test_many_that_die_leave_one_small_file(workers, tmp_path):
    _, last = workers.worker()
    for _ in range(150):
        pid, counts = workers.worker()
        counts.figures.answered("churn", 7, 200)
        counts.write()
        bury(tmp_path, pid)
    assert [path.name for path in tmp_path.iterdir()] == [ENDED]
    assert len(json.loads((tmp_path / ENDED).read_text())["names"]) == 100
    assert last.total([])[0].requests == {("churn", 7, 200): 150}


@given(st.lists(st.tuples(st.sampled_from(["ask", "die", "look"]), st.integers(0, 2))))
@settings(max_examples=40, deadline=None)
def test_whatever_happens_the_sum_is_what_was_written(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("shared")
    workers = Workers(folder)
    living, asked, seen = [workers.worker() for _ in range(3)], 0, 0
    for step, index in steps:
        pid, counts = living[index]
        if step == "ask":
            counts.figures.answered("churn", 7, 200, rows=1, nanoseconds=1)
            counts.write()
            asked += 1
        elif step == "die":
            bury(folder, pid)
            living[index] = workers.worker()
        else:
            seen = counts.total([])[0].requests.get(("churn", 7, 200), 0)
            assert seen == asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_damaged_part_is_left_out(workers, tmp_path, content):
    _, one = workers.worker()
    one.figures.answered("churn", 7, 200)
    (tmp_path / "77-1.counts").write_bytes(content)
    (tmp_path / ENDED).write_bytes(content)
    assert one.total([])[0].requests == {("churn", 7, 200): 1}


def test_a_folder_that_is_gone_leaves_the_worker_alone(tmp_path):
    gone = Counts(filled(), tmp_path / "gone")
    gone.write()
    assert gone.total([])[0].requests == {}
    bury(tmp_path / "gone", os.getpid())
    assert list(Path(tmp_path).iterdir()) == []


def test_gauges_of_workers_are_summed_but_information_and_ages_are_not():
    both = joined(
        [
            ("model_info", "…", {"version": 7}, 1), ("age_seconds", "…", {}, 3.0),
            ("ready", "…", {}, 1), ("model_info", "…", {"version": 8}, 1),
            ("model_info", "…", {"version": 7}, 1), ("age_seconds", "…", {}, 9.0),
            ("ready", "…", {}, 1),
        ]
    )  # fmt: skip
    assert [(name, labels, value) for name, _, labels, value in both] == [
        ("model_info", {"version": 7}, 1),
        ("model_info", {"version": 8}, 1),
        ("age_seconds", {}, 9.0),
        ("ready", {}, 2),
    ]
    names = [line.split()[2] for line in Figures().text(both).splitlines() if "# TYPE" in line]
    assert len(names) == len(set(names)), "each family stands once"


def test_what_each_worker_has_alike_is_not_added_up():
    both = joined(
        [
            ("arm_share", "…", {"arm": "challenger"}, 0.25),
            ("rollout_step", "…", {}, 1),
            ("rollout_info", "…", {}, 1),
            ("arm_share", "…", {"arm": "challenger"}, 0.5),
            ("rollout_step", "…", {}, 2),
            ("rollout_info", "…", {}, 1),
        ]
    )
    assert [value for *_, value in both] == [0.5, 2, 1]
