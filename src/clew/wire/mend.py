"""
Mend on receipt what no store should meet, visibly: each mending is told in the span's `problems`.

Well-formed spans pay one look at each value and no copy. Pure but for nothing: the time of
receipt is handed in.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

from clew.errors import MalformedId
from clew.model import Event, Link, Score, Span
from clew.model.ids import ZERO_SPAN, span_id_of, trace_id_of
from clew.wire.values import MAX_ATTRIBUTES, MAX_KEY_CHARS, Cleaner, clean_text, is_plain, is_plain_value, is_utf8

MAX_NAME_CHARS = 1_000
MAX_MESSAGE_CHARS = 10_000
MAX_EVENTS = 10_000
MAX_LINKS = 1_000
MAX_PROBLEMS = 20

EARLIEST_NS = 946_684_800 * 10**9
"""The year 2000. A time before it is seconds or milliseconds by mistake, or a clock that was never set."""

LATEST_NS = 4_102_444_800 * 10**9
"""The year 2100."""

_is_span_id = re.compile(r"[0-9a-f]{16}").fullmatch


def mend(
    span: Span, *, max_chars: int, received_ns: int, trusted_text: bool = True, plain_attributes: bool = False
) -> None:
    """
    Make *span* one that every store can keep. Ids are mended apart: `mend_ids`.

    *trusted_text* says that strings were decoded from UTF-8, which cannot hold a lone surrogate;
    *plain_attributes* that each of its attributes was looked at already, though not how many there are.
    """
    start_ns, end_ns = span.start_ns, span.end_ns
    if not EARLIEST_NS <= start_ns < LATEST_NS or (end_ns is not None and not start_ns <= end_ns < LATEST_NS):
        _mend_times(span, received_ns)
    name = span.name
    if not name or len(name) > MAX_NAME_CHARS or "\0" in name or not (trusted_text or name.isascii()):
        _mend_name(span)
    if span.status_message:
        span.status_message = _short(span.status_message, "status_message", MAX_MESSAGE_CHARS, span)
    attributes = span.attributes
    looked_at = plain_attributes and len(attributes) <= MAX_ATTRIBUTES
    if attributes and not looked_at and not is_plain(attributes, max_chars, trusted_text):
        span.attributes = _cleaner(span, max_chars).attributes(attributes, "attributes")
    if span.inputs is not None and not is_plain_value(span.inputs, max_chars, trusted_text):
        span.inputs = _cleaner(span, max_chars).value(span.inputs, "inputs")
    if span.outputs is not None and not is_plain_value(span.outputs, max_chars, trusted_text):
        span.outputs = _cleaner(span, max_chars).value(span.outputs, "outputs")
    if span.events:
        _mend_events(span, max_chars, trusted_text)
    if span.links:
        _mend_links(span, max_chars, trusted_text)
    if span.problems:
        _mend_problems(span)


def mend_ids(span: Span, normal_trace_ids: dict[str, str]) -> None:
    """
    Write the ids in lower case, and drop a parent that cannot be one.

    *normal_trace_ids* remembers the trace ids of one body, whose spans share them.

    Raises:
        MalformedId: the trace or span id is no W3C id; such a span cannot be kept.
    """
    trace_id = span.trace_id
    known = normal_trace_ids.get(trace_id)
    if known is None:
        known = normal_trace_ids[trace_id] = trace_id_of(trace_id)
    span.trace_id = known
    if not _is_span_id(span.span_id) or span.span_id == ZERO_SPAN:
        span.span_id = span_id_of(span.span_id)
    if span.parent_id is not None:
        mend_parent(span)


def mend_parent(span: Span) -> None:
    """Drop a parent that cannot be one: malformed, or the span itself."""
    parent_id = span.parent_id
    if parent_id is None:
        return
    if not _is_span_id(parent_id) or parent_id == ZERO_SPAN:
        span.parent_id = _parent_of(span)
    if span.parent_id == span.span_id:
        note(span, "it named itself as its parent, which was dropped")
        span.parent_id = None


def mend_score(score: Score) -> None:
    """
    Make *score* one that every store can keep.

    Raises:
        MalformedId: its trace or span id is no W3C id.
        ValueError: it has no name, or its value does not lie between 0 and its best.
    """
    score.trace_id = trace_id_of(score.trace_id)
    if score.span_id is not None:
        score.span_id = span_id_of(score.span_id)
    if not score.name:
        raise ValueError("a score needs a name")
    if not 0 < score.best < math.inf:
        raise ValueError(f"best is {score.best}, it must be a number over 0")
    if not 0 <= score.value <= score.best:
        raise ValueError(f"value is {score.value}, it must lie between 0 and best, {score.best:g}")
    score.name = clean_text(score.name, MAX_KEY_CHARS)
    score.label = clean_text(score.label, MAX_KEY_CHARS)
    score.comment = clean_text(score.comment, MAX_MESSAGE_CHARS)
    if not EARLIEST_NS <= score.at_ns < LATEST_NS:
        score.at_ns = 0  # "when it was received"


def clean_resource(resource: dict[str, Any], max_chars: int) -> dict[str, Any]:
    """Give *resource* with the values that a store can keep. What is cut is marked in its value."""
    if is_plain(resource, max_chars, trusted_text=False):
        return resource
    return Cleaner(_ignore, max_chars).attributes(resource, "resource")


def note(span: Span, problem: str) -> None:
    """Tell of a mending, at most `MAX_PROBLEMS` times in a span."""
    if len(span.problems) < MAX_PROBLEMS and problem not in span.problems:
        span.problems.append(problem)


def _cleaner(span: Span, max_chars: int) -> Cleaner:
    return Cleaner(partial(note, span), max_chars)


def _ignore(_problem: str) -> None:
    """A resource has no list of problems: its cut values show themselves."""


def _short(text: str, where: str, max_chars: int, span: Span) -> str:
    if len(text) <= max_chars and "\0" not in text and (text.isascii() or is_utf8(text)):
        return text
    note(span, f"{where}: cut to {max_chars} characters, or had characters replaced")
    return clean_text(text, max_chars)


def _mend_name(span: Span) -> None:
    if not span.name:
        note(span, "it came without a name")
        span.name = "(no name)"
    span.name = _short(span.name, "name", MAX_NAME_CHARS, span)


def _mend_times(span: Span, received_ns: int) -> None:
    start_ns, end_ns = span.start_ns, span.end_ns
    if not EARLIEST_NS <= start_ns < LATEST_NS:
        sane_end = end_ns is not None and EARLIEST_NS <= end_ns < LATEST_NS
        if sane_end:
            note(span, f"start_ns {start_ns} is no time of this century: taken to start at its end")
            span.start_ns = end_ns  # type: ignore[assignment]
        else:
            # Keep the duration where there is one: a clock that was never set still runs evenly.
            lasted_ns = max(0, min(end_ns - start_ns, received_ns - EARLIEST_NS)) if end_ns is not None else 0
            note(span, f"start_ns {start_ns} is no time of this century: moved to when it was received")
            span.start_ns = received_ns - lasted_ns
            span.end_ns = received_ns if end_ns is not None else None
    elif end_ns is not None and end_ns >= LATEST_NS:
        note(span, f"end_ns {end_ns} is no time of this century: taken to end at its start")
        span.end_ns = start_ns
    elif end_ns is not None:
        note(span, f"it ended {start_ns - end_ns} ns before it started: taken to end at its start")
        span.end_ns = start_ns


def _parent_of(span: Span) -> str | None:
    if not span.parent_id or span.parent_id == ZERO_SPAN:
        return None  # how some clients write "no parent"
    try:
        return span_id_of(span.parent_id)
    except MalformedId as error:
        note(span, f"its parent was dropped: {error}")
        return None


def _mend_events(span: Span, max_chars: int, trusted_text: bool) -> None:
    if len(span.events) > MAX_EVENTS:
        note(span, f"events: {len(span.events) - MAX_EVENTS} of {len(span.events)} were cut")
        span.events = span.events[:MAX_EVENTS]
    for event in span.events:
        _mend_event(event, span, max_chars, trusted_text)


def _mend_event(event: Event, span: Span, max_chars: int, trusted_text: bool) -> None:
    if not EARLIEST_NS <= event.at_ns < LATEST_NS:
        note(span, f"an event's time {event.at_ns} is no time of this century: moved to the span's start")
        event.at_ns = span.start_ns
    event.name = _short(event.name, "an event's name", MAX_NAME_CHARS, span)
    if event.attributes and not is_plain(event.attributes, max_chars, trusted_text):
        event.attributes = _cleaner(span, max_chars).attributes(event.attributes, "events")


def _mend_links(span: Span, max_chars: int, trusted_text: bool) -> None:
    if len(span.links) > MAX_LINKS:
        note(span, f"links: {len(span.links) - MAX_LINKS} of {len(span.links)} were cut")
    kept: list[Link] = []
    for link in span.links[:MAX_LINKS]:
        try:
            link.trace_id, link.span_id = trace_id_of(link.trace_id), span_id_of(link.span_id)
        except MalformedId as error:
            note(span, f"a link was dropped: {error}")
            continue
        if link.attributes and not is_plain(link.attributes, max_chars, trusted_text):
            link.attributes = _cleaner(span, max_chars).attributes(link.attributes, "links")
        kept.append(link)
    span.links = kept


def _mend_problems(span: Span) -> None:
    """Problems that the client tells of are as hostile as all the rest."""
    span.problems = [clean_text(problem, MAX_NAME_CHARS) for problem in span.problems[:MAX_PROBLEMS]]
