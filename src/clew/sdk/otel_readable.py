"""
What OpenTelemetry's own SDK lets be read of a span.

Its API has no such thing, but instrumentations read it all the same (FastAPI's asks a span for its
`kind`), and so do tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from clew.sdk.faults import internal
from clew.sdk.span import ActiveSpan

_UNSET: Final = Status(StatusCode.UNSET)


class Readable(trace.Span):
    """A span's facts so far. Of one that was sent, ids and times are left."""

    __clew_span__: ActiveSpan
    _kind: Any = None
    _status = ""
    _message = ""

    @property
    def name(self) -> str:
        """Its name."""
        return self.__clew_span__.name

    @property
    def context(self) -> SpanContext:
        """Its ids."""
        return self.get_span_context()

    @property
    def parent(self) -> SpanContext | None:
        """Its parent's ids; None for the first span of a trace."""
        span = self.__clew_span__
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(span._trace, span._parent, span._is_root, flags) if span._parent else None

    @property
    def kind(self) -> SpanKind:
        """OpenTelemetry's kind; a span of Clew's own is internal."""
        return self._kind if type(self._kind) is SpanKind else SpanKind.INTERNAL

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes, not to be changed."""
        return MappingProxyType(self.__clew_span__._attributes or {})

    @property
    def status(self) -> Status:
        """Its status, as it was set."""
        try:
            if self._status == "error":
                return Status(StatusCode.ERROR, self._message)
            return Status(StatusCode.OK if self._status else StatusCode.UNSET)
        except Exception as fault:
            internal(fault)
            return _UNSET

    @property
    def start_time(self) -> int:
        """Unix nanoseconds."""
        return self.__clew_span__._start + self.__clew_span__._anchor

    @property
    def end_time(self) -> int | None:
        """Unix nanoseconds; None while it runs."""
        span = self.__clew_span__
        return span._end + span._anchor if span._end else None
