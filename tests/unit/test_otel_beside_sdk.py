"""An application that has OpenTelemetry's own SDK, and Clew beside it: each is the other's parent."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import clew
import clew.otel
from clew.sdk.outbox import outbox

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Sdk:
    """Its tracer, and what it exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")

    def __getitem__(self, name: str) -> Any:
        (span,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span


@pytest.fixture
def sdk(otel: Any) -> Sdk:
    """The SDK is the global provider, and Clew was installed after it."""
    made = Sdk()
    trace._TRACER_PROVIDER = made.provider
    clew.otel.install()
    return made


def test_the_provider_that_was_first_stays(sdk, caplog):
    """OpenTelemetry allows one only, and warns of a second; Clew says so itself, once."""
    assert trace.get_tracer_provider() is sdk.provider
    assert [text for text in outbox.complaints if "stays the global provider" in text]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_clews_spans_join_the_sdks_trace(captured, sdk):
    with sdk.tracer.start_as_current_span("request") as request, clew.span("retrieve"), clew.span("search"):
        pass

    assert captured["retrieve"].parent_id == f"{request.get_span_context().span_id:016x}"
    assert captured["retrieve"].trace_id == f"{request.get_span_context().trace_id:032x}"
    assert captured["search"].parent_id == captured["retrieve"].span_id


def test_the_sdks_spans_join_clews_trace(captured, sdk):
    with clew.span("request") as request, sdk.tracer.start_as_current_span("GET"):
        pass

    assert f"{sdk['GET'].parent.span_id:016x}" == request.span_id
    assert f"{sdk['GET'].context.trace_id:032x}" == request.trace_id


def test_the_innermost_is_the_parent_whoever_made_it(captured, sdk):
    with clew.span("1"), sdk.tracer.start_as_current_span("2"), clew.span("3"), sdk.tracer.start_as_current_span("4"):
        pass

    chain = [f"{captured['1'].span_id}", f"{sdk['2'].context.span_id:016x}", captured["3"].span_id]
    assert [f"{sdk['2'].parent.span_id:016x}", captured["3"].parent_id, f"{sdk['4'].parent.span_id:016x}"] == chain
    assert {captured["1"].trace_id, captured["3"].trace_id} == {f"{sdk['4'].context.trace_id:032x}"}


def test_a_clew_span_below_the_sdks_is_no_second_root(captured, sdk):
    """The sampler decides at the root's end, and the clock is the trace's own."""
    with clew.span("1") as first, sdk.tracer.start_as_current_span("2"), clew.span("3") as third:
        assert not third._is_root
        assert third._anchor == first._anchor
    with sdk.tracer.start_as_current_span("alone"), clew.span("below") as below:
        assert below._is_root


def test_the_sdks_current_span_is_itself(sdk):
    """Applications set attributes on it."""
    with sdk.tracer.start_as_current_span("request") as request:
        assert trace.get_current_span() is request
        with clew.span("a"):
            assert trace.get_current_span() is not request
        assert trace.get_current_span() is request


def test_clew_says_the_sdks_ids(sdk):
    with sdk.tracer.start_as_current_span("request") as request:
        assert int(clew.current_span().trace_id, 16) == request.get_span_context().trace_id


def test_an_explicit_context_works_in_both(captured, sdk):
    with clew.span("a"):
        there = context.get_current()
    with sdk.tracer.start_as_current_span("b", context=there) as b:
        pass
    clew.span("c", parent=b).end()

    assert f"{sdk['b'].parent.span_id:016x}" == captured["a"].span_id
    assert captured["c"].parent_id == f"{b.get_span_context().span_id:016x}"


def test_the_sdk_joins_a_request_that_clew_answers(captured, sdk):
    """Its server instrumentations read the headers again."""
    with clew.span("request", kind="root", parent=REMOTE) as request:
        for headers in ({"traceparent": REMOTE}, {}):
            arrived = propagate.extract(headers)
            with sdk.tracer.start_as_current_span("server" + str(len(headers)), context=arrived):
                pass

    assert f"{sdk['server1'].parent.span_id:016x}" == request.span_id
    assert sdk["server0"].parent is None


def test_clew_without_a_provider_only_shares_the_context(captured, untouched):
    """`install(provider=False)`, for who sets the SDK up later."""
    from clew.sdk import setup

    before = context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, propagate.get_global_textmap()
    setup.use(captured)
    try:
        clew.otel.install(provider=False)
        assert trace._TRACER_PROVIDER is before[1]
        with Sdk().tracer.start_as_current_span("a") as a, clew.span("b"):
            pass
    finally:
        context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER = before[:2]
        propagate.set_global_textmap(before[2])

    assert captured["b"].parent_id == f"{a.get_span_context().span_id:016x}"
