"""Stored traces as the rows of the API."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clew.model import Event, Score, Span, in_tree_order, summarise
from clew.query.rows import iso, score_row, span_row, trace_row

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
START_NS = 1_795_163_400_123_456_789


def span(number: int, **fields: object) -> Span:
    """Give a span whose id is *number*."""
    return Span(**{"trace_id": TRACE_ID, "span_id": f"{number:016x}", "start_ns": START_NS, **fields})


def words(text: str) -> list[str]:
    """Give the words of *text*, sorted."""
    return sorted(text.split())


def test_a_trace_row_has_every_field_of_the_api_and_no_other():
    """The page and the command line are written against this list."""
    row = trace_row(summarise("default", [span(1, name="ask", end_ns=START_NS + 1_500_000)]))

    assert sorted(row) == words(
        "trace_id project name started_at start_ns duration_ms status has_root span_count error_count "
        "orphan_count kinds models user_id session_id strategy input_tokens output_tokens cost_usd confidence "
        "response_chars input_preview output_preview score flag flag_reason"
    )


def test_a_span_row_has_every_field_of_the_api_and_no_other():
    """The page and the command line are written against this list."""
    row = span_row(in_tree_order([span(1)])[0], trace_start_ns=START_NS)

    assert sorted(row) == words(
        "span_id parent_id depth orphan name kind status status_message started_at start_ns start_ms duration_ms "
        "model strategy input_tokens output_tokens cost_usd confidence first_token_ms user_id session_id attributes "
        "inputs outputs events links resource scope otel_kind problems"
    )


def test_nanoseconds_go_out_as_strings():
    """JavaScript's numbers end at 2**53, and a start would come back another one."""
    row = trace_row(summarise("default", [span(1)]))

    assert row["start_ns"] == str(START_NS)
    assert row["started_at"] == "2026-11-20T08:30:00.123456Z"


def test_a_running_span_has_no_duration():
    """Zero would say that it was very fast."""
    assert span_row(in_tree_order([span(1)])[0], trace_start_ns=START_NS)["duration_ms"] is None


def test_events_are_placed_on_the_traces_time():
    """The waterfall draws spans and events on one axis."""
    late = span(1, start_ns=START_NS + 5_000_000, events=[Event(name="token", at_ns=START_NS + 7_000_000)])

    row = span_row(in_tree_order([late])[0], trace_start_ns=START_NS)

    assert row["start_ms"] == 5.0
    assert row["events"] == [{"name": "token", "at_ms": 7.0, "attributes": {}}]


def test_a_score_is_shown_with_its_best():
    """2 says nothing; 2 of 5 does."""
    score = Score(trace_id=TRACE_ID, name="rating", value=2, at_ns=START_NS)

    assert score_row(score)["best"] == 5.0
    assert trace_row(summarise("default", [span(1)], [score]))["score"] == {"value": 2.0, "best": 5.0}


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_clock_breaks_a_row(start_ns):
    """Clients have clocks that are thousands of years off."""
    assert msgspec.json.encode(iso(start_ns))
