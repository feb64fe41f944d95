"""Recorded event lines, and the parts that they are split into."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import MalformedBody
from clew.graph.folds import FOLDS, fold_of, sampled, shuffled, split, splits
from clew.graph.recorded import RecordedTrace, read_data, read_events


def line(**fields: object) -> str:
    """Give an event line of trace t."""
    return json.dumps(
        {"trace": "t", "id": "1", "parent": None, "type": "tool", "name": "a", "start": 0, "end": 1, "args": []}
        | fields
    )


def only(*lines: str) -> RecordedTrace:
    (trace,) = read_events(lines)
    return trace


def test_an_event_line_says_all_that_a_call_is():
    """What is lost in reading, no arm can use."""
    first = line(id="0", type="capability", name="book", end=9, task="trip", reward=0.5, text="book me a trip")
    second = line(
        id="1",
        parent="0",
        start=2,
        end=3,
        args=["to", "from"],
        ok=False,
        df=["0"],
        pend=["a.x"],
        cons=["a.y"],
        dep=["0"],
    )

    trace = only(first, second)

    assert (trace.trace_id, trace.task, trace.reward, trace.text) == ("t", "trip", 0.5, "book me a trip")
    outer, inner = trace.calls.calls
    assert (outer.node.kind, outer.node.name, outer.ok, outer.parent_id) == ("capability", "book", True, None)
    assert (inner.call_id, inner.parent_id, inner.start_ns, inner.end_ns, inner.ok) == ("1", "0", 2, 3, False)
    assert (inner.arguments, inner.provider_ids) == (("from", "to"), ("0",))
    assert (inner.pending, inner.consumed) == (("a.x",), ("a.y",))
    assert trace.deps == {"1": ("0",)}


def test_a_gzip_file_reads_like_a_plain_one():
    """Recorded traces are kept compressed."""
    data = (line() + "\n\n" + line(id="2")).encode()

    assert read_data(gzip.compress(data)) == read_data(data)
    assert len(read_data(data)[0].calls.calls) == 2


def test_calls_come_in_order_of_start_and_traces_in_order_of_their_first_lines():
    """Files are often sorted by end, or by nothing."""
    traces = read_events([line(id="late", start=5, end=6), line(trace="u"), line(id="early", start=1, end=2)])

    assert [trace.trace_id for trace in traces] == ["t", "u"]
    assert [call.call_id for call in traces[0].calls.calls] == ["early", "late"]


def test_times_with_fractions_are_seconds():
    """Nanoseconds are whole; whoever writes 2.5 means seconds, also where another time of the trace is whole."""
    first, second = only(line(start=0, end=2.5), line(id="2", start=3, end=4)).calls.calls

    assert first.end_ns == 2_500_000_000
    assert (second.start_ns, second.end_ns) == (3_000_000_000, 4_000_000_000)


def test_a_parent_that_the_trace_does_not_hold_is_none():
    """Some sources name a turn as the parent, of which there is no event; a call is not its own parent either."""
    assert [call.parent_id for call in only(line(parent="turn0"), line(id="2", parent="2")).calls.calls] == [None, None]


def test_a_task_that_nobody_names_is_the_trace_itself():
    """Otherwise all traces would be one task, and nothing could be held out."""
    assert only(line()).task == "t"


def test_of_two_lines_for_one_call_the_later_counts():
    """The first may have told only of its start."""
    (call,) = only(line(end=None), line(end=7)).calls.calls

    assert call.end_ns == 7


def test_numbers_are_ids_too():
    """Many tools count their calls."""
    trace = only(line(id=0, name="root"), line(id=1, parent=0, dep=[0, 17]))

    assert trace.calls.calls[1].parent_id == "0"
    assert trace.deps == {"1": ("0",)}


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        "[]",
        '{"trace": "t"}',
        line(start="soon"),
        line(end=1e300),
        line(start=2**70),
        line(args=7),
        b"\xff\xfe",
        '{"trace": "t", "args": ' + "[" * 5000,
    ],
)
def test_a_line_that_is_no_event_is_named(broken):
    """Of a file of a million lines nobody looks for the broken one."""
    with pytest.raises(MalformedBody, match=r"line 2 is not an event.*\{trace, id, parent"):
        read_events([line(), broken])


def test_a_damaged_gzip_is_said_to_be_one():
    """A download that broke off is no mystery."""
    with pytest.raises(MalformedBody, match="gzip is damaged"):
        read_data(gzip.compress(line().encode())[:-9])


@given(st.lists(st.text(max_size=40) | st.binary(max_size=40), max_size=5))
def test_no_text_makes_reading_fail_in_another_way(lines):
    """A data file is whatever somebody hands in."""
    with contextlib.suppress(MalformedBody):
        read_events(lines)


def test_all_runs_of_a_task_are_in_one_part():
    """What was learned from one run of a task must not be asked about another."""
    traces = read_events(line(trace=f"{task}.{run}", task=f"task {task}") for task in range(40) for run in range(3))

    for held_out in range(FOLDS):
        training, test = split(traces, held_out)
        assert len(training) + len(test) == len(traces)
        assert not {trace.task for trace in training} & {trace.task for trace in test}


def test_each_trace_is_held_out_once():
    """A trace left out, or asked twice, would bend every figure."""
    traces = read_events(line(trace=str(number)) for number in range(50))

    held_out = [trace.trace_id for _, test in splits(traces) for trace in test]

    assert sorted(held_out) == sorted(trace.trace_id for trace in traces)


def test_parts_are_the_same_on_every_machine():
    """Figures of two machines are compared. The task's md5, as hex digits, decides."""
    assert [fold_of(task) for task in ("0", "1", "trip", "")] == [0, 1, 1, 1]


def test_a_sample_is_drawn_once_and_keeps_its_order():
    """Two arms are compared on the same questions."""
    items = list(range(100))

    drawn = sampled(items, 10)

    assert list(drawn) == sorted(drawn) == list(sampled(items, 10))
    assert len(set(drawn)) == 10
    assert sampled(items, 100) is items
    assert sorted(shuffled(items)) == items != shuffled(items)
