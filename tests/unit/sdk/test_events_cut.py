"""What an event takes as bytes is bounded, whatever is in it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.model.event import AnyEvent, CapabilityEnd, ToolStart, ascii_bytes, shortened
from clew.sdk.postgres_events import as_ascii

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(texts, inner, max_size=30),
    max_leaves=60,
)


def end(name, args, result, error):
    return CapabilityEnd(
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_id="c" * 16,
        name=name,
        ts=1 << 62,
        args=args,
        success=False,
        duration_ms=1.234567890123e15,
        error=error,
        result=result,
    )


@settings(max_examples=100, deadline=None)
@given(texts, values, values, texts, st.integers(1_500, 20_000))
def test_an_event_cut_to_a_size_has_it_and_can_be_read(name, args, result, error, max_bytes):
    """As ASCII, which is the longest form in which it travels."""
    event = end(name * 5, args, result, error * 50)
    cut = shortened(event, max_bytes)

    sent = as_ascii(msgspec.json.encode(cut))
    assert sent.isascii()
    assert len(sent) <= ascii_bytes(cut) <= max_bytes
    assert msgspec.json.decode(sent, type=AnyEvent).span_id == event.span_id
    assert (cut is event) is (not cut.args_cut)


@pytest.mark.parametrize("value", ["\N{CYCLONE}" * 100_000, ["\x00" * 60] * 10_000, {"k" * 10_000: {"x": 1}}])
def test_the_largest_values_fit_the_smallest_room(value):
    """Also where each character takes twelve bytes."""
    cut = shortened(end("\N{CYCLONE}" * 1_000, value, value, "\x01" * 10_000), 1_500)

    assert ascii_bytes(cut) <= 1_500
    assert cut.args_cut


def test_the_parent_is_there_under_both_its_names():
    """Older listeners look for the one, newer ones for the other."""
    for name in ("parent_id", "parent_trace_id"):
        event = ToolStart(trace_id="a" * 32, span_id="b" * 16, name="x", ts=1, **{name: "c" * 16})
        assert event.parent_id == event.parent_trace_id == "c" * 16
        sent = json.loads(msgspec.json.encode(event))
        assert (sent["type"], sent["parent_id"], sent["parent_trace_id"]) == ("tool_start", "c" * 16, "c" * 16)
