"""What an SDK tells of traffic that it did not send, and what is refused of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import MalformedBody
from clew.graph import Call, Graph, TraceCalls, learn
from clew.graph.packing import pack
from clew.ingest.deltas import read_delta
from clew.model import KINDS, Span, histogram
from clew.model.tally import MINUTE_NS, Tally, add_to, count
from clew.wire import deltas
from clew.wire.deltas import DeltaBody, Learned, minutes_of, rows_of

START_NS = 1_763_700_000_000_000_000

spans = st.lists(
    st.builds(
        Span,
        trace_id=st.just("1" * 32),
        span_id=st.just("1" * 16),
        name=st.sampled_from(["ask", "book", "東京"]),
        kind=st.sampled_from(KINDS),
        model=st.sampled_from([None, "m"]),
        start_ns=st.integers(START_NS, START_NS + 3 * MINUTE_NS),
        status=st.sampled_from(["ok", "error"]),
        input_tokens=st.integers(0, 9),
        cost_usd=st.sampled_from([None, 0.25]),
    ),
    max_size=30,
)


def finished(found: list[Span]) -> list[Span]:
    for at, span in enumerate(found):
        span.end_ns = span.start_ns + at**5
    return found


def a_row(**fields: Any) -> list[Any]:
    """One good row, changed by *fields*, as it travels."""
    row = {
        "minute": START_NS // MINUTE_NS, "kind": "tool", "name": "ask", "model": "", "count": 2, "errors": 1,
        "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0, "duration_ns": 7, "buckets": histogram.encode({3: 2}),
    }  # fmt: skip
    return list((row | fields).values())


def a_graph(*names: str) -> Graph:
    calls = [Call(call_id=name, kind="tool", name=name, start_ns=at, end_ns=at + 1) for at, name in enumerate(names)]
    return learn(TraceCalls(trace_id="t", calls=calls))


def a_body(**fields: Any) -> bytes:
    return msgspec.msgpack.encode({"delta_id": "d", "graph": pack(a_graph("a", "b"))} | fields)


@given(spans)
def test_rows_say_what_was_counted(found):
    """To the last number: the server adds them to its own."""
    counted = count(finished(found))
    again = minutes_of(msgspec.msgpack.decode(msgspec.msgpack.encode(rows_of(counted)), type=list[deltas.MetricRow]))
    assert {key: (tally.sums, tally.buckets) for key, tally in again.items()} == {
        key: (tally.sums, tally.buckets) for key, tally in counted.items()
    }


@given(spans)
def test_counting_one_by_one_is_counting_together(found):
    one_by_one: dict[Any, Tally] = {}
    for span in finished(found):
        add_to(one_by_one, span)
    together = count(found)
    assert {key: (tally.sums, tally.buckets) for key, tally in one_by_one.items()} == {
        key: (tally.sums, tally.buckets) for key, tally in together.items()
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"minute": -1},
        {"minute": 1 << 62},
        {"minute": 1.5},
        {"kind": "database"},
        {"name": ""},
        {"name": "a\0b"},
        {"name": "x" * 1_001},
        {"name": 7},
        {"model": "x" * 201},
        {"model": "\0"},
        {"count": 0},
        {"count": -2},
        {"count": 1 << 62},
        {"errors": 3},
        {"errors": -1},
        {"input_tokens": -1},
        {"output_tokens": 1 << 60},
        {"cost_usd": -0.5},
        {"cost_usd": float("nan")},
        {"cost_usd": float("inf")},
        {"duration_ns": -1},
        {"duration_ns": 1 << 63},
        {"buckets": b""},
        {"buckets": b"\xc1"},
        {"buckets": "text"},
        {"buckets": histogram.encode({})},
        {"buckets": histogram.encode({3: 1})},
        {"buckets": histogram.encode({3: 3, 4: -1})},
        {"buckets": histogram.encode({3: 2, 4: 0})},
        {"buckets": histogram.encode({-2: 2})},
        {"buckets": histogram.encode({100_000: 2})},
        {"buckets": msgspec.msgpack.encode(([3, 0], [1, 1]))},
        {"buckets": msgspec.msgpack.encode(([3, 1], [2]))},
        {"buckets": msgspec.msgpack.encode(([3], [1 << 63]))},
    ],
)
def test_a_row_that_makes_no_sense_is_refused(fields):
    """It comes from a client, and would be summed up for ever."""
    row = a_row(**{"minute": START_NS // MINUTE_NS + 1} | fields)
    with pytest.raises(MalformedBody, match="metrics"):
        read_delta(a_body(metrics=[a_row(), row]))


@pytest.mark.parametrize(
    "fields",
    [
        {"delta_id": ""},
        {"delta_id": "x" * 201},
        {"delta_id": 7},
        {"graph": b"\x00"},
        {"graph": "text"},
        {"slices": {"day:1": b"\x00"}},
        {"slices": {"x" * 251: b""}},
        {"slices": {f"s{number}": b"" for number in range(101)}},
        {"metrics": [a_row(), a_row()]},
        {"metrics": [[]]},
        {"metrics": {}},
        {"less": {}},
        {"less": {"graph": b"\x00"}},
        {"less": {"graph": pack(Graph()), "metrics": [a_row(count=0)]}},
        {"less": 7},
    ],
)
def test_a_body_that_makes_no_sense_is_refused_whole(fields):
    with pytest.raises(MalformedBody):
        read_delta(a_body(**fields))


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x90", b"\x80", b"\x91" * 5_000, a_body()[:-3]])
def test_what_is_no_body_is_refused(raw):
    with pytest.raises(MalformedBody):
        read_delta(raw)


@given(st.binary(max_size=200), st.integers(0, 150))
def test_no_bytes_make_anything_else_than_a_refusal(noise, at):
    good = a_body(metrics=[a_row()], less={"graph": pack(a_graph("a")), "metrics": [a_row()]})
    for raw in (noise, good[:at] + noise, good[:at] + noise[:1] + good[at + 1 :]):
        try:
            read_delta(raw)
        except MalformedBody:
            continue


def test_an_empty_slice_is_all_of_the_graph():
    """Traces of one day fall in one slice, and the graph need not travel twice."""
    delta = read_delta(a_body(slices={"day:1": b"", "version:2": pack(a_graph("a"))}))
    assert delta.slices["day:1"].content() == delta.graph.content() == a_graph("a", "b").content()
    assert delta.slices["version:2"].content() == a_graph("a").content()


def test_what_is_taken_back_is_subtracted_everywhere():
    """Some traces were sent after all."""
    less = {"graph": pack(a_graph("a", "b")), "slices": {"day:1": b"", "day:2": b""}, "metrics": [a_row()]}
    delta = read_delta(
        a_body(slices={"day:1": b""}, metrics=[a_row(count=5, buckets=histogram.encode({3: 5}))], less=less)
    )
    assert not list(delta.graph.edges())
    assert not list(delta.slices["day:1"].edges())
    [tally] = delta.minutes.values()
    assert (tally.count, tally.errors, tally.buckets) == (3, 0, {3: 3})
    other = delta.slices["day:2"]
    other.merge(a_graph("a", "b"))
    assert not list(other.edges())


def test_sums_over_a_limit_are_told_as_far_as_it_goes():
    """A broken clock in a process must not make its deltas refused for ever."""
    tally = Tally()
    tally.count, tally.buckets, tally.duration_ns, tally.cost_usd = 1, {3: 1}, 1 << 90, 1e300
    [row] = rows_of({(START_NS // MINUTE_NS, "tool", "ask", None): tally})
    body = deltas.encode(DeltaBody(delta_id="d", graph=pack(Graph()), metrics=[row], less=Learned(graph=pack(Graph()))))
    [again] = read_delta(body).minutes.values()
    assert (again.duration_ns, again.cost_usd) == ((1 << 63) - 1, 1e12)
