"""OpenTelemetry's tracer and its provider, whose spans are Clew's: same tree, same writer, same cost."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar

import opentelemetry.context as api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import Attributes

from clew.sdk.ambient import CURRENT, NO_PARENT, SUPPRESSED, current
from clew.sdk.faults import once_more
from clew.sdk.held import ENTERING, GENERATORS, HELD
from clew.sdk.otel_arrivals import OwnProvider, share
from clew.sdk.otel_context import parent_in
from clew.sdk.otel_spans import Span
from clew.sdk.otel_values import add, complain, internal, links_of, nanoseconds
from clew.sdk.outbox import settling
from clew.sdk.span import ActiveSpan, Extra

F = TypeVar("F", bound=Callable[..., Any])

_NO_TRACER: Final = trace.NoOpTracer()
_current: Final = CURRENT.get
_make_current: Final = CURRENT.set


class Tracer(trace.Tracer):
    """Makes the spans of one instrumentation, which is their scope."""

    def __init__(self, scope: str, attributes: Mapping[str, Any] | None = None) -> None:
        self._scope = scope
        self._scope_attributes = attributes

    def start_span(  # noqa: PLR0917  OpenTelemetry's own
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Begin a span, without making it current: under the span of *context*, or under the current one."""
        try:
            span = ActiveSpan(name) if context is None else _begun_in(context, name)
            if type(span) is not ActiveSpan:
                return _nothing(context)
            span._extra = extra = Extra()
            extra.foreign = made = Span(span)
            made._scope = self._scope
            made._kind = kind
        except Exception as error:
            internal(error)
            return trace.INVALID_SPAN
        try:
            if attributes:
                add(span._attributes, attributes)  # type: ignore[arg-type]  # it has just begun
            if start_time is not None and (at := nanoseconds(start_time, "start_time")) is not None:
                span._start = at - span._anchor
            if links:
                made._links = links_of(links)
            if self._scope_attributes is not None:
                made._scope_attributes = self._scope_attributes
            if not (record_exception and set_status_on_exception):
                made._on_exit = record_exception, set_status_on_exception
        except Exception as error:
            internal(error)
        return made

    def start_as_current_span(  # type: ignore[override]  # noqa: PLR0917  a generator would cost more
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> AsCurrent:
        """Begin a span in a `with`, as its current span; or in each call of the function that is decorated."""
        begin = (name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception)
        try:
            return AsCurrent(self, begin, end_on_exit)
        except Exception as error:
            internal(error)
            return _NO_TRACER.start_as_current_span(name)  # type: ignore[return-value]


class AsCurrent:
    """What `start_as_current_span` gives: a context manager, and a decorator."""

    __slots__ = ("_begin", "_ends", "_span", "_token", "_tracer")

    def __init__(self, tracer: Tracer, begin: tuple[Any, ...], ends: bool) -> None:
        self._tracer = tracer
        self._begin = begin
        self._ends = ends
        self._token: Any = None
        self._span: Any = trace.INVALID_SPAN

    def __enter__(self) -> trace.Span:
        try:
            shown = self._span = self._tracer.start_span(*self._begin)
            if type(shown) is not Span or not self._ends:
                self._token = api.attach(trace.set_span_in_context(shown))
                return shown
            span = shown.__clew_span__
            code = sys._getframe(1).f_code
            if HELD or code.co_flags & GENERATORS or code.co_name in ENTERING:
                span.__enter__()
            else:
                span._prev = _current()
                _make_current(span)
        except Exception as error:
            internal(error)
        return self._span  # type: ignore[no-any-return]

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            shown = self._span
            # As OpenTelemetry has it, what is no Exception (a cancellation, a generator's end) is no failure.
            if isinstance(exc, Exception) and type(shown) is Span and shown.is_recording():
                shown.fail(exc, *self._begin[-2:])
        except Exception as error:
            internal(error)
        finally:
            try:
                self._leave()
            except BaseException as fault:
                once_more(self._leave, fault)

    def _leave(self) -> None:
        if self._token is not None:
            api.detach(self._token)
            if self._ends:
                self._span.end()
        elif type(self._span) is Span:
            self._span.__clew_span__.__exit__(None, None, None)

    def __call__(self, function: F) -> F:
        """Decorate *function*: each call is a span of its own."""
        try:
            return self._around(function)
        except Exception as fault:
            internal(fault)
            return function

    def _around(self, function: F) -> F:
        again = functools.partial(AsCurrent, self._tracer, self._begin, self._ends)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                step: AsCurrent | None = None
                raised: BaseException | None = None
                try:
                    step = _entered(again)
                except Exception as fault:
                    internal(fault)
                try:
                    return await function(*args, **kwargs)
                except BaseException as error:
                    raised = error
                    raise
                finally:
                    try:
                        _left(step, raised)
                    except BaseException as fault:
                        once_more(functools.partial(_left, step, raised), fault)
                    raised = None  # It refers to this frame, and should not be referred to by it.

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            step: AsCurrent | None = None
            raised: BaseException | None = None
            try:
                step = _entered(again)
            except Exception as fault:
                internal(fault)
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                raised = error
                raise
            finally:
                try:
                    _left(step, raised)
                except BaseException as fault:
                    once_more(functools.partial(_left, step, raised), fault)
                raised = None

        return called  # type: ignore[return-value]


def _entered(again: Callable[[], AsCurrent]) -> AsCurrent | None:
    """Begin the span of one call; None if that failed."""
    try:
        step = again()
        step.__enter__()
    except Exception as fault:
        internal(fault)
        return None
    return step


def _left(step: AsCurrent | None, raised: BaseException | None) -> None:
    """End it."""
    if step is not None:
        try:
            step.__exit__(None if raised is None else type(raised), raised, None)
        except BaseException as fault:
            once_more(step._leave, fault)


class TracerProvider(trace.TracerProvider, OwnProvider):
    """
    OpenTelemetry's TracerProvider on Clew's spans.

    To be given to an instrumentation (`tracer_provider=`), or set for the whole process by
    `clew.otel.install`. Making one joins OpenTelemetry's context to Clew's.
    """

    def __init__(self) -> None:
        try:
            with settling:
                share()
        except Exception as fault:
            internal(fault)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,  # noqa: ARG002  Clew has no place for it
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """Give the tracer of one instrumentation; its name and version are the spans' scope."""
        try:
            kept: dict[str, Any] = {}
            if attributes:
                add(kept, attributes)
            scope = f"{instrumenting_module_name or ''} {instrumenting_library_version or ''}".strip()
            return Tracer(scope, kept or None)
        except Exception as error:
            internal(error)
            return _NO_TRACER

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As `clew.flush`: whether everything that ended was delivered."""
        try:
            with settling:
                from clew.sdk import setup
            return bool(setup.flush(timeout_millis / 1e3))
        except Exception as error:
            internal(error)
            return False

    def shutdown(self) -> None:
        """Deliver what has ended. Clew goes on: it is stopped by `clew.shutdown`."""
        try:
            self.force_flush(5_000)
        except Exception as error:
            internal(error)


def install(*, provider: bool = True) -> None:
    """See `clew.otel.install`."""
    with settling:
        share()
        there = trace.get_tracer_provider() if provider else None
        if isinstance(there, trace.ProxyTracerProvider):
            trace.set_tracer_provider(TracerProvider())
        elif there is not None and not isinstance(there, TracerProvider):
            kind = f"{type(there).__module__}.{type(there).__qualname__}"
            complain("provider", f"{kind} was there and stays the global provider; its spans and Clew's are one tree")


def _begun_in(context: Any, name: str) -> Any:
    now = current()
    if now is SUPPRESSED:
        return None
    if not isinstance(context, Mapping):
        complain("parent", f"context= ignored: want an OpenTelemetry Context, got {type(context).__name__}")
        return ActiveSpan(name)
    try:
        above = parent_in(context, now)
    except Exception as error:
        internal(error)
        above = now
    return ActiveSpan(name, parent=NO_PARENT if above is None else above)


def _nothing(context: Any) -> trace.Span:
    """While tracing is off: no span, but what came from elsewhere is handed on."""
    return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())
