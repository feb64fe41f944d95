"""
The one context variable, what is current, and what a `parent=` may be.

The variable holds the current `ActiveSpan`, or a `SpanContext` when the parent lives in another
process, or None. A span that has ended and was sent holds only ids, so nothing heavy travels.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any, Final

from clew.errors import MalformedId
from clew.sdk.held import HELD, Inner, innermost
from clew.sdk.outbox import outbox

# `clew.model` is imported where it is needed, and so is msgspec with it: a program that imports
# Clew and never makes a span should not pay for them.

TRACEPARENT: Final = "TRACEPARENT"
"""The environment variable that makes a whole process a child of a span elsewhere."""


def traceparent_of(trace: int, span: int) -> str:
    """Write the W3C header, version 00, flag "sampled"."""
    return f"00-{trace:032x}-{span:016x}-01"


class SpanContext:
    """
    The ids of a span in another process, to be given as `parent=`.

    Raises:
        MalformedId: an id is not 32 or 16 hex digits, or is all zeros.
    """

    __slots__ = ("_span", "_trace")

    # What a live span has and a remote one has not; see ActiveSpan for their meaning.
    _anchor = 0
    _prev = None

    def __init__(self, trace_id: str, span_id: str) -> None:
        from clew.model.ids import span_id_of, trace_id_of

        self._trace = int(trace_id_of(trace_id), 16)
        self._span = int(span_id_of(span_id), 16)

    @classmethod
    def from_traceparent(cls, header: str) -> SpanContext:
        """
        Read a W3C `traceparent` header.

        Raises:
            MalformedId: it is not one.
        """
        from clew.model.ids import parse_traceparent

        trace_id, span_id, _ = parse_traceparent(header)
        return cls(trace_id, span_id)

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return f"{self._trace:032x}"

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        return f"{self._span:016x}"

    @property
    def traceparent(self) -> str:
        """The header that hands this context on."""
        return traceparent_of(self._trace, self._span)

    def __repr__(self) -> str:
        return f"SpanContext({self.trace_id!r}, {self.span_id!r})"


class _Marker:
    """Stands where a parent stands and means something about the absence of one."""

    __slots__ = ("says",)
    _anchor = 0
    _prev = None
    _trace = 0
    _span = 0

    def __init__(self, says: str) -> None:
        self.says = says


NO_PARENT: Final = _Marker("as `parent=`: begin a new trace, whatever is ambient")
SUPPRESSED: Final = _Marker("as the current span: nothing below is traced (Clew's own work)")


def remote(span: Any) -> Any:
    """Give what stands for *span* in another process: its ids; None for no span."""
    if span is None or not span._trace:
        return None
    made = SpanContext.__new__(SpanContext)
    made._trace, made._span = span._trace, span._span
    return made


def _from_environment() -> SpanContext | None:
    header = os.environ.get(TRACEPARENT)
    if not header:
        return None
    try:
        return SpanContext.from_traceparent(header)
    except MalformedId as error:
        outbox.complain("traceparent", f"{TRACEPARENT} ignored: {error}")
        return None


# The environment's parent is the default, so it costs nothing and reaches every thread.
_PARENT: Final = _from_environment()
CURRENT: Final[ContextVar[Any]] = ContextVar("clew_current", default=_PARENT)


def current() -> Any:
    """
    Give what is truly current: a live span, a SpanContext, SUPPRESSED, or None.

    That is what the context holds, unless a generator further in holds a span of its own.
    """
    value = CURRENT.get()
    return further_in(value) if HELD or type(value) is Inner else value


def further_in(value: Any) -> Any:
    """Choose between *value*, from the context, and what a generator on the running stack holds."""
    if value is SUPPRESSED:
        return value
    hold = innermost()
    if type(value) is Inner:
        return value.value if hold is None or hold is value.hold else hold.value
    return value if hold is None else hold.value


def serving(span: Any) -> bool:
    """Whether *span* is one of OpenTelemetry's for a request that this process is answering."""
    extra = getattr(span, "_extra", None)
    return bool(getattr(span if extra is None else extra.foreign, "serves", False))


def parent_of(parent: Any) -> Any:
    """
    Give what *parent* stands for: a live span, a SpanContext, or None for "no parent".

    What cannot be a parent is complained of once, and the ambient span is taken instead.
    """
    if parent is None:
        return current()
    if parent is NO_PARENT:
        return None
    if issubclass(type(parent), str):  # `isinstance` would ask for its `__class__`, which is the user's.
        try:
            return SpanContext.from_traceparent(str.__str__(parent))
        except MalformedId as error:
            outbox.complain("traceparent", f"parent= ignored: {error}")
            return current()
    try:
        # Another API's objects on Clew's spans say which one they stand for.
        parent = getattr(parent, "__clew_span__", parent)
        trace, span = getattr(parent, "_trace", None), getattr(parent, "_span", None)
    except Exception:  # Its attributes are the user's code.
        trace = span = None
    if type(trace) is int and type(span) is int:
        # A do-nothing span has no ids of its own, and so is no parent.
        return parent if trace and span else current()
    return _said_by_opentelemetry(parent) or current()


def _said_by_opentelemetry(parent: Any) -> SpanContext | None:
    """Take the ids from a span, or a span's context, of OpenTelemetry's own SDK; complain of anything else."""
    try:
        context = parent.get_span_context() if hasattr(parent, "get_span_context") else parent
        trace, span = context.trace_id, context.span_id
        if type(trace) is int and type(span) is int:
            return SpanContext(f"{trace:032x}", f"{span:016x}")
    except Exception:  # noqa: S110  its attributes are the user's code
        pass
    kind = type(parent).__name__
    outbox.complain("parent", f"parent= ignored: want a span, a SpanContext or a traceparent string, got {kind}")
    return None
