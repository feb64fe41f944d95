"""Pools, futures and threads, where they are not as they usually are."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

import clew


def step(name: str) -> None:
    with clew.span(name):
        pass


def test_a_futures_callback_belongs_to_whoever_asked_for_it(captured):
    """It runs on the worker, after the function; nothing is current there any more."""
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool, clew.span("request"):
        future = pool.submit(go_on.wait, 5)
        with clew.span("asking"):
            future.add_done_callback(lambda _: step("callback"))
        future.add_done_callback(lambda _: step("second callback"))
        go_on.set()

    assert captured.tree() == {"request": {"asking": {"callback": {}}, "second callback": {}}}


def test_a_callback_gets_its_future_and_is_called_once(captured):
    """What is put around it must not be seen."""
    told: list[object] = []
    future: Future[int] = Future()
    with clew.span("request"):
        future.add_done_callback(told.append)
        future.set_result(1)
        future.add_done_callback(told.append)

    assert told == [future, future]


def test_a_callback_that_raises_raises_as_without_clew(captured, caplog):
    """concurrent.futures logs it and goes on."""
    error = ValueError("the user's")
    future: Future[int] = Future()

    def callback(_: object) -> None:
        raise error

    with clew.span("request"):
        future.add_done_callback(callback)
        future.set_result(1)

    (record,) = [record for record in caplog.records if record.name == "concurrent.futures"]
    assert record.exc_info[1] is error


async def test_a_loops_own_callbacks_do_as_they_did(captured):
    """`run_in_executor` stands on a callback of the pool's future."""
    with clew.span("request"), ThreadPoolExecutor(1) as pool:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(pool, step, "work")
        future.add_done_callback(lambda _: step("callback"))
        await future
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(pool, lambda: 1 / 0)

    assert captured.tree() == {"request": {"work": {}, "callback": {}}}


def test_a_thread_that_lets_nobody_set_its_run_starts_all_the_same(captured):
    """What cannot be carried is not worth a thread."""
    ran = threading.Event()

    class Own(threading.Thread):
        run = property(lambda self: ran.set)

    with clew.span("request"):
        thread = Own()
        thread.start()
        thread.join()

    assert ran.is_set()


def test_a_span_may_be_ended_on_another_thread(captured):
    """Only its `with` belongs to where it is."""
    with clew.span("request"):
        span = clew.span("ended elsewhere")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(span.end).result()
        step("after")

    assert captured.tree() == {"request": {"ended elsewhere": {}, "after": {}}}
