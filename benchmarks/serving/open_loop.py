"""Latency under a load that does not wait: requests come by a Poisson process, at a given rate.

    python open_loop.py PORT PATH REQUESTS-FILE RATE SECONDS [CONNECTIONS]

A request's latency counts from when it should have been sent, so that a server that stalls is
charged for all that should have come meanwhile (wrk, which waits for an answer before it sends the
next request, leaves those out: "coordinated omission"). The client polls without sleeping, on a
core of its own; how late it sent although a connection was free is printed beside, as is the share
of its time that it was busy.

>>> times = arrivals(1000.0, 2.0, seed=1)
>>> 1800 < len(times) < 2200 and 0 < times[0] < times[-1] < 2
True
"""

import gc
import json
import random
import select
import socket
import sys
import time
from pathlib import Path

CONNECTIONS = 128
PATIENCE = 10.0  # seconds that answers may come after the last request was due


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of a Poisson process, in seconds from its start."""
    draw = random.Random(seed)
    times, now = [], draw.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += draw.expovariate(rate)
    return times


def whole(answer: bytes) -> bool:
    r"""Whether an answer has all of its body.

    Raises:
        ValueError: it is not 200, or does not say how long it is.

    >>> whole(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
    False
    """
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"an answer is not 200: {answer[:200]!r}")
    lower = head.lower() + b"\r\n"
    length = lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


def drive(
    port: int, path: str, bodies: list[str], times: list[float], connections: int = CONNECTIONS
) -> tuple[list[float], list[float], float]:
    """Send a request at each of the times, or as soon after as a connection is free.

    Returns:
        Latencies in seconds from the time that each was due; how late each left although it could
        have left; the share of the time that was spent on sending and receiving.

    Raises:
        ValueError: an answer is not 200.
        OSError: a connection broke.
        TimeoutError: answers are missing long after the end.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    prepared = [f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode() for body in bodies]
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()] = one
        poller.register(one, select.EPOLLIN)
    free, due, parts = list(sockets), dict.fromkeys(sockets, 0.0), dict.fromkeys(sockets, b"")
    latencies: list[float] = []
    late: list[float] = []
    clock, idle, sent, waiting = time.perf_counter, 0.0, 0, False
    begun = clock()
    gc.disable()  # a collection would be charged to the server
    try:
        while len(latencies) < len(times):
            now = clock() - begun
            while sent < len(times) and times[sent] <= now:
                if not free:
                    waiting = True
                    break
                handle = free.pop()
                due[handle] = times[sent]
                if not waiting:
                    late.append(now - times[sent])
                waiting = False
                sockets[handle].sendall(prepared[sent % len(prepared)])
                sent += 1
                now = clock() - begun
            ready = poller.poll(0)
            for handle, _ in ready:
                answer = parts[handle] + sockets[handle].recv(1 << 18)
                if answer == parts[handle]:
                    raise ConnectionError("the server closed a connection")
                parts[handle] = answer
                if whole(answer):
                    latencies.append(clock() - begun - due[handle])
                    parts[handle] = b""
                    free.append(handle)
            if not ready:
                after = clock() - begun
                idle += after - now
                if after > times[-1] + PATIENCE:
                    raise TimeoutError(f"{len(times) - len(latencies)} answers are missing")
        return latencies, late, 1 - idle / (clock() - begun)
    finally:
        gc.enable()
        poller.close()
        for one in sockets.values():
            one.close()


def percentile(values: list[float], share: float) -> float:
    """The smallest value that a share of all does not exceed.

    >>> percentile([4.0, 1.0, 2.0, 3.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def main() -> None:
    """Print a line of JSON; times in microseconds."""
    port, path, requests, rate, seconds, *rest = sys.argv[1:]
    bodies = Path(requests).read_text(encoding="utf-8").splitlines()
    times = arrivals(float(rate), float(seconds), seed=0)
    latencies, late, busy = drive(int(port), path, bodies, times, *map(int, rest))
    found = {
        "requests": len(latencies),
        "rate": float(rate),
        "busy": busy,
        "p50_us": percentile(latencies, 0.5) * 1e6,
        "p99_us": percentile(latencies, 0.99) * 1e6,
        "late_p99_us": percentile(late, 0.99) * 1e6,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
