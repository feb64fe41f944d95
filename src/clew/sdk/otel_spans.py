"""
OpenTelemetry's `Span` on a live span of Clew, for spans of either origin.

The Clew span does the work: it holds ids, times, attributes and events. What only OpenTelemetry
knows (scope, SpanKind, links, a status that may be unset) is kept here and put in when the writer
packs the span, so that the server reads from it what it reads from the same span over OTLP.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import Attributes, AttributeValue

from clew.model import Link
from clew.sdk import ambient
from clew.sdk.ambient import current
from clew.sdk.failures import capture
from clew.sdk.otel_readable import Readable
from clew.sdk.otel_values import KEPT_LINKS, PLAIN, add, add_one, complain, internal, late, link_of, nanoseconds, plain
from clew.sdk.span import ActiveSpan
from clew.wire.native import NativeSpan

SPAN_KEY: Final = _SPAN_KEY
"""Where an OpenTelemetry context has its span."""

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
KINDS: Final = {kind: kind.name.lower() for kind in SpanKind}

STATES: Final[dict[int, TraceState]] = {}
"""The `tracestate` that came with a trace, by the trace's id. Few traces have one."""
_MAX_STATES: Final = 10_000


class Span(Readable):
    """One span, as OpenTelemetry's API shows it. Every method swallows its own failures."""

    # What most spans do not have stands here, and costs nothing.
    _scope = ""
    _scope_attributes: Mapping[str, Any] | None = None
    _links: Any = ()
    _context: SpanContext | None = None
    alone: Any = None
    """The context that holds it and nothing else, once somebody has asked."""
    _on_exit = (True, True)

    def __init__(self, span: ActiveSpan) -> None:
        self.__clew_span__ = span

    def end(self, end_time: int | None = None) -> None:
        """End it, now or at *end_time*, Unix nanoseconds. The first end counts."""
        try:
            span = self.__clew_span__
            if span._end:
                late("end")
            elif end_time is None or (at := nanoseconds(end_time, "end_time")) is None:
                span.end()
            else:
                span.end_at(at - span._anchor)
        except Exception as error:
            internal(error)

    def get_span_context(self) -> SpanContext:
        """Give its ids, sampled, with the `tracestate` that came with its trace."""
        try:
            if self._context is None:
                span = self.__clew_span__
                state = STATES.get(span._trace) if STATES else None
                self._context = SpanContext(span._trace, span._span, False, SAMPLED, state)
        except Exception as error:
            internal(error)
        return self._context or trace.INVALID_SPAN_CONTEXT

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return not self.__clew_span__._end

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set one attribute."""
        try:
            span = self.__clew_span__
            mine = span._attributes
            if span._end or mine is None:
                late("set_attribute")
            elif type(value) in PLAIN and type(key) is str and key:
                mine[key] = value
            else:
                add_one(mine, key, value)
        except Exception as error:
            internal(error)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes from a mapping."""
        try:
            span = self.__clew_span__
            if span._end or span._attributes is None:
                late("set_attributes")
            else:
                add(span._attributes, attributes)
        except Exception as error:
            internal(error)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note a point in time, now or at *timestamp*, Unix nanoseconds."""
        try:
            span = self.__clew_span__
            if span._end:
                late("add_event")
            else:
                kept: dict[str, Any] = {}
                add(kept, attributes)
                span._note(name, self._moment(timestamp), kept)
        except Exception as error:
            internal(error)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Point to another span."""
        try:
            if self.__clew_span__._end:
                return late("add_link")
            link = link_of(context, attributes)
            if link is not None and len(self._links) < KEPT_LINKS:
                self._links = [*self._links, link]
        except Exception as error:
            internal(error)

    def update_name(self, name: str) -> None:
        """Give it another name."""
        try:
            span = self.__clew_span__
            if span._end:
                late("update_name")
            else:
                span.name = name
        except Exception as error:
            internal(error)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; "ok" is final, and "unset" says nothing."""
        try:
            if self.__clew_span__._end:
                return late("set_status")
            code: Any = status
            if isinstance(status, Status):
                code, description = status.status_code, status.description
            if not isinstance(code, StatusCode):
                return complain("status", f"a status of type {type(code).__name__} was ignored")
            if code is not StatusCode.UNSET and self._status != "ok":
                self._status = "ok" if code is StatusCode.OK else "error"
                self._message = description if self._status == "error" and isinstance(description, str) else ""
        except Exception as error:
            internal(error)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception as an event, with its stack trace. The status stays."""
        try:
            span = self.__clew_span__
            if span._end:
                return late("record_exception")
            said: dict[str, Any] = {"exception.escaped": str(bool(escaped))}
            add(said, attributes)
            span._note("exception", self._moment(timestamp), capture(exception)._replace(attributes=said))
        except Exception as error:
            internal(error)

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None and not self.__clew_span__._end:
            self.fail(exc, *self._on_exit, escaped=True)
        self.end()

    # Behind the scenes.

    @property
    def serves(self) -> bool:
        """Whether it is a server's span for a request that is being answered."""
        return self._kind is SpanKind.SERVER and not self.__clew_span__._end

    def fail(self, exc: BaseException, record: bool, mark: bool, *, escaped: bool = False) -> None:
        """Note the exception that left its `with`, as far as that was asked for."""
        if record:
            self.record_exception(exc, escaped=escaped)
        if mark:
            try:
                self.set_status(StatusCode.ERROR, f"{type(exc).__name__}: {exc}")
            except Exception:  # Its text is the user's code.
                self.set_status(StatusCode.ERROR, type(exc).__name__)

    def complete(self, native: NativeSpan) -> None:
        """Put in what Clew's span does not know. Called by the writer; never raises."""
        self.alone = None  # It refers back here, and would wait for the garbage collector.
        try:
            if self._kind is not None:
                self._complete_own(native)
            if self._status:
                native.status, native.status_message = self._status, self._message  # type: ignore[assignment]
            if self._links:
                native.links = [
                    Link(trace_id=f"{trace:032x}", span_id=f"{span:016x}", attributes=plain(said))
                    for trace, span, said in self._links
                ]
        except Exception as error:
            internal(error)

    def _complete_own(self, native: NativeSpan) -> None:
        """It began here, so it is to look as over OTLP."""
        native.scope, native.otel_kind = self._scope, KINDS.get(self._kind, "")
        if native.status == "ok":
            native.status = "unset"
        about = {f"otel.scope.{key}": value for key, value in (self._scope_attributes or {}).items()}
        state = STATES.get(self.__clew_span__._trace) if STATES else None
        if state:
            about["otel.trace_state"] = state.to_header()
        if about:
            native.attributes = {**native.attributes, **plain(about)}

    def _moment(self, timestamp: Any) -> int:
        at = nanoseconds(timestamp, "timestamp") if timestamp is not None else None
        return perf_counter_ns() if at is None else at - self.__clew_span__._anchor


class Foreign(ambient.SpanContext):
    """Stands for a span of somebody else's: OpenTelemetry's own SDK, or another process."""

    __slots__ = ("_anchor", "otel")

    def __init__(self, span: trace.Span, context: SpanContext) -> None:
        self.otel = span
        self._trace, self._span = context.trace_id, context.span_id
        # Under a span of this process, what is below it is measured by the same clock, and is no root.
        above = current()
        inside = above is not None and above._trace == self._trace and not context.is_remote
        self._anchor = above._anchor if inside else 0
        if context.trace_state:
            if len(STATES) >= _MAX_STATES:
                STATES.pop(next(iter(STATES)), None)
            STATES[self._trace] = context.trace_state

    @property
    def serves(self) -> bool:
        """Whether it is a server's span for a request that is being answered."""
        return getattr(self.otel, "kind", None) is SpanKind.SERVER and self.otel.is_recording()


def stand_in(span: Any) -> Any:
    """Give what stands for an OpenTelemetry *span* among Clew's: a live span, a `Foreign`; None for no span."""
    if span is None:
        return None
    # Wrappers of our spans (OpenInference's) hand this on.
    own = getattr(span, "__clew_span__", None)
    if own is not None:
        return own
    if not isinstance(span, trace.Span):
        return None
    context = span.get_span_context()
    return Foreign(span, context) if isinstance(context, SpanContext) and context.is_valid else None


def span_of(value: Any) -> trace.Span:
    """Give the OpenTelemetry span of what is current: a live span, a `Foreign` or a `SpanContext`."""
    if isinstance(value, ActiveSpan):
        extra = value._extra
        if extra is not None and extra.foreign is not None:
            return extra.foreign  # type: ignore[no-any-return]
        shown = Span(value)
        if not value._end:
            value._more().foreign = shown
        return shown
    if type(value) is Foreign:
        return value.otel
    return trace.NonRecordingSpan(SpanContext(value._trace, value._span, True, SAMPLED))
