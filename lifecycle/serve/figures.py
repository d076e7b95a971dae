r"""A server's counts and latencies as plain integers, and as Prometheus' text.

>>> figures = Figures()
>>> figures.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
>>> "lifecycle_rows_total{model=\"churn\",version=\"7\"} 3" in figures.text()
True

The text is Prometheus' exposition format 0.0.4,
https://prometheus.io/docs/instrumenting/exposition_formats/. Each worker process counts for itself.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

BOUNDS_MS = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_BOUNDS_NS = [int(bound * 1e6) for bound in BOUNDS_MS]
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # requests in one call
_NUMBER = "lifecycle_{}"

Labels = Mapping[str, object]


class Figures:
    """Counts since the process started; the event loop's, but swaps are another thread's."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int, int], int] = {}  # model, version, status
        self.rows: dict[tuple[str, int], int] = {}
        self.refused: dict[tuple[str, int], int] = {}  # path, status; before a version was chosen
        self.buckets: dict[tuple[str, int], list[int]] = {}
        self.nanoseconds: dict[tuple[str, int], int] = {}
        self.sizes: dict[tuple[str, int], list[int]] = {}  # calls of the model by their requests
        self.batched: dict[tuple[str, int], int] = {}  # requests in all those calls
        # model, version, arm, step: requests answered, failed, answered by the champion instead
        self.arms: dict[tuple[str, int, str, int], list[int]] = {}
        self.labels: dict[str, int] = {}
        self.swaps: dict[str, int] = {}
        self.swap_failures: dict[str, int] = {}
        self.reasons: dict[str, str] = {}  # why the newest version of a model does not serve
        self.polls_failed = 0
        self.not_logged = 0  # rows that were answered and could not be logged

    def answered(
        self, model: str, version: int, status: int, *, rows: int = 0, nanoseconds: int = 0
    ) -> None:
        """Count one request that a version was asked to answer."""
        key = (model, version)
        counted = (model, version, status)
        self.requests[counted] = self.requests.get(counted, 0) + 1
        if rows:
            self.rows[key] = self.rows.get(key, 0) + rows
            buckets = self.buckets.setdefault(key, [0] * (len(_BOUNDS_NS) + 1))
            buckets[bisect_left(_BOUNDS_NS, nanoseconds)] += 1
            self.nanoseconds[key] = self.nanoseconds.get(key, 0) + nanoseconds

    def answered_together(
        self, model: str, version: int, rows: int, nanoseconds: Sequence[int]
    ) -> None:
        """Count requests that a version answered in one call.

        Args:
            model: the model's name.
            version: the version.
            rows: of all requests together.
            nanoseconds: how long each request took.
        """
        key, counted, requests = (model, version), (model, version, 200), len(nanoseconds)
        self.requests[counted] = self.requests.get(counted, 0) + requests
        self.rows[key] = self.rows.get(key, 0) + rows
        self.nanoseconds[key] = self.nanoseconds.get(key, 0) + sum(nanoseconds)
        buckets = self.buckets.setdefault(key, [0] * (len(_BOUNDS_NS) + 1))
        for taken in nanoseconds:
            buckets[bisect_left(_BOUNDS_NS, taken)] += 1

    def called(self, model: str, version: int, requests: int) -> None:
        """Count one call of a version, for so many requests."""
        sizes = self.sizes.setdefault((model, version), [0] * (len(SIZES) + 1))
        sizes[bisect_left(SIZES, requests)] += 1
        key = (model, version)
        self.batched[key] = self.batched.get(key, 0) + requests

    def arm(self, model: str, version: int, arm: str, step: int) -> list[int]:
        """The counts of one arm of a plan, for whoever answers in it to add to.

        >>> figures = Figures()
        >>> figures.arm("churn", 8, "challenger", 2)[0] += 3
        >>> figures.arm("churn", 8, "challenger", 2)
        [3, 0, 0]

        Returns:
            Requests that it answered, that it failed on, and that the champion answered instead.
        """
        return self.arms.setdefault((model, version, arm, step), [0, 0, 0])

    def turned_away(self, path: str, status: int) -> None:
        """Count one request that reached no version."""
        self.refused[path, status] = self.refused.get((path, status), 0) + 1

    def swapped(self, model: str) -> None:
        """Count one version that took another's place."""
        self.swaps[model] = self.swaps.get(model, 0) + 1
        self.reasons.pop(model, None)

    def not_swapped(self, model: str, reason: str) -> None:
        """Count one version that could not be loaded, and keep why."""
        self.swap_failures[model] = self.swap_failures.get(model, 0) + 1
        self.reasons[model] = reason

    def _arms(self, family: Callable[[str, str, str], str]) -> Iterator[str]:
        """What each arm did; of an arm that met nobody nothing."""
        met = [item for item in self.arms.copy().items() if any(item[1])]
        for place, (short, about) in enumerate(_ARMS.items()):
            name = family(short, "counter", about)
            for (model, version, arm, step), counts in met:
                labels = {"model": model, "version": version, "arm": arm, "step": step}
                yield _line(name, labels, sum(counts[:2]) if not place else counts[place])

    def text(self, gauges: Iterable[tuple[str, str, Labels, float]] = ()) -> str:
        """The figures in Prometheus' text format.

        What other threads count is copied at once: `list(….items())` makes a pair for each item,
        between two of which a collection of garbage may let another thread run.

        Args:
            gauges: name, help, labels and value of what is not counted here.
        """
        lines: list[str] = []

        def family(name: str, kind: str, about: str) -> str:
            full = _NUMBER.format(name)
            lines.extend((f"# HELP {full} {about}", f"# TYPE {full} {kind}"))
            return full

        name = family("requests_total", "counter", "Requests by version and HTTP status.")
        for (model, version, status), count in self.requests.items():
            lines.append(_line(name, {"model": model, "version": version, "status": status}, count))
        lines += self._arms(family)
        name = family("refused_total", "counter", "Requests that reached no version.")
        for (path, status), count in self.refused.items():
            lines.append(_line(name, {"path": path, "status": status}, count))
        name = family("rows_total", "counter", "Rows answered.")
        for (model, version), count in self.rows.items():
            lines.append(_line(name, {"model": model, "version": version}, count))
        name = family("latency_seconds", "histogram", "From the whole request to its answer.")
        edges = [f"{bound / 1000:g}" for bound in BOUNDS_MS]
        for key, buckets in self.buckets.items():
            lines += _histogram(name, key, edges, buckets, self.nanoseconds[key] / 1e9)
        name = family("batch_requests", "histogram", "Requests that one call of a model answered.")
        for key, sizes in self.sizes.items():
            lines += _histogram(name, key, [f"{size}" for size in SIZES], sizes, self.batched[key])
        name = family("labels_total", "counter", "Late labels accepted.")
        lines.extend(_line(name, {"model": key}, count) for key, count in self.labels.items())
        name = family("not_logged_rows_total", "counter", "Rows answered that are not in the log.")
        lines.append(_line(name, {}, self.not_logged))
        name = family("swaps_total", "counter", "Versions that took another's place.")
        lines.extend(_line(name, {"model": key}, count) for key, count in self.swaps.copy().items())
        name = family("swap_failures_total", "counter", "Versions that could not be loaded.")
        lines.extend(
            _line(name, {"model": key}, count) for key, count in self.swap_failures.copy().items()
        )
        name = family("refused_version_info", "gauge", "Why a model's newest version waits.")
        lines.extend(
            _line(name, {"model": key, "reason": reason}, 1)
            for key, reason in self.reasons.copy().items()
        )
        name = family("registry_failures_total", "counter", "Times the registry did not answer.")
        lines.append(_line(name, {}, self.polls_failed))
        seen = ""
        for short, about, wanted, value in gauges:
            if short != seen:
                name, seen = family(short, "gauge", about), short
            lines.append(_line(name, wanted, value))
        name = family("process", "gauge", "The worker process that answered this.")
        lines.append(_line(name, {"pid": os.getpid()}, 1))
        return "\n".join(lines) + "\n"


_ARMS = {
    "arm_requests_total": "Requests that an arm was drawn for, and such as counted for none.",
    "arm_errors_total": "Requests that an arm failed on.",
    "arm_fallbacks_total": "Requests that the champion answered because an arm failed.",
}


def _histogram(
    name: str, key: tuple[str, int], edges: Sequence[str], counts: Sequence[int], total: float
) -> list[str]:
    labels: dict[str, object] = {"model": key[0], "version": key[1]}
    lines = [
        _line(f"{name}_bucket", {**labels, "le": edge}, count)
        for edge, count in zip([*edges, "+Inf"], accumulate(counts), strict=True)
    ]
    return [
        *lines,
        _line(f"{name}_sum", labels, total),
        _line(f"{name}_count", labels, sum(counts)),
    ]


def _line(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(str(item))}"' for key, item in labels.items())
    return f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
