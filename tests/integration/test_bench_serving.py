"""The benchmark of serving: checked before it is timed, every figure beside its goal."""

import argparse
import asyncio
import contextlib
import doctest
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "serving"))

from cells import Cell, Kept
from environments import PACKAGES, folder_of, install, versions
from open_loop import arrivals, drive, percentile, whole
from processes import BenchError, Load, Running, cores, free_port, wrk
from results import RATIOS, Goal, document, shown
from servers import KNOWN, OWN, PEERS, SERVERS, Place, Server, check, mlserver, predictions, start
from subjects import ASKED, FLOATS, SUBJECTS, TARGET, body, labelled, rows
from turns import LOADS, throughput

BENCH = Path(__file__).parents[2] / "benchmarks" / "serving"
LINEAR = SUBJECTS["linear"]
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")

# a server of the standard library: what it answers is the argument
SERVER = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kind, port = sys.argv[1], int(sys.argv[2])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def said(self, status, tree):
        content = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.said(200, "pong")

    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = data["dataframe_split"]["data"]
        labels = [int(row[0] > 0) for row in rows]
        if kind == "wrong" and rows[0][0] > 1:
            labels[0] = 1 - labels[0]
        if kind == "short":
            labels = labels[1:] or labels
        if kind == "refusing" and len(rows) > 1:
            return self.said(413, {"error": "too many rows"})
        self.said(200, {"predictions": labels})

    def log_message(self, *arguments):
        pass


print("listening", flush=True)
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A scratch folder as subjects.py makes it, of a model that a line of code can be."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "server.py").write_text(SERVER, encoding="utf-8")
    model = folder / "linear"
    model.mkdir()
    frame = rows(LINEAR, ASKED, seed=3)
    labels = (frame[FLOATS[0]] > 0).astype(int).tolist()
    (model / "answers.json").write_text(json.dumps({"answers": labels}), encoding="utf-8")
    singles = [body("split", frame.iloc[[at]]) for at in range(ASKED)]
    (model / "split-1.txt").write_text("\n".join(singles) + "\n", encoding="utf-8")
    (model / f"split-{ASKED}.txt").write_text(body("split", frame) + "\n", encoding="utf-8")
    return folder


def fake(kind: str, work: Path) -> Server:
    def command(place: Place) -> list[str]:
        return [sys.executable, str(work / "server.py"), kind, str(place.port)]

    return Server("fake", "a server", command)


def place(work: Path, folder: Path) -> Place:
    return Place(LINEAR, work, folder, free_port(), Path(sys.executable).parent)


# models and their requests


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_a_body_of_one_row_has_about_1200_bytes(subject):
    frame = rows(subject, 20, seed=3)
    assert tuple(frame.columns) == subject.columns
    sizes = [len(body("split", frame.iloc[[at]])) for at in range(20)]
    assert 1100 < np.mean(sizes) < 1300


@pytest.mark.parametrize("subject", [LINEAR, SUBJECTS["mixed"]], ids=["floats", "strings"])
def test_every_form_holds_the_same_rows_with_all_their_digits(subject):
    frame = rows(subject, 3, seed=3)
    wanted = frame.to_numpy().tolist()
    split = json.loads(body("split", frame))["dataframe_split"]
    assert (split["columns"], split["data"]) == (list(subject.columns), wanted)
    assert json.loads(body("rows", frame))["rows"] == wanted
    tensors = json.loads(body("v2", frame))["inputs"]
    for tensor in tensors:
        assert np.prod(tensor["shape"]) == len(tensor["data"])
    if subject.texts:
        assert [tensor["name"] for tensor in tensors] == list(subject.columns)
        columns = [tensor["data"] for tensor in tensors]
        assert [list(row) for row in zip(*columns, strict=True)] == wanted
    else:
        assert np.reshape(tensors[0]["data"], tensors[0]["shape"]).tolist() == wanted


@pytest.mark.parametrize("name", KNOWN)
def test_the_models_have_something_to_learn(name):
    subject = SUBJECTS[name]
    frame = labelled(subject)
    assert 0.4 < frame[TARGET].mean() < 0.6
    model = subject.make().fit(frame[list(subject.columns)][:2000], frame[TARGET][:2000])
    rest = frame[2000:]
    assert model.score(rest[list(subject.columns)], rest[TARGET]) > 0.6


def test_rows_are_the_same_in_every_run():
    assert rows(LINEAR, 5, seed=3).equals(rows(LINEAR, 5, seed=3))
    assert not rows(LINEAR, 5, seed=3).equals(rows(LINEAR, 5, seed=4))


# servers, and the check before they are timed


@pytest.mark.parametrize(
    "module",
    ["cells", "environments", "open_loop", "processes", "results", "servers", "subjects", "turns"],
)
def test_examples_in_the_texts_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_a_server_that_answers_as_the_model_passes(work: Path, tmp_path: Path):
    server, where = fake("right", work), place(work, tmp_path)
    running, ready = start(server, where, cores()[0])
    with running:
        assert 0 < ready < 30
        assert check(server, where) == 2 * ASKED
        assert "listening" in running.last_words()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong", "1 rows a body: .* answers differ, the first"),
        ("short", "100 rows a body: 99 answers to 100 rows"),
        ("refusing", "100 rows: 413: .*too many rows"),
    ],
)
def test_a_server_that_answers_otherwise_is_not_timed(work: Path, tmp_path: Path, kind, reason):
    server, where = fake(kind, work), place(work, tmp_path)
    running, _ = start(server, where, cores()[0])
    with running, pytest.raises(BenchError, match=reason):
        check(server, where)


def test_scores_may_differ_in_the_seventh_digit_labels_not_at_all(work: Path, tmp_path: Path):
    shutil.copytree(work, tmp_path / "work")
    answers = tmp_path / "work" / "linear" / "answers.json"
    labels = json.loads(answers.read_text(encoding="utf-8"))["answers"]
    server, where = fake("right", work), place(tmp_path / "work", tmp_path)
    running, _ = start(server, where, cores()[0])
    with running:
        for shift, same in ((1e-8, True), (1e-4, False)):
            scores = {"answers": [label + shift for label in labels]}
            answers.write_text(json.dumps(scores), encoding="utf-8")
            with contextlib.nullcontext() if same else pytest.raises(BenchError, match="differ"):
                check(server, where)


def test_answers_of_all_protocols_are_read():
    assert predictions(b'{"predictions": [1, 0]}') == [1, 0]
    assert predictions(b'{"outputs": [{"data": [0.5]}]}') == [0.5]
    assert predictions(b"[1, 0]") == [1, 0]
    assert predictions(b'{"predictions": [[0.25], [0.75]]}') == [0.25, 0.75]


def test_a_server_that_ends_or_is_not_installed_says_why(work: Path, tmp_path: Path):
    def ending(_place: Place) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.exit('no such model')"]

    where = place(work, tmp_path)
    with pytest.raises(BenchError, match="it ended with 1: no such model"):
        start(Server("fake", "a server", ending), where, cores()[0])
    absent = Place(LINEAR, work, tmp_path, where.port, tmp_path / "nowhere")
    with pytest.raises(BenchError, match=r"run\.py --install"):
        start(fake("right", work), absent, cores()[0])


def test_a_server_that_never_answers_is_ended(tmp_path: Path):
    output = tmp_path / "output.txt"
    command = [sys.executable, "-c", "print('loading', flush=True); import time; time.sleep(60)"]
    with Running(command, core=cores()[0], output=output) as running:
        with pytest.raises(BenchError, match="did not answer /ping in 1 s: loading"):
            running.wait(free_port(), "/ping", seconds=1)
        pid = running.process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_every_server_has_its_environment_and_its_command(work: Path, tmp_path: Path):
    assert set(SERVERS) == {server.name for server in (*OWN, *PEERS)}
    assert {server.environment for server in SERVERS.values()} - {""} == set(PACKAGES)
    for server in SERVERS.values():
        folder = tmp_path / server.name
        folder.mkdir()
        where = Place(LINEAR, work, folder, 4321, tmp_path / "bin")
        command = server.command(where)
        assert command[0].startswith(str(tmp_path / "bin"))
        written = "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
        assert "4321" in " ".join(command) + written
        for part in command:
            assert not part.endswith(".py") or Path(part).exists()
        assert set(server.models) <= set(SUBJECTS)


def test_mlserver_is_told_to_put_requests_together_only_where_asked(work: Path, tmp_path: Path):
    for batch in (0, 64):
        mlserver(batch, 0.002)(Place(LINEAR, work, tmp_path, 4321, tmp_path))
        told = json.loads((tmp_path / "model-settings.json").read_text(encoding="utf-8"))
        assert told.get("max_batch_size", 0) == batch


# processes


def test_all_that_a_server_starts_is_measured_pinned_paused_and_ended(tmp_path: Path):
    child = "import os, time\nos.setsid()\nwhile True: os.getpid()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with Running([sys.executable, "-c", parent], core=cores()[0], folder=tmp_path) as running:
        deadline = time.monotonic() + 20
        while running.cpu_seconds() < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        pids = running.pids()
        assert len(pids) == 2  # the child has a session of its own
        assert {tuple(os.sched_getaffinity(pid)) for pid in pids} == {(cores()[0],)}
        assert running.resident_mb() > 1
        running.pause()
        time.sleep(0.1)
        spent = running.cpu_seconds()
        time.sleep(0.3)
        assert running.cpu_seconds() == spent
        running.go_on()
        deadline = time.monotonic() + 20
        while running.cpu_seconds() == spent and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running.cpu_seconds() > spent
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # a zombie, until its new parent looks
            assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_server_that_is_paused_can_be_ended(tmp_path: Path):
    with Running(["sleep", "60"], core=cores()[0], folder=tmp_path) as running:
        running.pause()
    assert running.process.returncode == -signal.SIGTERM


# wrk


@needs_wrk
def test_wrk_sends_the_requests_in_turn_and_counts_what_was_answered(work: Path, tmp_path: Path):
    where = place(work, tmp_path)
    running, _ = start(fake("right", work), where, cores()[0])
    with running:
        file = where.model / "split-1.txt"
        found = wrk(where.port, "/invocations", file, Load(2), seconds=1, core=cores()[1])
    assert found["requests"] > 0
    assert 0 < found["p50_us"] <= found["p99_us"]
    assert 900_000 < found["microseconds"] < 10_000_000


@needs_wrk
def test_a_run_with_refused_requests_is_no_figure(work: Path, tmp_path: Path):
    where = place(work, tmp_path)
    running, _ = start(fake("refusing", work), where, cores()[0])
    with running, pytest.raises(BenchError, match="refused"):
        wrk(where.port, "/", where.model / "split-100.txt", Load(2), seconds=1, core=cores()[1])


# open loop


class Slow:
    """A server on an event loop in a thread; it stands still for a while once."""

    def __init__(self, *, stall: float = 0.0, status: str = "200 OK", silent: bool = False) -> None:
        self.stall, self.status, self.silent, self.asked = stall, status, silent, 0
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        asyncio.run(self.serve())

    async def serve(self) -> None:
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.end.wait()  # asyncio.run ends what still talks
        server.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.closing(writer),
            contextlib.suppress(asyncio.IncompleteReadError, ConnectionError),
        ):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(
                    int(head.lower().partition(b"content-length:")[2].split()[0])
                )
                self.asked += 1
                if self.stall and self.asked == 20:
                    time.sleep(self.stall)  # the whole server, not this connection
                if not self.silent:
                    writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 2\r\n\r\n".encode())
                    writer.write(b"{}")

    def __enter__(self) -> "Slow":
        self.thread.start()
        self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)


def test_a_stall_is_charged_for_all_that_was_due_meanwhile():
    with Slow(stall=0.4) as server:
        times = [place / 200 for place in range(1, 161)]  # 0.8 s; 80 of them fall into the stall
        latencies, late, busy = drive(server.port, "/", ["{}", "[]"], times, connections=4)
    assert len(latencies) == len(times) == server.asked
    assert sum(latency > 0.1 for latency in latencies) >= 40  # a closed loop would count 4
    assert max(latencies) > 0.35
    assert len(late) <= len(times)
    assert 0 < busy <= 1


def test_what_is_not_answered_well_is_an_error(monkeypatch):
    with Slow(status="503 Service Unavailable") as server, pytest.raises(ValueError, match="503"):
        drive(server.port, "/", ["{}"], [0.01], connections=1)
    monkeypatch.setattr("open_loop.PATIENCE", 0.2)
    with Slow(silent=True) as server, pytest.raises(TimeoutError, match="2 answers are missing"):
        drive(server.port, "/", ["{}"], [0.01, 0.02], connections=1)


@given(st.floats(50, 5000), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_arrivals_are_a_poisson_process(rate, seed):
    times = arrivals(rate, 4.0, seed)
    assert times == sorted(times)
    assert all(0 < when < 4 for when in times)
    assert abs(len(times) - 4 * rate) < 6 * (4 * rate) ** 0.5
    gaps = np.diff(times)
    assert 0.5 < gaps.std() / gaps.mean() < 1.6  # exponential: 1; evenly spaced: 0


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99]))
@settings(max_examples=50, deadline=None)
def test_a_percentile_has_its_share_of_values_at_or_below_it(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_an_answer_is_whole_when_its_body_is_there():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nX-Other: 7\r\n\r\n"
    assert not whole(head[:20])
    assert not whole(head + b"ab")
    assert whole(head + b"abc")
    with pytest.raises(ValueError, match="is not 200"):
        whole(head.replace(b"200 OK", b"503 No"))
    with pytest.raises(ValueError, match="invalid literal"):
        whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


# cells


def filled(path: Path, figures: dict[tuple[str, str, str], list[float]]) -> Kept:
    kept = Kept(path)
    for (server, model, what), values in figures.items():
        for turn, value in enumerate(values):
            kept.add(Cell(server, model, what, turn), {"per_second": value, "cpu_us": 1e6 / value,
                                                       "mb": 100.0})  # fmt: skip
    return kept


def test_cells_are_kept_and_a_line_that_was_cut_off_is_measured_again(tmp_path: Path):
    path = tmp_path / "cells.jsonl"
    filled(path, {("ours", "linear", "16"): [1.0, 2.0, 3.0]})
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-20], encoding="utf-8")
    kept = Kept(path)
    assert kept.has(Cell("ours", "linear", "16", 1))
    assert not kept.has(Cell("ours", "linear", "16", 2))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert kept.cells["ours|linear|16|0"]["load"] >= 0
    for cell in kept.cells.values():
        cell["nice"] = 0
    assert "niceness" not in written(kept)
    kept.cells["ours|linear|16|0"]["nice"] = -10
    assert "; niceness -10 and 0. This run" in written(kept)


def test_what_failed_and_who_is_named_is_measured_again(tmp_path: Path):
    kept = filled(
        tmp_path / "c", {("ours", "linear", "1"): [1.0], ("mlflow", "linear", "1"): [1.0]}
    )
    kept.add(Cell("ray", "linear", "1"), {"failed": "no"})
    kept.forget(("ours",))
    assert list(kept.cells) == list(Kept(tmp_path / "c").cells)
    assert list(kept.cells) == ["mlflow|linear|1|0", "ray|linear|1|0"]
    assert not kept.has(Cell("ray", "linear", "1"))
    assert "- Ray Serve, linear, 1: no" in written(kept)  # until it is measured


def test_a_ratio_is_of_runs_that_came_after_one_another(tmp_path: Path):
    kept = filled(
        tmp_path / "c",
        {("ours", "linear", "1"): [10.0, 40.0, 90.0], ("mlflow", "linear", "1"): [1.0, 2.0, 3.0]},
    )
    assert kept.ratio("ours", "mlflow", "linear", "1") == 20.0
    assert kept.median("ours", "linear", "1", "per_second") == 40.0
    kept.add(Cell("mlflow", "linear", "1", 1), {"failed": "no"})
    assert kept.ratio("ours", "mlflow", "linear", "1") == 20.0  # of 10 and 30
    assert kept.ratio("ours", "ray", "linear", "1") is None
    assert kept.median("ray", "linear", "1", "per_second") is None


# results


def written(kept: Kept) -> str:
    return document(kept, command="python run.py", minutes=3, environments=Path("nowhere"))


def table(text: str, title: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    lines = text[text.index(title) :].splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("|"))
    body = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in line.strip("|").split("|")])
    return body


def test_goals_stand_beside_the_figures_and_what_misses_them_is_marked(tmp_path: Path):
    figures = {}
    for load, ours in zip(LOADS, (2600.0, 5900.0, 11000.0, 1600.0), strict=True):
        figures["mlflow", "linear", load.name] = [100.0] * 3
        figures["ours", "linear", load.name] = [ours] * 3
    text = written(filled(tmp_path / "c", figures))
    _, _, row = table(text, "ratio to `mlflow models serve`")
    assert row == [
        "linear", "26x (≥ 25x)", "**59x** (missed: ≥ 60x)", "110x (≥ 100x)", "16x (≥ 15x)",
    ]  # fmt: skip
    assert "**1 figures miss their goal**, 3 more reach it." in text
    _, _, row = table(text, "## CPU time a request, `mlflow")
    assert row == ["linear", "26x", "59x", "110x", "16x"]
    for title in ("ratio to", "## Requests a second\n", "CPU time of the server"):
        found = table(text, title)
        assert {len(cells) for cells in found} == {len(found[0])}


def test_the_limit_is_the_faster_one_with_bodies_like_the_models(tmp_path: Path):
    text = written(
        filled(
            tmp_path / "c",
            {
                ("ours", "forest", "16"): [50.0],
                ("unlogged", "forest", "16"): [100.0],
                ("uvicorn", "linear", "16"): [100.0],
                ("granian", "linear", "16"): [200.0],
            },
        )
    )
    assert table(text, "## Beside the HTTP limit")[-1] == [
        "forest", "**25 %** (missed: ≥ 45 %)", "**50 %** (missed: ≥ 55 %)",
        "**50 %** (missed: ≥ 80 %)",
    ]  # fmt: skip


def test_start_memory_workers_and_latency_have_their_rows(tmp_path: Path):
    kept = filled(
        tmp_path / "c",
        {
            ("ours", "linear", "1 workers"): [1000.0] * 3,
            ("ours", "linear", "2 workers"): [800.0] * 3,
            ("ours", "linear", "64"): [1000.0],
        },
    )
    kept.add(
        Cell("ours", "linear", "start"), {"ready": 2.5, "spent": 1.75, "mb": 310.0, "compared": 200}
    )
    told = {"rate": 5000.0, "p50_us": 100.0, "p99_us": 450.0, "late_p99_us": 9.0, "busy": 0.25}
    kept.add(Cell("ours", "linear", "latency"), told)
    kept.add(Cell("uvicorn", "linear", "latency"), told | {"p99_us": 2500.0})
    text = written(kept)
    assert table(text, "## Start")[-1] == [
        "`lifecycle serve`", "linear", "2.5 s (≤ 4 s)", "1.8 s", "**310 MB** (missed: ≤ 300 MB)",
        "**25 %** (missed: ≤ 15 %)", "200",
    ]  # fmt: skip
    assert table(text, "## Latency at half")[-2:] == [
        ["`lifecycle serve`", "linear", "5,000", "100", "450", "4.5 (≤ 5)", "9.0", "25 %"],
        ["HTTP limit: raw ASGI on uvicorn", "linear", "5,000", "100", "2,500", "25", "9.0", "25 %"],
    ]


def test_a_peer_that_is_ahead_is_named(tmp_path: Path):
    figures = {("ours", "linear", "1"): [100.0], ("fastapi", "linear", "1"): [99.0]}
    text = written(filled(tmp_path / "c", figures))
    assert text.count("No peer is ahead of ours in any cell.") == 2  # by rate and by CPU time
    text = written(filled(tmp_path / "d", {**figures, ("ray", "linear", "1"): [101.0]}))
    assert text.count("**Ahead of ours** (missed: ≤ none): Ray Serve (linear, 1 connection).") == 2


def test_what_could_not_be_measured_stands_below_with_its_reason(tmp_path: Path):
    kept = Kept(tmp_path / "c")
    for turn in range(3):
        kept.add(Cell("ray", "linear", "16", turn), {"failed": "of 9 requests 3 refused, 0 broken"})
    text = written(kept)
    line = "- Ray Serve, linear, 16: of 9 requests 3 refused, 0 broken"
    assert text.count(line) == 1
    assert "## Requests a second" not in text
    assert "All 0 figures" in text


def test_goals_of_the_issue_are_there_for_every_model():
    assert set(RATIOS) == set(SUBJECTS)
    assert all(len(goals) == len(LOADS) for goals in RATIOS.values())
    assert Goal(4.0, most=True).reached(4.0)
    assert not Goal(4.0, most=True).reached(4.1)
    assert Goal(25.0).reached(25.0)
    assert [shown(value) for value in (0.04, 9.96, 1234.5)] == ["0.0", "10.0", "1,234"]


# the command


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(BENCH / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_mistakes_are_told_before_anything_is_measured(tmp_path: Path):
    output = f"--output={tmp_path / 'RESULTS.md'}"
    for argument, text in (
        ("--only=linaer", "unknown name 'linaer': linear, mixed"),
        ("--peers=torchserve", "unknown name 'torchserve': mlflow"),
        ("--parts=speed", "unknown name 'speed': throughput"),
        ("--again=us", "unknown name 'us'"),
    ):
        done = bench(argument, output)
        assert done.returncode
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_wrk_the_command_says_what_to_install(tmp_path: Path):
    command = [sys.executable, str(BENCH / "run.py"), f"--output={tmp_path / 'RESULTS.md'}"]
    environ = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: install it first: apt-get install wrk util-linux\n"


def test_an_environment_that_cannot_be_made_says_why_and_one_that_is_there_stays(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setitem(PACKAGES, "granian", ("./no-such-folder",))
    with pytest.raises(BenchError, match=r"granian: .*no-such-folder"):
        install("granian", tmp_path)
    assert not (tmp_path / "granian" / "installed.json").exists()
    (tmp_path / "granian" / "installed.json").write_text("[]", encoding="utf-8")
    install("granian", tmp_path)
    assert folder_of("granian", tmp_path) == tmp_path / "granian" / "bin"
    assert folder_of("", tmp_path) == Path(sys.executable).parent
    monkeypatch.setitem(PACKAGES, "granian", ("pip",))
    assert set(versions("granian", tmp_path)) == {"pip"}


@needs_wrk
@pytest.mark.slow
def test_one_command_trains_serves_checks_measures_and_goes_on(tmp_path: Path):
    output = tmp_path / "RESULTS.md"
    given = [f"--output={output}", f"--work={tmp_path / 'work'}", "--only=linear"]
    given += ["--seconds=1", "--rounds=1", f"--environments={tmp_path / 'none'}"]
    first = bench(*given, "--servers=ours,unlogged,uvicorn,granian")
    assert first.returncode == 0, first.stderr
    text = output.read_text(encoding="utf-8")
    assert text == first.stdout.removesuffix("\n")
    assert "`lifecycle serve`, log off" in text
    assert "granian RSGI, linear, start: it is not installed" in text
    assert table(text, "## Start")[-1][-1] == "200"
    assert len(table(text, "## Latency at half")) == 4  # the limit has a row, too
    assert "ours|linear|2 workers|0" in (output.parent / ".partial" / "cells.jsonl").read_text()
    again = bench(*given, "--servers=ours,uvicorn", "--resume", "--parts=throughput")
    assert again.returncode == 0
    assert "starts" not in again.stderr  # all is there


def test_a_peer_that_does_not_start_is_tried_once_and_said(tmp_path: Path):
    kept = Kept(tmp_path / ".partial" / "cells.jsonl")
    options = argparse.Namespace(
        servers=["fastapi"], rounds=1, seconds=1, work=tmp_path, environments=tmp_path / "none"
    )
    for name in ("linear", "mixed"):
        throughput(SUBJECTS[name], options, kept)
    reasons = dict(kept.failures())
    assert "it is not installed" in reasons["fastapi|linear|start|0"]
    assert reasons["fastapi|mixed|start|0"] == "it did not start with another model"
    assert "fastapi" in Kept(tmp_path / ".partial" / "cells.jsonl").path.read_text()


def test_a_command_that_is_told_to_end_leaves_no_server_behind():
    code = f"""
import runpy, signal, sys
sys.path.insert(0, {str(BENCH)!r})
sys.argv = ["run.py", "--help"]
try:
    runpy.run_path({str(BENCH / "run.py")!r}, run_name="__main__")
except SystemExit:
    pass
from processes import Running
with Running(["sleep", "60"], core={cores()[0]}) as running:
    running.pause()
    print(running.process.pid, flush=True)
    signal.pause()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as one:
        assert one.stdout is not None
        pid = next(int(line) for line in one.stdout if line.strip().isdigit())
        assert Path(f"/proc/{pid}").exists()
        one.send_signal(signal.SIGTERM)
        one.wait(30)
    assert not Path(f"/proc/{pid}").exists()
