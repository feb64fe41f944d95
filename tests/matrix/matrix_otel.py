"""
Mixed with OpenTelemetry's spans, in both directions.

The instrumentations that an application uses call OpenTelemetry's API. Either the SDK that is
compared answers it (`clew.otel`), or OpenTelemetry's own SDK does, beside it.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from matrix_register import Parents, leaf, pattern
from matrix_subjects import Clew, OpenTelemetry, Subject, write

GROUP = "OpenTelemetry"
CHAIN: Parents = {"theirs": "request", "step": "theirs", "theirs again": "step", "last": "theirs again"}


def there() -> bool:
    """Whether OpenTelemetry's API and SDK are here."""
    return importlib.util.find_spec("opentelemetry") is not None and (
        importlib.util.find_spec("opentelemetry.sdk") is not None
    )


def tracer_of(s: Subject) -> Any:
    """The tracer that an instrumentation would get, were the subject all that is set up."""
    if isinstance(s, Clew):
        from opentelemetry import trace

        import clew.otel

        clew.otel.install()
        return trace.get_tracer("matrix")
    return s.tracer if isinstance(s, OpenTelemetry) else sdk_tracer()


def sdk_tracer() -> Any:
    """A tracer of OpenTelemetry's SDK."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Exporter(SpanExporter):
        def export(self, spans: Any) -> Any:
            for span in spans:
                above = f"{span.parent.span_id:016x}" if span.parent else None
                write(span.name, f"{span.context.span_id:016x}", above)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Exporter()))
    return provider.get_tracer("matrix")


def theirs(s: Subject, tracer: Any, name: str, parent: Any) -> AbstractContextManager[Any]:
    """A span by OpenTelemetry's API: wherever it puts it, or by hand under the headers of *parent*."""
    if not s.explicit:
        return tracer.start_as_current_span(name)  # type: ignore[no-any-return]
    from opentelemetry import propagate

    headers = parent if isinstance(parent, dict) else {"traceparent": parent}
    return tracer.start_as_current_span(name, context=propagate.extract(headers))  # type: ignore[no-any-return]


def chain(s: Subject, tracer: Any) -> Parents:
    with (
        s.span("request"),
        theirs(s, tracer, "theirs", s.carrier()) as first,
        s.step("step", first),
        theirs(s, tracer, "theirs again", s.carrier()) as second,
    ):
        leaf(s, "last", second)
    return CHAIN


@pattern("OpenTelemetry's spans in ours, ours in theirs", GROUP, needs=there)
def otel_and_ours(s: Subject) -> Parents:
    return chain(s, tracer_of(s))


@pattern("the same beside OpenTelemetry's own SDK", GROUP, needs=there)
def otel_sdk_beside(s: Subject) -> Parents:
    if isinstance(s, Clew):
        import clew.otel

        clew.otel.install(provider=False)
    return chain(s, s.tracer if isinstance(s, OpenTelemetry) else sdk_tracer())


@pattern("a context attached in one task and detached in another", GROUP, needs=there)
async def otel_detached_elsewhere(s: Subject) -> Parents:
    from opentelemetry import context, trace

    tracer = tracer_of(s)

    async def attach() -> Any:
        return context.attach(trace.set_span_in_context(tracer.start_span("elsewhere")))

    async def detach(token: Any) -> None:
        context.detach(token)

    with s.span("request"):
        parent = s.handle()
        token = await asyncio.create_task(attach())
        await asyncio.create_task(detach(token))
        leaf(s, "step", parent)
    return {"step": "request"}


@pattern("OpenTelemetry's span inside a generator, and its consumer's spans", GROUP, needs=there)
def otel_in_generator(s: Subject) -> Parents:
    tracer = tracer_of(s)

    def numbers(parent: Any) -> Iterator[int]:
        with theirs(s, tracer, "inside", parent) as inside:
            for number in (1, 2):
                leaf(s, f"step {number}", inside)
                yield number

    with s.span("request"):
        parent = s.handle()
        for number in numbers(s.carrier()):
            leaf(s, f"used {number}", parent)
    return {
        "inside": "request",
        **{f"step {number}": "inside" for number in (1, 2)},
        **{f"used {number}": "request" for number in (1, 2)},
    }
