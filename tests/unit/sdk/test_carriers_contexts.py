"""Copies of the context, by asyncio's neighbours: what a generator holds goes along, and does not come back."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import types
from collections.abc import AsyncIterator, Iterator

import pytest

import clew
from clew.sdk.ambient import CURRENT
from clew.sdk.held import HELD


def step(name: str) -> None:
    with clew.span(name):
        pass


def test_what_a_generator_starts_under_trio_is_its_own(captured):
    """Trio takes `copy_context` by name, before anyone can put another in its place."""
    trio = pytest.importorskip("trio")

    async def task(name: str) -> None:
        with clew.span(name):
            await trio.lowlevel.checkpoint()

    async def steps() -> AsyncIterator[int]:
        with clew.span("inside"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(task, "task")
            await trio.to_thread.run_sync(step, "thread")
            yield 1

    async def main() -> None:
        with clew.span("request"):
            async for _ in steps():
                step("between")

    trio.run(main)

    assert captured.tree() == {"request": {"inside": {"task": {}, "thread": {}}, "between": {}}}
    assert not HELD


def test_asgiref_brings_back_nothing_that_a_generator_holds(captured):
    """Django's way to threads and back: what its copy of the context holds is set where it returns to."""
    sync = pytest.importorskip("asgiref.sync")

    async def steps() -> AsyncIterator[int]:
        with clew.span("inside"):
            await sync.sync_to_async(step)("thread")
            yield 1
            step("second")

    async def main() -> None:
        with clew.span("request"):
            async for _ in steps():
                step("between")
        step("next request")

    asyncio.run(main())

    inside = {"thread": {}, "second": {}}
    assert captured.tree() == {"request": {"inside": inside, "between": {}}, "next request": {}}
    assert not HELD


def test_asgiref_brings_back_what_was_opened_on_the_other_side(captured):
    """A context manager that is entered there is the user's own business."""
    sync = pytest.importorskip("asgiref.sync")

    async def main() -> None:
        span = clew.span("opened there")
        await sync.sync_to_async(span.__enter__)()
        step("inside")
        await sync.sync_to_async(span.__exit__)(None, None, None)
        step("after")

    asyncio.run(main())

    assert captured.tree() == {"opened there": {"inside": {}}, "after": {}}


def test_a_generators_span_that_a_copy_brings_back_is_left_like_any_other(captured):
    """Whoever else sets a copied context anew: the span ends, and nothing after it hangs below it."""

    def bring_back() -> None:
        copied = contextvars.copy_context()
        for variable in copied:
            variable.set(copied[variable])

    def steps() -> Iterator[int]:
        with clew.span("inside"):
            bring_back()
            with clew.span("nested"):
                bring_back()
                yield 1
            step("second")

    with clew.span("request"):
        for _ in steps():
            pass
        step("after")
    step("next request")

    assert captured.tree() == {"request": {"inside": {"nested": {}, "second": {}}, "after": {}}, "next request": {}}
    assert not HELD
    assert CURRENT.get() is None


def test_who_took_copy_context_by_name_before_carries_as_well(captured, monkeypatch):
    """LangChain does; the modules are looked through once, when a generator first holds a span."""
    from clew.sdk.carriers import contexts

    early, odd = types.ModuleType("early"), object()
    early.copy_context = contexts._copy_context
    monkeypatch.setitem(sys.modules, "early", early)
    monkeypatch.setitem(sys.modules, "odd", odd)
    monkeypatch.setattr(contexts, "_installed", False)
    monkeypatch.setattr(contexts, "_teach_loop", lambda loop: None)
    monkeypatch.setattr(contexts, "_teach_bringing_back", lambda module: None)

    def steps() -> Iterator[int]:
        with clew.span("inside"):
            early.copy_context().run(step, "copied")
            yield 1

    with clew.span("request"):
        list(steps())

    assert captured.tree() == {"request": {"inside": {"copied": {}}}}


def test_a_greenlet_that_a_step_waits_for_is_inside_of_it(captured):
    """SQLAlchemy's asyncio runs its queries so, in the context of the caller and on a stack of their own."""
    greenlet = pytest.importorskip("greenlet")

    def spawn(function) -> None:
        made = greenlet.greenlet(function)
        made.gr_context = greenlet.getcurrent().gr_context
        made.switch()

    def nested() -> None:
        step("query")
        spawn(lambda: step("deeper"))

    def steps() -> Iterator[int]:
        with clew.span("inside"):
            spawn(nested)
            yield 1

    with clew.span("request"):
        for _ in steps():
            spawn(lambda: step("between"))

    assert captured.tree() == {"request": {"inside": {"query": {}, "deeper": {}}, "between": {}}}
