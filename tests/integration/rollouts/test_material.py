"""The material of the stories: each version is what the stories say it is."""

from collections import Counter

import mlflow
import pytest

pytestmark = pytest.mark.slow
FLIGHTS = 4000


def test_what_the_challengers_are(tell_story, trained_all, flown):
    story = tell_story(trained_all)
    live = flown[1].head(FLIGHTS)
    late = live["late"].to_numpy()
    rows = live.drop(columns=["flight_id", "time", "late"])
    uri = f"models:/flights/{story.versions['champion']}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", story.config.tracking_uri)
        champion = mlflow.sklearn.load_model(uri).predict_proba(rows)[:, 1]
        score = {
            which: mlflow.sklearn.load_model(f"models:/flights/{number}").predict_proba(rows)[:, 1]
            for which, number in story.versions.items()
            if which in ("good", "harmful", "scaled")
        }
    wrong = {which: (found > 0.5) != late for which, found in score.items()}
    harmed = (live["carrier"] == "MQ").to_numpy()
    ours = (champion > 0.5) != late
    assert abs(wrong["good"].mean() - ours.mean()) < 0.005
    assert wrong["harmful"][harmed].mean() > 2 * ours[harmed].mean()
    assert abs(wrong["harmful"][~harmed].mean() - ours[~harmed].mean()) < 0.01
    assert ((score["scaled"] > 0.5) == (champion > 0.5)).all()
    assert (score["scaled"].argsort() == champion.argsort()).mean() > 0.99
    assert score["scaled"].std() < 0.5 * champion.std()


def test_replicas_take_turns(tell_story, trained_once):
    story = tell_story(trained_once)
    with story.replicas([story.config.log.dir] * 2) as server:
        got = server.burst(story.rows(FLIGHTS), clients=8)
        assert Counter((one.status, one.arm) for one in got) == {(200, "champion"): FLIGHTS}
        for one in server.each:
            assert any(map(_counts, one.metrics()))
        assert server.tell(got) == FLIGHTS


def _counts(line):
    return line.startswith("lifecycle_requests_total") and not line.endswith(" 0")
