import re
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.figures import BOUNDS_MS, SIZES, Figures

SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+-]+)'
)


def check(text):
    """The rules of the exposition format 0.0.4; gives the samples by name and labels."""
    assert text.endswith("\n")
    types, found = {}, {}
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            assert line.split(" ", 3)[2] not in types
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge", "histogram"}
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match[1]
            family = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
            assert family in types
            assert list(types)[-1] == family  # samples of a family stand together
            key = line.rpartition(" ")[0]
            assert key not in found
            found[key] = float(match[4])
    return found


def test_the_text_is_prometheus_text():
    figures = Figures()
    figures.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
    figures.answered("churn", 7, 200, rows=1, nanoseconds=20_000_000_000)
    figures.answered("churn", 7, 400)
    figures.turned_away("/ping", 405)
    figures.labels["churn"] = 4
    figures.swapped("churn")
    figures.not_swapped("churn", 'a "quoted"\nreason \\')
    gauges = [("ready", "Ready.", {}, 1), ("info", "Info.", {"how": "onnx"}, 1)]
    found = check(figures.text(gauges))
    assert found['lifecycle_requests_total{model="churn",version="7",status="200"}'] == 2
    assert found['lifecycle_requests_total{model="churn",version="7",status="400"}'] == 1
    assert found['lifecycle_rows_total{model="churn",version="7"}'] == 4
    bucket = 'lifecycle_latency_seconds_bucket{model="churn",version="7",le="%s"}'
    assert found[bucket % "0.00025"] == 0
    assert found[bucket % "0.0005"] == 1
    assert found[bucket % "10"] == 1
    assert found[bucket % "+Inf"] == 2
    assert found['lifecycle_latency_seconds_count{model="churn",version="7"}'] == 2
    assert found['lifecycle_latency_seconds_sum{model="churn",version="7"}'] == 20.0004
    assert found["lifecycle_ready"] == 1
    assert found['lifecycle_swap_failures_total{model="churn"}'] == 1
    assert any("refused_version_info" in key and '\\"quoted\\"\\nreason' in key for key in found)


def test_an_idle_server_has_figures_too():
    assert check(Figures().text())["lifecycle_registry_failures_total"] == 0


def test_a_swap_clears_the_reason():
    figures = Figures()
    figures.not_swapped("churn", "damaged")
    figures.swapped("churn")
    assert figures.reasons == {}
    assert figures.swap_failures == {"churn": 1}


def test_bounds_rise():
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))


def value(text, name):
    return check(text)[name]


@pytest.mark.parametrize("bound", BOUNDS_MS)
def test_a_bound_holds_what_takes_just_as_long(bound):
    name = f'lifecycle_latency_seconds_bucket{{model="m",version="1",le="{bound / 1000:g}"}}'
    for nanoseconds, inside in ((int(bound * 1e6), 1), (int(bound * 1e6) + 1, 0)):
        figures = Figures()
        figures.answered("m", 1, 200, rows=1, nanoseconds=nanoseconds)
        assert value(figures.text(), name) == inside


@given(times=st.lists(st.integers(0, 10**11), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_histogram_adds_up(times):
    figures = Figures()
    for nanoseconds in times:
        figures.answered("m", 1, 200, rows=2, nanoseconds=nanoseconds)
    found = check(figures.text())
    buckets = [count for key, count in found.items() if "_bucket" in key]
    assert buckets == sorted(buckets)
    assert (
        buckets[-1] == len(times) == found['lifecycle_latency_seconds_count{model="m",version="1"}']
    )
    assert found['lifecycle_latency_seconds_sum{model="m",version="1"}'] == pytest.approx(
        sum(times) / 1e9
    )
    assert found['lifecycle_rows_total{model="m",version="1"}'] == 2 * len(times)


@given(name=st.text(max_size=20), reason=st.text(max_size=40))
@settings(max_examples=80, deadline=None)
def test_no_name_and_no_reason_breaks_the_text(name, reason):
    figures = Figures()
    figures.not_swapped(name, reason)
    found = check(figures.text())
    (sample,) = [key for key in found if "refused_version_info" in key]
    inner = sample.partition("{")[2].removesuffix("}")
    read = re.findall(r'([a-z]+)="((?:[^"\\\n]|\\.)*)"', inner)
    plain = {"n": "\n", '"': '"', "\\": "\\"}
    texts = {key: re.sub(r"\\(.)", lambda found: plain[found[1]], text) for key, text in read}
    assert texts == {"model": name, "reason": reason}


def test_versions_and_statuses_are_counted_apart():
    figures = Figures()
    for version, status in ((7, 200), (7, 500), (8, 200), (7, 200)):
        figures.answered("m", version, status, rows=1)
    assert figures.requests == {("m", 7, 200): 2, ("m", 7, 500): 1, ("m", 8, 200): 1}
    assert figures.rows == {("m", 7): 3, ("m", 8): 1}


def test_a_request_without_rows_has_no_latency():
    figures = Figures()
    figures.answered("m", 7, 400)
    assert "_bucket{" not in figures.text()


def test_a_swap_while_the_figures_are_read_breaks_nothing():
    figures, stop, problems = Figures(), threading.Event(), []

    def swap():
        number = 0
        while not stop.is_set():
            number += 1
            figures.not_swapped(f"model-{number % 300}", "damaged")
            figures.swapped(f"model-{number % 300}")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(150):
            try:
                figures.text()
            except RuntimeError as error:  # "dictionary changed size during iteration"
                problems.append(error)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert problems == []


@given(times=st.lists(st.integers(0, 10**11), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_requests_answered_together_count_as_those_answered_alone(times):
    alone, together = Figures(), Figures()
    for nanoseconds in times:
        alone.answered("m", 1, 200, rows=3, nanoseconds=nanoseconds)
    together.answered_together("m", 1, 3 * len(times), times)
    assert together.text() == alone.text()


@given(calls=st.lists(st.integers(1, 300), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None)
def test_calls_are_counted_by_their_requests(calls):
    figures = Figures()
    for requests in calls:
        figures.called("m", 1, requests)
    found = check(figures.text())
    bucket = 'lifecycle_batch_requests_bucket{model="m",version="1",le="%s"}'
    for size in (*SIZES, "+Inf"):
        wanted = sum(size == "+Inf" or requests <= size for requests in calls)
        assert found[bucket % size] == wanted
    assert found['lifecycle_batch_requests_sum{model="m",version="1"}'] == sum(calls)
    assert found['lifecycle_batch_requests_count{model="m",version="1"}'] == len(calls)


def test_rows_that_are_not_in_the_log_are_counted():
    figures = Figures()
    assert check(figures.text())["lifecycle_not_logged_rows_total"] == 0
    figures.not_logged = 7
    assert check(figures.text())["lifecycle_not_logged_rows_total"] == 7
