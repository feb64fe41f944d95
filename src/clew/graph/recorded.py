"""
Recorded traces: event lines, as `clew graph evaluate` and `clew graph tune` read them.

One JSON object a line: `trace, id, parent, type, name, start, end, args`. Optional: `task` (what
train and test are split by), `reward`, `ok`, `text` (the words that asked for the run), `dep` (the
ids that this call is known to depend on), `df` (earlier calls whose output its arguments hold),
`pend` (output paths not used before it), `cons` (output paths that its arguments came from).
Gzip or plain. Pure: who has the file hands in its bytes.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from typing import Any

import msgspec

from clew.errors import MalformedBody
from clew.graph.calls import Call, TraceCalls, in_order

FORM = "{trace, id, parent, type, name, start, end, args}"
GZIP = b"\x1f\x8b"


class RecordedTrace(msgspec.Struct, kw_only=True):
    """One recorded trace, with what is known of it beyond its calls."""

    task: str
    """The group by which train and test are split; the trace's own id if the events name none."""
    calls: TraceCalls
    """In order of start. A parent that the trace does not hold is None."""
    reward: float | None = None
    """How well it went, 0 to 1; None if nobody says."""
    text: str = ""
    """The words that asked for it."""
    deps: dict[str, tuple[str, ...]] = {}
    """Call id -> the ids of the calls it is known to depend on; empty if the source states none."""

    @property
    def trace_id(self) -> str:
        """Which trace it is."""
        return self.calls.trace_id


class _Event(msgspec.Struct):
    """One line. Ids may be numbers, as some tools write them."""

    trace: str | int
    id: str | int
    type: str
    name: str
    start: int | float
    end: int | float | None = None
    parent: str | int | None = None
    args: list[str] | dict[str, Any] | None = None
    task: str | int | None = None
    reward: float | None = None
    ok: bool | None = None
    text: str | None = None
    dep: list[str | int] | None = None
    df: list[str | int] | None = None
    pend: list[str] | None = None
    cons: list[str] | None = None


def read_data(data: bytes) -> list[RecordedTrace]:
    """
    Read the bytes of a file of event lines, gzip or plain.

    Raises:
        MalformedBody: a line is not an event, and which; or the gzip is damaged.
    """
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise MalformedBody(f"the gzip is damaged: {error}") from error
    return read_events(data.splitlines())


def read_events(lines: Iterable[bytes | str]) -> list[RecordedTrace]:
    """
    Read event lines; the traces come in the order of their first lines, empty lines are skipped.

    Of two lines for one call the later counts: the first may have told only of its start.

    Raises:
        MalformedBody: a line is not an event, and which.
    """
    decoder = msgspec.json.Decoder(_Event)
    traces: dict[str, list[_Event]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = decoder.decode(line)
            _check(event)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedBody(f"line {number} is not an event ({error}); a line is {FORM}") from error
        traces.setdefault(str(event.trace), []).append(event)
    return [_recorded(trace_id, events) for trace_id, events in traces.items()]


def _check(event: _Event) -> None:
    # As a float, since what is no finite number compares false; 2**33 s is the year 2242.
    for at in (event.start, event.end):
        if at is not None and not abs(float(at)) < (2**33 if isinstance(at, float) else 2**62):
            raise ValueError(f"{at} is no time")


def _recorded(trace_id: str, events: list[_Event]) -> RecordedTrace:
    events = list({str(event.id): event for event in events}.values())
    # Whole numbers are in whatever unit the source counts; fractions are seconds.
    unit = 10**9 if any(isinstance(at, float) for event in events for at in (event.start, event.end)) else 1
    ids = {str(event.id) for event in events}
    return RecordedTrace(
        task=next((str(event.task) for event in events if event.task is not None), trace_id),
        calls=TraceCalls(trace_id=trace_id, calls=in_order(_call(event, ids, unit) for event in events)),
        reward=next((event.reward for event in events if event.reward is not None), None),
        text=next((event.text for event in events if event.text), ""),
        deps={
            str(event.id): tuple(str(each) for each in event.dep if str(each) in ids)
            for event in events
            if event.dep is not None
        },
    )


def _call(event: _Event, ids: set[str], unit: int) -> Call:
    parent_id = None if event.parent is None else str(event.parent)
    return Call(
        call_id=str(event.id),
        parent_id=parent_id if parent_id in ids and parent_id != str(event.id) else None,
        kind=event.type,
        name=event.name,
        start_ns=round(event.start * unit),
        end_ns=None if event.end is None else round(event.end * unit),
        ok=event.ok is not False,
        arguments=tuple(sorted(event.args or ())),
        pending=tuple(event.pend or ()),
        consumed=tuple(event.cons or ()),
        provider_ids=tuple(str(each) for each in event.df or ()),
    )
