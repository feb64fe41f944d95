"""
What users do, in small pieces, for `fault_injection`: each gives what its user would see.

A scenario gives the same value each time, raises nothing, and leaves no thread behind. `same` says
whether the exception that came out was the very object that the user's code raised. What is to be
configured for it stands in `Needs`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import logging
import pickle
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import clew
import clew.asgi
import clew.events
import clew.langsmith
import clew.logs
from clew.sdk.ambient import NO_PARENT
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.processing import processing_from
from clew.sdk.sampler import Sampler

SCENARIOS: dict[str, Callable[[], Any]] = {}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class UsersError(Exception):
    """The user's own."""


@dataclass(frozen=True)
class Needs:
    """What a scenario has configured before it begins."""

    settings: Callable[[], dict[str, Any]] = dict
    """Arguments of `setup.use`, made anew for each run."""
    troubles: tuple[Exception, ...] = ()
    """What the other side answers first."""
    has_spool: bool = False
    token_spans: bool = False
    over_http: bool = False
    shows_writer: bool = False
    """What the writer does for it is looked at, too."""
    is_long: bool = False
    """A run takes so long that each place is tried once only."""


NEEDS: dict[str, Needs] = {}
NOTHING = Needs()


def scenario(function: Callable[[], Any]) -> Callable[[], Any]:
    """Put *function* on the list."""
    SCENARIOS[function.__name__] = function
    return function


def needing(**needs: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The same for what needs something configured."""

    def take(function: Callable[[], Any]) -> Callable[[], Any]:
        NEEDS[function.__name__] = Needs(**needs)
        return scenario(function)

    return take


def needs_of(function: Callable[[], Any]) -> Needs:
    """What *function* needs."""
    return NEEDS.get(getattr(function, "__name__", ""), NOTHING)


def in_a_loop(function: Callable[[], Any]) -> Callable[[], Any]:
    """The same for a coroutine function."""
    SCENARIOS[function.__name__] = lambda: asyncio.run(function())
    SCENARIOS[function.__name__].__name__ = function.__name__
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
            found += list(pool.map(work, [3, 4]))  # At once: the workers append to it, too.

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


@needing(shows_writer=True)
def flushes() -> Any:
    clew.span("one").end()
    clew.flush(2)
    clew.span("two").end()
    clew.score("rating", 1, trace_id="ab" * 16)
    clew.flush(2)
    return True


@needing(shows_writer=True)
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


@needing(token_spans=True)
def streams() -> Any:
    """Tokens: by a loop, by hand, as spans of their own, broken off, failing."""

    def fails(error: Exception) -> None:
        def response() -> Iterator[str]:
            yield "a"
            raise error

        with clew.span("generate", kind="generation") as span:
            list(span.stream(response()))

    found: list[Any] = []
    with clew.span("generate", kind="generation") as span:
        found += span.stream(iter("abc"))
        for token in span.stream(["d", "e"]):
            found.append(token)
            break
        found.append(next(span.stream(iter("f"))))
        span.token("g")
        span.token()
    span.token("late")
    return [found, same(fails)]


@in_a_loop
async def async_streams() -> Any:
    async def response() -> AsyncIterator[str]:
        for token in "abc":
            await asyncio.sleep(0)
            yield token

    with clew.span("generate", kind="generation") as span:
        return [token async for token in span.stream(response())]


@scenario
def copies() -> Any:
    """A span in a cache, a pickle, a log line."""
    with clew.span("request") as span:
        again = pickle.loads(pickle.dumps(span))
        clew.span("below", parent=again).end()
        return [copy.copy(span) is span, copy.deepcopy([span])[0] is span, repr(span)[:1] == "<"]


@scenario
def nothing_current() -> Any:
    """All that a span has, on none."""
    with clew.span("before"):
        clew.current_span().set(a=1)
    none = clew.current_span()
    with none as inside:
        inside.set(a=1)
        inside.set_attributes({"a": 1})
        inside.inputs = inside.outputs = 1
        inside.event("e")
        inside.fail("no")
        inside.keep()
        inside.record_exception(ValueError())
        inside.first_token()
        inside.token()
        inside.end()
    return [list(none.stream([1, 2])), bool(none), none.kind, none.parent_id]


@scenario
def configurations() -> Any:
    """`configure` may raise, and then what was configured before stays."""
    for settings in (
        {"mode": "product", "sample_rate": 1.0, "sample_rates": {"step": 1}},
        {"processors": [dict], "redact_names": ["ssn"], "capture": {"tool": "none"}, "token_spans": True},
        {"mode": "develop", "token_spans": False},
    ):
        with contextlib.suppress(Exception):
            clew.configure("faults://here", flush_interval_s=60, service="shop", **settings)  # type: ignore[arg-type]
        with clew.span("step", kind="tool", inputs=1):
            pass
    refused = []
    for wrong in ("nonsense", "http://", "otlp+http://host"):
        try:
            clew.configure(wrong)
        except Exception:
            refused.append(wrong)
    return refused


@scenario
def shutdowns() -> Any:
    """The end, twice, and what comes after it."""
    with clew.span("request") as request:
        pass
    ended = [clew.shutdown(2) in (True, False), clew.shutdown(2) in (True, False)]
    with clew.span("too late") as late:
        late.set(a=1)
    request.end()
    clew.score("rating", 1, trace_id="ab" * 16)
    return [*ended, clew.flush(0.1) in (True, False)]


def _processing() -> dict[str, Any]:
    def shortened(payload: Any) -> Any:
        payload["outputs"] = "short"
        return None if payload["name"] == "private" else payload

    def fails(payload: Any) -> Any:
        return throw(UsersError()) if payload["name"] == "odd" else payload

    captured = {"tool": "none", "generation": "hash", "": "truncate:30"}
    return {"processing": processing_from(True, ["ssn"], [shortened, fails], captured)}


@needing(settings=_processing, shows_writer=True)
def processors() -> Any:
    """Payloads that are left out, hashed, cut, redacted, or cost a processor its life."""
    secret = {"ssn": "078", "mail": "jane@example.com", "text": "Authorization: Bearer abcdef0123456789abcdef"}
    with clew.span("request", inputs=secret, api_key="sk-0123456789abcdef0123", note="x" * 100):
        clew.span("lookup", kind="tool", inputs=secret).end()
        clew.span("ask", kind="generation", inputs=secret).end()
        clew.span("private", inputs=secret).end()
        clew.span("odd", inputs=secret).end()
    clew.score("rating", 1, comment="from jane@example.com", trace_id="ab" * 16)
    return clew.flush(2) in (True, False)


@needing(settings=lambda: {"sampler": Sampler(0.0, {"probe": 1.0, "drawn": 1.0})}, shows_writer=True, is_long=True)
def sampling() -> Any:
    """Traces that are drawn, kept, failed, flagged late, and those that are only counted."""
    ids = []
    for name in ("drawn", "usual", "kept", "failed"):
        with clew.span(name, kind="root", inputs="why", model="m", input_tokens=5) as request:
            ids.append(request.trace_id)
            with clew.span("search", kind="tool") as step:
                step.outputs = "because"
            if name == "kept":
                request.keep()
            if name == "failed":
                request.fail("no")
    clew.flush(2)
    clew.score("rating", 1, trace_id=ids[1])
    return clew.flush(2) in (True, False)


@needing(has_spool=True, troubles=(TryLater("away", unreachable=True),) * 3, shows_writer=True)
def spools() -> Any:
    """The server is away: what ended goes to disk, and from there to the server."""
    clew.span("one").end()
    clew.flush(0.005)
    clew.span("two").end()
    clew.flush(0.005)
    clew.span("three").end()
    return clew.flush(2) in (True, False)


@needing(has_spool=True, troubles=(TryLater("away", unreachable=True),) * 2)
def spools_at_the_end() -> Any:
    """What is left is put on disk, and said."""
    clew.span("one").end()
    clew.score("rating", 1, trace_id="ab" * 16)
    return clew.shutdown(0.005) in (True, False)


@needing(troubles=(TryLater("busy", after_s=0.001), Refused("odd"), Refused("odd"), Denied("key")), shows_writer=True)
def refusals() -> Any:
    """The server is busy, then takes neither all nor half of it, then nothing."""
    for name in ("one", "two", "three"):
        clew.span(name).end()
    clew.score("rating", 1, trace_id="ab" * 16)
    return [clew.flush(2) in (True, False), clew.flush(2) in (True, False)]


@needing(over_http=True, shows_writer=True)
def over_http() -> Any:
    """To a server, as most programs do."""
    clew.span("one", inputs="x" * 3_000).end()
    clew.flush(2)
    clew.span("two").end()
    return clew.flush(2) in (True, False)


@in_a_loop
async def event_streams() -> Any:
    found = True
    async with clew.events.stream(types=["tool_end", "capability_start"], limit=2) as told:
        for name in ("search", "book"):
            with clew.span(name, kind="tool"):
                clew.span("plan", kind="capability").end()
        told.close()
        async for event in told:
            found = bool(event.type)
        found = told.dropped >= 0
    stream = clew.events.stream()
    clew.span("search", kind="tool").end()
    del stream
    return found


@scenario
def langsmith_trees() -> Any:
    """Runs that are made and sent by hand, and what hands them on."""
    made = clew.langsmith.RunTree(name="pipeline", run_type="chain", inputs={"q": 1}, tags=["t"])
    made.post()
    child = made.create_child("ask", "llm", inputs={"p": 1})
    child.add_metadata({"a": 1})
    child.add_tags(["x"])
    child.add_event({"name": "retry"})
    child.add_inputs({"more": 1})
    child.add_outputs({"o": 1})
    child.set(outputs={"o": 2})
    child.end(error="no")
    child.patch()
    headers = made.to_headers()
    with clew.langsmith.tracing_context(parent=headers), clew.langsmith.trace("elsewhere"):
        clew.langsmith.get_run_tree_context()
    clew.langsmith.RunTree.from_headers({"traceparent": "nonsense", "baggage": "%%"})
    clew.langsmith.RunTree.from_dotted_order("nonsense")
    made.end(outputs={"a": 1})
    made.patch()
    for name in ("id", "trace_id", "parent_run", "dotted_order", "child_runs", "start_time", "end_time", "metadata"):
        getattr(made, name)

    def plus(a: int) -> int:
        return a + 1

    traced = clew.langsmith.ensure_traceable(plus, name="plus")
    again = clew.langsmith.ensure_traceable(traced)
    return [plus(1), traced(1), again(1), clew.langsmith.is_traceable_function(plus)]
