"""A shadow beside a live server: nobody notices, and everything it said is in the log."""

import json
import os
import signal
import time

import pytest

from lifecycle.stores import tallies
from lifecycle.stores.predictions import PredictionLog

pytestmark = pytest.mark.slow


def counts(server):
    """The copies by what became of them, from /metrics."""
    found = {}
    for line in server.metrics():
        if line.startswith("lifecycle_shadow_"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0].removeprefix("lifecycle_shadow_")
            found[name] = found.get(name, 0) + int(float(value))
    return found


def settled(server, eligible):
    """The counts when so many requests were eligible and none waits any more."""
    deadline = time.monotonic() + 30
    while (found := counts(server)).get("waiting") or found.get("eligible", 0) < eligible:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_nobody_notices_a_good_shadow(tell_story, trained_once):
    story = tell_story(trained_once)
    rows = story.rows(500)
    with story.server() as server:
        before = server.burst(rows)
        rollout = story.start("good", strategy="shadow")
        server.follows(lambda shares: "shadow" in shares)
        after = server.burst(rows)
        told = settled(server, 500)
        assert told["copied"] == told["answered"] + told["failed"]
        assert told["eligible"] == told["copied"] + told["dropped"] == 500
        pairs = tallies.pairs([story.config.log.dir], rollout)
        asked = server.burst(story.rows(10), headers="X-Model-Version: 2\r\n")
        keyed = server.burst(story.rows(10), keys=[f"k{number}" for number in range(10)])
        assert settled(server, 510)["eligible"] == 510  # who asks for a version is not copied
        looks, got = story.go_on(server, looks=6, size=1500)
        _, status = server.ask("/status")
    # the same bodies byte by byte, by the same version
    assert [one.body for one in _by_row(before)] == [one.body for one in _by_row(after)]
    assert {one.version for one in [*before, *after, *got, *keyed]} == {story.versions["champion"]}
    assert {one.version for one in asked} == {2}
    assert {one.status for one in [*before, *after, *got]} == {200}
    # each pair has one id, that of the answer
    answered = {one.id for one in after}
    assert set(pairs["prediction_id"]) <= answered
    assert len(pairs) == told["answered"]
    assert set(pairs["prediction"]) == {0, 1}
    assert pairs["again_prediction"].null_count() < len(pairs)
    last = looks[-1]
    proven = {one.guard for one in last.evidence if one.outcome == "pass"}
    assert {"differs", "shift", "scale", "errors"} <= proven
    assert not [one for one in last.evidence if one.outcome == "fail"]
    # a few seconds have few calls; how long they take is proven when there are more of them
    assert last.action == ("finish" if "latency" in proven else "wait")
    assert 0 < last.coverage["twice"] <= last.coverage["pairs"] <= last.coverage["rows"]
    assert last.exposed == {}
    # labels came by the ids of the answers and reach both
    (labels,) = [one for one in last.evidence if one.guard == "label_error"]
    assert labels.units == labels.champion_units > 1000
    assert status["models"][0]["shadow"]["coverage"] > 0.9
    with_keys = PredictionLog(story.config.log.dir).read("flights@shadow").drop_nulls("key")
    assert {f"k{number}" for number in range(10)} <= set(with_keys["key"])


def _by_row(got):
    return sorted(got, key=lambda one: one.row)


def test_a_killed_server_loses_no_copy_that_was_logged(tell_story, trained_once):
    story = tell_story(trained_once)
    with story.server() as server:
        rollout = story.start("good", strategy="shadow")
        server.follows(lambda shares: "shadow" in shares)
        got = server.burst(story.rows(300))
        told = settled(server, 300)
        os.kill(server.process.process.pid, signal.SIGKILL)
    frame = PredictionLog(story.config.log.dir).read("flights@shadow").filter(arm="shadow")
    assert frame["prediction_id"].n_unique() == len(frame) == told["answered"]
    assert set(frame["prediction_id"]) <= {one.id for one in got}
    assert len(tallies.pairs([story.config.log.dir], rollout)) == told["answered"]
    assert json.loads(got[0].body)


def test_a_sigterm_ends_the_copies_and_seals_them(tell_story, trained_once):
    story = tell_story(trained_once)
    with story.server() as server:
        story.start("good", strategy="shadow")
        server.follows(lambda shares: "shadow" in shares)
        got = server.burst(story.rows(200))
        begun = time.monotonic()
        os.kill(server.process.process.pid, signal.SIGTERM)
        server.process.process.wait(20)
        assert time.monotonic() - begun < 20
    frame = PredictionLog(story.config.log.dir).read("flights@shadow").filter(arm="shadow")
    assert set(frame["prediction_id"]) == {one.id for one in got}
