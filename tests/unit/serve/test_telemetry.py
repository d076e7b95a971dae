"""Spans and metrics as a collector gets them: a real receiver on loopback decodes the protobuf."""

import gzip
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lifecycle.serve.building import build
from lifecycle.serve.telemetry import Telemetry, parts

JSON = {"Content-Type": "application/json"}
GOOD = b'{"dataframe_records": [{"age": 50, "plan": "pro"}]}'
BAD = b'{"dataframe_records": [{"age": 99, "plan": "pro"}]}'  # breaks the model
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


class Collector:
    """A receiver of OTLP over HTTP."""

    def __init__(self):
        self.got, self.status = [], 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.headers["Content-Type"] == "application/x-protobuf"
                collector.got.append(KINDS[self.path].FromString(body))
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def spans(self):
        found = [got for got in self.got if isinstance(got, ExportTraceServiceRequest)]
        return [
            span
            for got in found
            for resource in got.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self):
        """The last value of each metric by name: a list of (attributes, point)."""
        found = [got for got in self.got if isinstance(got, ExportMetricsServiceRequest)]
        return {
            metric.name: [
                (values(point), point)
                for point in (
                    metric.sum if metric.HasField("sum") else metric.histogram
                ).data_points
            ]
            for got in found
            for resource in got.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def service(self):
        (first, *_) = [got for got in self.got if isinstance(got, ExportTraceServiceRequest)]
        return {
            item.key: item.value.string_value
            for item in first.resource_spans[0].resource.attributes
        }


def values(owner):
    """Attributes as a dictionary."""
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in owner.attributes
    }


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def asked(engine, make_app, ask, collector):
    """`asked(method, path, body, **headers)` through a traced application; `.end()` sends all."""
    app = make_app(engine)
    telemetry = Telemetry(
        collector.address, engine.figures, app.routes, first=lambda: "churn", every=3600
    )
    app.trace = telemetry.trace

    def run(method, path, body=b"", **headers):
        return ask(app, method, path, body, headers={**JSON, **headers})

    run.end = telemetry.close
    yield run
    telemetry.close()


def test_each_kind_has_its_place():
    assert parts("http://c:4318") == ("http://c:4318/v1/traces", "http://c:4318/v1/metrics")


def test_a_request_is_a_span_with_its_model(asked, collector):
    _, headers, _ = asked("POST", "/invocations", GOOD, **{"X-Request-Id": "r-1"})
    asked.end()
    (span,) = collector.spans()
    assert span.name == "POST /invocations"
    assert span.kind == span.SPAN_KIND_SERVER
    assert values(span) == {
        "http.request.method": "POST",
        "url.path": "/invocations",
        "http.route": "/invocations",
        "http.response.status_code": 200,
        "lifecycle.model.name": "churn",
        "lifecycle.model.version": "7",
        "lifecycle.model.arm": "champion",
        "lifecycle.prediction.id": headers["x-prediction-id"],
        "lifecycle.request.id": "r-1",
    }
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0
    assert span.parent_span_id == b""
    assert collector.service()["service.name"] == "lifecycle"


def test_a_traceparent_is_the_parent(asked, collector):
    asked("POST", "/invocations", GOOD, traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=b")
    asked.end()
    (span,) = collector.spans()
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.trace_state == "a=b"


@pytest.mark.parametrize("sent", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}"])
def test_a_broken_traceparent_is_left_aside(asked, collector, sent):
    assert asked("POST", "/invocations", GOOD, traceparent=sent)[0] == 200
    asked.end()
    (span,) = collector.spans()
    assert span.parent_span_id == b""


def test_a_parent_that_is_not_sampled_makes_no_span(asked, collector):
    assert asked("POST", "/invocations", GOOD, traceparent=f"00-{TRACE}-{PARENT}-00")[0] == 200
    asked.end()
    assert collector.spans() == []


def test_a_failure_is_marked_and_tells_no_reason(asked, collector):
    asked("POST", "/invocations", BAD)
    asked("POST", "/invocations", b"{")
    asked("GET", "/nothing/here")
    asked.end()
    failed, refused, unknown = collector.spans()
    assert (failed.status.code, failed.events) == (failed.status.STATUS_CODE_ERROR, [])
    assert values(failed)["http.response.status_code"] == 500
    assert refused.status.code == refused.status.STATUS_CODE_UNSET
    assert values(refused)["http.response.status_code"] == 400
    assert unknown.name == "GET"
    assert "http.route" not in values(unknown)
    assert "secret" not in str(collector.got)


def test_metrics_are_those_of_the_figures_and_the_latency(asked, collector):
    for _ in range(3):
        asked("POST", "/invocations", GOOD)
    asked("POST", "/invocations", BAD)
    asked("POST", "/invocations", b"{")
    asked.end()
    found = collector.metrics()
    model = {"lifecycle.model.name": "churn", "lifecycle.model.version": 7}
    assert [(labels, point.as_int) for labels, point in found["lifecycle.requests"]] == [
        ({**model, "status": 200}, 3),
        ({**model, "status": 500}, 1),
    ]
    assert [(labels, point.as_int) for labels, point in found["lifecycle.rows"]] == [(model, 4)]
    assert [(labels, point.as_int) for labels, point in found["lifecycle.refused"]] == [
        ({"http.route": "/invocations", "status": 400}, 1)
    ]
    durations = found["http.server.request.duration"]
    assert sum(point.count for _, point in durations) == 5
    assert {labels["http.response.status_code"] for labels, _ in durations} == {200, 400, 500}
    assert all(labels["http.route"] == "/invocations" for labels, _ in durations)


def test_spans_leave_by_themselves(asked, collector):
    asked("GET", "/ping")
    deadline = time.monotonic() + 20
    while not collector.spans() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [span.name for span in collector.spans()] == ["GET /ping"]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_collector_that_refuses_disturbs_no_request(asked, collector, status, caplog):
    collector.status = status
    assert asked("POST", "/invocations", GOOD)[0] == 200
    asked.end()
    assert asked("POST", "/invocations", GOOD)[0] == 200, "also when the sending has ended"
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_nobody_listens(engine, make_app, ask):
    app = make_app(engine)
    telemetry = Telemetry(
        "http://127.0.0.1:1", engine.figures, app.routes, first=lambda: "churn", every=3600
    )
    app.trace = telemetry.trace
    assert ask(app, "POST", "/invocations", GOOD, headers=JSON)[0] == 200
    telemetry.close()


def test_without_an_endpoint_nothing_of_it_is_imported():
    code = (
        "import lifecycle.serve.building, lifecycle.serve.server, sys;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WITHOUT = """
import sys
sys.modules["opentelemetry.exporter.otlp.proto.http"] = None  # as where it is not installed
from lifecycle.serve.figures import Figures
from lifecycle.serve.building import build
from lifecycle.serve.telemetry import Telemetry
from lifecycle.serve.wire import Routes
try:
    Telemetry("http://127.0.0.1:1", Figures(), Routes([]), first=str)
except ImportError as error:
    print(error)
"""


def test_a_missing_package_is_named_with_its_extra():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True
    )
    assert "opentelemetry-exporter-otlp-proto-http" in done.stdout
    assert "[otel]" in done.stdout


def test_a_server_with_an_endpoint_sends_what_it_answers(served, collector, ask):
    built = build(served.with_values(serve__otlp=collector.address), ("churn",))
    try:
        body = b'{"inputs": {"x": 2.0}}'
        assert ask(built.app, "POST", "/invocations", body, headers=JSON)[0] == 200
    finally:
        built.close()
        built.close()
    assert [span.name for span in collector.spans()] == ["POST /invocations"]
    assert "lifecycle.requests" in collector.metrics()
