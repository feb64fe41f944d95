"""Handing work on to threads."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing.pool
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

from matrix_register import Parents, async_leaf, leaf, pattern
from matrix_subjects import Subject


@pattern("to_thread", "threads")
async def to_thread(s: Subject) -> Parents:
    with s.span("request"):
        await asyncio.to_thread(leaf, s, "step", s.handle())
    return {"step": "request"}


@pattern("run_in_executor", "threads")
async def run_in_executor(s: Subject) -> Parents:
    with s.span("request"):
        await asyncio.get_running_loop().run_in_executor(None, leaf, s, "step", s.handle())
    return {"step": "request"}


@pattern("ThreadPoolExecutor.submit and map", "threads")
def thread_pool(s: Subject) -> Parents:
    with ThreadPoolExecutor(1) as pool:
        for number in (1, 2):
            with s.span(f"request {number}"):
                parent = s.handle()
                pool.submit(leaf, s, f"submitted {number}", parent).result()
                list(pool.map(lambda name, at=parent: leaf(s, name, at), [f"mapped {number}"]))
    return {f"{what} {n}": f"request {n}" for what in ("submitted", "mapped") for n in (1, 2)}


@pattern("threading.Thread, a subclass, a Timer", "threads")
def threads(s: Subject) -> Parents:
    class Worker(threading.Thread):
        def run(self) -> None:
            leaf(s, "subclass", parent)

    with s.span("request"):
        parent = s.handle()
        started = [
            threading.Thread(target=leaf, args=(s, "thread", parent)),
            Worker(),
            threading.Timer(0, leaf, (s, "timer", parent)),
        ]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    return {"thread": "request", "subclass": "request", "timer": "request"}


@pattern("sync_to_async and async_to_sync of asgiref", "threads", needs=lambda: find_spec("asgiref"))
async def asgiref_both_ways(s: Subject) -> Parents:
    from asgiref.sync import async_to_sync, sync_to_async

    def plain(parent: Any) -> None:
        with s.step("thread", parent):
            async_to_sync(async_leaf)(s, "back in the loop", s.handle())

    with s.span("request"):
        parent = s.handle()
        await sync_to_async(plain)(parent)
        await async_leaf(s, "after", parent)
    return {"thread": "request", "back in the loop": "thread", "after": "request"}


@pattern("contextvars.copy_context().run", "threads")
def copied_context(s: Subject) -> Parents:
    with s.span("request"):
        context, parent = contextvars.copy_context(), s.handle()
        context.run(leaf, s, "inside", parent)
    context.run(leaf, s, "after", parent)
    thread = threading.Thread(target=context.run, args=(leaf, s, "thread", parent))
    thread.start()
    thread.join()
    return {"inside": "request", "after": "request", "thread": "request"}


@pattern("multiprocessing.pool.ThreadPool", "threads")
def pool_of_threads(s: Subject) -> Parents:
    with multiprocessing.pool.ThreadPool(1) as pool:
        for number in (1, 2):
            with s.span(f"request {number}"):
                parent = s.handle()
                pool.apply(leaf, (s, f"applied {number}", parent))
                pool.map(lambda name, at=parent: leaf(s, name, at), [f"mapped {number}"])
    return {f"{what} {n}": f"request {n}" for what in ("applied", "mapped") for n in (1, 2)}


@pattern("add_done_callback of a thread pool's future", "threads")
def pool_callback(s: Subject) -> Parents:
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool, s.span("request"):
        parent = s.handle()
        future = pool.submit(go_on.wait, 5)
        future.add_done_callback(lambda _: leaf(s, "callback", parent))
        go_on.set()
        future.result()
    return {"callback": "request"}


@pattern("a thread that outlives its parent, and what it starts", "threads")
def late_thread(s: Subject) -> Parents:
    go_on = threading.Event()

    def late(parent: Any) -> None:
        go_on.wait()
        leaf(s, "late", parent)
        inner = threading.Thread(target=asyncio.run, args=(async_leaf(s, "later", parent),))
        inner.start()
        inner.join()

    def request() -> threading.Thread:
        with s.span("request"):
            thread = threading.Thread(target=late, args=(s.handle() if s.explicit else None,))
            thread.start()
            return thread

    thread = request()
    s.flush()
    go_on.set()
    thread.join()
    return {"late": "request", "later": "request"}


@pattern("a queue's thread that was there before; the item carries the parent", "threads")
def queue_thread(s: Subject) -> Parents:
    items: queue.Queue[Any] = queue.Queue()

    def consume() -> None:
        for _ in range(2):
            name, parent = items.get()
            with s.taken_out(parent, name):
                leaf(s, f"{name} inner", s.handle())

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in (1, 2):
        with s.span(f"request {number}"):
            items.put((f"work {number}", s.handle()))
    consumer.join()
    found = {f"work {n}": f"request {n}" for n in (1, 2)}
    return {**found, "work 1 inner": "work 1", "work 2 inner": "work 2"}
