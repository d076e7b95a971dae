"""From a whole request to its answer: finds the route, asks the engine, keeps the threads.

    transport ── Request ──> App.handle ──> route's handler ──> Response | Asked | Chore
                                                                   │        └──> a thread
    transport <── Response ── reply <──────────────────────────────┴──> engine, a batch

Nothing here knows a socket. Predictions that take about a millisecond or more, and long bodies,
go through threads, so that health checks are answered meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lifecycle.errors import LifecycleError, PredictionFailed
from lifecycle.named import named
from lifecycle.serve.batch import Batcher, Limits
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer
from lifecycle.serve.logs import echoed, noted
from lifecycle.serve.outward import masked
from lifecycle.serve.protocols import mlflow
from lifecycle.serve.rows import Rows
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.state import uncompiled
from lifecycle.serve.wire import (
    Asked,
    Chore,
    Failure,
    Gauge,
    Headers,
    Refused,
    Request,
    Response,
    Route,
    Routes,
    Service,
    status,
)

# the wire formats: Service -> list[Route]
PROTOCOLS = {
    "mlflow": "lifecycle.serve.protocols.mlflow:routes",
    "operations": "lifecycle.serve.protocols.operations:routes",
    "watching": "lifecycle.serve.protocols.watching:routes",
    "v2": "lifecycle.serve.protocols.v2:routes",
    "tfserving": "lifecycle.serve.protocols.tfserving:routes",
    "kserve": "lifecycle.serve.protocols.kserve:routes",
    "openapi": "lifecycle.serve.protocols.openapi:routes",
}
LONG = 128 * 1024  # bytes; longer bodies, and packed ones, are decoded in the worker thread
WAITING = 128  # requests that may wait for the worker thread
_LOG = logging.getLogger("lifecycle.serve")

Reply = Callable[[Response], None]
Guard = Callable[[Request], None]  # raises Refused
Trace = Callable[[Request, Reply], Reply]  # a reply that is followed


class App:
    """Answers whole requests.

    Args:
        service: what the routes share.
        guard: looks at each request first; None: everyone may ask.
        early: looks at each head whose body is still to come; None: all of them may come.
        limits: how many requests it takes on.
        shadow: is given copies of what is answered; None: nothing is.

    Attributes:
        trace: follows each request and its answer; None: nobody does.
    """

    def __init__(
        self,
        service: Service,
        *,
        guard: Guard | None = None,
        early: Guard | None = None,
        limits: Limits | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self.service, self.guard, self.early = service, guard, early
        self.engine = service.engine
        makers = [named(name, PROTOCOLS, kind="protocol") for name in PROTOCOLS]
        self.routes = Routes(route for routes in makers for route in routes(service))
        self._batcher = Batcher(self.engine, limits, shadow)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-decode")
        self._chores = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-chores")
        self._waiting = 0
        self.trace: Trace | None = None
        service.gauges.append(self._gauges)

    def handle(self, request: Request, reply: Reply) -> None:
        """Answer a request; `reply` is called once, now or later, on this thread.

        Args:
            request: a whole request.
            reply: takes the answer.
        """
        if self.trace is not None:
            reply = self.trace(request, reply)
        if b"x-request-id" in request.headers:
            reply = echoed(request, reply)
        try:
            if self.guard is not None:
                self.guard(request)
            route, request.params = self.routes.find(request.method, request.path)
        except Refused as error:
            reply(self._unrouted(request, error))
            return
        if len(request.body) > LONG or b"content-encoding" in request.headers:
            self._in(self._worker, lambda: route.handler(request), request, route, reply)
            return
        try:
            made = route.handler(request)
        except Exception as error:  # noqa: BLE001 - each has its answer
            reply(self._failed(route, error))
            return
        self._settle(made, request, route, reply)

    def admit(self, request: Request, reply: Reply) -> None:
        """Refuse a request whose head alone is there; nothing happens where its body may come.

        Args:
            request: without its body.
            reply: takes the refusal.
        """
        if self.early is None:
            return
        try:
            self.early(request)
        except Refused as error:
            if self.trace is not None:
                reply = self.trace(request, reply)
            if b"x-request-id" in request.headers:
                reply = echoed(request, reply)
            reply(self._unrouted(request, error))

    def ask(
        self, choice: Choice, rows: Rows, done: Callable[[Answer | Exception], None], *, begun: int
    ) -> None:
        """Predict rows that are decoded; `done` is called once, on this thread.

        Args:
            choice: who answers.
            rows: from the decoder of the version that answers.
            done: takes the answer, or what the client is to be told instead.
            begun: `time.perf_counter_ns()` when the request was there.
        """
        self._batcher.ask(choice, rows, done, begun=begun)

    @property
    def predicting(self) -> dict[str, int]:
        """By model how many requests a thread is predicting."""
        return self._batcher.predicting

    @property
    def busy(self) -> bool:
        """Whether a request waits for its prediction."""
        return self._batcher.waiting > 0 or bool(self._batcher.predicting)

    def close(self) -> None:
        """End the threads when what they do is done; those that still predict are left alone."""
        self._worker.shutdown()
        self._batcher.close()
        self._chores.shutdown()

    def _settle(
        self, made: Response | Asked | Chore, request: Request, route: Route, reply: Reply
    ) -> None:
        if isinstance(made, Asked):
            write = made.write

            def done(answer: Answer | Exception) -> None:
                if isinstance(answer, Exception):
                    reply(self._failed(route, answer))
                    return
                try:
                    response = write(answer)
                except Exception as error:  # noqa: BLE001 - others wait for their answers
                    response = self._failed(route, error)
                reply(response)

            self.ask(made.choice, made.rows, done, begun=request.begun)
        elif isinstance(made, Chore):
            self._in(self._chores, made.work, request, route, reply)
        else:
            reply(made)

    def _in(
        self,
        thread: ThreadPoolExecutor,
        work: Callable[[], Response | Asked | Chore],
        request: Request,
        route: Route,
        reply: Reply,
    ) -> None:
        """Do work in a thread, then go on here."""
        if self._waiting >= WAITING:
            reply(self._failed(route, Refused(503, "too many requests are waiting")))
            return

        def done(made: Response | Asked | Chore | Exception) -> None:
            if isinstance(made, Exception):
                reply(self._failed(route, made))
            else:
                self._settle(made, request, route, reply)

        self._later(thread, work, done)

    def _later(
        self, thread: ThreadPoolExecutor, work: Callable[[], Any], done: Callable[[Any], None]
    ) -> None:
        """Call `done` on this thread with what `work` gave or raised in another."""
        loop = asyncio.get_running_loop()
        self._waiting += 1

        def back(found: Any) -> None:
            self._waiting -= 1
            done(found)

        def finished(future: Future[Any]) -> None:
            error = future.exception()
            loop.call_soon_threadsafe(back, error if error is not None else future.result())

        thread.submit(work).add_done_callback(finished)

    def _unrouted(self, request: Request, error: Refused) -> Response:
        """What is refused before its route is asked, in the form of the protocol that it is of."""
        known = self.routes.known(request.path)
        failure = known.failure if known else self.routes.manner(request.path)
        return self._turned_away(known, failure or mlflow.failure, error)

    def _turned_away(self, route: Route | None, failure: Failure, error: Refused) -> Response:
        self.engine.figures.turned_away(route.path if route else "other", error.status)
        more: Headers = error.headers
        if error.status == 405:
            more = ((b"allow", str(error).rpartition(" takes ")[2].encode()),)
        elif error.status == 503:
            more = (*more, (b"retry-after", b"1"))
        return Response(
            error.status, failure(error.status, str(error)), headers=more, close=error.close
        )

    def _failed(self, route: Route, error: Exception) -> Response:
        """The answer to what went wrong; nothing of the inside is told."""
        if isinstance(error, PredictionFailed):  # it is logged and counted already
            body = route.failure(500, str(error))
            return Response(500, body, headers=((b"x-prediction-id", error.error_id.encode()),))
        return self._turned_away(route, route.failure, refusal(error, route=route.path))

    def _gauges(self) -> Iterable[Gauge]:
        for name, group in self.engine.table.groups.items():
            for arm in group.plan.arms:
                loaded = group.slots[arm.version].loaded
                labels = {"model": name, "version": arm.version, "arm": arm.name}
                how = {"how": loaded.how, "why": uncompiled(loaded)}
                yield "model_info", "What serves, how, and why not compiled.", {**labels, **how}, 1
        yield from _rollouts(self.engine.table)
        yield "queue", "Requests that wait for a prediction.", {}, self._batcher.waiting
        yield "waiting", "Requests that wait for another thread.", {}, self._waiting
        yield "ready", "Whether a model is ready.", {}, int(self.service.ready)


def _rollouts(table: SlotTable) -> Iterable[Gauge]:
    """The arms' shares, and how rollouts stand here."""
    for name, group in table.groups.items():
        for arm in group.plan.arms:
            labels: dict[str, object] = {"model": name, "version": arm.version, "arm": arm.name}
            yield "arm_share", "The share of requests that an arm answers.", labels, arm.share
    for name, group in table.groups.items():
        if group.rollout is not None:
            spec, step = group.rollout.spec, group.plan.step
            labels = {"model": name, "rollout": group.rollout.seq, "strategy": spec.strategy}
            about = "The rollout that is followed."
            yield "rollout_info", about, {**labels, "status": group.rollout.status}, 1
            yield "rollout_step", "Its step, from 0.", labels, step
    for name, group in table.groups.items():
        if group.withheld:
            about = "Why the champion answers everything although a rollout is open."
            yield "rollout_withheld_info", about, {"model": name, "reason": group.withheld}, 1


def refusal(error: Exception, *, route: str) -> Refused:
    """What a client is told of an error; what is of the inside goes to the log under an error id.

    Args:
        error: what a handler or the engine raised.
        route: what was asked for.
    """
    if isinstance(error, Refused):
        return error
    code = status(error) if isinstance(error, LifecycleError) else 500
    if code < 500:
        return Refused(code, masked(str(error)))
    error_id = noted(error, route=route, status=code)
    told = "an error of the server"
    if code == 503:
        told = "nothing can be stored now, so nothing is answered; send it again"
    more = ((b"x-error-id", error_id.encode()),)
    return Refused(code, f"{told} (error id {error_id})", headers=more)
