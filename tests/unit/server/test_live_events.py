"""The hub: what is stored is told once, in order, to those who watch that project, and bounded."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from clew.errors import StoreBusy
from clew.model import Span
from clew.model.event import EVENT_TYPES, events_of
from clew.server.live import EVENT_BYTES, TOLD_CALLS, Live, TooManyWatchers, Watched
from clew.server.problem import status_of
from clew.wire import Decoded

ALL = frozenset(EVENT_TYPES)
T = 1_795_163_400_000_000_000


def span(number=1, start=0, end=1, **fields):
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        kind=fields.pop("kind", "tool"),
        name=f"{number}",
        start_ns=T + start,
        end_ns=None if end is None else T + end,
        **fields,
    )


async def publish(live, *spans, project="default"):
    await live.publish(project, [event for each in spans for event in events_of(each)])


async def frames(watcher):
    """What waits, as (event, data)."""
    piece = await watcher.next(0.001)
    told = []
    for frame in (piece or b"").decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        told.append((fields["event"], json.loads(fields["data"])))
    return told


def brief(told):
    return [(kind, data.get("name")) for kind, data in told]


async def test_a_whole_call_is_told_as_its_start_and_its_end_in_order_of_time():
    """Children are sent before their parents; they are told where they happened."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(2, 3, 6, inputs={"q": 1}, outputs="r"), span(1, 0, 9, kind="capability"))
    told = await frames(watcher)

    assert brief(told) == [("capability_start", "1"), ("tool_start", "2"), ("tool_end", "2"), ("capability_end", "1")]
    assert told[2][1] == {
        "type": "tool_end",
        "trace_id": "a" * 32,
        "span_id": f"{2:016x}",
        "parent_id": None,
        "parent_trace_id": None,
        "name": "2",
        "ts": T + 6,
        "args": {"q": 1},
        "args_cut": False,
        "success": True,
        "duration_ms": 3e-6,
        "error": None,
        "result": "r",
    }


async def test_halves_that_come_apart_are_told_as_they_come():
    """An end alone has no start to tell: that is the other event's."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(end=None, attributes={"clew.event": "start"}))
    await publish(live, span(attributes={"clew.event": "end"}, status="error", status_message="boom"))
    told = await frames(watcher)

    assert brief(told) == [("tool_start", "1"), ("tool_end", "1")]
    assert (told[1][1]["success"], told[1][1]["error"]) == (False, "boom")


async def test_a_retried_body_tells_nothing_again():
    """An end is told exactly once."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(end=None))
    await publish(live, span())
    await publish(live, span())

    assert brief(await frames(watcher)) == [("tool_start", "1"), ("tool_end", "1")]


async def test_what_was_told_is_forgotten_in_the_end():
    """Its memory is bounded."""
    live = Live()
    live.watch("default", ALL)
    for first in range(0, TOLD_CALLS + 1_000, 500):
        await publish(live, *(span(first + number) for number in range(1, 501)))

    assert len(live._told) <= TOLD_CALLS


async def test_project_and_types_choose():
    """What one project wrote, no other sees."""
    live = Live()
    mine, other, ends = live.watch("a", ALL), live.watch("b", ALL), live.watch("a", frozenset({"tool_end"}))

    await publish(live, span(), project="a")

    assert len(await frames(mine)) == 2
    assert await frames(other) == []
    assert brief(await frames(ends)) == [("tool_end", "1")]


async def test_other_kinds_are_not_told():
    """There are events for tools and capabilities."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(kind="generation"), span(2, kind="root"))

    assert await frames(watcher) == []


async def test_a_slow_watcher_is_told_how_much_it_missed_and_where():
    """Its queue is bounded, and other watchers do not wait for it."""
    live = Live(queue_events=3)
    slow, quick = live.watch("default", ALL), live.watch("default", ALL)

    await publish(live, span(1, 0, 1), span(2, 2, 3))
    assert len(await frames(quick)) == 4 - 1 + 1  # Three, and what it missed.
    await publish(live, span(3, 4, 5))

    assert brief(await frames(slow)) == [("tool_start", "1"), ("tool_end", "1"), ("tool_start", "2"), ("dropped", None)]
    assert brief(await frames(quick)) == [("tool_start", "3"), ("tool_end", "3")]
    assert (slow.dropped, quick.dropped, live.stats()["dropped"]) == (3, 1, 4)


async def test_long_arguments_are_cut_and_say_so():
    """Watchers are many; the trace has the whole."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(inputs={"text": "x" * 1_000_000, "k": 1}))
    told = await frames(watcher)

    assert all(data["args_cut"] and data["args"]["k"] == 1 for _, data in told)
    assert all(len(json.dumps(data)) < EVENT_BYTES for _, data in told)


async def test_nobody_watching_costs_nothing():
    """The decoder is the one that it was."""
    live = Live()

    assert live.watched(lambda body: Decoded([], [], [])) is None

    watcher = live.watch("default", ALL)
    assert isinstance(live.watched(lambda body: Decoded([], [], [])), Watched)
    live.leave(watcher)
    live.leave(watcher)
    assert live.watched(lambda body: Decoded([], [], [])) is None


async def test_so_many_may_watch_and_no_more():
    """503, which clients try again."""
    live = Live(max_watchers=2)
    first = live.watch("default", ALL)
    live.watch("default", ALL)
    with pytest.raises(TooManyWatchers, match="2") as refused:
        live.watch("default", ALL)
    assert isinstance(refused.value, StoreBusy)
    assert status_of(refused.value) == 503

    live.leave(first)
    live.watch("default", ALL)


async def test_closing_ends_those_who_wait_and_refuses_others():
    """A server that stops does not wait for its watchers."""
    live = Live()
    watcher = live.watch("default", ALL)
    waiting = asyncio.ensure_future(watcher.next(60))
    await asyncio.sleep(0)

    live.close()

    assert await waiting is None
    assert watcher.closed
    with pytest.raises(TooManyWatchers, match="stopping"):
        live.watch("default", ALL)


async def test_one_event_that_cannot_be_told_does_not_stop_the_others(caplog):
    """Its span is stored already."""
    live = Live()
    watcher = live.watch("default", ALL)

    await publish(live, span(1, inputs=object()), span(2))

    assert brief(await frames(watcher)) == [("tool_start", "2"), ("tool_end", "2")]
    assert "could not be told" in caplog.text


async def test_what_other_servers_tell_is_told_here(postgres):
    """Two hubs and a database; nobody hears himself twice."""
    one, other = Live(postgres.url), Live(postgres.url)
    for each in (one, other):
        each.start()
    try:
        here, there = one.watch("default", ALL), other.watch("default", ALL)
        for each in (one, other):
            assert await asyncio.to_thread(each.bus.connected.wait, 20)
        await publish(one, span())
        await publish(other, span(2))

        told = {"here": [], "there": []}
        deadline = time.monotonic() + 20
        while len(told["here"]) < 4 or len(told["there"]) < 4:
            assert time.monotonic() < deadline, told
            told["here"] += await frames(here)
            told["there"] += await frames(there)
    finally:
        for each in (one, other):
            each.disconnect()

    names = [("tool_end", "1"), ("tool_end", "2"), ("tool_start", "1"), ("tool_start", "2")]
    assert sorted(brief(told["here"])) == sorted(brief(told["there"])) == names
