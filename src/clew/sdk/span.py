"""
The live span: a small object that is its own context manager.

It is written for the caller's latency (measured against `peers`' floor by `make bench`): ids are
integers from a private generator, one clock is read at each end, payloads are kept as they are,
and hex, conversion and encoding wait for the writer. Every method swallows its own failures.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from sys import _getframe
from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Any, Final

from clew.sdk.ambient import CURRENT, SUPPRESSED, further_in, parent_of, remote
from clew.sdk.failures import Raised, capture, is_cancellation, is_plain_end
from clew.sdk.faults import internal, once_more
from clew.sdk.held import ENTERING, GENERATORS, HELD, Hold, Inner, hold, holder_of, placed, release
from clew.sdk.kept import kept
from clew.sdk.outbox import outbox, settling

NO_NAME: Final = ""
"""There is one empty text in CPython."""

KEPT_EVENTS: Final = 10_000

FAR_NS: Final = 1 << 61
"""Seventy years of uptime: no reading of the clock."""

NESTED_SEEN: Final = 100
"""So many spans are looked through for one that is left too early."""

listener: Any = None
"""What is told of each span that begins and ends; None while nobody listens: `clew.sdk.events`."""

_random = random.Random()  # noqa: S311  ids are not secrets
_bits = _random.getrandbits
# Bound once, since finding a method anew each time costs as much as calling it.
_current = CURRENT.get
_make_current = CURRENT.set
# Without this, forked workers draw the same ids.
os.register_at_fork(after_in_child=_random.seed)


class Extra:
    """What few spans have: events, errors, remarks. Kept apart so that other spans stay small."""

    __slots__ = ("error", "events", "foreign", "kept", "problems", "tokens")

    def __init__(self) -> None:
        self.events: list[tuple[str, int, dict[str, Any] | Raised]] = []
        """(name, monotonic ns, attributes or the exception)."""
        self.error: str | None = None
        """Why the span failed; None if it did not."""
        self.problems: list[str] = []
        self.kept = False
        """Whether its trace is to be stored whatever the sampler says."""
        self.foreign: Any = None
        """The same span in another API, which has the last word on what is sent: `clew.sdk.otel_spans`."""
        self.tokens: Any = None
        """When the tokens of its stream came: `clew.sdk.tokens`."""


class ActiveSpan:
    """
    One step of a trace, running from its construction until `end()` or the end of its `with`.

    `with` also makes it the current span, which is the parent of the spans made inside. The
    explicit *parent* (a span, a `SpanContext`, a `traceparent` string) wins over the current one.
    """

    __slots__ = (
        "_anchor",
        "_attributes",
        "_end",
        "_extra",
        "_inputs",
        "_is_root",
        "_kind",
        "_outputs",
        "_parent",
        "_prev",
        "_span",
        "_start",
        "_trace",
        "name",
    )

    # `name` is taken by position alone, so that an attribute may be called "name", or "self".
    def __init__(
        self, name: str = "", /, *, kind: str = "other", parent: Any = None, inputs: Any = None, **attributes: Any
    ) -> None:
        try:
            if not outbox.recording and not _begin_recording():
                self._become_nothing()
                return
            if parent is None:
                above = _current()
                if HELD:
                    above = further_in(above)
            else:
                above = parent_of(parent)
            self.name = name
            self._kind = kind
            self._attributes: dict[str, Any] | None = attributes
            self._inputs = inputs if inputs is None else kept(inputs)
            self._outputs: Any = None
            self._extra: Extra | None = None
            self._prev: Any = None
            self._end = 0
            self._span = _bits(64) or 1
            if above is not None and above._anchor:
                self._trace: int = above._trace
                self._parent: int = above._span
                # The wall clock is read once for each trace and process, and the rest is measured
                # by the monotonic clock, so a clock that is set back cannot turn a span around.
                self._anchor: int = above._anchor
                self._is_root = False
                self._start = perf_counter_ns()
            else:
                self._begin_trace(above)
            if name is NO_NAME or name is None:  # Not `not name`: it may be anything, and have a mind of its own.
                self._name_from_attributes()
            if (told := listener) is not None:
                told.began(self)
        except Exception as error:
            self._become_nothing()
            internal(error)

    def _begin_trace(self, above: Any) -> None:
        if above is SUPPRESSED:
            self._become_nothing()
            return
        self._trace = (above._trace if above is not None else 0) or _bits(128) or 1
        self._parent = above._span if above is not None else 0
        self._is_root = True
        self._start = perf_counter_ns()
        self._anchor = time_ns() - self._start

    def _become_nothing(self) -> None:
        self._trace = self._span = 0
        self.__class__ = NothingSpan

    def __enter__(self) -> ActiveSpan:
        try:
            previous = _current()
            if previous is not self:
                code = _getframe(1).f_code
                if HELD or code.co_flags & GENERATORS or code.co_name in ENTERING:
                    _enter_carefully(self, previous)
                else:
                    self._prev = previous
                    _make_current(self)
        except Exception as error:
            internal(error)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            now = perf_counter_ns()
            if _current() is self:
                previous = self._prev
                if previous is not None and type(previous._prev) is tuple:
                    previous = _not_left_behind(previous)
                _make_current(previous)
                self._prev = None
            elif type(self._prev) is not tuple:
                _leave_carefully(self)
            if not self._end:
                if exc is not None:
                    self._failed(exc, now)
                self._end = now
                if (told := listener) is not None:
                    told.ended(self)
                elif self._is_root or len(outbox.spans) >= outbox.crowded_at:
                    outbox.put(self, is_root=self._is_root)
                else:
                    outbox.spans.append(self)  # All that `put` would do here, without the call.
        except BaseException as error:
            leave_anyway(self, error)

    # `async with` is `with`: nothing is waited for.
    async def __aenter__(self) -> ActiveSpan:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def end(self) -> None:
        """End it now. The first end counts; another one does nothing."""
        try:
            if not self._end:
                self._end = perf_counter_ns()
                if (told := listener) is None:
                    outbox.put(self, is_root=self._is_root)
                else:
                    told.ended(self)
            else:
                _too_late("end")
        except Exception as error:
            internal(error)

    def end_at(self, monotonic_ns: int) -> None:
        """End it at an earlier reading of `time.perf_counter_ns`."""
        try:
            if not self._end:
                told_right = type(monotonic_ns) is int and monotonic_ns < FAR_NS
                self._end = max(monotonic_ns, self._start) if told_right else perf_counter_ns()
                if (told := listener) is None:
                    outbox.put(self, is_root=self._is_root)
                else:
                    told.ended(self)
        except Exception as error:
            internal(error)

    # What a span says of itself.

    def set(self, /, **attributes: Any) -> None:
        """Set attributes: dotted keys or plain, any value; what is no JSON is shown as text."""
        try:
            self.set_attributes(attributes)
        except Exception as error:
            internal(error)

    def set_attributes(self, attributes: Mapping[str, Any], /) -> None:
        """Set attributes from a mapping, for keys that are no Python names."""
        try:
            mine = self._attributes
            if self._end or mine is None:
                _too_late("set")
            else:
                mine.update(attributes)
        except Exception as error:
            internal(error)

    @property
    def inputs(self) -> Any:
        """What went in. A list or dict is copied when set, so a later append rewrites nothing."""
        return self._inputs

    @inputs.setter
    def inputs(self, value: Any) -> None:
        try:
            if self._end:
                _too_late("inputs")
            else:
                self._inputs = kept(value)
        except Exception as error:
            internal(error)

    @property
    def outputs(self) -> Any:
        """What came out; copied like the inputs."""
        return self._outputs

    @outputs.setter
    def outputs(self, value: Any) -> None:
        try:
            if self._end:
                _too_late("outputs")
            else:
                self._outputs = kept(value)
        except Exception as error:
            internal(error)

    def event(self, name: str, /, **attributes: Any) -> None:
        """Note a point in time: a retry, a cache hit."""
        try:
            if self._end:
                _too_late("event")
            else:
                self._note(name, perf_counter_ns(), attributes)
        except Exception as error:
            internal(error)

    def fail(self, message: str = "") -> None:
        """Give it the status error, with a sentence on why."""
        try:
            if self._end:
                _too_late("fail")
            else:
                self._more().error = "" if message is None else message
        except Exception as error:
            internal(error)

    def keep(self) -> None:
        """Have the whole trace stored, whatever the sampler would decide: `mode="product"`."""
        try:
            if self._end:
                _too_late("keep")
            else:
                self._more().kept = True
        except Exception as error:
            internal(error)

    def record_exception(self, exc: BaseException) -> None:
        """
        Note an exception that was handled here, as an event with its stack trace.

        The status stays: call `fail` as well if the step did not do its work. An exception that
        leaves the span's `with` is recorded, and is the status, without any call.
        """
        try:
            if self._end:
                _too_late("record_exception")
            else:
                self._note("exception", perf_counter_ns(), capture(exc))
        except Exception as error:
            internal(error)

    def first_token(self) -> None:
        """Note that the first streamed token is here: `first_token_ms`. Later calls do nothing."""
        try:
            mine = self._attributes
            if not self._end and mine is not None and "first_token_ms" not in mine:
                mine["first_token_ms"] = (perf_counter_ns() - self._start) / 1e6
        except Exception as error:
            internal(error)

    def token(self, text: Any = None) -> None:
        """Note that a streamed token is here; *text* is kept only where `token_spans` is on. See `stream`."""
        try:
            extra = self._extra
            if self._end:
                _too_late("token")
            elif extra is not None and extra.tokens is not None:
                extra.tokens.note(text)
            else:
                begin_tokens(self).note(text)
        except Exception as error:
            internal(error)

    def stream(self, source: Any) -> Any:
        """
        Note when each item of *source* comes, and hand it on: `for token in span.stream(response)`.

        Also with `async for`. The span then tells when the first one came, how many there were and
        how fast, also of a stream that is left early or fails. What *source* raises is untouched.
        """
        try:
            from clew.sdk.tokens import Streamed

            extra = self._extra
            known = None if extra is None else extra.tokens
            return Streamed(known or begin_tokens(self), source)
        except Exception as error:
            internal(error)
            return source

    @property
    def kind(self) -> str:
        """What sort of step it is, as it was given; the writer turns an unknown one into "other"."""
        return self._kind

    @kind.setter
    def kind(self, value: str) -> None:
        before, self._kind = self._kind, value
        try:
            if (told := listener) is not None and not self._end and value != before:
                told.began(self)
        except Exception as error:
            internal(error)

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return f"{self._trace:032x}"

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        return f"{self._span:016x}"

    @property
    def parent_id(self) -> str | None:
        """16 hex digits; None for the first span of a trace."""
        return f"{self._parent:016x}" if self._parent else None

    @property
    def traceparent(self) -> str:
        """The W3C header that makes a span in another process a child of this one."""
        return f"00-{self._trace:032x}-{self._span:016x}-01"

    def __repr__(self) -> str:
        return f"<span {self.name!r} 00-{self._trace:032x}-{self._span:016x}-01>"

    def __reduce__(self) -> Any:
        # In another process, or in a file, it is its ids.
        return _unpickled, (self._trace, self._span)

    def __copy__(self) -> ActiveSpan:
        # A step happened once, however often what refers to it is copied.
        return self

    def __deepcopy__(self, memo: Any) -> ActiveSpan:
        return self

    # Behind the scenes.

    def shed(self) -> None:
        """Let go of everything but ids and times: the writer has it."""
        self._attributes = self._inputs = self._outputs = self._extra = None

    def _more(self) -> Extra:
        if self._extra is None:
            self._extra = Extra()
        return self._extra

    def _note(self, name: str, at: int, what: dict[str, Any] | Raised) -> None:
        events = self._more().events
        if len(events) < KEPT_EVENTS:
            events.append((name, at, what))

    def _failed(self, exc: BaseException, at: int) -> None:
        """Note the exception that left the `with`; it goes on untouched."""
        if is_plain_end(exc):
            return
        extra = self._more()
        extra.error = "cancelled" if is_cancellation(exc) else type(exc).__name__
        if extra.error == "cancelled":
            return
        try:
            raised = capture(exc)
            extra.error = raised.message or raised.type
            self._note("exception", at, raised)
        except Exception as error:
            internal(error)  # The stack may be full, with which it came here; the span still ends.

    def _name_from_attributes(self) -> None:
        """`clew.span(name="x")`: the name came among the attributes."""
        if self._span and self._attributes:
            self.name = self._attributes.pop("name", "")


class NothingSpan(ActiveSpan):
    """Looks like a span, is false, and does nothing: tracing is off, or no span is current."""

    __slots__ = ()

    name = ""

    def __bool__(self) -> bool:
        return False

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __enter__(self) -> ActiveSpan:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def end(self) -> None:
        """Do nothing."""

    def end_at(self, monotonic_ns: int) -> None:
        """Do nothing."""

    def set(self, /, **attributes: Any) -> None:
        """Do nothing."""

    def set_attributes(self, attributes: Mapping[str, Any], /) -> None:
        """Do nothing."""

    def event(self, name: str, /, **attributes: Any) -> None:
        """Do nothing."""

    def fail(self, message: str = "") -> None:
        """Do nothing."""

    def keep(self) -> None:
        """Do nothing."""

    def record_exception(self, exc: BaseException) -> None:
        """Do nothing."""

    def first_token(self) -> None:
        """Do nothing."""

    def token(self, text: Any = None) -> None:
        """Do nothing."""

    def stream(self, source: Any) -> Any:
        """Give *source* as it is."""
        return source

    inputs: Any = None
    outputs: Any = None
    kind: Any = "other"
    parent_id: Any = None

    @property
    def trace_id(self) -> str:
        """The remote trace's id if the current parent is remote, else ""."""
        return f"{self._trace:032x}" if self._trace else ""

    @property
    def span_id(self) -> str:
        """The remote span's id if the current parent is remote, else ""."""
        return f"{self._span:016x}" if self._span else ""

    @property
    def traceparent(self) -> str:
        """The remote parent's header, to be handed on as it came, else ""."""
        return f"00-{self._trace:032x}-{self._span:016x}-01" if self._span else ""

    def __repr__(self) -> str:
        return "<no span>"


def _unpickled(trace: int, span: int) -> Any:
    try:
        made = nothing_span(trace, span)
        return remote(made) or made
    except Exception as error:
        internal(error)
        return NOTHING


def nothing_span(trace: int = 0, span: int = 0) -> ActiveSpan:
    """Make a do-nothing span, which may know the ids of a remote parent."""
    made = ActiveSpan.__new__(ActiveSpan)
    made._trace, made._span, made._anchor, made._prev = trace, span, 0, None
    made.__class__ = NothingSpan
    return made


NOTHING: Final = nothing_span()


def _enter_carefully(span: ActiveSpan, previous: Any) -> None:
    """Make *span* current where generators are involved: see `clew.sdk.held`."""
    if type(span._prev) is Hold or (type(previous) is Inner and previous.value is span):
        return
    frame = holder_of(_getframe(2))
    if frame is not None:
        span._prev = made = hold(frame, span)
        made.around = previous
    else:
        span._prev = previous
        CURRENT.set(placed(span))


def _leave_carefully(span: ActiveSpan) -> None:
    """Make *span* current no more, when it is not what the context holds."""
    before, now = span._prev, CURRENT.get()
    if type(before) is Hold:
        release(before)
        span._prev = None
    elif type(now) is Inner and now.value is span:
        CURRENT.set(_not_left_behind(before))
        span._prev = None
    else:
        # Left in another context, or before a span inside of it. Nothing is to be restored here;
        # whoever restores to this span later looks behind it.
        span._prev = (before,)
        if _is_around(span, now):
            outbox.complain("order", "a span was left before one inside it; both are kept, and nothing stays current")


def _is_around(span: ActiveSpan, now: Any) -> bool:
    """Whether *now* was made current inside *span*, in the same context: that is no late task, but a mistake."""
    for _ in range(NESTED_SEEN):
        if type(now) is not ActiveSpan or now is span:
            break
        now = now._prev[0] if type(now._prev) is tuple else now._prev
    return now is span


def leave_anyway(span: ActiveSpan, fault: BaseException) -> None:
    """
    Clew failed with *fault* while *span* was left: once more, so that it is not current for ever.

    Raises:
        fault: it is the user's, a Ctrl-C.
    """
    once_more(lambda: _left(span), fault)


def _left(span: ActiveSpan) -> None:
    """Leave *span* and end it, as far as that has not been done."""
    if span:
        if CURRENT.get() is span:
            CURRENT.set(_not_left_behind(span._prev))
            span._prev = None
        elif type(span._prev) is not tuple:
            _leave_carefully(span)
        if not span._end:
            span._end = perf_counter_ns()
            outbox.put(span, is_root=span._is_root)


def _not_left_behind(span: Any) -> Any:
    """Follow spans that ended without being current to what stood before them."""
    if type(span) is Hold:  # A copy of the context was brought back, with what the generator holds in it.
        release(span)
        span = span.around
    while span is not None and type(span._prev) is tuple:
        span = span._prev[0]
    return span


def _leave_to_the_parent() -> None:
    """In a forked child: the spans around the fork are ended and sent by the process that began them."""
    open_here = [CURRENT.get(), *(each.value for each in HELD.values())]
    while open_here:
        span = open_here.pop()
        if type(span) is ActiveSpan and not span._end:
            span._end = span._start
            before = span._prev
            open_here.append(before[0] if type(before) is tuple else before)
        elif type(span) is Inner:
            open_here.append(span.value)


os.register_at_fork(after_in_child=_leave_to_the_parent)


def _begin_recording() -> bool:
    """Decide, at the first span, whether there is anything to record: from the environment."""
    if outbox.settled:
        return outbox.recording
    if settling.is_mine():
        return False
    with settling:
        from clew.sdk import setup

        return setup.from_environment()


def begin_tokens(span: ActiveSpan) -> Any:
    """What notes the tokens of *span*: `clew.sdk.tokens`, which few programs need."""
    from clew.sdk.tokens import tokens_for

    extra = span._more()
    extra.tokens = tokens_for(span)
    return extra.tokens


def _too_late(what: str) -> None:
    outbox.complain(f"late:{what}", f"{what} on a span that has ended was ignored")
