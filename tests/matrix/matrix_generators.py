"""
Generators and async generators, decorated or with a span inside.

The consumer opens a span between the steps, and holds one open across the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from matrix_register import PATTERNS, Parents, Pattern, async_leaf, leaf, pattern
from matrix_subjects import Subject

DRIVEN: Parents = {
    "inside": "request",
    "first": "inside",
    "second": "inside",
    "between": "request",
    "consumer": "request",
    "own": "consumer",
}
ENDED: Parents = {"inside": "request", "cleanup": "inside", "between": "request", "after": "request"}


def generator(s: Subject, parent: Any, decorated: bool) -> Iterator[int]:
    def steps() -> Iterator[int]:
        own = s.handle()
        leaf(s, "first", own)
        yield 1
        leaf(s, "second", own)
        yield 2

    def undecorated() -> Iterator[int]:
        with s.step("inside", parent):
            yield from steps()

    return s.traced("inside")(steps)() if decorated else undecorated()  # type: ignore[no-any-return]


def async_generator(s: Subject, parent: Any, decorated: bool) -> AsyncIterator[int]:
    async def steps() -> AsyncIterator[int]:
        own = s.handle()
        await async_leaf(s, "first", own)
        yield 1
        await asyncio.create_task(async_leaf(s, "second", own))
        yield 2

    async def undecorated() -> AsyncIterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            await async_leaf(s, "first", own)
            yield 1
            await asyncio.create_task(async_leaf(s, "second", own))
            yield 2

    return s.traced("inside")(steps)() if decorated else undecorated()  # type: ignore[no-any-return]


def _consumed(s: Subject, decorated: bool) -> Parents:
    with s.span("request"):
        parent = s.handle()
        steps = generator(s, parent, decorated)
        next(steps)
        leaf(s, "between", parent)
        with s.step("consumer", parent):
            next(steps)
            leaf(s, "own", s.handle())
        assert next(steps, None) is None
    return DRIVEN


async def _consumed_async(s: Subject, decorated: bool, in_tasks: bool) -> Parents:
    async def step(steps: AsyncIterator[int]) -> None:
        await steps.__anext__()

    def make(steps: AsyncIterator[int]) -> Any:
        return asyncio.create_task(step(steps)) if in_tasks else step(steps)

    with s.span("request"):
        parent = s.handle()
        steps = async_generator(s, parent, decorated)
        await make(steps)
        leaf(s, "between", parent)
        with s.step("consumer", parent):
            await make(steps)
            leaf(s, "own", s.handle())
        await steps.aclose()  # type: ignore[attr-defined]
    return DRIVEN


def _ended(s: Subject, way: str, decorated: bool) -> Parents:
    def traced() -> Iterator[int]:
        own = s.handle()
        try:
            yield 1
            raise ValueError("inside")
        finally:
            leaf(s, "cleanup", own)

    def undecorated(parent: Any) -> Iterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            try:
                yield 1
                raise ValueError("inside")
            finally:
                leaf(s, "cleanup", own)

    with s.span("request"):
        parent = s.handle()
        steps = s.traced("inside")(traced)() if decorated else undecorated(parent)
        next(steps)
        leaf(s, "between", parent)
        if way == "closed":
            steps.close()
        elif way == "raising":
            with contextlib.suppress(ValueError):
                next(steps)
        del steps
        gc.collect()
        leaf(s, "after", parent)
    return ENDED


async def _ended_async(s: Subject, way: str, decorated: bool) -> Parents:
    async def traced() -> AsyncIterator[int]:
        own = s.handle()
        try:
            yield 1
            raise ValueError("inside")
        finally:
            leaf(s, "cleanup", own)

    async def undecorated(parent: Any) -> AsyncIterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            try:
                yield 1
                raise ValueError("inside")
            finally:
                leaf(s, "cleanup", own)

    with s.span("request"):
        parent = s.handle()
        steps = s.traced("inside")(traced)() if decorated else undecorated(parent)
        async for _ in steps:
            leaf(s, "between", parent)
            break
        if way == "closed":
            await steps.aclose()
        elif way == "raising":
            await asyncio.gather(steps.__anext__(), return_exceptions=True)
        del steps
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        leaf(s, "after", parent)
    return ENDED


@pattern("generator, decorated", "generators")
def decorated_generator(s: Subject) -> Parents:
    return _consumed(s, decorated=True)


@pattern("generator with a span inside", "generators")
def plain_generator(s: Subject) -> Parents:
    return _consumed(s, decorated=False)


@pattern("async generator, decorated", "generators")
async def decorated_async_generator(s: Subject) -> Parents:
    return await _consumed_async(s, decorated=True, in_tasks=False)


@pattern("async generator with a span inside", "generators")
async def plain_async_generator(s: Subject) -> Parents:
    return await _consumed_async(s, decorated=False, in_tasks=False)


@pattern("async generator, decorated, each step in another task", "generators")
async def decorated_async_generator_in_tasks(s: Subject) -> Parents:
    return await _consumed_async(s, decorated=True, in_tasks=True)


@pattern("async generator with a span inside, each step in another task", "generators")
async def plain_async_generator_in_tasks(s: Subject) -> Parents:
    return await _consumed_async(s, decorated=False, in_tasks=True)


@pattern("generator, decorated, each step in another thread", "generators")
def decorated_generator_in_threads(s: Subject) -> Parents:
    return _in_threads(s, decorated=True)


@pattern("generator with a span inside, each step in another thread", "generators")
def plain_generator_in_threads(s: Subject) -> Parents:
    return _in_threads(s, decorated=False)


def _in_threads(s: Subject, decorated: bool) -> Parents:
    def step(steps: Iterator[int]) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(next, steps, None).result()

    with s.span("request"):
        parent = s.handle()
        steps = generator(s, parent, decorated)
        step(steps)
        leaf(s, "between", parent)
        with s.step("consumer", parent):
            step(steps)
            leaf(s, "own", s.handle())
        step(steps)
    return DRIVEN


@pattern("an async generator that the loop's shutdown closes", "generators")
def closed_by_the_loop(s: Subject) -> Parents:
    left_open = []

    async def inside(parent: Any) -> AsyncIterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            try:
                yield 1
            finally:
                await async_leaf(s, "cleanup", own)

    async def main() -> None:
        with s.span("request"):
            steps = inside(s.handle())
            left_open.append(steps)
            await steps.__anext__()

    asyncio.run(main())
    return {"inside": "request", "cleanup": "inside"}


WAYS_TO_END = {"closed": "broken off and closed", "collected": "broken off and collected", "raising": "raising"}


def _register_endings() -> None:
    for way, words in WAYS_TO_END.items():
        for name, run in (("generator", _ended), ("async generator", _ended_async)):
            for decorated, how in ((True, ", decorated"), (False, " with a span inside")):
                key = f"{name.replace(' ', '_')}_{way}{'_decorated' * decorated}"
                made = functools.partial(run, way=way, decorated=decorated)
                PATTERNS[key] = Pattern(f"{name}{how}, {words}", "generators", made, lambda: True)


_register_endings()
