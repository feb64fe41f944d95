"""
What users do, in small pieces, for `fault_injection`: each gives what its user would see.

A scenario gives the same value each time, raises nothing, and leaves no thread behind. `same` says
whether the exception that came out was the very object that the user's code raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import clew
import clew.asgi
import clew.events
import clew.langsmith
import clew.logs
from clew.sdk.ambient import NO_PARENT

SCENARIOS: dict[str, Callable[[], Any]] = {}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class UsersError(Exception):
    """The user's own."""


def scenario(function: Callable[[], Any]) -> Callable[[], Any]:
    """Put *function* on the list."""
    SCENARIOS[function.__name__] = function
    return function


def in_a_loop(function: Callable[[], Any]) -> Callable[[], Any]:
    """The same for a coroutine function."""
    SCENARIOS[function.__name__] = lambda: asyncio.run(function())
    return function


def same(do: Callable[[Exception], Any]) -> bool:
    """Whether what *do* lets through is the exception that it was given to raise."""
    error = UsersError("mine")
    try:
        do(error)
    except UsersError as caught:
        return caught is error
    return False


def throw(error: BaseException) -> Any:
    raise error


@scenario
def spans() -> Any:
    found = []
    with clew.span("request", kind="root", inputs={"question": "why"}, user_id="ana") as request:
        request.set(top_k=5)
        request.set_attributes({"a.b": [1, 2]})
        with clew.span("retrieve", kind="retrieval") as step:
            step.event("cache miss", key="k")
            step.outputs = [1, 2, 3]
            found.append(bool(clew.current_span().trace_id) in (True, False))
        with clew.span("generate", kind="generation", parent=request) as step:
            step.first_token()
            step.keep()
            step.fail("no quota")
            step.record_exception(ValueError("handled"))
        request.kind = "chain"
        by_hand = clew.span("by hand", inputs=[1])
        by_hand.end()
        by_hand.end()
        by_hand.set(too="late")
        repr(request), request.trace_id, request.span_id, request.parent_id, request.traceparent
        found.append(len(request.inputs or {"question": 1}))
    return found


@scenario
def failing_spans() -> Any:
    def nested(error: Exception) -> None:
        with clew.span("outer"), clew.span("inner"):
            raise error

    def chained(error: Exception) -> None:
        with clew.span("outer"):
            try:
                raise ValueError("before")  # noqa: TRY301
            except ValueError as before:
                raise error from before

    return [same(nested), same(chained)]


@scenario
def odd_spans() -> Any:
    """Out of order, twice, under strange parents."""
    outer, inner = clew.span("outer"), clew.span("inner")
    outer.__enter__()
    try:
        inner.__enter__()
    finally:
        try:
            outer.__exit__(None, None, None)
        finally:
            inner.__exit__(None, None, None)
    clew.span("remote", parent=TRACEPARENT).end()
    clew.span("wrong", parent="nonsense").end()
    clew.span("wrong", parent=3).end()
    clew.span("new", parent=NO_PARENT, kind="nonsense").end()
    with clew.span("twice") as twice, twice:
        pass
    clew.span(name="by keyword", value={1, 2}).end()
    return True


@scenario
def contexts() -> Any:
    with clew.tracing_context(parent=TRACEPARENT), clew.span("below"):
        clew.current_span().set(a=1)
    with clew.tracing_context(parent=None):
        clew.current_span()
    with clew.span("outer") as outer:
        pass
    with clew.tracing_context(outer):
        clew.span("late").end()

    def fails(error: Exception) -> None:
        with clew.tracing_context(parent=TRACEPARENT):
            raise error

    return same(fails)


@scenario
def functions() -> Any:
    @clew.traced
    def plus(a: int, b: int = 2, *more: int, **named: int) -> int:
        return a + b

    @clew.traced(kind="tool", top_k=3)
    def fails(error: Exception) -> None:
        raise error

    class Shop:
        @clew.traced("sell")
        def sell(self, what: list[int]) -> list[int]:
            return what

        @clew.traced
        @staticmethod
        def open() -> bool:
            return True

    return [plus(1), plus(1, 2, 3, named=4), same(fails), Shop().sell([1]), Shop.open()]


@in_a_loop
async def coroutines() -> Any:
    @clew.traced
    async def plus(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    @clew.traced
    async def fails(error: Exception) -> None:
        await asyncio.sleep(0)
        raise error

    with clew.span("request", kind="root"):
        found = await asyncio.gather(plus(1, 2), plus(3, 4))
    error = UsersError()
    try:
        await fails(error)
    except UsersError as caught:
        found.append(caught is error)
    return found


@scenario
def generators() -> Any:
    @clew.traced(kind="generation")
    def tokens(count: int) -> Iterator[str]:
        for number in range(count):
            got = yield str(number)
            if got:
                yield got
        return 7

    @clew.traced
    def fails(error: Exception) -> Iterator[int]:
        yield 1
        raise error

    def whole() -> Iterator[Any]:
        found.append((yield from tokens(2)))

    found: list[Any] = []
    with clew.span("request"):
        found += ["".join(tokens(3)), list(whole())]
        broken = tokens(5)
        found.append(next(broken))
        found.append(broken.send("sent"))
        broken.close()
        thrown = tokens(3)
        next(thrown)
    found.append(same(thrown.throw))
    found.append(same(lambda error: list(fails(error))))
    return found


@in_a_loop
async def async_generators() -> Any:
    @clew.traced(kind="generation")
    async def tokens(count: int) -> AsyncIterator[str]:
        for number in range(count):
            await asyncio.sleep(0)
            yield str(number)

    @clew.traced
    async def fails(error: Exception) -> AsyncIterator[int]:
        yield 1
        raise error

    found = [token async for token in tokens(2)]
    broken = tokens(5)
    found.append(await broken.__anext__())
    await broken.aclose()
    error = UsersError()
    try:
        [each async for each in fails(error)]
    except UsersError as caught:
        found.append(caught is error)
    thrown = tokens(3)
    await thrown.__anext__()
    try:
        await thrown.athrow(error)
    except UsersError as caught:
        found.append(caught is error)
    return found


@scenario
def undecorated_generators() -> Any:
    def steps() -> Iterator[int]:
        with clew.span("generator") as mine:
            mine.set(a=1)
            yield 1
            with clew.span("inside"):
                clew.current_span()
            yield 2

    def fails(error: Exception) -> Iterator[int]:
        with clew.span("generator"):
            yield 1
            raise error

    @contextlib.contextmanager
    def managed() -> Iterator[int]:
        with clew.span("managed"):
            yield 5

    found = []
    with clew.span("request"):
        for step in steps():
            with clew.span("between"):
                found.append(step)
        with managed() as five:
            found.append(five)
        broken = steps()
        found.append(next(broken))
        contextvars.copy_context().run(lambda: clew.span("in a copy").end())
        broken.close()
    found.append(same(lambda error: list(fails(error))))
    return found


@in_a_loop
async def undecorated_async_generators() -> Any:
    async def steps() -> AsyncIterator[int]:
        with clew.span("generator"):
            yield 1
            await asyncio.get_running_loop().create_task(work())
            yield 2

    async def work() -> None:
        clew.span("task").end()

    found = []
    async for step in steps():
        with clew.span("between"):
            found.append(step)
    return found


@scenario
def threads() -> Any:
    found: list[Any] = []

    def work(value: int) -> int:
        with clew.span("work"):
            found.append(value)
            return value

    with clew.span("request"):
        thread = threading.Thread(target=work, args=(1,))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(work, 2).result())
            found += pool.map(work, [3, 4])

    def fails(error: Exception) -> None:
        with clew.span("request"), ThreadPoolExecutor(1) as pool:
            pool.submit(throw, error).result()

    return [*found, same(fails)]


@scenario
def processes() -> Any:
    with clew.span("request"):
        return subprocess.run(["true"], check=True).returncode


@in_a_loop
async def tasks() -> Any:
    async def work(value: int) -> int:
        with clew.span("work"):
            await asyncio.sleep(0)
        return value

    loop = asyncio.get_running_loop()
    with clew.span("request"):
        late = loop.create_task(work(1))
        found = await asyncio.gather(work(2), work(3))
        with ThreadPoolExecutor(1) as pool:
            found.append(await loop.run_in_executor(pool, lambda: 4))
        loop.call_soon(lambda: clew.span("soon").end())
    found.append(await late)
    cancelled = loop.create_task(work(5))
    cancelled.cancel()
    found.append(isinstance((await asyncio.gather(cancelled, return_exceptions=True))[0], asyncio.CancelledError))
    return found


@scenario
def scores() -> Any:
    with clew.span("request") as request:
        clew.score("rating", 4, comment="good")
        clew.score("rating", 1, span=request, source="evaluator")
    clew.score("rating", 2, trace_id="ab" * 16)
    clew.score("rating", float("nan"))
    clew.score("rating", "none")  # type: ignore[arg-type]
    return True


@scenario
def flushes() -> Any:
    clew.span("one").end()
    clew.flush(2)
    clew.span("two").end()
    clew.score("rating", 1, trace_id="ab" * 16)
    clew.flush(2)
    return True


@scenario
def payloads() -> Any:
    """What the writer has to mend."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with clew.span("odd", inputs=cycle, kind="odd", value={1, 2}, thing=object(), raw=b"\xff") as span:
        span.outputs = {"text": "\ud800", "big": 1 << 80, 5: "five"}
        span.event("odd", what=cycle)
    with clew.span(7) as span:  # type: ignore[arg-type]
        span.record_exception(ValueError("handled"))
        span.fail(None)  # type: ignore[arg-type]
    return clew.flush(2) in (True, False)


@scenario
def events() -> Any:
    heard: list[Any] = []
    with clew.events.subscribe(lambda event: heard.append(event.type)), clew.span("search", kind="tool", inputs=[1]):
        pass

    def fails(event: Any) -> None:
        raise UsersError

    with clew.events.subscribe(fails), clew.span("search", kind="tool"):
        pass
    with clew.span("search", kind="tool"):
        pass
    return True


@in_a_loop
async def requests() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        with clew.span("work"):
            pass
        await send({"type": "http.response.body", "body": b"more"})

    error = UsersError()

    async def crash(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500})
        raise error

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append((message["type"], message.get("body")))

    for headers in ([], [(b"traceparent", TRACEPARENT.encode())], [(b"traceparent", b"nonsense")]):
        scope: Any = {"type": "http", "method": "GET", "path": "/", "headers": headers}
        await clew.asgi.TracingMiddleware(app)(scope, receive, send)
    scope = {"type": "http", "method": "GET", "path": "/"}
    try:
        await clew.asgi.TracingMiddleware(crash)(scope, receive, send)
    except UsersError as caught:
        sent.append(caught is error)
    return sent


@scenario
def log_records() -> Any:
    record = logging.LogRecord("name", logging.INFO, "file", 1, "text", None, None)
    with clew.span("request"):
        passed = clew.logs.TraceIdFilter().filter(record)
    return [passed, hasattr(record, "trace_id"), hasattr(record, "span_id")]


@scenario
def langsmith_functions() -> Any:
    @clew.langsmith.traceable(run_type="tool", metadata={"a": 1}, tags=["t"])
    def plus(a: int, b: int) -> int:
        run = clew.langsmith.get_current_run_tree()
        if run is not None:
            run.add_metadata({"c": 1})
        return a + b

    @clew.langsmith.traceable
    def fails(error: Exception) -> None:
        raise error

    @clew.langsmith.traceable("llm", reduce_fn=len, process_inputs=dict, process_chunk=str)
    def tokens(count: int) -> Iterator[int]:
        yield from range(count)

    @clew.langsmith.traceable(reduce_fn=list)
    def stream() -> Iterator[int]:
        return iter([1, 2])

    ended: list[Any] = []
    found = [plus(1, 2), plus(1, 2, langsmith_extra={"metadata": {"b": 2}, "on_end": ended.append}), same(fails)]
    return [*found, list(tokens(3)), list(stream())]


@in_a_loop
async def langsmith_coroutines() -> Any:
    @clew.langsmith.traceable
    async def plus(a: int, b: int) -> int:
        return a + b

    @clew.langsmith.traceable
    async def tokens(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    @clew.langsmith.traceable
    async def fails(error: Exception) -> None:
        raise error

    found = [await plus(1, 2), [each async for each in tokens(2)]]
    error = UsersError()
    try:
        await fails(error)
    except UsersError as caught:
        found.append(caught is error)
    return found


@scenario
def langsmith_runs() -> Any:
    def fails(error: Exception) -> None:
        with clew.langsmith.trace("outer", "chain"), clew.langsmith.tracing_context(metadata={"a": 1}):
            raise error

    with clew.langsmith.trace("outer", "chain", inputs={"q": 1}, tags=["t"]) as run:
        run.end(outputs={"a": 1})
        with clew.langsmith.tracing_context(parent=run, metadata={"m": 1}, tags=["x"]):
            clew.langsmith.get_current_run_tree()
            clew.langsmith.set_run_metadata(a=1)
            with clew.langsmith.trace("inner", "llm"):
                clew.langsmith.get_tracing_context()
    return same(fails)
