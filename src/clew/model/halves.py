"""
One span from its two halves: what was said when it started, and what was said when it ended.

A start event is a span that still runs; an end event is a finished one that knows only its end and
says so in its attributes. They may come in any order and in different requests. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clew.model.span import Span

EVENT = "clew.event"
"""'end' marks a finished span that is only the end of one; the start may come, or have come, by itself."""

START_IS_DERIVED = "clew.event.start_is_derived"
"""Its start was reckoned from its end and how long it took, so a start that was told is better."""

_MARKS = (EVENT, START_IS_DERIVED)


def is_half(span: Span) -> bool:
    """Say whether *span* waits for its other half: it runs, or is only an end."""
    return span.end_ns is None or span.attributes.get(EVENT) == "end"


def keep(span: Span, spans: dict[str, Span]) -> bool:
    """
    Put *span* among *spans*, by id, joined with its other half if that is there. False if nothing changes.

    A whole span stays as it came first and takes the place of a half; a half that comes again
    changes nothing.
    """
    have = spans.get(span.span_id)
    if have is not None:
        if not is_half(have) or _is_same_half(have, span):
            return False
        span = _whole(have, span)
    spans[span.span_id] = span
    return True


def _is_same_half(have: Span, span: Span) -> bool:
    return is_half(span) and (have.end_ns is None) == (span.end_ns is None)


def _whole(have: Span, span: Span) -> Span:
    """One span of a half that was there and what came to it."""
    return join(span, have) if span.end_ns is None else join(have, span) if have.end_ns is None else span


def join(running: Span, finished: Span) -> Span:
    """
    Give the span whose start is *running* and whose end is *finished*.

    The start's name, parent and inputs, the end's status and outputs; of everything else what is
    said, first by the end. A *finished* that is not only an end says everything itself.
    """
    if finished.attributes.get(EVENT) != "end":
        return finished
    either: dict[str, Any] = {name: _said(name, finished, running) for name in _BY_THE_END}
    either |= {name: _said(name, running, finished) for name in _BY_THE_START}
    attributes = running.attributes | finished.attributes
    joined = msgspec.structs.replace(
        finished,
        **either,
        start_ns=running.start_ns if finished.attributes.get(START_IS_DERIVED) else finished.start_ns,
        attributes={name: value for name, value in attributes.items() if name not in _MARKS},
        resource=running.resource | finished.resource,
        events=[*running.events, *finished.events],
        links=[*running.links, *finished.links],
        problems=list(dict.fromkeys([*running.problems, *finished.problems])),
    )
    return _in_time(joined)


_BY_THE_START = ("parent_id", "name", "kind", "inputs", "input_preview", "scope", "otel_kind")
_BY_THE_END = (
    "status",
    "status_message",
    "outputs",
    "output_preview",
    "response_chars",
    "model",
    "strategy",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "confidence",
    "first_token_ms",
    "user_id",
    "session_id",
)
_NOTHING: dict[str, Any] = {
    field.name: field.default for field in msgspec.structs.fields(Span) if field.default is not msgspec.NODEFAULT
}


def _said(name: str, first: Span, second: Span) -> Any:
    """What the *first* says, or the *second* if it says nothing."""
    value = getattr(first, name)
    return getattr(second, name) if value == _NOTHING.get(name) else value


def _in_time(span: Span) -> Span:
    """Two clocks may disagree: a span never ends before it starts."""
    if span.end_ns is not None and span.end_ns < span.start_ns:
        problem = f"its end event came {span.start_ns - span.end_ns} ns before its start: taken to end at its start"
        return msgspec.structs.replace(span, end_ns=span.start_ns, problems=[*span.problems, problem])
    return span
