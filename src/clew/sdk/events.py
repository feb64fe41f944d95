"""
The event bus of this process: spans of kind tool and capability, told to whoever listens as they run.

While nobody listens a span pays for one look at a global. A handler runs on the thread that begins
or ends the span, one after the other; what it costs is its user's choice, and what it raises stays
here. What a handler itself traces is recorded and not told, or one handler could run for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from clew.model.event import ENDS, STARTS, CallEnd, CallEvent, event_types
from clew.sdk import span as spans
from clew.sdk.calls import Call
from clew.sdk.faults import once_more
from clew.sdk.kept import Cut
from clew.sdk.outbox import outbox
from clew.sdk.packing import NAME_CHARS
from clew.sdk.plain import NARROW, Plain
from clew.sdk.span import ActiveSpan
from clew.wire.native import NativeSpan

Handler = Callable[[Any], object]
Types = Iterable[str | type[CallEvent]] | str | None


class Subscription:
    """One handler that is told, until `close` or the end of its `with`."""

    __slots__ = ("_handler", "_on_close", "failures", "types")

    def __init__(self, handler: Handler, types: frozenset[str], on_close: Callable[[], object]) -> None:
        self._handler = handler
        self._on_close = on_close
        self.types = types
        self.failures = 0
        """How often the handler raised."""

    def close(self) -> None:
        """Tell it nothing more. Idempotent."""
        try:
            if _leave(self):
                self._on_close()
        except BaseException as fault:
            once_more(self._close_again, fault)

    def _close_again(self) -> None:
        _leave(self)
        self._on_close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        except BaseException as fault:
            once_more(self._close_again, fault)

    def tell(self, event: CallEvent) -> None:
        """Call the handler, and keep what it raises from everybody else."""
        try:
            self._handler(event)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.failures += 1
            text = f"an event handler failed, and is called on: {self._handler!r:.200} raised {error!r:.300}"
            outbox.complain(f"handler:{id(self)}", text)


def subscribe(handler: Handler, *, types: Types = None, on_close: Callable[[], object] = lambda: None) -> Subscription:
    """See `clew.events.subscribe`. *on_close* is called once, when it is closed."""
    global _subscriptions  # noqa: PLW0603  one bus for the process
    made = Subscription(handler, event_types(types), on_close)
    with _changing:
        _subscriptions = (*_subscriptions, made)
        spans.listener = _teller
    return made


def _leave(gone: Subscription) -> bool:
    """Take it off the list; False if it was off already."""
    global _subscriptions  # noqa: PLW0603
    with _changing:
        left = tuple(each for each in _subscriptions if each is not gone)
        was_there = len(left) < len(_subscriptions)
        _subscriptions = left
        if not left:
            spans.listener = None
    return was_there


class _Teller:
    """What a span calls while somebody listens. Nothing but a KeyboardInterrupt comes out of it."""

    def began(self, span: ActiveSpan) -> None:
        """Tell that *span* has begun."""
        self._tell(span, STARTS, span._start)

    def ended(self, span: ActiveSpan) -> None:
        """Hand *span* to the writer, and tell that it has ended."""
        told: list[tuple[Subscription, CallEvent]] = []
        try:
            # Before the writer has it, which lets go of what it holds.
            told = self._prepared(span, ENDS, span._end)
        finally:
            outbox.put(span, is_root=span._is_root)
        self._deliver(told)

    def _tell(self, span: ActiveSpan, made: Any, at: int) -> None:
        self._deliver(self._prepared(span, made, at))

    def _prepared(self, span: ActiveSpan, made: Any, at: int) -> list[tuple[Subscription, CallEvent]]:
        """Who is to be told, and what."""
        try:
            kind = span._kind
            event_class = made.get(kind.lower()) if isinstance(kind, str) else None
            if event_class is None or not span._span or _telling.now:
                return []
            listening = [each for each in _subscriptions if event_class.type in each.types]
            if not listening:
                return []
            event = _event(span, event_class, at)
            return [(each, event) for each in listening]
        except Exception as error:
            outbox.complain(f"event:{type(error).__name__}", f"an event was not told: {error!r:.500}")
            return []

    def _deliver(self, told: list[tuple[Subscription, CallEvent]]) -> None:
        if not told:
            return
        _telling.now = True
        try:
            for subscription, event in told:
                subscription.tell(event)
        finally:
            _telling.now = False


class _Telling(threading.local):
    """Whether this thread is in a handler just now."""

    now = False


class _PlainHere(Plain):
    """`Plain` for the caller's thread, from which a Ctrl-C must not be kept."""

    def __call__(self, value: Any, path: str) -> Any:
        try:
            return self._plain(value, path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.say(f"{path} raised {type(error).__name__} when it was read")
            return f"<{type(value).__name__}, unreadable>"


def _event(span: ActiveSpan, made: type[CallEvent], at: int) -> CallEvent:
    plain = _PlainHere(NARROW)
    parent_id = f"{span._parent:016x}" if span._parent else None
    said: dict[str, Any] = {
        "trace_id": f"{span._trace:032x}",
        "span_id": f"{span._span:016x}",
        "parent_id": parent_id,
        "name": _text(span.name, plain)[:NAME_CHARS],
        "ts": at + span._anchor,
        "args": plain(_unfolded(span._inputs, plain.problems), "args"),
    }
    if issubclass(made, CallEnd):
        error = span._extra.error if span._extra is not None else None
        said["success"] = error is None
        said["error"] = None if error is None else _text(error, plain) or "error"
        said["duration_ms"] = (span._end - span._start) / 1e6
        said["result"] = plain(_unfolded(span._outputs, plain.problems), "result")
    problems = [*plain.problems, *_processed(said, span._kind.lower())]
    return made(args_cut=bool(problems), **said)


def _processed(said: dict[str, Any], kind: Any) -> list[str]:
    """
    Do to what is said what is done to spans before they leave the process; gives what was left out or cut.

    Handlers in this process are told the same, since nobody knows what they do with it.
    """
    processing = outbox.processing
    if processing is None:
        return []
    native = NativeSpan(
        trace_id=said["trace_id"],
        span_id=said["span_id"],
        name=said["name"],
        start_ns=said["ts"],
        kind=kind,
        inputs=said["args"],
        outputs=said.get("result"),
        status_message=said.get("error") or "",
    )
    _telling.now = True  # What a processor itself traces is not told, or it could run for ever.
    try:
        processing.apply(native)
    finally:
        _telling.now = False
    said["name"], said["args"] = native.name, native.inputs
    if "result" in said:
        said["result"] = native.outputs
        said["error"] = None if said["error"] is None else native.status_message or "error"
    return native.problems


def _text(value: Any, plain: Plain) -> str:
    return str(plain(value, "name"))


def _unfolded(value: Any, problems: list[str]) -> Any:
    """Inputs or outputs as they are meant: see `clew.sdk.packing`."""
    if type(value) is Call:
        return value.bound(problems)
    return value.told("value", problems) if isinstance(value, Cut) else value


def _renew() -> None:
    """In a forked child nobody is changing anything, whoever was in the parent."""
    global _changing  # noqa: PLW0603
    _changing = threading.RLock()


_subscriptions: tuple[Subscription, ...] = ()
_changing = threading.RLock()
_telling: Final = _Telling()
_teller: Final = _Teller()
os.register_at_fork(after_in_child=_renew)
