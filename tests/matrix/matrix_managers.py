"""
Context managers that open a span: the body is inside of it.

The span is opened in a generator or a method, and the parent of what the `with` stands around.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from matrix_register import Parents, async_leaf, leaf, pattern
from matrix_subjects import Subject

BODY: Parents = {"scope": "request", "body": "scope", "after": "request"}


@pattern("a span in a @contextmanager, around the body", "context managers")
def in_contextmanager(s: Subject) -> Parents:
    @contextlib.contextmanager
    def scope(parent: Any) -> Iterator[None]:
        with s.step("scope", parent):
            yield

    with s.span("request"):
        parent = s.handle()
        with scope(parent):
            leaf(s, "body", s.handle())
        leaf(s, "after", parent)
    return BODY


@pattern("a span in an @asynccontextmanager, around the body", "context managers")
async def in_asynccontextmanager(s: Subject) -> Parents:
    @contextlib.asynccontextmanager
    async def scope(parent: Any) -> AsyncIterator[None]:
        with s.step("scope", parent):
            await asyncio.sleep(0)
            yield

    with s.span("request"):
        parent = s.handle()
        async with scope(parent):
            await asyncio.gather(async_leaf(s, "body", s.handle()))
        await async_leaf(s, "after", parent)
    return BODY


@pattern("a span in an ExitStack, and in an AsyncExitStack", "context managers")
async def in_exit_stack(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        with contextlib.ExitStack() as stack:
            stack.enter_context(s.step("scope", parent))
            leaf(s, "body", s.handle())
        async with contextlib.AsyncExitStack() as later:
            later.enter_context(s.step("second scope", parent))
            await async_leaf(s, "second body", s.handle())
        leaf(s, "after", parent)
    return {**BODY, "second scope": "request", "second body": "second scope"}


@pattern("a class that holds a span from __enter__ to __exit__", "context managers")
def in_class(s: Subject) -> Parents:
    class Scope:
        def __init__(self, parent: Any) -> None:
            self.span = s.step("scope", parent)

        def __enter__(self) -> None:
            self.span.__enter__()

        def __exit__(self, *raised: Any) -> None:
            self.span.__exit__(*raised)

    with s.span("request"):
        parent = s.handle()
        with Scope(parent):
            leaf(s, "body", s.handle())
        leaf(s, "after", parent)
    return BODY


@pattern("a @contextmanager inside of a generator", "context managers")
def manager_in_generator(s: Subject) -> Parents:
    @contextlib.contextmanager
    def scope(parent: Any) -> Iterator[None]:
        with s.step("scope", parent):
            yield

    def steps(parent: Any) -> Iterator[int]:
        with scope(parent):
            own = s.handle()
            leaf(s, "first", own)
            yield 1
            leaf(s, "second", own)

    with s.span("request"):
        parent = s.handle()
        for _ in steps(parent):
            leaf(s, "between", parent)
    return {"scope": "request", "first": "scope", "second": "scope", "between": "request"}
