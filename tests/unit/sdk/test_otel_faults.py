"""A fault at any internal call of clew.otel: nothing of it reaches the user's code."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from fault_injection import FAULTS, Report
from fault_scenarios import TRACEPARENT, same, throw
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode

import clew
import clew.otel

FAR = SpanContext(7, 8, is_remote=True)


def spans() -> Any:
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


def contexts() -> Any:
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


@pytest.mark.parametrize("scenario", [spans, contexts], ids=lambda scenario: scenario.__name__)
def test_a_fault_at_any_internal_call_of_otel_reaches_nobody(otel, scenario, record_property):
    """Results, the user's own exception, a Ctrl-C and the next span are as if nothing had happened."""
    report = Report()
    report.attack(scenario.__name__, scenario, {"exception": 1}, limit=1)
    report.attack(scenario.__name__, scenario, dict.fromkeys(set(FAULTS) - {"exception"}, 17))
    record_property("faults", str(report))

    assert report.failures == [], "\n".join(report.failures) + str(report)
    assert sum(report.tried.values()) > 100
