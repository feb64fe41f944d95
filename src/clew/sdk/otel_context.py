"""
OpenTelemetry's context on Clew's: one current span for both.

OpenTelemetry's API keeps its context in a variable of its own, behind one object. That object is
replaced here: which span is current is asked of Clew, and to attach a context makes its span
Clew's current one. Everything else in a context (baggage, what suppresses instrumentations) is
kept in a variable beside it. No `contextvars.Token` is held, so a context may be detached in
another task, out of order or twice, and nothing is logged.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any, Final

import opentelemetry.context as api
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.context.context import _RuntimeContext

from clew.sdk.ambient import CURRENT, SUPPRESSED, current, serving
from clew.sdk.faults import once_more
from clew.sdk.held import Hold, Inner, hold, holder_of, placed, release
from clew.sdk.otel_spans import SPAN_KEY, Foreign, Span, span_of, stand_in
from clew.sdk.otel_values import internal
from clew.sdk.span import ActiveSpan, _not_left_behind

ARRIVED: Final = "clew-arrived"
"""Marks a context that was read from a request's headers, and may name no span: `clew.sdk.otel_arrivals`."""

QUIET: Final = Context({_SUPPRESS_INSTRUMENTATION_KEY: True})
"""Around Clew's own work."""

_ATTACH: Final = api.attach.__code__
_FAR: Final = 50
"""So many spans are looked behind for the one that began with the request."""


class Attached:
    """One context that was attached, until it is detached: the token."""

    __slots__ = ("before", "below", "context", "gone", "placed", "value")

    def __init__(self, context: Context, below: Attached | None) -> None:
        self.context = context
        self.value: Any = None
        """What stands for its span among Clew's."""
        self.below = below
        self.before: Any = None
        """What Clew's variable held."""
        self.placed: Any = self
        """What it was given instead; the token itself stands for "it was left alone"."""
        self.gone = False


_NONE: Final = Attached(Context(), None)
"""The token of a context that was not attached, since Clew failed."""


class SharedContext(_RuntimeContext):
    """What `opentelemetry.context` runs on once Clew is installed."""

    def __init__(self, before: _RuntimeContext) -> None:
        self.before = before
        self._attached: ContextVar[Attached | None] = ContextVar("clew_otel", default=None)

    def get_current(self) -> Context:
        """Give the context that was attached last, with the span that is current now."""
        try:
            now = current()
            last = self._attached.get()
            if last is not None and last.value is now:
                return last.context
            if now is SUPPRESSED:
                return QUIET
            return _with_span(last.context if last is not None else self.before.get_current(), now)
        except Exception as error:
            internal(error)
            return Context()

    def attach(self, context: Context) -> Any:
        """Make *context* current, and its span Clew's current one."""
        token = _NONE
        try:
            token = Attached(context, self._attached.get())
            now = current()
            if now is SUPPRESSED:
                token.value = now
            else:
                frame: Any = sys._getframe(1)
                _place(token, now, frame.f_back if frame.f_code is _ATTACH else frame)
                if type(token.placed) is Hold and _same_but_span(context, token.below):
                    return token  # What a generator holds is not for its consumer, whose context this is.
            self._attached.set(token)
        except Exception as error:
            internal(error)
        except BaseException:
            self._undo(token)  # Nobody else has the token.
            raise
        return token

    def detach(self, token: Any) -> None:
        """Undo `attach`, in any order, in any task."""
        if type(token) is not Attached:
            self.before.detach(token)  # It was attached before Clew was installed.
            return
        try:
            self._undo(token)
        except BaseException as fault:
            once_more(lambda: self._undo(token), fault)

    def _undo(self, token: Attached) -> None:
        token.gone = True
        if type(token.placed) is Hold:
            release(token.placed)
        elif token.placed is not token and CURRENT.get() is token.placed:
            CURRENT.set(_behind(token))
        if self._attached.get() is token:
            below = token.below
            while below is not None and below.gone:
                below = below.below
            self._attached.set(below)


def _with_span(rest: Context, now: Any) -> Context:
    """Give *rest*, with the span of *now* in the place of its own."""
    if now is None:
        return Context({key: value for key, value in rest.items() if key != SPAN_KEY}) if SPAN_KEY in rest else rest
    span = span_of(now)
    if rest:
        return Context({**rest, SPAN_KEY: span})
    if type(span) is not Span:
        return Context({SPAN_KEY: span})
    if span.alone is None:
        span.alone = Context({SPAN_KEY: span})
    return span.alone  # type: ignore[no-any-return]


def _place(token: Attached, now: Any, frame: Any) -> None:
    token.value = wanted = parent_in(token.context, now)
    holder = holder_of(frame)
    if holder is not None:
        made = token.placed = hold(holder, wanted)
        made.around = CURRENT.get()
    elif wanted is not now:
        token.before = CURRENT.get()
        token.placed = placed(wanted)
        CURRENT.set(token.placed)


def parent_in(context: Any, now: Any) -> Any:
    """
    Give what stands for the span of *context*; None if it has none. *now* is Clew's current span.

    Who reads the headers of a request that Clew's middleware already answers finds the same
    parent again, or none where Clew began the trace. He means what Clew has made of it since.
    """
    span = context.get(SPAN_KEY)
    if type(span) is Span:
        return span.__clew_span__
    wanted = stand_in(span)
    if ARRIVED in context and (wanted is None or type(wanted) is Foreign) and _answers(now, wanted):
        return now
    return wanted


def _answers(now: Any, arrived: Any) -> bool:
    """Whether *now* is inside of the span with which this process began to answer what *arrived* asked."""
    for _ in range(_FAR):
        if type(now) is Inner or type(now) is Hold:
            now = now.value
        if not isinstance(now, ActiveSpan):
            return False
        if now._is_root and not now._end:
            if arrived is not None:
                return (now._trace, now._parent) == (arrived._trace, arrived._span)
            return not now._parent and (now._kind == "root" or serving(now))
        now = now._prev[0] if type(now._prev) is tuple else now._prev
    return False


def _behind(token: Attached) -> Any:
    """What stood before *token*, without what was detached out of order meanwhile."""
    value, below = token.before, token.below
    while below is not None and below.gone and value is below.placed:
        value, below = below.before, below.below
    return _not_left_behind(value)


def _same_but_span(context: Context, below: Attached | None) -> bool:
    known: Any = below.context if below is not None else {}
    rest = {key: value for key, value in context.items() if key != SPAN_KEY}
    return len(rest) == len(known) - (SPAN_KEY in known) and all(known.get(key) is rest[key] for key in rest)
