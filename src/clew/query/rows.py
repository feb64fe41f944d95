"""
Stored traces as the rows of the JSON API. Pure.

Nanoseconds go out as strings, because JavaScript's numbers end at 2**53; everything for people
is in milliseconds and ISO 8601.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from clew.model import Event, Score, Span, TraceSummary
from clew.model.trace import Placed

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(time_ns: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC, with microseconds."""
    try:
        when = _EPOCH + timedelta(microseconds=time_ns // 1_000)
    except OverflowError:  # A clock of the client's that is thousands of years off.
        return f"{time_ns} ns"
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def milliseconds(duration_ns: int | None) -> float | None:
    """Nanoseconds as milliseconds; None stays None."""
    return None if duration_ns is None else duration_ns / 1_000_000


def trace_row(summary: TraceSummary) -> dict[str, Any]:
    """One line of the list of traces."""
    worst = summary.worst_user_score
    return {
        "trace_id": summary.trace_id,
        "project": summary.project,
        "name": summary.name,
        "started_at": iso(summary.start_ns),
        "start_ns": str(summary.start_ns),
        "duration_ms": milliseconds(summary.duration_ns),
        "status": summary.status,
        "has_root": summary.has_root,
        "span_count": summary.span_count,
        "error_count": summary.error_count,
        "orphan_count": summary.orphan_count,
        "kinds": summary.kinds,
        "models": summary.models,
        "user_id": summary.user_id,
        "session_id": summary.session_id,
        "strategy": summary.strategy,
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "cost_usd": summary.cost_usd,
        "confidence": summary.confidence,
        "response_chars": summary.response_chars,
        "input_preview": summary.input_preview,
        "output_preview": summary.output_preview,
        "score": None if worst is None else {"value": worst[0], "best": worst[1]},
        "flag": summary.flag.value,
        "flag_reason": summary.flag_reason,
    }


def span_row(placed: Placed, *, trace_start_ns: int) -> dict[str, Any]:
    """One span of a trace, with its payload and its place in the tree."""
    span = placed.span
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "depth": placed.depth,
        "orphan": placed.orphan,
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "status_message": span.status_message,
        "started_at": iso(span.start_ns),
        "start_ns": str(span.start_ns),
        "start_ms": (span.start_ns - trace_start_ns) / 1_000_000,
        "duration_ms": milliseconds(span.duration_ns),
        **_derived(span),
        "attributes": span.attributes,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "events": [_event_row(event, trace_start_ns) for event in span.events],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id, "attributes": link.attributes} for link in span.links
        ],
        "resource": span.resource,
        "scope": span.scope,
        "otel_kind": span.otel_kind,
        "problems": span.problems,
    }


def _derived(span: Span) -> dict[str, Any]:
    return {
        "model": span.model,
        "strategy": span.strategy,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cost_usd": span.cost_usd,
        "confidence": span.confidence,
        "first_token_ms": span.first_token_ms,
        "user_id": span.user_id,
        "session_id": span.session_id,
    }


def _event_row(event: Event, trace_start_ns: int) -> dict[str, Any]:
    return {
        "name": event.name,
        "at_ms": (event.at_ns - trace_start_ns) / 1_000_000,
        "attributes": event.attributes,
    }


def score_row(score: Score) -> dict[str, Any]:
    """One score of a trace."""
    return {
        "name": score.name,
        "value": score.value,
        "best": score.best,
        "label": score.label,
        "comment": score.comment,
        "source": score.source,
        "span_id": score.span_id,
        "at": iso(score.at_ns),
    }
