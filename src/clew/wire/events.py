"""
Events to spans: `POST /api/v1/events` and `clew import`.

A start becomes a span that runs, an end a finished one that says so in its attributes
(`clew.event`: see `clew.model.halves`), a whole call a whole span. Halves of one call are joined
here if they come together, and in the store if they do not, in any order.

Which call an event is of, and in which trace:

- With an id of its own (`span_id`, `id`) and a trace: those. Where they are no W3C ids, their
  hashes, and what was sent is kept as `clew.event.id`, `clew.event.trace`, `clew.event.parent`.
- Old events have only a `trace_id`, which is that of the call, and a parent's. Then the trace is
  the `run` or `session` that the call or one of its ancestors names, else its topmost ancestor
  among all events that were read together: chains torn over several requests give several traces.
- Older ones name no call at all, only the trace. Starts and ends of one name are paired, the last
  one opened first, or by `duration_ms` where that says more; without their other half at hand,
  the halves find each other only if the end's time less its duration is exactly the start's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clew.config import MAX_VALUE_CHARS
from clew.errors import MalformedBody, UnsupportedMedia
from clew.model import Span
from clew.model.halves import EVENT, START_IS_DERIVED, keep
from clew.wire import Decoded, Rejection
from clew.wire.conventions import derive
from clew.wire.event_fields import ReadEvent, read_event
from clew.wire.event_ids import Identified, Lineage, identify
from clew.wire.event_times import Base, Unreadable
from clew.wire.mend import mend, mend_parent

MEDIA: Final = ("application/json", "application/x-ndjson", "application/ndjson", "application/jsonl")
MAX_EVENTS: Final = 100_000
"""In one body: so many take about three seconds, in which the store waits."""

PARENTLESS: Final = "clew.event.parentless"
"""Its sender has no field for parents: nesting is then inferred, see `clew.graph.reading`."""

ARGS_ARE_NAMES: Final = "clew.event.args_are_names"
"""The recording had the names of the arguments and not their values, which are null."""

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)

Item = tuple[int, Any]
"""The place of an event in what was sent, and the event, or the exception that reading it raised."""


class Loose(NamedTuple):
    """What only Python's own reader of JSON takes: its text may hold lone surrogates."""

    value: Any


class DecodedEvents(NamedTuple):
    """What one body of events held."""

    decoded: Decoded
    event_count: int


def decode(body: bytes, *, received_ns: int | None = None) -> DecodedEvents:
    """
    Read *body*: a JSON list of events, `{"events": [...]}`, one event, or one a line.

    Raises:
        MalformedBody: nothing in it can be read, or there are over `MAX_EVENTS`.
    """
    now_ns = time.time_ns() if received_ns is None else received_ns
    items = split(body)
    if len(items) > MAX_EVENTS:
        raise MalformedBody(f"{len(items)} events in one body; send at most {MAX_EVENTS} at a time")
    return DecodedEvents(EventReader(Base(now_ns)).read(items, now_ns), len(items))


def check_media(content_type: str) -> None:
    """
    Refuse what is neither JSON nor JSON lines.

    Raises:
        UnsupportedMedia: it is not.
    """
    if content_type not in MEDIA:
        raise UnsupportedMedia(f"content type {content_type[:80]!r} is not read here; send {' or '.join(MEDIA[:2])}")


def split(body: bytes) -> list[Item]:
    """
    Give the single events of *body*, each with its place.

    Raises:
        MalformedBody: it is neither JSON nor JSON lines, or JSON of something else.
    """
    try:
        whole = _from_json(body)
    except _UNREADABLE as error:
        return _split_lines(body, error)
    is_loose = isinstance(whole, Loose)
    found = whole.value if is_loose else whole
    if isinstance(found, dict):
        events = found.get("events")
        found = events if isinstance(events, list) else [found]
    if not isinstance(found, list):
        raise MalformedBody("the body is neither a list of events, nor {events: [...]}, nor an event")
    return list(enumerate(map(Loose, found) if is_loose else found))


def _split_lines(body: bytes, error: Exception) -> list[Item]:
    lines = [line for line in body.splitlines() if line.strip()]
    items = list(enumerate(map(from_line, lines)))
    if len(items) < 2 or all(isinstance(item, Exception) for _, item in items):
        raise MalformedBody(f"the body is neither JSON nor JSON lines: {error}") from None
    return items


def from_line(line: bytes) -> Any:
    """Give the JSON of one line, or the exception that reading it raised."""
    try:
        return _from_json(line)
    except _UNREADABLE as error:
        return error


def _from_json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # What Python's own `json` writes: NaN, infinities, lone surrogates.
        if isinstance(error, UnicodeDecodeError) or b"NaN" in text or b"Infinity" in text or b"\\u" in text:
            return Loose(json.loads(text.decode("utf-8", "replace"), strict=False))
        raise


class EventReader:
    """Makes spans of events. One reader for all that belongs together: it remembers who called whom."""

    def __init__(self, base: Base, *, what: str = "events[{}]") -> None:
        """*base* is what times count from that are no dates; *what* names a place in rejections."""
        self._base = base
        self._what = what
        self._lineage = Lineage()
        self._max_chars = MAX_VALUE_CHARS.read()

    def read(self, items: Iterable[Item], received_ns: int) -> Decoded:
        """Give the spans of *items*, halves joined, and what of them cannot be read."""
        rejected: list[Rejection] = []
        read: list[tuple[int, ReadEvent]] = []
        trusted_text = True
        for index, item in items:
            if isinstance(item, Exception):
                why = str(item) if isinstance(item, Unreadable) else f"it is not JSON: {item}"
                rejected.append(self._rejection(index, why))
                continue
            trusted_text &= not isinstance(item, Loose)
            try:
                raw = item.value if isinstance(item, Loose) else item
                read.append((index, read_event(raw, self._base, received_ns)))
            except (ValueError, RecursionError) as error:
                rejected.append(self._rejection(index, str(error)))
        whole = self._joined(read, rejected)
        for span in whole:
            mend(span, max_chars=self._max_chars, received_ns=received_ns, trusted_text=trusted_text)
            mend_parent(span)
            derive(span)
        rejected.sort(key=lambda each: each.index)
        return Decoded(whole, [], rejected)

    def _joined(self, read: Sequence[tuple[int, ReadEvent]], rejected: list[Rejection]) -> list[Span]:
        """Give the spans of what was read, the halves of a call as one."""
        traces: dict[str, dict[str, Span]] = {}
        named: dict[tuple[str, str], str] = {}
        for index, event, ids in identify(read, self._lineage):
            key = ids.trace_id, ids.span_id
            if event.name and named.setdefault(key, event.name) != event.name:
                problem = f"its id is that of {named[key][:80]!r} already, and is given to {event.name[:80]!r}"
                rejected.append(self._rejection(index, f"{problem}; an id is of one call"))
            else:
                _keep(_span(event, ids), traces.setdefault(ids.trace_id, {}))
        return [span for spans in traces.values() for span in spans.values()]

    def _rejection(self, index: int, problem: str) -> Rejection:
        return Rejection(index, f"{self._what.format(index)}: {problem}")


def _keep(span: Span, kept: dict[str, Span]) -> None:
    """Join *span* to what came of the same call before."""
    other = kept.get(span.span_id)
    if other is not None and PARENTLESS in (other.attributes.keys() ^ span.attributes.keys()):
        # One half says where it belongs, so the other need not.
        other.attributes.pop(PARENTLESS, None)
        span.attributes.pop(PARENTLESS, None)
    keep(span, kept)


def _span(event: ReadEvent, ids: Identified) -> Span:
    attributes = event.extra | ids.originals
    if event.phase != "call":
        attributes[EVENT] = event.phase
    if event.start_is_derived:
        attributes[START_IS_DERIVED] = True
    if event.is_ordinal:
        attributes["clew.event.ordinal"] = True
    if not event.says_parent:
        attributes[PARENTLESS] = True
    args = event.args
    if event.phase == "call" and isinstance(args, list) and all(isinstance(name, str) for name in args):
        # Recordings that may not show values name the arguments alone.
        args, attributes[ARGS_ARE_NAMES] = dict.fromkeys(args), True
    failed = event.success is False or (event.success is None and event.error != "")
    ended_well = event.success or (event.phase == "call" and event.end_ns is not None)
    return Span(
        trace_id=ids.trace_id,
        span_id=ids.span_id,
        parent_id=ids.parent_id,
        name=event.name,
        kind=event.kind,
        start_ns=event.start_ns,
        end_ns=event.end_ns,
        status="error" if failed else "ok" if ended_well else "unset",
        status_message=event.error,
        attributes=attributes,
        inputs=args,
        outputs=event.result,
        problems=event.problems,
    )
