"""Server processes: started on a core, waited for, stopped for a while, measured, ended.

>>> with Running(["sleep", "5"], core=0) as running:
...     len(running.pids())
1
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

WRK_TIMEOUT = 30  # seconds a request may take before wrk counts it as broken
TICKS = os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).parent


class BenchError(Exception):
    """Something that a table needs could not be measured, in words for the table."""


@dataclass(frozen=True)
class Load:
    """What wrk sends.

    Attributes:
        connections: kept open; each sends its next request when it has its answer.
        rows: of each body.
    """

    connections: int
    rows: int = 1

    @property
    def name(self) -> str:
        """What tables call it."""
        return str(self.connections) if self.rows == 1 else f"{self.rows} rows, {self.connections}"


class Running:
    """A server and all that it starts, in a session of its own, pinned to cores.

    Args:
        command: what to start.
        core: the core, or several as taskset writes them ("0,1").
        folder: its working folder.
        variables: environment variables beside ours.
        output: a file for what it says.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        self.output = output
        said: IO[bytes] | int = subprocess.DEVNULL if output is None else output.open("wb")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=folder,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if not isinstance(said, int):
            said.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def pids(self) -> list[int]:
        """The processes of its session, and those that left it but descend from it."""
        table = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError):
                    fields = _stat(int(entry.name))
                    table[int(entry.name)] = (int(fields[1]), int(fields[3]))  # parent, session
        top = self.process.pid
        found = {pid for pid, (_, session) in table.items() if top in (session, pid)}
        grown = True
        while grown:
            more = {pid for pid, (parent, _) in table.items() if parent in found} - found
            found |= more
            grown = bool(more)
        return sorted(found & table.keys())

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = _stat(pid)
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_mb(self) -> float:
        """Resident memory of its largest process, the one that holds the model."""
        pages = [0]
        for pid in self.pids():
            with contextlib.suppress(OSError):
                pages.append(int(_stat(pid)[21]))
        return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def wait(
        self, port: int, path: str, *, body: str | None = None, seconds: float = 60.0
    ) -> float:
        """Wait until a path answers 200.

        Returns:
            Seconds from the start to that answer.

        Raises:
            BenchError: it ended, or does not answer in time.
        """
        while time.perf_counter() - self.started < seconds:
            if self.process.poll() is not None:
                raise BenchError(f"it ended with {self.process.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ask(port, path, body)[0] == 200:
                    return time.perf_counter() - self.started
            time.sleep(0.02)
        raise BenchError(f"it did not answer {path} in {seconds:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it said, as one line."""
        text = self.output.read_text(errors="replace") if self.output else ""
        return " ".join(text.split())[-300:]

    def settle(self, *, seconds: float = 5.0) -> None:
        """Wait until it has answered what an earlier run left, and does nothing any more."""
        deadline, before = time.perf_counter() + seconds, self.cpu_seconds()
        while time.perf_counter() < deadline:
            time.sleep(0.1)
            now = self.cpu_seconds()
            if now - before <= 0.01:
                return
            before = now

    def pause(self) -> None:
        """Stop its processes, so that an idle server costs the one that is measured nothing."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let its processes run again."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask all its processes to end, and make them."""
        left = self.pids()
        self.go_on()
        with contextlib.suppress(OSError):
            os.kill(self.process.pid, signal.SIGTERM)
        deadline = time.perf_counter() + 10
        while time.perf_counter() < deadline and self.process.poll() is None:
            left = sorted({*left, *self.pids()})
            time.sleep(0.05)
        for pid in filter(_lives, left):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        while any(map(_lives, left)) and time.perf_counter() < deadline + 5:
            time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    with contextlib.suppress(OSError):
        return _stat(pid)[0] != "Z"
    return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, session and so on."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def free_port() -> int:
    """A port of the loopback address that nobody has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask(port: int, path: str, body: str | None = None) -> tuple[int, bytes]:
    """One request: GET, or POST where there is a body.

    Returns:
        Status and body of the answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wrk(port: int, path: str, requests: Path, load: Load, *, seconds: float, core: int) -> Any:
    """Drive a server for some seconds.

    Returns:
        What wrk.lua prints.

    Raises:
        BenchError: an answer was not 200, or a connection broke.
    """
    command = ["taskset", "-c", str(core), "wrk", "--threads", "1"]
    command += ["--connections", str(load.connections), "--duration", f"{seconds:g}s"]
    command += ["--timeout", f"{WRK_TIMEOUT}s", "--script", str(HERE / "wrk.lua")]
    command += [f"http://127.0.0.1:{port}{path}", "--", str(requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    found = json.loads(lines[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        counts = f"{found['refused']} refused, {found['broken']} broken"
        raise BenchError(f"of {found['requests']} requests {counts}")
    return found


def missing() -> str:
    """What has to be installed first, in words; empty where all is there."""
    wanted = {"wrk": "wrk", "taskset": "util-linux"}
    absent = [package for program, package in wanted.items() if shutil.which(program) is None]
    return f"install it first: apt-get install {' '.join(absent)}" if absent else ""


def cores() -> tuple[int, int]:
    """The core for servers and that for clients; the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]
