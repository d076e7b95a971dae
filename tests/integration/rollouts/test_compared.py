"""An A/B test over real requests: fixed shares, one metric, an interval at every look."""

import pytest

pytestmark = pytest.mark.slow


def test_the_better_arm_is_found(tell_story, trained_all):
    story = tell_story(trained_all)
    harmful, good = story.versions["harmful"], story.versions["good"]
    story.project.promote(harmful, to="production", force=True, reason="a bad day")
    with story.server() as server:
        story.start("good", strategy="ab", metric="label_error", guards=("errors",))
        server.reaches(0.5)
        looks, got = story.go_on(server, looks=12, size=4000)
        last = looks[-1]
        # nothing is promoted by itself unless it is proven better
        assert last.best == "challenger", last.reason
        (metric,) = [one for one in last.evidence if one.guard == "label_error"]
        assert metric.low < metric.ratio < metric.high < 1.0
    shares = sum(one.arm == "challenger" for one in got) / len(got)
    assert shares == pytest.approx(0.5, abs=0.03)
    assert {one.version for one in got} == {harmful, good}
    assert {one.status for one in got} == {200}


def test_equal_arms_are_not_told_apart(tell_story, trained_once):
    story = tell_story(trained_once)
    with story.server() as server:
        story.start("good", strategy="ab", metric="label_error", guards=("errors",))
        server.reaches(0.5)
        looks, _ = story.go_on(server, looks=4, size=3000)
    assert [look.action for look in looks] == ["wait"] * 4
    assert [look.best for look in looks] == [""] * 4
    assert looks[-1].exit_code == 3
    widths = [_metric(look).high - _metric(look).low for look in looks]
    assert widths[-1] < widths[0]
    assert _metric(looks[-1]).low < 1.0 < _metric(looks[-1]).high


def _metric(look):
    (found,) = [one for one in look.evidence if one.guard == "label_error"]
    return found
