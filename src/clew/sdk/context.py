"""The current span, and how to make something else current for a while."""

from __future__ import annotations

from typing import Any

from clew.sdk.ambient import CURRENT, SpanContext, parent_of
from clew.sdk.span import ActiveSpan, NothingSpan, nothing_span

_NOTHING = nothing_span()


def current_span() -> ActiveSpan:
    """
    Give the current span, or a do-nothing span, which is false.

    Under a remote parent it is a do-nothing span as well, but one that knows the remote ids.
    """
    current = CURRENT.get()
    if type(current) is ActiveSpan:
        return current
    if type(current) is SpanContext:
        return nothing_span(current._trace, current._span)
    return _NOTHING


class tracing_context:  # noqa: N801  used like a function, as contextlib's are
    """
    Make *parent* current inside a `with`: a span, a `SpanContext` or a `traceparent` string.

    None leaves the current span as it is. The parent is neither started nor ended.
    """

    __slots__ = ("_parent", "_prev", "_set")

    def __init__(self, parent: Any = None) -> None:
        self._parent = parent
        self._prev: Any = None
        self._set: Any = None

    def __enter__(self) -> ActiveSpan:
        self._prev = CURRENT.get()
        self._set = parent_of(self._parent)
        if isinstance(self._set, NothingSpan):
            # A view of a remote parent; as a parent it is its ids.
            self._set = SpanContext(self._set.trace_id, self._set.span_id)
        CURRENT.set(self._set)
        return current_span()

    def __exit__(self, *_: object) -> None:
        # Like a span: what somebody else made current since then is not ours to undo.
        if CURRENT.get() is self._set:
            CURRENT.set(self._prev)
        self._parent = self._prev = self._set = None
