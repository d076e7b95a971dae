"""Labels come late, twice, of others and forged: what counts is counted once, at its own step."""

import pytest

pytestmark = pytest.mark.slow


def _errors(look):
    """Labelled units and wrong answers by arm and step."""
    return {(one.arm, one.step): (one.units, one.events)
            for one in look.tallies if one.guard == "label_error" and one.units}  # fmt: skip


def _expected(story, got, step):
    labels = story.live["late"].tolist()
    counted = {}
    for one in got:
        said = int(one.body.partition(b"[")[2].partition(b"]")[0])
        units, events = counted.get((one.arm, step), (0, 0))
        counted[one.arm, step] = units + 1, events + (said != labels[one.row])
    return counted


def test_late_replayed_and_forged_labels(tell_story, trained_once):
    story = tell_story(trained_once)
    with story.server() as server:
        before = server.burst(story.rows(300))
        # no look steps up by itself
        story.start("good", steps=(20, 50, 100), guards=("label_error",), step_minutes=60)
        server.reaches(0.2)
        early, late = server.burst(story.rows(600)), server.burst(story.rows(600))
        server.tell(early)
        first = story.project.rollout_look()
        assert _errors(first) == _expected(story, early, 0)
        story.project.rollout_step(reason="go on")
        server.reaches(0.5)

        # labels of the first step come during the second, and those of before the rollout
        server.tell(late)
        server.tell(before)
        assert _errors(story.project.rollout_look()) == _expected(story, early + late, 0)

        # the same again changes nothing; neither do forgeries, of which none is taken
        server.tell(early)
        one = early[0]
        forged = one.id[:-2] + ("AA" if one.id[-2:] != "AA" else "BB")
        true = {"prediction_id": late[0].id, "label": 1}
        for body in (
            {"prediction_id": forged, "label": 1},
            {"labels": [true, {"prediction_id": forged, "label": 1}]},
            {"labels": [{"prediction_id": "nobody's", "label": 1}]},
        ):
            status, said = server.ask("/feedback", body)
            assert status == 400, said
        look = story.project.rollout_look()
        assert _errors(look) == _expected(story, early + late, 0)

        # after the end labels are kept, and what was decided stands
        story.project.rollout_abort(reason="enough")
        entries = len(story.entries())
        server.tell(server.burst(story.rows(300)))
    status = story.project.rollout_status()
    assert status.rollout.status == "aborted"
    assert len(story.entries()) == entries


def test_requests_that_bring_their_own_time_and_key(tell_story, trained_once):
    story = tell_story(trained_once)
    columns = [name for name in story.live.columns if name != "late"]
    with story.server(columns=columns) as server:
        story.start("good", steps=(50, 100), guards=("label_error", "errors"))
        server.reaches(0.5)
        got = server.burst(story.rows(1500))
        server.tell(got)
        look = story.project.rollout_look()
    assert _errors(look) == _expected(story, got, 0)
    assert look.exposed == {"challenger": sum(one.arm == "challenger" for one in got)}
