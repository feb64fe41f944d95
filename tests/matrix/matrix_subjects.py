"""
The SDKs that the matrix compares, each behind the same few calls.

Every process appends what it has finished to one file, so that a pattern may use as many as it
likes. After the adapters of the project's own comparison of tracing SDKs.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from typing import Any

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

    def __init__(self, *, explicit: bool) -> None:
        self.explicit = explicit
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

    def step(self, name: str, parent: Any) -> AbstractContextManager[Any]:
        """A span: by hand under *parent*, or wherever the SDK puts it."""
        return self.under(parent, name) if self.explicit else self.span(name)

    def away(self, name: str, carrier: Any) -> AbstractContextManager[Any]:
        """As `step`, in another process."""
        return self.far(carrier, name) if self.explicit else self.span(name)


class Clew(Subject):
    """As its users get it: configured, and nothing else."""

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

    def handle(self) -> Any:
        return self.clew.current_span()

    def carrier(self) -> Any:
        return self.clew.current_span().traceparent

    def traced(self, name: str) -> Any:
        return self.clew.traced(name)

    def flush(self) -> None:
        self.clew.flush()


class OpenTelemetry(Subject):
    """Its SDK, with the simplest processor: what is compared is parents, not cost."""

    def set_up(self) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

        class Exporter(SpanExporter):
            def export(self, spans: Any) -> Any:
                for span in spans:
                    write(span.name, span.context.span_id, span.parent.span_id if span.parent else None)
                return SpanExportResult.SUCCESS

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

    def set_up(self) -> None:
        os.environ.update(LANGSMITH_TRACING="true", LANGSMITH_API_KEY="none", LANGSMITH_ENDPOINT="http://127.0.0.1:1")
        import langsmith
        from langsmith import run_helpers, run_trees

        class Client(langsmith.Client):
            def create_run(self, name: str, *_: Any, **run: Any) -> None:
                write(name, run["id"], run.get("parent_run_id"))

            def update_run(self, *_: Any, **__: Any) -> None:
                pass

        self.langsmith, self.current = langsmith, run_helpers.get_current_run_tree
        client = Client(auto_batch_tracing=False)
        run_trees._CLIENT = client
        if run_trees.get_cached_client() is not client:
            raise RuntimeError("this version of langsmith keeps its client elsewhere")

    def span(self, name: str) -> Any:
        return self.langsmith.trace(name)

    def under(self, parent: Any, name: str) -> Any:
        return self.langsmith.trace(name, parent=parent)

    far = under

    def handle(self) -> Any:
        return self.current()

    def carrier(self) -> Any:
        return self.current().to_headers()

    def traced(self, name: str) -> Any:
        return self.langsmith.traceable(name=name)


SUBJECTS: dict[str, type[Subject]] = {"clew": Clew, "opentelemetry": OpenTelemetry, "langsmith": LangSmith}
