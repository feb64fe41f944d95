"""Which call an event is of, and in which trace: ids of any sort, made W3C ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from clew.model.ids import ZERO_SPAN, ZERO_TRACE
from clew.wire.event_fields import ReadEvent

MAX_REMEMBERED: Final = 1_000_000
"""Calls of which a reader remembers the parent; of more, the first are forgotten."""

ORIGINAL_CHARS: Final = 1_000

LOOK_BACK: Final = 100
"""Of the calls of one name that run side by side so many are looked at for the one that ended."""

_is_trace_id = re.compile(r"[0-9a-f]{32}").fullmatch
_is_span_id = re.compile(r"[0-9a-f]{16}").fullmatch

Placed = tuple[int, ReadEvent]


class Identified(NamedTuple):
    """Where an event belongs."""

    trace_id: str
    span_id: str
    parent_id: str | None
    originals: dict[str, Any]
    """The ids as they were sent, where they are no W3C ids, as attributes."""


def trace_id_from(text: str) -> str:
    """Give *text* as a trace id: itself if it is one, else its hash."""
    lower = text.lower()
    return lower if _is_trace_id(lower) and lower != ZERO_TRACE else _digest(text, 16)


def span_id_from(text: str, within: str) -> str:
    """Give *text* as a span id: itself if it is one, else its hash together with that of what it is an id *within*."""
    lower = text.lower()
    return lower if _is_span_id(lower) and lower != ZERO_SPAN else _digest(f"{within}\0{text}", 8)


def _digest(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def identify(events: Sequence[Placed], lineage: Lineage) -> Iterator[tuple[int, ReadEvent, Identified]]:
    """Give each event with where it belongs, in the order in which they came."""
    own = _naming_themselves(events, lineage)
    for _, event in events:
        call = _self(event, own)
        if call is not None:
            lineage.note(call, event.parent, event.run)
    lineage.look_anew()
    pairs = _Pairs(events, own)
    for index, event in events:
        call = _self(event, own)
        if call is not None:
            yield index, event, _placed(lineage.trace(call), call, "", lineage.parent(call))
        elif event.call_id is not None and event.trace is not None:
            yield index, event, _placed(event.trace, event.call_id, trace_id_from(event.trace), event.parent)
        else:
            yield index, event, _unnamed(event, pairs.ids[index])


def _self(event: ReadEvent, own: Set[str]) -> str | None:
    """How an event names its call where it does not name the trace."""
    if event.trace is None:
        return event.call_id
    return event.trace if event.call_id is None and event.trace in own else None


def _placed(trace: str, call: str, within: str, parent: str | None) -> Identified:
    trace_id, span_id = trace_id_from(trace), span_id_from(call, within)
    parent_id = None if parent is None else span_id_from(parent, within)
    sent = {"trace": (trace, trace_id), "id": (call, span_id), "parent": (parent, parent_id)}
    return Identified(trace_id, span_id, parent_id, _originals(sent))


def _unnamed(event: ReadEvent, span_id: str) -> Identified:
    trace, parent = event.trace or "", event.parent
    trace_id = trace_id_from(trace)
    parent_id = None if parent is None else span_id_from(parent, trace_id)
    return Identified(
        trace_id, span_id, parent_id, _originals({"trace": (trace, trace_id), "parent": (parent, parent_id)})
    )


def _originals(sent: Mapping[str, tuple[str | None, str | None]]) -> dict[str, Any]:
    return {
        f"clew.event.{what}": text[:ORIGINAL_CHARS]
        for what, (text, made) in sent.items()
        if text is not None and text.lower() != made
    }


def _naming_themselves(events: Iterable[Placed], lineage: Lineage) -> Set[str]:
    """Find the trace ids that are those of a single call: they have a parent, or are one, and are used for one call."""
    parents: set[str] = set()
    uses: dict[str, list[ReadEvent]] = {}
    for _, event in events:
        if event.call_id is None and event.trace is not None:
            uses.setdefault(event.trace, []).append(event)
        if event.parent is not None:
            parents.add(event.parent)
    return {
        trace
        for trace, of_one in uses.items()
        if (trace in parents or lineage.knows(trace) or any(event.says_parent for event in of_one))
        and _may_be_one_call(of_one)
    }


def _may_be_one_call(events: Sequence[ReadEvent]) -> bool:
    whats = {(event.kind, event.name) for event in events if event.name}
    starts = {event.start_ns for event in events if event.phase != "end"}
    return len(whats) < 2 and len(starts) < 2


class Lineage:
    """Which call was made by which, and who named a run: for events that name only themselves and their parent."""

    def __init__(self) -> None:
        self._parents: dict[str, str | None] = {}
        self._runs: dict[str, str] = {}
        self._traces: dict[str, str] = {}

    def knows(self, call: str) -> bool:
        """Say whether some event was of *call*."""
        return call in self._parents

    def note(self, call: str, parent: str | None, run: str | None) -> None:
        """Take down what an event says of *call*."""
        if parent is not None or call not in self._parents:
            self._parents[call] = parent
            if len(self._parents) > MAX_REMEMBERED:
                del self._parents[next(iter(self._parents))]
        if run is not None:
            self._runs[call] = run
            if len(self._runs) > MAX_REMEMBERED:
                del self._runs[next(iter(self._runs))]

    def parent(self, call: str) -> str | None:
        """Give the parent that any event named for *call*."""
        return self._parents.get(call)

    def look_anew(self) -> None:
        """Forget which traces were found: more was noted since."""
        self._traces.clear()

    def trace(self, call: str) -> str:
        """
        Give what the trace of *call* is called: the run that it or its nearest ancestor names, else
        the topmost ancestor; of a cycle of parents the first of the names in it.
        """
        path: list[str] = []
        on_path: set[str] = set()
        at, found = call, None
        while found is None:
            if at in on_path:
                found = min(path[path.index(at) :])
                break
            found = self._traces.get(at) or self._runs.get(at)
            path.append(at)
            on_path.add(at)
            parent = self._parents.get(at)
            if found is None and parent is None:
                found = at
            at = parent or at
        # So that a chain of a hundred thousand is walked once, and not for each of its calls.
        self._traces.update(dict.fromkeys(path, found))
        return found


class _Pairs:
    """Ids for the events that name no call: the halves of one get the same."""

    def __init__(self, events: Sequence[Placed], own: Set[str]) -> None:
        self.ids: dict[int, str] = {}
        self._open: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
        self._seen: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        if any(event.call_id is None and event.trace not in own for _, event in events):
            for index, event in sorted(events, key=_when):
                if event.trace is not None and (event.call_id is not None or event.trace not in own):
                    self._take(index, event)

    def _take(self, index: int, event: ReadEvent) -> None:
        trace_id = trace_id_from(event.trace or "")
        waiting = self._open.setdefault((trace_id, event.kind, event.name), [])
        if event.call_id is not None:
            span_id = span_id_from(event.call_id, trace_id)
            if event.phase == "start":
                waiting.append((event.start_ns, span_id))
            elif (same := next((each for each in waiting[-LOOK_BACK:] if each[1] == span_id), None)) is not None:
                waiting.remove(same)
            return
        # Told twice in the very same words, it is one event.
        words = repr(event)
        if words not in self._seen:
            self._seen[words] = self._id(event, trace_id, waiting)
        self.ids[index] = self._seen[words]

    def _id(self, event: ReadEvent, trace_id: str, waiting: list[tuple[int, str]]) -> str:
        if event.phase == "end" and waiting:
            return waiting.pop(self._opened(event, waiting))[1]
        name = f"{event.kind}\0{event.name}\0{event.start_ns}"
        self._counts[trace_id + name] += 1
        span_id = _digest(f"{trace_id}\0{name}\0{self._counts[trace_id + name]}", 8)
        if event.phase == "start":
            waiting.append((event.start_ns, span_id))
        return span_id

    def _opened(self, event: ReadEvent, waiting: list[tuple[int, str]]) -> int:
        """Which of those that wait has ended: the last, or the one that began when this one says it did."""
        if event.start_is_derived:
            return len(waiting) - 1
        first = max(0, len(waiting) - LOOK_BACK)
        return min(range(first, len(waiting)), key=lambda at: (abs(waiting[at][0] - event.start_ns), -at))


def _when(placed: Placed) -> int:
    _, event = placed
    return event.end_ns if event.phase == "end" and event.end_ns is not None else event.start_ns
