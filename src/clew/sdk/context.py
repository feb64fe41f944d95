"""The current span, and how to make something else current for a while."""

from __future__ import annotations

import sys
from typing import Any

from clew.sdk.ambient import CURRENT, SpanContext, current, parent_of
from clew.sdk.faults import internal, once_more
from clew.sdk.held import Hold, hold, holder_of, placed, release
from clew.sdk.span import NOTHING, ActiveSpan, NothingSpan, nothing_span


def current_span() -> ActiveSpan:
    """
    Give the current span, or a do-nothing span, which is false.

    Under a remote parent it is a do-nothing span as well, but one that knows the remote ids.
    """
    try:
        found = current()
        if type(found) is ActiveSpan:
            return found
        if isinstance(found, SpanContext):
            return nothing_span(found._trace, found._span)
    except Exception as error:
        internal(error)
    return NOTHING


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
        try:
            parent = parent_of(self._parent)
            if isinstance(parent, NothingSpan):
                # A view of a remote parent; as a parent it is its ids.
                parent = SpanContext(parent.trace_id, parent.span_id)
            frame = holder_of(sys._getframe(1))
            if frame is not None:
                self._set = hold(frame, parent)
            else:
                self._prev = CURRENT.get()
                self._set = placed(parent)
                CURRENT.set(self._set)
            return current_span()
        except Exception as error:
            internal(error)
        except BaseException as error:
            once_more(self._leave, error)
        return NOTHING

    @property
    def hold(self) -> Hold | None:
        """The generator's hold, if the `with` stands in one."""
        return self._set if type(self._set) is Hold else None

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException as error:
            once_more(self._leave, error)

    # `async with` is `with`: nothing is waited for.
    async def __aenter__(self) -> ActiveSpan:
        try:
            return self.__enter__()
        except Exception as error:
            internal(error)
            return NOTHING

    async def __aexit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException as error:
            once_more(self._leave, error)

    def _leave(self) -> None:
        if type(self._set) is Hold:
            release(self._set)
        # Like a span: what somebody else made current since then is not ours to undo.
        elif CURRENT.get() is self._set:
            CURRENT.set(self._prev)
        self._parent = self._prev = self._set = None
