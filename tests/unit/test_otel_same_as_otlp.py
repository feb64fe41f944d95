"""
The same program on clew.otel and on OpenTelemetry's SDK: what reaches the store is equal.

Only ids, clocks and the resource differ, and the layout of a stack trace.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

import clew.otel
from clew.model import Span
from clew.wire import otlp_protobuf
from clew.wire.native import NativeBody
from clew.wire.native_reader import from_native

START_NS = 1_763_700_000_000_000_000
STATE = TraceState([("vendor", "1")])
FAR = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=STATE)


def openinference(tracer: trace.Tracer) -> None:
    """As its OpenAI instrumentation writes a call."""
    with tracer.start_as_current_span("ChatCompletion", kind=SpanKind.INTERNAL, start_time=START_NS) as span:
        span.set_attributes(
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-5-mini",
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "When does the shop open?",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "At nine.",
                "llm.token_count.prompt": 12,
                "llm.token_count.completion": 3,
                "session.id": "s1",
                "user.id": "u1",
            }
        )
        span.set_status(Status(StatusCode.OK))


def gen_ai(tracer: trace.Tracer) -> None:
    """As OpenTelemetry's own conventions have it, with messages as events."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.output_tokens": 4}
    span = tracer.start_span("chat m", kind=SpanKind.CLIENT, attributes=attributes, start_time=START_NS)
    span.add_event("gen_ai.user.message", {"content": "hi"}, timestamp=START_NS + 1)
    span.add_event("gen_ai.choice", {"message": '{"content": "ho"}'}, timestamp=START_NS + 7)
    span.update_name("chat m2")
    span.end(START_NS + 10)


def http(tracer: trace.Tracer) -> None:
    """A server's span under a remote parent, and a client's that failed."""
    arrived = trace.set_span_in_context(NonRecordingSpan(FAR))
    with tracer.start_as_current_span("GET /x", context=arrived, kind=SpanKind.SERVER) as server:
        server.set_attribute("http.response.status_code", 500)
        with pytest.raises(ValueError, match="no route"), tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
            raise ValueError("no route")
        server.set_status(StatusCode.ERROR)


def values(tracer: trace.Tracer) -> None:
    """Every type that OpenTelemetry allows."""
    kept: dict[str, Any] = {
        "t": "é",
        "b": True,
        "i": -5,
        "f": 0.5,
        "none": None,
        "bytes": b"\x00\xff",
        "l": ["a"],
        "n": [1, 2],
    }
    kept |= {"tuple": (1.5, 2.5), "map": {"a": {"b": [1]}}, "mixed": [1, "a"]}
    tracer.start_span("values", attributes=kept).end()


def links(tracer: trace.Tracer) -> None:
    first = tracer.start_span("a", links=[Link(FAR, {"why": "batch"}), Link(SpanContext(0, 0, is_remote=False))])
    first.add_link(FAR)
    first.end()


def statuses(tracer: trace.Tracer) -> None:
    """Which of several counts."""
    for name, steps in {
        "ok is final": [(StatusCode.OK, None), (StatusCode.ERROR, "late")],
        "unset says nothing": [(StatusCode.ERROR, "why"), (StatusCode.UNSET, None)],
        "the last error counts": [(StatusCode.ERROR, "one"), (StatusCode.ERROR, "two")],
        "ok has no words": [(Status(StatusCode.ERROR, "x"), None), (Status(StatusCode.OK), None)],
    }.items():
        span = tracer.start_span(name)
        for status, words in steps:
            span.set_status(status, words)
        span.end()


def exceptions(tracer: trace.Tracer) -> None:
    """Recorded by hand, by the span's own `with`, and by nobody."""

    class Odd(Exception):
        pass

    span = tracer.start_span("by hand")
    span.record_exception(Odd("x"), {"retry": 1, "exception.message": "y"}, timestamp=START_NS)
    span.end()
    with pytest.raises(Odd), tracer.start_span("own with"):
        raise Odd("z")
    with pytest.raises(Odd), tracer.start_span("quiet", record_exception=False, set_status_on_exception=False):
        raise Odd("z")
    with pytest.raises(Odd), tracer.start_as_current_span("quiet too", record_exception=False):
        raise Odd("z")
    with pytest.raises(KeyboardInterrupt), tracer.start_as_current_span("interrupted"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("program", [openinference, gen_ai, http, values, links, statuses, exceptions])
def test_the_store_gets_what_it_gets_over_otlp(captured, otel, program):
    ours = clew.otel.TracerProvider().get_tracer("lib", "2", attributes={"a": 1})
    program(ours)
    native = from_native(NativeBody(spans=captured.spans))

    # The SDK runs on the same context: what is current must not depend on who made it.
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    program(provider.get_tracer("lib", "2"))
    over_otlp = otlp_protobuf.decode(encode_spans(exporter.get_finished_spans()).SerializeToString())

    assert (native.rejected, over_otlp.rejected) == ([], [])
    # The protocol's `resource` is of the process, so what a scope says of itself stands with the span.
    assert all(span.attributes.pop("otel.scope.a") == 1 for span in native.spans)
    for one, other in zip(comparable(native.spans), comparable(over_otlp.spans), strict=True):
        assert one == other


def comparable(spans: list[Span]) -> list[dict[str, Any]]:
    """By name: everything but what must differ, with ids in order of appearance."""
    numbers: dict[str | None, int] = {None: 0}
    count = itertools.count(1)
    told = []
    for span in sorted(spans, key=lambda span: span.name):
        numbers.setdefault(span.span_id, next(count))
    for span in sorted(spans, key=lambda span: span.name):
        fields = msgspec.to_builtins(span)
        for varying in ("trace_id", "span_id", "resource"):
            fields.pop(varying, None)
        fields["parent_id"] = numbers.get(span.parent_id, span.parent_id)
        for key in ("start_ns", "end_ns"):
            # What was given is exact; the rest is the clock's.
            fields[key] = fields[key] if START_NS <= fields[key] < START_NS + 100 else "now"
        for event in fields.get("events", []):
            event["at_ns"] = event["at_ns"] if START_NS <= event["at_ns"] < START_NS + 100 else "now"
            stack = event.get("attributes", {}).pop("exception.stacktrace", "")
            event["stack ends"] = stack.strip().rpartition(".")[2]
        told.append(fields)
    return told
