"""
What happens to a call: a tool or a capability starts, and ends.

Events are another face of spans of those two kinds. Each stands by itself: an end says again
where the call belongs and what it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from clew.errors import BadFilter
from clew.model.span import Span


class CallEvent(msgspec.Struct, kw_only=True, frozen=True, tag_field="type"):
    """What all four have in common. Handlers share one object, so none may change its `args`."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """The call, 16 hex digits."""
    parent_id: str | None = None
    """The call that made this one, 16 hex digits; None at the top."""
    parent_trace_id: str | None = None
    """The same, under the name by which older listeners know it."""
    name: str
    ts: int
    """Unix nanoseconds: of a start when the call began, of an end when it ended."""
    args: Any = None
    """What went in, as plain JSON values."""
    args_cut: bool = False
    """`args`, `result` or a text was too long, and was shortened."""

    type: ClassVar[str]
    is_end: ClassVar[bool] = False

    def __post_init__(self) -> None:
        parent = self.parent_trace_id if self.parent_id is None else self.parent_id
        msgspec.structs.force_setattr(self, "parent_id", parent)
        msgspec.structs.force_setattr(self, "parent_trace_id", parent)


class CallEnd(CallEvent, kw_only=True, frozen=True):
    """What the two ends add."""

    success: bool
    duration_ms: float
    error: str | None = None
    """Why it failed; None if it did not."""
    result: Any = None
    """What came out, as plain JSON values."""

    is_end: ClassVar[bool] = True


class ToolStart(CallEvent, kw_only=True, frozen=True, tag="tool_start"):
    """A tool is being called."""

    type: ClassVar[str] = "tool_start"


class ToolEnd(CallEnd, kw_only=True, frozen=True, tag="tool_end"):
    """A tool has returned, failed, or been cancelled."""

    type: ClassVar[str] = "tool_end"


class CapabilityStart(CallEvent, kw_only=True, frozen=True, tag="capability_start"):
    """A capability begins: a unit of work that calls tools."""

    type: ClassVar[str] = "capability_start"


class CapabilityEnd(CallEnd, kw_only=True, frozen=True, tag="capability_end"):
    """A capability has ended."""

    type: ClassVar[str] = "capability_end"


AnyEvent = ToolStart | ToolEnd | CapabilityStart | CapabilityEnd

STARTS: Final[dict[str, type[CallEvent]]] = {"tool": ToolStart, "capability": CapabilityStart}
ENDS: Final[dict[str, type[CallEnd]]] = {"tool": ToolEnd, "capability": CapabilityEnd}
"""Kind of span -> what it emits."""

EVENT_TYPES: Final = tuple(sorted(made.type for made in (*STARTS.values(), *ENDS.values())))


def event_types(wanted: Iterable[str | type[CallEvent]] | str | None) -> frozenset[str]:
    """
    Give the types that *wanted* names, by name or by class; all of them for None.

    Raises:
        BadFilter: one of them is no type of event, or none is named.
    """
    if wanted is None:
        return frozenset(EVENT_TYPES)
    named = (wanted,) if isinstance(wanted, (str, type)) else tuple(wanted)
    types = frozenset(each if isinstance(each, str) else getattr(each, "type", repr(each)) for each in named)
    unknown = sorted(types - frozenset(EVENT_TYPES))
    if unknown or not types:
        raise BadFilter("types", f"{', '.join(unknown)[:200] or 'nothing'} is none of {', '.join(EVENT_TYPES)}")
    return types


def events_of(span: Span) -> list[CallEvent]:
    """
    Give the events that *span* stands for: a start, an end, both, or none for other kinds.

    A span that runs has only started. Of one that came as an end event alone (its attribute
    `clew.event` says so) the start was told by the event that was its start.
    """
    if span.kind not in STARTS:
        return []
    common = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "args": span.inputs,
    }
    told: list[CallEvent] = []
    if span.attributes.get("clew.event") != "end":
        told.append(STARTS[span.kind](ts=span.start_ns, **common))
    if span.end_ns is not None:
        failed = span.status == "error"
        told.append(
            ENDS[span.kind](
                ts=span.end_ns,
                success=not failed,
                duration_ms=(span.end_ns - span.start_ns) / 1e6,
                error=(span.status_message or "error") if failed else None,
                result=span.outputs,
                **common,
            )
        )
    return told


def shortened(event: CallEvent, max_bytes: int) -> CallEvent:
    """
    Give *event* such that it takes at most *max_bytes* (1,500 or more) as JSON of ASCII alone, or as it is if it does.

    What is cut first is the contents of `args` and `result`, then they as a whole, then texts;
    the names of arguments stay longest. Whatever was cut, `args_cut` says so.
    """
    if ascii_bytes(event) <= max_bytes:
        return event
    for chars, items, text_chars in ((400, 40, 1_000), (60, 20, 200), (0, 20, 100), (0, 20, 20)):
        cut = _with_less(event, chars, items, text_chars)
        if ascii_bytes(cut) <= max_bytes:
            return cut
    return _with_less(event, -1, 0, 20)


def ascii_bytes(event: CallEvent) -> int:
    """How many bytes *event* takes as JSON in which everything beyond ASCII is escaped, at most."""
    encoded = msgspec.json.encode(event)
    # A character of two or three bytes becomes six, one of four becomes twelve: at most eight more.
    return len(encoded) if encoded.isascii() else len(encoded) + 8 * sum(byte > 0xBF for byte in encoded)


def _with_less(event: CallEvent, chars: int, items: int, text_chars: int) -> CallEvent:
    changed: dict[str, Any] = {"args": _less(event.args, chars, items, 3), "name": event.name[:text_chars]}
    if isinstance(event, CallEnd):
        changed["result"] = _less(event.result, chars, items, 3)
        changed["error"] = event.error[:text_chars] if event.error else event.error
    return msgspec.structs.replace(event, args_cut=True, **changed)


def _less(value: Any, chars: int, items: int, depth: int) -> Any:
    """Cut *value*: strings to *chars*, lists and objects to *items*; to nothing if *chars* is negative."""
    if value is None or isinstance(value, (bool, float)) or chars < 0:
        return value if chars >= 0 else None
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        kept = list(value.items())[:items] if depth else []
        return {str(key)[:60]: _less(item, chars, items, depth - 1) for key, item in kept}
    if isinstance(value, (list, tuple)):
        return [_less(item, chars, items, depth - 1) for item in value[:items]] if depth else []
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= chars else f"{text[:chars]}…"
