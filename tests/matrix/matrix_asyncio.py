"""Handing work on with asyncio and anyio."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from importlib.util import find_spec
from typing import Any

from matrix_register import Parents, async_leaf, leaf, pattern
from matrix_subjects import Subject


@pattern("await", "asyncio")
async def awaited(s: Subject) -> Parents:
    with s.span("request"):
        await async_leaf(s, "step", s.handle())
    return {"step": "request"}


@pattern("gather", "asyncio")
async def gathered(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        await asyncio.gather(*(async_leaf(s, f"step {n}", parent) for n in range(3)))
    return {f"step {n}": "request" for n in range(3)}


@pattern("create_task", "asyncio")
async def create_task(s: Subject) -> Parents:
    with s.span("request"):
        await asyncio.create_task(async_leaf(s, "step", s.handle()))
    return {"step": "request"}


@pattern("a task that outlives its parent", "asyncio")
async def late_task(s: Subject) -> Parents:
    return await _outlived(s, keep=True)


@pattern("a task that outlives its parent, to which nothing else refers", "asyncio")
async def late_task_alone(s: Subject) -> Parents:
    return await _outlived(s, keep=False)


async def _outlived(s: Subject, *, keep: bool) -> Parents:
    go_on = asyncio.Event()

    async def late(parent: Any) -> None:
        await go_on.wait()
        await async_leaf(s, "late", parent)
        await asyncio.create_task(async_leaf(s, "later", parent))

    async def request() -> tuple[asyncio.Task[None], Any]:
        with s.span("request") as span:
            given = s.handle() if keep or s.explicit else None
            return asyncio.create_task(late(given)), span if keep else None

    task, kept = await request()
    await asyncio.to_thread(s.flush)  # The parent is not only over, but sent.
    gc.collect()
    go_on.set()
    await task
    del kept
    return {"late": "request", "later": "request"}


@pattern("a chain of tasks, each of which outlives the one before", "asyncio")
async def task_chain(s: Subject) -> Parents:
    ended = asyncio.Event()

    async def link(number: int, parent: Any) -> None:
        with s.step(f"link {number}", parent):
            own = s.handle()
            if number < 3:
                task = asyncio.create_task(link(number + 1, own))
        if number < 3:
            running.add(task)
        else:
            ended.set()

    running: set[asyncio.Task[None]] = set()
    with s.span("request"):
        running.add(asyncio.create_task(link(1, s.handle())))
    await ended.wait()
    await asyncio.gather(*running)
    return {"link 1": "request", "link 2": "link 1", "link 3": "link 2"}


@pattern("wait_for, shield, as_completed", "asyncio")
async def waited_for(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        await asyncio.wait_for(async_leaf(s, "waited for", parent), 5)
        await asyncio.shield(async_leaf(s, "shielded", parent))
        for each in asyncio.as_completed([async_leaf(s, "completed", parent)]):
            await each
    return {"waited for": "request", "shielded": "request", "completed": "request"}


@pattern("eager tasks", "asyncio", needs=lambda: sys.version_info >= (3, 12))
async def eager_tasks(s: Subject) -> Parents:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]

    async def nested(parent: Any) -> None:
        with s.step("step", parent):
            own = s.handle()
            await asyncio.create_task(async_leaf(s, "inner", own))
            leaf(s, "own", own)

    with s.span("request"):
        task = asyncio.create_task(nested(s.handle()))
        leaf(s, "beside", s.handle())
        await task
    return {"step": "request", "inner": "step", "own": "step", "beside": "request"}


@pattern("TaskGroup", "asyncio", needs=lambda: sys.version_info >= (3, 11))
async def task_group(s: Subject) -> Parents:
    async def failing(parent: Any) -> None:
        with s.step("failing", parent):
            raise ValueError("failing")

    async def cut_off(parent: Any) -> None:
        with s.step("cut off", parent):
            await asyncio.Event().wait()

    with s.span("request"):
        parent = s.handle()
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
            group.create_task(async_leaf(s, "step", parent))
        try:
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
                group.create_task(cut_off(parent))
                group.create_task(failing(parent))
        except BaseException:  # An ExceptionGroup, which 3.10 does not know by name.
            leaf(s, "after", parent)
    return {"step": "request", "failing": "request", "cut off": "request", "after": "request"}


@pattern("anyio task group", "asyncio", needs=lambda: bool(find_spec("anyio")))
async def anyio_task_group(s: Subject) -> Parents:
    import anyio

    with s.span("request"):
        parent = s.handle()
        async with anyio.create_task_group() as group:
            group.start_soon(async_leaf, s, "step", parent)
            await anyio.to_thread.run_sync(leaf, s, "thread", parent)
    return {"step": "request", "thread": "request"}


@pattern("trio: a nursery, a thread; anyio on trio", "asyncio", needs=lambda: find_spec("trio") and find_spec("anyio"))
def on_trio(s: Subject) -> Parents:
    import anyio
    import trio

    async def task(name: str, parent: Any) -> None:
        with s.step(name, parent):
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        with s.span("request"):
            parent = s.handle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(task, "task", parent)
            async with anyio.create_task_group() as group:
                group.start_soon(task, "task of anyio", parent)
            await trio.to_thread.run_sync(leaf, s, "thread", parent)

    trio.run(main)
    return {"task": "request", "task of anyio": "request", "thread": "request"}


@pattern("a cancelled task", "asyncio")
async def cancelled(s: Subject) -> Parents:
    begun = asyncio.Event()

    async def endless(parent: Any) -> None:
        with s.step("endless", parent):
            own = s.handle()
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                leaf(s, "cleanup", own)

    with s.span("request"):
        task = asyncio.create_task(endless(s.handle()))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        leaf(s, "after", s.handle())
    return {"endless": "request", "cleanup": "endless", "after": "request"}


@pattern("call_soon, call_later, call_soon_threadsafe", "asyncio")
async def called(s: Subject) -> Parents:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    with s.span("request"):
        parent = s.handle()
        loop.call_soon(leaf, s, "soon", parent)
        loop.call_later(0, leaf, s, "later", parent)
        await asyncio.to_thread(loop.call_soon_threadsafe, leaf, s, "threadsafe", parent)
        loop.call_later(0.01, done.set)
        await done.wait()
    return {"soon": "request", "later": "request", "threadsafe": "request"}


@pattern("add_done_callback of a task and of a future", "asyncio")
async def done_callbacks(s: Subject) -> Parents:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    with s.span("request"):
        parent = s.handle()
        task, future = asyncio.create_task(asyncio.sleep(0)), loop.create_future()
        task.add_done_callback(lambda _: leaf(s, "task done", parent))
        future.add_done_callback(lambda _: leaf(s, "future done", parent))
    future.add_done_callback(lambda _: done.set())
    future.set_result(None)
    await asyncio.gather(task, done.wait())
    return {"task done": "request", "future done": "request"}


@pattern("an event loop inside a thread", "asyncio")
def loop_in_thread(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        thread = threading.Thread(target=lambda: asyncio.run(async_leaf(s, "step", parent)))
        thread.start()
        thread.join()
    return {"step": "request"}


@pattern("run_coroutine_threadsafe, from a thread", "asyncio")
async def coroutine_threadsafe(s: Subject) -> Parents:
    loop = asyncio.get_running_loop()

    def thread(parent: Any) -> None:
        asyncio.run_coroutine_threadsafe(async_leaf(s, "step", parent), loop).result()

    with s.span("request"):
        await asyncio.to_thread(thread, s.handle())
    return {"step": "request"}


@pattern("uvloop: a task, call_soon, to_thread", "asyncio", needs=lambda: find_spec("uvloop"))
def on_uvloop(s: Subject) -> Parents:
    import uvloop

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        with s.span("request"):
            parent = s.handle()
            await asyncio.create_task(async_leaf(s, "task", parent))
            await asyncio.to_thread(leaf, s, "thread", parent)
            loop.call_soon(leaf, s, "soon", parent)
            loop.call_soon(done.set)
            await done.wait()

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    return {"task": "request", "thread": "request", "soon": "request"}


@pattern("a queue's consumer that was there before; the item carries the parent", "asyncio")
async def queue_consumer(s: Subject) -> Parents:
    items: asyncio.Queue[Any] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(2):
            name, parent = await items.get()
            with s.taken_out(parent, name):
                leaf(s, f"{name} inner", s.handle())

    consumer = asyncio.create_task(consume())
    for number in (1, 2):
        with s.span(f"request {number}"):
            items.put_nowait((f"work {number}", s.handle()))
    await consumer
    found = {f"work {n}": f"request {n}" for n in (1, 2)}
    return {**found, "work 1 inner": "work 1", "work 2 inner": "work 2"}


@pattern("a queue's consumer that an earlier request has started; the item carries the parent", "asyncio")
async def queue_consumer_of_another(s: Subject) -> Parents:
    items: asyncio.Queue[Any] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(2):
            name, parent = await items.get()
            with s.taken_out(parent, name):
                pass

    with s.span("request 1"):
        consumer = asyncio.create_task(consume())
        items.put_nowait(("work 1", s.handle()))
    with s.span("request 2"):
        items.put_nowait(("work 2", s.handle()))
    await consumer
    return {"work 1": "request 1", "work 2": "request 2"}
