"""
The SDKs that the matrix compares, each behind the same few calls.

Every process appends what it has finished to one file, so that a pattern may use as many as it
likes. After the adapters of the project's own comparison of tracing SDKs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

FILE = "MATRIX_FILE"


def write(name: str, span_id: object, parent_id: object) -> None:
    """Note one finished span: a line, written at once."""
    line = json.dumps({"name": name, "id": str(span_id), "parent": str(parent_id) if parent_id else None}) + "\n"
    descriptor = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class Subject:
    """One SDK, set up for one process. *explicit*: parents are given by hand."""

    modules: tuple[str, ...] = ()
    """What may be imported once, before the processes of the trials are forked."""
    settings: ClassVar[dict[str, str]] = {}
    """Environment variables that it wants before it is imported."""

    def __init__(self, *, explicit: bool) -> None:
        self.explicit = explicit
        os.environ.update(self.settings)
        self.set_up()

    def set_up(self) -> None:
        """Have finished spans written to the file."""

    def span(self, name: str) -> AbstractContextManager[Any]:
        """A span under what is current."""
        raise NotImplementedError

    def under(self, parent: Any, name: str) -> AbstractContextManager[Any]:
        """A span under *parent*, a handle."""
        raise NotImplementedError

    def far(self, carrier: Any, name: str) -> AbstractContextManager[Any]:
        """A span under a parent in another process."""
        raise NotImplementedError

    def handle(self) -> Any:
        """What is current, to be given as a parent."""
        raise NotImplementedError

    def carrier(self) -> Any:
        """The same for another process; it can be pickled."""
        raise NotImplementedError

    def traced(self, name: str) -> Any:
        """A decorator that makes a span of each call."""
        raise NotImplementedError

    def flush(self) -> None:
        """Have everything in the file."""

    def current(self, parent: Any) -> AbstractContextManager[Any]:
        """Make *parent*, a handle, current."""
        raise NotImplementedError

    def is_open(self, handle: Any) -> bool:
        """Whether its span has not ended yet."""
        raise NotImplementedError

    def asgi(self, app: Any) -> Any:
        """Have each request run in a span called "request"."""

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            with self.span("request"):
                await app(scope, receive, send)

        return traced

    @contextmanager
    def taken_out(self, parent: Any, name: str) -> Iterator[None]:
        """A span for what a queue's item asks for, which brought *parent*: as `parent=`, or made current."""
        if self.explicit:
            with self.under(parent, name):
                yield
        else:
            with self.current(parent), self.span(name):
                yield

    def step(self, name: str, parent: Any) -> AbstractContextManager[Any]:
        """A span: by hand under *parent*, or wherever the SDK puts it."""
        return self.under(parent, name) if self.explicit else self.span(name)

    def away(self, name: str, carrier: Any) -> AbstractContextManager[Any]:
        """As `step`, in another process."""
        return self.far(carrier, name) if self.explicit else self.span(name)


class Clew(Subject):
    """As its users get it: configured, and nothing else."""

    modules = ("clew.sdk.setup", "clew.langsmith", "clew.asgi")

    def set_up(self) -> None:
        import clew
        from clew.sdk import setup

        class Exporter:
            def send(self, body: Any) -> None:
                import msgspec

                from clew.wire.native import NativeBody

                for span in msgspec.msgpack.decode(body.encode(), type=NativeBody).spans:
                    write(span.name, span.span_id, span.parent_id)

            def close(self) -> None:
                pass

            def after_fork(self) -> None:
                pass

        self.clew = clew
        setup.use(Exporter())

    def span(self, name: str) -> Any:
        return self.clew.span(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.clew.span(name, parent=parent)

    def far(self, carrier: Any, name: str) -> Any:
        return self.clew.span(name, parent=carrier)

    def current(self, parent: Any) -> Any:
        return self.clew.tracing_context(parent)

    def is_open(self, handle: Any) -> bool:
        return not handle._end

    def asgi(self, app: Any) -> Any:
        from clew.asgi import TracingMiddleware

        return TracingMiddleware(app, name="request")

    def handle(self) -> Any:
        return self.clew.current_span()

    def carrier(self) -> Any:
        return self.clew.current_span().traceparent

    def traced(self, name: str) -> Any:
        return self.clew.traced(name)

    def flush(self) -> None:
        self.clew.flush()


class ClewByLangSmithsNames(Clew):
    """The same by `clew.langsmith`; not in the table, as it is not another SDK."""

    def set_up(self) -> None:
        super().set_up()
        import clew.langsmith

        self.names = clew.langsmith

    def span(self, name: str) -> Any:
        return self.names.trace(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.names.trace(name, parent=parent)

    far = under

    def current(self, parent: Any) -> Any:
        return self.names.tracing_context(parent=parent)

    def is_open(self, handle: Any) -> bool:
        return handle.end_time is None

    def handle(self) -> Any:
        return self.names.get_current_run_tree()

    def carrier(self) -> Any:
        return self.names.get_current_run_tree().to_headers()

    def traced(self, name: str) -> Any:
        return self.names.traceable(name=name)


class OpenTelemetry(Subject):
    """
    Its SDK, and its own instrumentation of threads, which `opentelemetry-instrument` would switch on.

    The simplest processor: what is compared is parents, not cost.
    """

    modules = ("opentelemetry.sdk.trace.export", "opentelemetry.instrumentation.threading")

    def set_up(self) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

        class Exporter(SpanExporter):
            def export(self, spans: Any) -> Any:
                for span in spans:
                    write(span.name, span.context.span_id, span.parent.span_id if span.parent else None)
                return SpanExportResult.SUCCESS

        from opentelemetry.instrumentation.threading import ThreadingInstrumentor

        ThreadingInstrumentor().instrument()
        self.trace, self.propagate = trace, propagate
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Exporter()))
        self.tracer = provider.get_tracer("matrix")

    def span(self, name: str) -> Any:
        return self.tracer.start_as_current_span(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.tracer.start_as_current_span(name, context=self.trace.set_span_in_context(parent))

    def far(self, carrier: Any, name: str) -> Any:
        return self.tracer.start_as_current_span(name, context=self.propagate.extract(carrier))

    def current(self, parent: Any) -> Any:
        return self.trace.use_span(parent)

    def is_open(self, handle: Any) -> bool:
        return bool(handle.is_recording())

    def handle(self) -> Any:
        return self.trace.get_current_span()

    def carrier(self) -> Any:
        carrier: dict[str, str] = {}
        self.propagate.inject(carrier)
        return carrier

    def traced(self, name: str) -> Any:
        return self.tracer.start_as_current_span(name)


class LangSmith(Subject):
    """Its `trace` and `traceable`, with a client that writes instead of sending."""

    modules = ("langsmith.run_helpers",)
    settings: ClassVar[dict[str, str]] = {
        "LANGSMITH_API_KEY": "none",
        "LANGSMITH_ENDPOINT": "http://127.0.0.1:1",
        "LANGSMITH_TRACING": "true",
    }

    def set_up(self) -> None:
        import langsmith
        from langsmith import run_helpers, run_trees

        class Client(langsmith.Client):
            def create_run(self, name: str, *_: Any, **run: Any) -> None:
                write(name, run["id"], run.get("parent_run_id"))

            def update_run(self, *_: Any, **__: Any) -> None:
                pass

        self.langsmith, self.current_run = langsmith, run_helpers.get_current_run_tree
        client = Client(auto_batch_tracing=False)
        run_trees._CLIENT = client
        if run_trees.get_cached_client() is not client:
            raise RuntimeError("this version of langsmith keeps its client elsewhere")

    def span(self, name: str) -> Any:
        return self.langsmith.trace(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.langsmith.trace(name, parent=parent)

    far = under

    def current(self, parent: Any) -> Any:
        return self.langsmith.tracing_context(parent=parent)

    def is_open(self, handle: Any) -> bool:
        return handle.end_time is None

    def handle(self) -> Any:
        return self.current_run()

    def carrier(self) -> Any:
        return self.current_run().to_headers()

    def traced(self, name: str) -> Any:
        return self.langsmith.traceable(name=name)


class DDTrace(Subject):
    """
    Its tracer, with the patches of asyncio and futures that `ddtrace-run` would make.

    Nothing is sent: a filter writes each finished span down and drops it.
    """

    modules = ("ddtrace.trace",)
    settings: ClassVar[dict[str, str]] = {
        "DD_CRASHTRACKING_ENABLED": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
        "DD_REMOTE_CONFIGURATION_ENABLED": "false",
        "DD_TRACE_AGENT_URL": "http://127.0.0.1:1",
        "DD_TRACE_PARTIAL_FLUSH_MIN_SPANS": "1",
        "DD_TRACE_STARTUP_LOGS": "false",
    }

    def set_up(self) -> None:
        import ddtrace
        from ddtrace.propagation.http import HTTPPropagator
        from ddtrace.trace import TraceFilter, tracer

        class Write(TraceFilter):
            def process_trace(self, trace: Any) -> None:
                for span in trace:
                    write(span.name, span.span_id, span.parent_id)

        self.tracer, self.http = tracer, HTTPPropagator
        tracer.configure(trace_processors=[Write()])
        ddtrace.patch(asyncio=True, futures=True)

    def span(self, name: str) -> Any:
        return self.tracer.trace(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.tracer.start_span(name, child_of=parent, activate=True)

    def far(self, carrier: Any, name: str) -> Any:
        return self.under(self.http.extract(carrier), name)

    @contextmanager
    def current(self, parent: Any) -> Iterator[None]:
        before = self.tracer.context_provider.active()
        self.tracer.context_provider.activate(parent.context)
        try:
            yield
        finally:
            self.tracer.context_provider.activate(before)

    def is_open(self, handle: Any) -> bool:
        return not handle.finished

    def handle(self) -> Any:
        return self.tracer.current_span()

    def carrier(self) -> Any:
        carrier: dict[str, str] = {}
        self.http.inject(self.tracer.current_trace_context(), carrier)
        return carrier

    def traced(self, name: str) -> Any:
        return self.tracer.wrap(name)

    def flush(self) -> None:
        self.tracer.flush()


SUBJECTS: dict[str, type[Subject]] = {
    "clew": Clew,
    "clew.langsmith": ClewByLangSmithsNames,
    "opentelemetry": OpenTelemetry,
    "langsmith": LangSmith,
    "ddtrace": DDTrace,
}
