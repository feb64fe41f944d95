"""
One event as it comes, whatever its sender calls its fields, made into one form.

Three sorts come: a start, an end, and a whole call on one line (`start` and `end` in it, of type
`tool` or `capability`), which is how recorded traces are written. What is not known is kept as
an attribute `clew.event.…`; nothing is dropped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

from clew.model import KINDS, Kind
from clew.wire.event_times import Base, Unreadable, read_time

T = TypeVar("T")

Phase = Literal["start", "end", "call"]

# Field -> the names under which it is looked for; the first that says something counts.
_TYPE: Final = ("type", "event")
_TRACE: Final = ("trace_id", "traceId", "trace")
_ID: Final = ("span_id", "spanId", "id")
_PARENT: Final = ("parent_id", "parentId", "parent", "parent_trace_id", "parentTraceId")
_NAME: Final = ("name", "tool", "toolId", "tool_id", "capability", "capabilityId", "capability_id")
_TIME: Final = ("ts", "timestamp", "time")
_ARGS: Final = ("args", "input", "inputs", "arguments")
_RESULT: Final = ("result", "output", "outputs")
_SUCCESS: Final = ("success", "ok")
_DURATION: Final = ("duration_ms", "durationMs")
_SESSION: Final = ("session", "session_id", "sessionId")
_RUN: Final = ("run",)
_PAYLOAD: Final = ("payload", "data")

_KEPT_TOO: Final = ("ok", "run")
"""Read, and kept as attributes as well: of a recorded call, `run` says which agent made it."""

_TYPES: Final[dict[str, tuple[Phase, Kind]]] = {
    "toolstart": ("start", "tool"),
    "toolend": ("end", "tool"),
    "capabilitystart": ("start", "capability"),
    "capabilityend": ("end", "capability"),
    **{kind: ("call", kind) for kind in KINDS},
}
_KNOWN_TYPES: Final = "tool_start, tool_end, capability_start, capability_end; of whole calls tool, capability"


class ReadEvent(msgspec.Struct, kw_only=True):
    """One event, understood."""

    phase: Phase
    kind: Kind
    name: str = ""
    trace: str | None = None
    """As it was sent; so are the other ids."""
    call_id: str | None = None
    parent: str | None = None
    says_parent: bool = False
    """It has a field for its parent, if only to say that there is none."""
    run: str | None = None
    start_ns: int = 0
    end_ns: int | None = None
    start_is_derived: bool = False
    """Nobody said when it started: `start_ns` is when it ended."""
    is_ordinal: bool = False
    """Its times were an order rather than dates."""
    args: Any = None
    result: Any = None
    success: bool | None = None
    error: str = ""
    extra: dict[str, Any] = {}
    problems: list[str] = []


def read_event(raw: Any, base: Base, received_ns: int) -> ReadEvent:
    """
    Understand one event.

    Raises:
        Unreadable: it is no object, of no known type, or says neither a trace nor a call.
    """
    if not isinstance(raw, dict):
        raise Unreadable(f"an event is an object, not {_json_type(raw)}")
    fields = _Fields(_unwrapped(raw))
    phase, kind = _type(fields)
    event = ReadEvent(phase=phase, kind=kind, problems=fields.problems)
    event.trace, event.call_id = fields.id(_TRACE), fields.id(_ID)
    if event.trace is None and event.call_id is None:
        raise Unreadable(f"it names neither its trace ({', '.join(_TRACE)}) nor itself ({', '.join(_ID)})")
    event.parent, event.says_parent = fields.id(_PARENT) or None, fields.has(_PARENT)
    session = fields.id(_SESSION)
    event.run = fields.id(_RUN) or session
    event.name = _text(fields.first(_NAME))
    event.args = fields.first(_ARGS)
    event.result = fields.first(_RESULT)
    _read_times(event, fields, base, received_ns)
    _read_outcome(event, fields)
    event.extra = fields.rest()
    if session is not None:
        event.extra["session_id"] = session
    return event


class _Fields:
    """Looks fields up under all their names, and remembers which were looked at."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self._seen: set[str] = set()
        self.problems: list[str] = []

    def has(self, names: tuple[str, ...]) -> bool:
        return any(name in self._raw for name in names)

    def first(self, names: tuple[str, ...]) -> Any:
        """The first that says something; another that says something else is told of and kept."""
        found, found_under = None, ""
        for name in names:
            value = self._raw.get(name)
            if value is None:
                self._seen.add(name)
            elif not found_under:
                found, found_under = value, name
                self._seen.add(name)
            elif value == found:
                self._seen.add(name)
            else:
                self.problems.append(f"it says {found_under} and {name}, which differ: {found_under} counts")
        return found

    def id(self, names: tuple[str, ...]) -> str | None:
        """An id as text; None if there is none, or an empty one."""
        value = self.first(names)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise Unreadable(f"{names[0]} is text or a whole number, not {_json_type(value)}")
        return str(value)

    def try_read(self, names: tuple[str, ...], read: Callable[[Any], T]) -> T | None:
        """What *read* makes of the field; None with a problem if it cannot."""
        value = self.first(names)
        if value is None:
            return None
        try:
            return read(value)
        except Unreadable as error:
            self.problems.append(f"{names[0]}: {error}")
            return None

    def rest(self) -> dict[str, Any]:
        """What nobody looked for, as attributes."""
        kept = {f"clew.event.{name}": value for name, value in self._raw.items() if name not in self._seen}
        kept.update({f"clew.event.{name}": self._raw.get(name) for name in _KEPT_TOO})
        return {name: value for name, value in kept.items() if value is not None}


def _unwrapped(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring what lies under `payload` or `data` up. Of the two layers, the one that names the trace wins."""
    for name in _PAYLOAD:
        inner = raw.get(name)
        if isinstance(inner, dict):
            outer = {key: value for key, value in raw.items() if key != name}
            if any(key in outer for key in _TRACE):
                return {**inner, **outer}
            # The envelope's own id is that of the message, not of the call.
            envelope_id = {"envelope_id": outer.pop("id")} if "id" in outer else {}
            return {**outer, **envelope_id, **inner}
    return raw


def _type(fields: _Fields) -> tuple[Phase, Kind]:
    given = fields.first(_TYPE)
    if not isinstance(given, str):
        raise Unreadable(f"it has no type; known are {_KNOWN_TYPES}")
    found = _TYPES.get("".join(filter(str.isalpha, given[:100])).lower())
    if found is None:
        raise Unreadable(f"type {given[:60]!r} is not known; known are {_KNOWN_TYPES}")
    return found


def _read_times(event: ReadEvent, fields: _Fields, base: Base, received_ns: int) -> None:
    """Fill start and end from what is told of them; an end says when it began by how long it took."""

    def time_of(names: tuple[str, ...]) -> int | None:
        time = fields.try_read(names, lambda value: read_time(value, base))
        if time is None:
            return None
        event.is_ordinal |= time.is_ordinal
        return time.ns

    duration_ns = fields.try_read(_DURATION, _duration)
    told_ns = time_of(("start", *_TIME) if event.phase == "call" else _TIME)
    if told_ns is None:
        event.problems.append("it came without a time that can be read: taken to be when it was received")
        told_ns = received_ns
    event.start_ns = told_ns
    if event.phase == "end":
        event.start_ns, event.end_ns = told_ns - (duration_ns or 0), told_ns
        event.start_is_derived = duration_ns is None
    elif event.phase == "call":
        end_ns = time_of(("end",))
        event.end_ns = told_ns + duration_ns if end_ns is None and duration_ns is not None else end_ns


def _read_outcome(event: ReadEvent, fields: _Fields) -> None:
    event.success = fields.try_read(_SUCCESS, _boolean)
    event.error = _error_text(fields.first(("error",)))
    if event.success and event.error:
        event.problems.append("it says success and an error: success counts")


def _duration(value: Any) -> int:
    try:
        duration_ms = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        duration_ms = math.nan
    if not 0 <= duration_ms < 1e14:
        raise Unreadable(f"{str(value)[:40]!r} is no duration, and was left out")
    return round(duration_ms * 1e6)


def _boolean(value: Any) -> bool:
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    found = known.get(str(value).lower()[:8])
    if found is None:
        raise Unreadable(f"{str(value)[:40]!r} is neither true nor false, and was left out")
    return found


def _error_text(value: Any) -> str:
    """Why it failed, of whatever the sender calls an error: a text, or an object with a message."""
    if isinstance(value, dict):
        value = value.get("message") or value
    if value is None or value is False:
        return ""
    return "error" if value is True else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
