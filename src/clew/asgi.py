"""
ASGI middleware: one root span for each HTTP request, from its first byte to its last.

    app.add_middleware(TracingMiddleware)        # Starlette, FastAPI
    app = TracingMiddleware(app)                 # anything else

Written as plain ASGI: a middleware that wraps the response (Starlette's BaseHTTPMiddleware) runs
the app in another task and ends before a streamed body does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from time import perf_counter_ns
from typing import Any

from clew.errors import MalformedId
from clew.sdk.ambient import NO_PARENT, SpanContext, current, serving
from clew.sdk.faults import internal
from clew.sdk.outbox import outbox
from clew.sdk.span import ActiveSpan, leave_anyway

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SPAN_KEY = "clew.span"


class TracingMiddleware:
    """
    Opens a root span that is current in the whole app, streaming bodies and background tasks too.

    It continues the trace of a `traceparent` header and otherwise begins one (a malformed header
    is as none), answers with `traceparent` and `x-trace-id`, and is named by method and route
    template where the framework tells it, else path, or by *name*. 5xx is an error.
    """

    def __init__(self, app: App, *, name: str | None = None) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; only HTTP is traced, and by the outermost of several middlewares."""
        if scope["type"] != "http" or _SPAN_KEY in scope:
            await self.app(scope, receive, send)
            return
        request: _Request | None = None
        try:
            span = _begin(scope, self.name)
            if span:
                request = _Request(scope, receive, send, span, self.name)
                span.__enter__()
        except Exception as fault:
            internal(fault)
        if request is None:
            await self.app(scope, receive, send)
            return
        raised: BaseException | None = None
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as error:
            raised = error
            raise
        finally:
            try:
                request.app_ended(raised)
            except BaseException as fault:
                leave_anyway(span, fault)
            raised = None  # It refers to this frame, and should not be referred to by it.


class _Request:
    """Watches one request's messages go by."""

    __slots__ = ("_ended_at", "_name", "_prefix", "_receive", "_scope", "_send", "_span", "_status", "_trailers")

    def __init__(self, scope: Scope, receive: Receive, send: Send, span: ActiveSpan, name: str | None) -> None:
        scope[_SPAN_KEY] = span
        self._scope = scope
        self._receive = receive
        self._send = send
        self._span = span
        self._name = name
        self._prefix = str(scope.get("root_path", ""))
        self._status = 0
        self._trailers = False
        self._ended_at = 0

    async def receive(self) -> Message:
        """Hand on what comes from the client; note when it goes."""
        message = await self._receive()
        try:
            if message["type"] == "http.disconnect" and not self._ended_at:
                self._span.event("client disconnected")
        except Exception as fault:
            internal(fault)
        return message

    async def send(self, message: Message) -> None:
        """Hand on what goes to the client; the last byte ends the span."""
        try:
            if message["type"] == "http.response.start":
                message = self._started(message)
        except Exception as fault:
            internal(fault)
        await self._send(message)
        try:
            if not self._ended_at and self._is_last(message):
                self._ended_at = perf_counter_ns()
                # After a server error the app usually goes on to raise: why it failed belongs in here.
                if self._status < 500:
                    self._rename()
                    self._span.end_at(self._ended_at)
        except Exception as fault:
            internal(fault)

    def app_ended(self, error: BaseException | None) -> None:
        """The app returned, or raised *error*: leave the span."""
        try:
            self._rename()
            if self._status >= 500:
                self._span.fail(f"HTTP {self._status}")
        except Exception as fault:
            internal(fault)
        try:
            self._span.__exit__(type(error) if error is not None else None, error, None)
        except BaseException as fault:
            leave_anyway(self._span, fault)

    def _started(self, message: Message) -> Message:
        self._status = int(message.get("status", 0))
        self._trailers = bool(message.get("trailers"))
        self._span.set_attributes({"http.response.status_code": self._status})
        own = [
            (b"traceparent", self._span.traceparent.encode()),
            (b"x-trace-id", self._span.trace_id.encode()),
        ]
        names = {name for name, _ in own}
        headers: Iterable[Any] = message.get("headers") or ()
        kept = [header for header in headers if bytes(header[0]).lower() not in names]
        return {**message, "headers": [*kept, *own]}

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        if kind in ("http.response.body", "http.response.zerocopysend"):
            return not message.get("more_body", False) and not self._trailers
        return kind == "http.response.pathsend" and not self._trailers

    def _rename(self) -> None:
        """Name it by the route template, which is known once the app has routed."""
        template = getattr(self._scope.get("route"), "path", None)
        if self._name is None and isinstance(template, str):
            mounted = str(self._scope.get("root_path", "")).removeprefix(self._prefix)
            self._span.name = f"{self._scope.get('method', '')} {mounted}{template}"


def _begin(scope: Scope, name: str | None) -> ActiveSpan:
    method, path = str(scope.get("method", "")), str(scope.get("path", ""))
    span = ActiveSpan(name or f"{method} {path}", kind="root", parent=_caller(scope))
    span.set_attributes({"http.request.method": method, "url.path": path})
    return span


def _caller(scope: Scope) -> Any:
    """The remote parent; never what happens to be ambient where the server's task was made."""
    above = current()
    if serving(above):
        return above  # OpenTelemetry's middleware (FastAPI has one built in) has read the headers already.
    found = [value for name, value in scope.get("headers") or () if name.lower() == b"traceparent"]
    if len(found) != 1:
        return NO_PARENT
    try:
        return SpanContext.from_traceparent(found[0].decode("latin-1"))
    except MalformedId:
        return NO_PARENT
    except Exception as error:
        outbox.complain("asgi:traceparent", f"a traceparent header could not be read: {error!r:.200}")
        return NO_PARENT
