"""The demo's parts: what is sent, what a refusal of the server says, how a verdict reads."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import ClassVar

import pandas as pd
import pytest

from lifecycle import demo
from lifecycle.errors import ServeError
from lifecycle.records import ColumnDrift, Decision, DriftReport, MonitorReport, Outcome


class Answers(BaseHTTPRequestHandler):
    """A small server that speaks as ours does; it keeps what it was sent."""

    seen: ClassVar[list[dict]] = []
    status: ClassVar[int] = 200

    def _say(self, status: int, payload: dict) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._say(200, {})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, **sent})
        rows = sent["dataframe_split"]["data"]
        self._say(self.status, {"predictions": [0] * len(rows)})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    Answers.seen.clear()
    Answers.status = 200
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def flown() -> pd.DataFrame:
    times = pd.date_range("2013-04-01", periods=2500, freq="min")
    return pd.DataFrame({"time": times, "flight_id": range(2500), "temp": 1.5})


def test_flights_are_sent_in_their_order_in_batches(port: int, flown: pd.DataFrame) -> None:
    assert demo._send(port, flown) == 2500
    batches = [item["dataframe_split"] for item in Answers.seen]
    assert {item["path"] for item in Answers.seen} == {"/invocations"}
    assert [len(batch["data"]) for batch in batches] == [1000, 1000, 500]
    ids = [row[1] for batch in batches for row in batch["data"]]
    assert ids == list(range(2500))
    assert batches[0]["columns"] == ["time", "flight_id", "temp"]
    assert batches[0]["data"][1][0].startswith("2013-04-01T00:01:00")


def test_a_server_that_refuses_ends_the_demo_with_its_answer(
    port: int, flown: pd.DataFrame
) -> None:
    Answers.status = 503
    with pytest.raises(ServeError, match="the server answered 503"):
        demo._send(port, flown)
    assert len(Answers.seen) == 1


def test_a_server_that_never_comes_is_told_with_where_to_look() -> None:
    with pytest.raises(ServeError, match="did not get ready") as told:
        demo._connect(1, patience=0.2)
    assert told.value.where == "port 1"
    assert "server.log" in told.value.fix


def report(outcome: Outcome, *, moved: int = 0) -> MonitorReport:
    columns = {f"c{n}": ColumnDrift(f"c{n}", "numeric", n < moved, outcome) for n in range(3)}
    drift = DriftReport(outcome, columns, 100, 18_000)
    return MonitorReport("flights", 1, outcome, (), Decision(False, ()), drift)


@pytest.mark.parametrize(
    ("checked", "said"),
    [
        (report(Outcome.PASS), "18,000 flights, no drift"),
        (report(Outcome.UNSURE), "not enough evidence"),
        (report(Outcome.FAIL, moved=2), "flagged: 2 of 3 columns moved"),
    ],
)
def test_a_verdict_reads_in_a_few_words(checked: MonitorReport, said: str) -> None:
    assert demo._verdict(checked) == said


def test_the_story_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    screen = demo._Screen()
    with screen.progress:
        screen.doing("reading")
        screen.say("data", "first line", "second line")
    out, err = capsys.readouterr()
    assert out == "", "standard output is for --json"
    lines = [line.rstrip() for line in err.splitlines() if line.strip()]
    assert lines == ["data       first line", "           second line"]


def test_the_windows_of_the_story_do_not_overlap_and_hold_flights() -> None:
    table = demo.flights()
    day = table["time"]
    edges = [demo.TRAINED_UNTIL, demo.APRIL, demo.MAY, demo.JULY]
    assert edges == sorted(edges)
    for first, last in pairwise(edges):
        assert ((day >= first) & (day < last)).sum() > 10_000
    assert day.is_monotonic_increasing
    assert table["flight_id"].is_unique
    assert set(table["late"].unique()) <= {0, 1}
