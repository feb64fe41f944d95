"""
One small adapter for each SDK, handing back the SDK's own context manager.

So what is timed is the SDK and one Python call. Each exports for real, to the sink at *url*.
Imports are lazy: a subject runs in an environment that has only its own SDK.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

Attributes = dict[str, Any]


class Untraced:
    """No tracing at all: what the others are compared with."""

    imports = "pass"
    """What a program that uses the SDK writes at its top."""

    def __init__(self, url: str) -> None:
        self.url = url

    def span(self, name: str, attributes: Attributes | None = None) -> Any:  # noqa: ARG002
        """Open a span under the current one: gives the SDK's context manager."""
        return contextlib.nullcontext()

    def add(self, span: Any, attributes: Attributes) -> None:
        """Put more attributes on an open span."""

    def decorated(self, function: Any) -> Any:
        """Have each call of *function* traced."""
        return function

    def close(self) -> None:
        """Send what waits."""


class Floor(Untraced):
    """`floor.Span`; it exports nothing."""

    def __init__(self, url: str) -> None:
        from bench.sdk import floor

        super().__init__(url)
        self.floor = floor

    def span(self, name: str, attributes: Attributes | None = None) -> Any:
        return self.floor.Span(name, attributes)

    def add(self, span: Any, attributes: Attributes) -> None:
        if span.attributes is None:
            span.attributes = attributes
        else:
            span.attributes.update(attributes)

    def decorated(self, function: Any) -> Any:
        return self.floor.traced(function)


class Clew(Untraced):
    """Clew's SDK with its default settings."""

    imports = "import clew"

    def __init__(self, url: str) -> None:
        import clew

        clew.configure(endpoint=url, service="bench")
        self.clew = clew

    def span(self, name: str, attributes: Attributes | None = None) -> Any:
        return self.clew.span(name, **attributes) if attributes else self.clew.span(name)

    def add(self, span: Any, attributes: Attributes) -> None:
        span.set_attributes(attributes)

    def decorated(self, function: Any) -> Any:
        return self.clew.traced(function)

    def close(self) -> None:
        if not self.clew.shutdown(timeout=30):
            raise RuntimeError("the sink did not take what Clew had to send")


class OpenTelemetry(Untraced):
    """opentelemetry-sdk with the batch processor and the OTLP/HTTP exporter, default settings."""

    imports = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace.export import BatchSpanProcessor;"
        "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter"
    )

    def __init__(self, url: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.provider = TracerProvider()
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
        trace.set_tracer_provider(self.provider)
        self.tracer = trace.get_tracer("bench")

    def span(self, name: str, attributes: Attributes | None = None) -> Any:
        return self.tracer.start_as_current_span(name, attributes=attributes)

    def add(self, span: Any, attributes: Attributes) -> None:
        span.set_attributes(attributes)

    def decorated(self, function: Any) -> Any:
        return self.tracer.start_as_current_span(function.__name__)(function)

    def close(self) -> None:
        self.provider.shutdown()


class LangSmith(Untraced):
    """langsmith's `trace` context manager and its background threads, default settings."""

    imports = "from langsmith import traceable, trace, Client"

    def __init__(self, url: str) -> None:
        # Read on import, so they come first.
        os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_ENDPOINT=url, LANGSMITH_API_KEY="bench")
        import langsmith
        from langsmith.run_trees import get_cached_client

        self.trace = langsmith.trace
        self.traceable = langsmith.traceable
        self.client = get_cached_client

    def span(self, name: str, attributes: Attributes | None = None) -> Any:
        return self.trace(name, inputs=attributes)

    def add(self, span: Any, attributes: Attributes) -> None:
        span.add_outputs(attributes)

    def decorated(self, function: Any) -> Any:
        return self.traceable(function)

    def close(self) -> None:
        self.client().flush()


class DDTrace(Untraced):
    """ddtrace's manual spans and its native writer; what would call home or crash beside it is switched off."""

    imports = "from ddtrace.trace import tracer"

    def __init__(self, url: str) -> None:
        # Read on import, so they come first.
        off = ("INSTRUMENTATION_TELEMETRY", "REMOTE_CONFIGURATION", "CRASHTRACKING", "RUNTIME_METRICS")
        os.environ.update({f"DD_{name}_ENABLED": "false" for name in off})
        os.environ.update(DD_TRACE_AGENT_URL=url, DD_TRACE_STARTUP_LOGS="false", DD_SERVICE="bench")
        from ddtrace.trace import tracer

        self.tracer = tracer

    def span(self, name: str, attributes: Attributes | None = None) -> Any:
        span = self.tracer.trace(name)
        if attributes:
            self.add(span, attributes)
        return span

    def add(self, span: Any, attributes: Attributes) -> None:
        for key, value in attributes.items():
            span.set_tag(key, value)

    def decorated(self, function: Any) -> Any:
        return self.tracer.wrap(function.__name__)(function)

    def close(self) -> None:
        self.tracer.shutdown()


SUBJECTS: dict[str, type[Untraced]] = {
    "none": Untraced,
    "floor": Floor,
    "clew": Clew,
    "opentelemetry": OpenTelemetry,
    "ddtrace": DDTrace,
    "langsmith": LangSmith,
}
