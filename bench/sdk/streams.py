"""
What a token costs: `python -m bench.sdk.streams URL`, one line of JSON. Needs nothing but Clew.

A generator of 1,000 tokens is consumed plain, through `span.stream`, with `span.token` for each, and
traced by the decorator, with and without its tokens being timed; in turns. The differences, in the
consumer's processor time and divided by the tokens, are what a token costs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from statistics import median
from typing import Any

import clew

STREAMS, TOKENS = 100, 1000
WORDS = [f" token{number}" for number in range(TOKENS)]


def plain() -> Iterator[str]:
    """What a model says, a word at a time."""
    for word in WORDS:  # noqa: UP028  its steps are what is measured
        yield word


async def plain_async() -> AsyncIterator[str]:
    """The same for `async for`."""
    for word in WORDS:
        yield word


traced, timed = clew.traced(kind="chain")(plain), clew.traced(kind="generation")(plain)
traced_async, timed_async = clew.traced(kind="chain")(plain_async), clew.traced(kind="generation")(plain_async)


def consume(stream: Any, each: Callable[[str], Any] | None = None) -> float:
    """Microseconds for one token, of the processor and this thread."""
    start_ns = time.thread_time_ns()
    if each is None:
        for _ in stream:
            pass
    else:
        for word in stream:
            each(word)
    return (time.thread_time_ns() - start_ns) / 1e3 / TOKENS


async def consume_async(stream: Any) -> float:
    """The same for `async for`."""
    start_ns = time.thread_time_ns()
    async for _ in stream:
        pass
    return (time.thread_time_ns() - start_ns) / 1e3 / TOKENS


def in_turns(costs: dict[str, float]) -> None:
    """One stream in each way."""
    bare = consume(plain())
    with clew.span("answer", kind="generation") as span:
        costs["stream"] = consume(span.stream(plain())) - bare
    with clew.span("answer", kind="generation") as span:
        costs["token"] = consume(plain(), span.token) - bare
    spanned = consume(traced())
    costs["traced"] = consume(timed()) - bare
    costs["timing"] = costs["traced"] + bare - spanned


async def in_turns_async(costs: dict[str, float]) -> None:
    """The same for `async for`."""
    bare = await consume_async(plain_async())
    with clew.span("answer", kind="generation") as span:
        costs["async stream"] = await consume_async(span.stream(plain_async())) - bare
    spanned = await consume_async(traced_async())
    costs["async traced"] = await consume_async(timed_async()) - bare
    costs["async timing"] = costs["async traced"] + bare - spanned


async def measure() -> dict[str, float]:
    """Take turns, with rests in which the exporter keeps up."""
    turns: list[dict[str, float]] = []
    for _ in range(STREAMS):
        turns.append({})
        with clew.span("request"):
            in_turns(turns[-1])
            await in_turns_async(turns[-1])
        await asyncio.sleep(0.01)
    late = turns[STREAMS // 5 :]
    return {name: median(turn[name] for turn in late) for name in late[0]}


def main(url: str) -> None:
    """Measure and print."""
    clew.configure(url, service="bench")
    result = asyncio.run(measure())
    clew.shutdown()
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
