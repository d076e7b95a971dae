"""A challenger that is as good reaches everybody, on evidence that stands in the ledger."""

from collections import Counter

import pytest

pytestmark = pytest.mark.slow


def test_a_good_challenger_reaches_everybody(tell_story, trained_once):
    story = tell_story(trained_once, rollout__hold_back=0.0)
    champion, good = story.versions["champion"], story.versions["good"]
    with story.server() as server:
        rollout = story.start("good", steps=(10, 50, 100), guards=("label_error", "errors"))
        server.reaches(0.1)
        looks, got = story.go_on(server, looks=12, size=5000)
        assert [look.action for look in looks if look.action != "wait"] == [
            "step",
            "step",
            "promote",
        ]
        server.follows(lambda shares: shares == {"champion": 1.0})
        after = server.burst(story.rows(200))

    # nobody saw a failure, and each step had its share
    assert {one.status for one in got + after} == {200}
    assert {one.version for one in after} == {good}
    assert {one.version for one in got} == {champion, good}
    first = got[:5000]
    share = sum(one.arm == "challenger" for one in first) / len(first)
    assert share == pytest.approx(0.1, abs=0.02)

    # the registry and the ledger have it, with the evidence of each decision
    assert story.alias("champion") == good
    assert story.alias("previous") == champion
    assert story.alias("challenger") is None
    steps = story.entries("step")
    assert [entry.extra["step"] for entry in steps] == [1, 2]
    (moved,) = [entry for entry in story.entries() if entry.extra.get("rollout") == rollout.seq
                and entry.kind == "stage"]  # fmt: skip
    assert (moved.version, moved.to) == (good, "production")
    assert all(entry.evidence_digest and entry.evidence_link for entry in [*steps, moved])
    assert story.project.verify().passed

    # the decision can be had again from what was stored
    last = looks[-1]
    again = story.project.rollout_explain()
    assert again.to_dict() == last.to_dict()
    counted = Counter(one.arm for one in got)
    assert dict(last.exposed)["challenger"] == counted["challenger"]
    status = story.project.rollout_status()
    assert status.rollout.status == "promoted"
    assert status.exit_code == 0
