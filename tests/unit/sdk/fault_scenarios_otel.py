"""What OpenTelemetry's callers do, for `fault_injection`: as `fault_scenarios`, once `clew.otel` is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from fault_scenarios import TRACEPARENT, same, throw
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode

import clew
import clew.otel

FAR = SpanContext(7, 8, is_remote=True)


def otel_spans() -> Any:
    """What instrumentations do with a tracer."""
    tracer = trace.get_tracer("faults", "1")
    options: dict[str, Any] = {"attributes": {"a": 1, "l": [1, 2]}, "links": [Link(FAR)], "start_time": 10**18}
    with tracer.start_as_current_span("request", kind=SpanKind.SERVER, **options) as request:
        request.set_attribute("k", (1, 2))
        request.set_attributes({"m": {"x": 1}, "n": None})
        request.add_event("hit", {"n": 1}, timestamp=10**18 + 5)
        request.add_link(FAR, {"why": "x"})
        request.record_exception(ValueError("handled"), {"retry": 1})
        request.set_status(StatusCode.ERROR, "why")
        request.update_name("request 2")
        by_hand = tracer.start_span("by hand")
        by_hand.end(10**18 + 9)
        by_hand.end()
        by_hand.set_attribute("too", "late")
    return [same(lambda error: _raising(tracer, error)), clew.current_span().trace_id == ""]


def _raising(tracer: Any, error: Exception) -> None:
    with tracer.start_as_current_span("raising"):
        throw(error)


def otel_contexts() -> Any:
    """What they do with contexts and headers."""
    tracer = trace.get_tracer("faults", "1")
    arrived = propagate.extract({"traceparent": TRACEPARENT})
    with attached(arrived), tracer.start_as_current_span("server", context=arrived), clew.span("ours"):
        trace.get_current_span().set_attribute("k", 1)
        propagate.inject({})
        propagate.extract({})
        first = context.attach(baggage.set_baggage("u", "1"))
        try:
            with attached(trace.set_span_in_context(NonRecordingSpan(FAR))):
                context.detach(first)
        finally:
            context.detach(first)
        with trace.use_span(tracer.start_span("used"), end_on_exit=True), clew.span("inside"):
            pass
        with tracer.start_as_current_span("kept", context=Context(), end_on_exit=False) as kept:
            pass
        kept.end()
    found = []
    with contextlib.closing(_numbers(tracer)) as numbers:
        for number in numbers:
            with clew.span("consumer"):
                found.append(number)
    return found, same(lambda error: _using(tracer, error)), clew.current_span().trace_id == ""


@contextlib.contextmanager
def attached(given: Context) -> Any:
    token = context.attach(given)
    try:
        yield
    finally:
        context.detach(token)


def _using(tracer: Any, error: Exception) -> None:
    with trace.use_span(tracer.start_span("used"), end_on_exit=True):
        throw(error)


def _numbers(tracer: Any) -> Any:
    with tracer.start_as_current_span("generator"):
        yield 1
        token = context.attach(trace.set_span_in_context(tracer.start_span("attached")))
        try:
            yield 2
        finally:
            context.detach(token)


def otel_provider() -> Any:
    """What applications do with a provider, and what is asked of a span."""
    clew.otel.install(provider=False)
    clew.otel.install()
    provider = clew.otel.TracerProvider()
    tracer = provider.get_tracer("faults", "1", attributes={"a": 1})

    @tracer.start_as_current_span("decorated")
    def plus(a: int) -> int:
        return a + 1

    with tracer.start_as_current_span("request") as span:
        span.is_recording(), span.get_span_context()
        for name in ("name", "attributes", "kind", "start_time", "parent", "events", "links", "status"):
            getattr(span, name, None)  # The API has none of these.
        found = plus(1)
        clew.span("below", parent=span).end()
        clew.span("by context", parent=span.get_span_context()).end()
    return [found, provider.force_flush(2_000) in (True, False), provider.shutdown()]


OTEL_SCENARIOS: dict[str, Callable[[], Any]] = {
    each.__name__: each for each in (otel_spans, otel_contexts, otel_provider)
}


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """OpenTelemetry's API runs on Clew, and afterwards as before."""
    propagator = propagate.get_global_textmap()
    before = context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done
    clew.otel.install()
    try:
        yield
    finally:
        context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done = before
        propagate.set_global_textmap(propagator)
