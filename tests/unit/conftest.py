"""What every test of the SDK and its doors starts from: spans that end up in a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import clew
from clew.model import Score
from clew.sdk import setup
from clew.sdk.packing import PackedBody
from clew.wire.native import NativeBody, NativeSpan


class Captured:
    """An exporter that keeps what it is given, and answers questions about it."""

    def __init__(self) -> None:
        self.bodies: list[NativeBody] = []

    def send(self, body: PackedBody) -> None:
        # Read back from the bytes: what a server would see.
        self.bodies.append(msgspec.msgpack.decode(body.encode(), type=NativeBody))

    def close(self) -> None:
        pass

    def after_fork(self) -> None:
        pass

    @property
    def spans(self) -> list[NativeSpan]:
        """Every span that ended so far, oldest end first."""
        assert clew.flush(timeout=5)
        return [span for body in self.bodies for span in body.spans]

    @property
    def scores(self) -> list[Score]:
        assert clew.flush(timeout=5)
        return [score for body in self.bodies for score in body.scores]

    def __getitem__(self, name: str) -> NativeSpan:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{name}: {len(found)} of {[span.name for span in self.spans]}"
        return found[0]

    def tree(self) -> dict[str, Any]:
        """Names as nested dicts. A span whose parent is not here stands at the top."""
        spans = self.spans
        known = {span.span_id for span in spans}

        def below(parent: str | None) -> dict[str, Any]:
            return {
                span.name: below(span.span_id)
                for span in sorted(spans, key=lambda span: span.start_ns)
                if (span.parent_id if span.parent_id in known else None) == parent
            }

        return below(None)


@pytest.fixture
def captured() -> Iterator[Captured]:
    """Tracing is on, and what ends lands here."""
    setup.forget()
    exporter = Captured()
    setup.use(exporter)
    yield exporter
    setup.forget()


@pytest.fixture
def untouched() -> Iterator[None]:
    """As in a process that has just imported clew."""
    setup.forget()
    yield
    setup.forget()


@pytest.fixture
def otel(captured: Captured) -> Iterator[Any]:
    """OpenTelemetry's API on Clew, as after `clew.otel.install`; a tracer. Undone afterwards."""
    from opentelemetry import context, propagate, trace

    import clew.otel

    propagator = propagate.get_global_textmap()
    before = context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done
    clew.otel.install()
    yield trace.get_tracer("shop", "1.4")
    context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done = before
    propagate.set_global_textmap(propagator)
