"""The registry goes away in the middle: clients notice nothing, harm is cut, nothing is lost."""

import time

import pytest

pytestmark = pytest.mark.slow
RUN = "import sys; from lifecycle.cli import main; main(sys.argv[1:])"


@pytest.fixture
def controller(forked, monkeypatch):
    """`controller()`: `lifecycle rollout run` in a process of its own, ended with the test."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # by default it asks for minutes
    made = []

    def start():
        made.append(forked(RUN, "rollout", "run", "flights", "--every", "0.3"))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait(20)
        process.close()


def _until(found, seconds=60):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_registry_is_stopped_in_the_middle(tell_story, trained_all, registry, controller):
    story = tell_story(trained_all)
    registry.start()
    story = story.over(registry.address)
    champion = story.versions["champion"]
    with story.server() as server:
        server.burst(story.rows(1000))
        guards = ("label_error", "label_error:carrier")
        story.start("harmful", steps=(25, 50, 100), guards=guards)
        server.reaches(0.25)
        process = controller()
        _until(lambda: story.entries("lease"))
        registry.stop()

        # the server goes on as it was, with its log and its labels
        got = server.burst(story.rows(1000))
        assert {one.arm for one in got} == {"champion", "challenger"}
        assert server.shares()["challenger"] == 0.25

        # the controller goes on too: what it finds is obeyed although it cannot be written
        for _ in range(8):
            burst = server.burst(story.rows(1000))
            server.tell(burst)
            got += burst
        server.follows(lambda shares: not shares.get("challenger"))
        assert process.poll() is None
        burst = server.burst(story.rows(300))
        assert {one.version for one in burst} == {champion}
        assert {one.status for one in got + burst} == {200}

        # once the registry is back it is written, with its evidence, and the controller is done
        registry.start()
        _, said = process.communicate(60)
        assert process.returncode == 2, said
        server.follows(lambda shares: shares == {"champion": 1.0})
        assert {one.version for one in server.burst(story.rows(300))} == {champion}
    assert story.entries("step") == []
    (end,) = story.entries("end")
    assert end.extra["outcome"] == "rolled back"
    assert end.evidence_digest
    assert "carrier=MQ" in end.reason
    assert story.alias("champion") == champion
    assert story.alias("challenger") is None
    assert story.project.rollout_status().rollout.status == "rolled back"
