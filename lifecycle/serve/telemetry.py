"""OpenTelemetry, where `[serve] otlp` names a collector: a span a request, and metrics.

>>> parts("http://collector:4318/")
('http://collector:4318/v1/traces', 'http://collector:4318/v1/metrics')

Spans and metrics are named after OpenTelemetry's conventions for HTTP servers,
https://opentelemetry.io/docs/specs/semconv/http/, with the model's under `lifecycle.`; a request's
`traceparent` (https://www.w3.org/TR/trace-context/) makes its span a child of the client's. They
are sent by threads of their own as protobuf over HTTP; what a collector does not take is dropped.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from lifecycle import __version__
from lifecycle.errors import MissingExtra
from lifecycle.serve.figures import Figures
from lifecycle.serve.wire import Request, Response, Routes

SECONDS = 5  # that a delivery to the collector may take
Reply = Callable[[Response], None]


def parts(endpoint: str) -> tuple[str, str]:
    """Where traces and where metrics go."""
    place = endpoint.rstrip("/")
    return f"{place}/v1/traces", f"{place}/v1/metrics"


class Telemetry:
    """Traces and measures requests.

    Args:
        endpoint: the collector's address for OTLP over HTTP, as in "http://localhost:4318".
        figures: the worker's counts, sent as metrics.
        routes: names a request by its route.
        first: the model that answers where none is asked for.
        every: seconds between two deliveries of metrics.

    Raises:
        MissingExtra: OpenTelemetry is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        figures: Figures,
        routes: Routes,
        *,
        first: Callable[[], str],
        every: float = 10.0,
    ) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            package = "opentelemetry-exporter-otlp-proto-http"
            raise MissingExtra(package, extra="otel", purpose="[serve] otlp") from error
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # each retry warns
        self._figures, self._routes, self._first = figures, routes, first
        self._server, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._parent = TraceContextTextMapPropagator().extract
        own = Resource.create({"service.name": "lifecycle", "service.version": __version__})
        to_traces, to_metrics = parts(endpoint)
        self._spans = TracerProvider(resource=own, shutdown_on_exit=False)
        self._spans.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(to_traces, timeout=SECONDS), schedule_delay_millis=1000
            )
        )
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(to_metrics, timeout=SECONDS),
            export_interval_millis=every * 1000,
            export_timeout_millis=SECONDS * 1000,
        )
        self._meters = MeterProvider([reader], resource=own, shutdown_on_exit=False)
        self._tracer = self._spans.get_tracer("lifecycle", __version__)
        self._measure()

    def trace(self, request: Request, reply: Reply) -> Reply:
        """A reply that ends the request's span, which begins here."""
        sent = request.headers
        parent = None
        if b"traceparent" in sent:
            carrier = {name: request.text(name.encode()) for name in ("traceparent", "tracestate")}
            parent = self._parent(carrier)
        route = self._routes.known(request.path)
        method = request.method
        name = f"{method} {route.path}" if route else method
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.path": request.path[:500],
        }
        if route:
            attributes["http.route"] = route.path
        span = self._tracer.start_span(
            name, parent, kind=self._server, attributes=attributes, record_exception=False
        )
        begun = request.begun or time.perf_counter_ns()

        def end(answer: Response) -> None:
            span.set_attribute("http.response.status_code", answer.status)
            for header, value in answer.headers:
                if header in _SHOWN:
                    span.set_attribute(_SHOWN[header], value.decode("latin-1"))
                if header == b"x-model-version":
                    named = request.params.get("model") or request.text(b"x-model")
                    span.set_attribute("lifecycle.model.name", named or self._first())
            if answer.status >= 500:
                span.set_status(self._error)
            span.end()
            measured: dict[str, str | int] = {
                "http.request.method": method,
                "http.response.status_code": answer.status,
            }
            if route:
                measured["http.route"] = route.path
            self._seconds.record((time.perf_counter_ns() - begun) / 1e9, measured)
            reply(answer)

        return end

    def close(self) -> None:
        """Send what is there, within seconds."""
        self._spans.force_flush(SECONDS * 1000)
        self._spans.shutdown()
        self._meters.shutdown(SECONDS * 1000)

    def _measure(self) -> None:
        from opentelemetry.metrics import CallbackOptions, Observation

        meter = self._meters.get_meter("lifecycle", __version__)
        self._seconds = meter.create_histogram("http.server.request.duration", "s")
        figures = self._figures

        def requests(_options: CallbackOptions) -> Iterable[Observation]:
            for (model, version, status), count in list(figures.requests.items()):
                yield Observation(count, {**_model(model, version), "status": status})

        def rows(_options: CallbackOptions) -> Iterable[Observation]:
            for (model, version), count in list(figures.rows.items()):
                yield Observation(count, _model(model, version))

        def refused(_options: CallbackOptions) -> Iterable[Observation]:
            for (path, status), count in list(figures.refused.items()):
                yield Observation(count, {"http.route": path, "status": status})

        about = "as in lifecycle_{}_total of /metrics"
        for name, what in (("requests", requests), ("rows", rows), ("refused", refused)):
            meter.create_observable_counter(
                f"lifecycle.{name}", [what], description=about.format(name)
            )


_SHOWN = {
    b"x-model-version": "lifecycle.model.version",
    b"x-model-arm": "lifecycle.model.arm",
    b"x-prediction-id": "lifecycle.prediction.id",
    b"x-request-id": "lifecycle.request.id",
}


def _model(name: str, version: Any) -> dict[str, Any]:
    return {"lifecycle.model.name": name, "lifecycle.model.version": version}
