"""Spans of kind tool and capability tell when they begin and end, to whoever listens, and to nobody else."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest

import clew
import clew.events
from clew.errors import BadFilter
from clew.events import CapabilityEnd, CapabilityStart, ToolEnd, ToolStart
from clew.sdk import span as spans


@pytest.fixture
def told(captured):
    """Everything that is told, in order."""
    events = []
    with clew.events.subscribe(events.append):
        yield events


def types(events):
    return [event.type for event in events]


def test_a_tool_inside_a_capability_tells_four_events_with_their_parents(told):
    """Both halves say where the call belongs, so that each stands by itself."""
    with clew.span("book a flight", kind="capability") as outer, clew.span("search", kind="tool", inputs={"to": "SFO"}):
        pass

    start, tool_start, tool_end, end = told
    assert [type(event) for event in told] == [CapabilityStart, ToolStart, ToolEnd, CapabilityEnd]
    assert {event.trace_id for event in told} == {outer.trace_id}
    assert tool_start.parent_id == tool_end.parent_id == tool_start.parent_trace_id == outer.span_id == start.span_id
    assert start.parent_id is None
    assert tool_start.args == tool_end.args == {"to": "SFO"}
    assert tool_end.success
    assert tool_end.error is None
    assert tool_end.duration_ms == (tool_end.ts - tool_start.ts) / 1e6
    assert end.ts >= tool_end.ts >= tool_start.ts >= start.ts


def test_the_events_of_a_span_say_what_is_sent_of_it(captured, told):
    """They are two faces of one thing."""
    with clew.span("search", kind="tool", inputs={"q": "x"}) as span:
        span.outputs = [1, 2]

    sent = captured["search"]
    start, end = told
    assert (start.span_id, start.ts, end.ts) == (sent.span_id, sent.start_ns, sent.end_ns)
    assert (end.args, end.result) == (sent.inputs, sent.outputs)


def test_other_kinds_tell_nothing(told):
    """A chain or a generation is no call of a tool."""
    with clew.span("answer", kind="root"), clew.span("llm", kind="generation"), clew.span("step"):
        pass

    assert told == []


def test_a_kind_in_capitals_and_one_that_is_set_later_count(told):
    """The writer takes both, so the bus does too."""
    with clew.span("a", kind="TOOL"), clew.span("b") as later:
        later.kind = "tool"

    assert sorted(types(told)) == ["tool_end", "tool_end", "tool_start", "tool_start"]


def test_a_failed_call_ends_once_with_its_error(told):
    """The exception goes on as the same object."""
    error = ValueError("no seats")
    with pytest.raises(ValueError, match="no seats") as caught, clew.span("book", kind="tool"):
        raise error

    assert caught.value is error
    assert types(told) == ["tool_start", "tool_end"]
    assert (told[1].success, told[1].error) == (False, "no seats")


async def test_a_cancelled_call_ends_once(told):
    """It did not do its work."""

    @clew.traced(kind="tool")
    async def wait():
        await asyncio.Event().wait()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert types(told) == ["tool_start", "tool_end"]
    assert (told[1].success, told[1].error) == (False, "cancelled")


@pytest.mark.parametrize("how", ["finished", "broken off", "collected", "raised", "never begun"])
def test_a_generator_ends_once_however_it_ends(told, how):
    """Streaming tools are generators."""

    @clew.traced(kind="tool")
    def stream(query):
        yield query
        if how == "raised":
            raise OSError("gone")
        yield query

    generator = stream("x")
    if how == "never begun":
        del generator
        gc.collect()
        assert told == []
        return
    next(generator)
    if how == "finished":
        assert list(generator) == ["x"]
    elif how == "broken off":
        generator.close()
    elif how == "collected":
        del generator
        gc.collect()
    else:
        with pytest.raises(OSError, match="gone"):
            list(generator)

    assert types(told) == ["tool_start", "tool_end"]
    assert told[0].args == {"query": "x"}
    assert told[1].success is (how != "raised")


def test_ending_twice_tells_once(told):
    """Only the first end counts."""
    span = clew.span("a", kind="tool")
    span.end()
    span.end()
    with span:
        pass

    assert types(told) == ["tool_start", "tool_end"]


def test_types_choose_what_is_told(captured):
    """By name or by class, one or many."""
    ends, starts = [], []
    with (
        clew.events.subscribe(ends.append, types=["tool_end", CapabilityEnd]),
        clew.events.subscribe(starts.append, types="tool_start"),
        clew.span("a", kind="capability"),
        clew.span("b", kind="tool"),
    ):
        pass

    assert types(ends) == ["tool_end", "capability_end"]
    assert types(starts) == ["tool_start"]


@pytest.mark.parametrize("wrong", [["tool_begin"], [], [int], "start"])
def test_a_type_that_does_not_exist_is_refused(wrong):
    """It would be told nothing for ever."""
    with pytest.raises(BadFilter, match="tool_start"):
        clew.events.subscribe(print, types=wrong)
    assert spans.listener is None


def test_what_a_handler_raises_reaches_nobody_and_is_logged_once(captured, caplog):
    """Neither the user's code nor the other handlers."""
    told = []

    def broken(event):
        raise SystemExit("the handler is broken")

    with caplog.at_level(logging.WARNING, "clew"):
        with clew.events.subscribe(broken) as subscription, clew.events.subscribe(told.append):
            for _ in range(3):
                with clew.span("a", kind="tool"):
                    pass
        clew.flush()

    assert len(told) == 6
    assert subscription.failures == 6
    assert len([record for record in caplog.records if "the handler is broken" in record.getMessage()]) == 1
    assert len(captured.spans) == 3


def test_a_ctrl_c_in_a_handler_goes_through_and_the_span_is_kept(captured):
    """A KeyboardInterrupt is for the program, wherever it hits."""

    def interrupted(event):
        raise KeyboardInterrupt

    with (
        clew.events.subscribe(interrupted, types=["tool_end"]),
        pytest.raises(KeyboardInterrupt),
        clew.span("a", kind="tool"),
    ):
        pass

    assert captured["a"].end_ns is not None


def test_what_a_handler_traces_is_recorded_but_not_told(captured):
    """Otherwise it would tell itself for ever."""
    told = []

    def handler(event):
        told.append(event)
        with clew.span("inside the handler", kind="tool"):
            pass

    with clew.events.subscribe(handler), clew.span("outer", kind="tool"):
        pass

    assert [event.name for event in told] == ["outer", "outer"]
    assert len([span for span in captured.spans if span.name == "inside the handler"]) == 2


def test_after_the_last_one_left_a_span_looks_at_nothing(captured):
    """What the hot path pays is one look at this global."""
    first = clew.events.subscribe(print)
    second = clew.events.subscribe(print)
    first.close()
    first.close()
    assert spans.listener is not None

    second.close()

    assert spans.listener is None


def test_capturing_switched_off_holds_for_events_too(told):
    """What may not be sent may not be told."""

    @clew.traced(kind="tool", capture_inputs=False, capture_outputs=False)
    def pay(card):
        return card

    pay("4111 1111 1111 1111")

    assert [event.args for event in told] == [None, None]
    assert told[1].result is None


class Hostile:
    def __repr__(self):
        raise SystemExit("hostile")


@pytest.mark.parametrize(
    "value", [Hostile(), {"x": Hostile()}, "y" * 10_000_000, list(range(100_000)), {1: {2: {3: object()}}}, "\ud800"]
)
def test_any_arguments_are_told_plain_and_bounded(told, value):
    """Handlers may encode them without a care."""
    with clew.span("a", kind="tool", inputs=value):
        pass

    assert len(told) == 2
    assert len(repr(told[0].args)) < 100_000
    repr(told[0].args).encode()
    assert told[0].args_cut or not isinstance(value, (str, list))


def test_a_late_change_of_the_arguments_is_not_told(told):
    """They are those of the moment."""
    given = {"q": "x"}
    with clew.span("a", kind="tool", inputs=given):
        given["q"] = "y"

    assert [event.args for event in told] == [{"q": "x"}, {"q": "x"}]


def test_while_tracing_is_off_nothing_is_told(untouched):
    """There is no span to tell of."""
    clew.configure(enabled=False)
    told = []
    with clew.events.subscribe(told.append), clew.span("a", kind="tool"):
        pass

    assert told == []


def test_the_span_of_another_process_is_the_parent_of_both_halves(told):
    """As with any span."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    with clew.span("a", kind="tool", parent=parent):
        pass

    assert {(event.trace_id, event.parent_id) for event in told} == {("a" * 32, "b" * 16)}


def test_threads_tell_each_call_once(captured):
    """Two events for each call, whoever makes it."""
    told = []

    def work():
        for _ in range(200):
            with clew.span("a", kind="tool"):
                pass

    with clew.events.subscribe(told.append):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(told) == 1600
    assert len({(event.span_id, event.type) for event in told}) == 1600


async def test_a_stream_gives_events_in_order_from_other_threads_too(captured):
    """The reader waits in its loop, and the calls happen wherever they do."""
    async with clew.events.stream(types=["tool_start"]) as events:

        def work():
            for number in range(50):
                with clew.span(f"{number}", kind="tool"):
                    pass

        thread = threading.Thread(target=work)
        thread.start()
        names = [(await anext(events)).name for _ in range(50)]
        thread.join()

    assert names == [f"{number}" for number in range(50)]


async def test_a_full_stream_counts_what_it_drops(captured):
    """It never holds more than was said."""
    async with clew.events.stream(limit=3) as events:
        for _ in range(5):
            with clew.span("a", kind="tool"):
                pass

        assert events.dropped == 7
        assert [(await anext(events)).type for _ in range(3)] == ["tool_start", "tool_end", "tool_start"]


async def test_a_closed_stream_gives_what_waits_and_ends(captured):
    """So that nothing that was kept is lost."""
    events = clew.events.stream()
    with clew.span("a", kind="tool"):
        pass
    events.close()
    with clew.span("b", kind="tool"):
        pass

    assert [event.name async for event in events] == ["a", "a"]


async def test_closing_wakes_the_one_who_waits(captured):
    """Or a shutdown would hang on it."""
    events = clew.events.stream()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)

    events.close()

    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_a_stream_that_nobody_holds_listens_no_more(captured):
    """`async for … break` leaves one behind."""
    with clew.span("a", kind="tool"):
        events = clew.events.stream()
    async for event in events:
        assert event.type == "tool_end"
        break
    assert spans.listener is not None

    del events
    gc.collect()

    assert spans.listener is None


async def test_two_tasks_may_not_read_one_stream(captured):
    """One of them would sleep for ever."""
    async with clew.events.stream() as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(events)
        waiting.cancel()
