"""
The ways in which a program hands work on, as small functions.

Each opens a span "request", does its work, and says who is whose parent: {child: parent}. The
spans of a step are opened by `step` (ambient, or under the handle it is given) and nothing else
is done for the parent's sake. A pattern that needs more than this Python has is `needs`-ed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import json
import multiprocessing
import os
import queue
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, NamedTuple

from matrix_subjects import SUBJECTS, Subject

Parents = dict[str, str]


class Pattern(NamedTuple):
    title: str
    group: str
    run: Callable[[Subject], Any]
    needs: Callable[[], object]


PATTERNS: dict[str, Pattern] = {}


def pattern(title: str, group: str, *, needs: Callable[[], object] = lambda: True) -> Any:
    """Register a function, sync or async, under its name."""

    def register(function: Any) -> Any:
        PATTERNS[function.__name__] = Pattern(title, group, function, needs)
        return function

    return register


def leaf(s: Subject, name: str, parent: Any) -> str:
    with s.step(name, parent):
        pass
    return name


async def async_leaf(s: Subject, name: str, parent: Any) -> None:
    with s.step(name, parent):
        await asyncio.sleep(0)


# --- asyncio -------------------------------------------------------------------------------------


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
    go_on = asyncio.Event()

    async def late(parent: Any) -> None:
        await go_on.wait()
        await async_leaf(s, "late", parent)
        await async_leaf(s, "later", parent)

    async def request() -> asyncio.Task[None]:
        with s.span("request"):
            return asyncio.create_task(late(s.handle()))

    task = await request()
    gc.collect()  # Nothing else refers to the parent.
    go_on.set()
    await task
    return {"late": "request", "later": "request"}


@pattern("TaskGroup", "asyncio", needs=lambda: sys.version_info >= (3, 11))
async def task_group(s: Subject) -> Parents:
    with s.span("request"):
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]
            group.create_task(async_leaf(s, "step", s.handle()))
    return {"step": "request"}


@pattern("anyio task group", "asyncio", needs=lambda: bool(find_spec("anyio")))
async def anyio_task_group(s: Subject) -> Parents:
    import anyio

    with s.span("request"):
        parent = s.handle()
        async with anyio.create_task_group() as group:
            group.start_soon(async_leaf, s, "step", parent)
            await anyio.to_thread.run_sync(leaf, s, "thread", parent)
    return {"step": "request", "thread": "request"}


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


@pattern("an event loop inside a thread", "asyncio")
def loop_in_thread(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        thread = threading.Thread(target=lambda: asyncio.run(async_leaf(s, "step", parent)))
        thread.start()
        thread.join()
    return {"step": "request"}


@pattern("a queue's consumer that was there before; the item carries the parent", "asyncio")
async def queue_consumer(s: Subject) -> Parents:
    items: asyncio.Queue[Any] = asyncio.Queue()

    async def consume() -> None:
        for _ in range(2):
            name, parent = await items.get()
            with s.under(parent, name):
                leaf(s, f"{name} inner", s.handle())

    consumer = asyncio.create_task(consume())
    for number in (1, 2):
        with s.span(f"request {number}"):
            items.put_nowait((f"work {number}", s.handle()))
    await consumer
    found = {f"work {n}": f"request {n}" for n in (1, 2)}
    return {**found, "work 1 inner": "work 1", "work 2 inner": "work 2"}


# --- threads -------------------------------------------------------------------------------------


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


@pattern("contextvars.copy_context().run", "threads")
def copied_context(s: Subject) -> Parents:
    with s.span("request"):
        context, parent = contextvars.copy_context(), s.handle()
    context.run(leaf, s, "step", parent)
    return {"step": "request"}


@pattern("a queue's thread that was there before; the item carries the parent", "threads")
def queue_thread(s: Subject) -> Parents:
    items: queue.Queue[Any] = queue.Queue()

    def consume() -> None:
        name, parent = items.get()
        with s.under(parent, name):
            pass

    consumer = threading.Thread(target=consume)
    consumer.start()
    with s.span("request"):
        items.put(("work", s.handle()))
    consumer.join()
    return {"work": "request"}


# --- generators ----------------------------------------------------------------------------------
# The consumer opens a span between the steps, and holds one open across the second.

DRIVEN: Parents = {
    "inside": "request",
    "first": "inside",
    "second": "inside",
    "between": "request",
    "consumer": "request",
    "own": "consumer",
}


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


def _ended(s: Subject, way: str) -> Parents:
    def inside(parent: Any) -> Iterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            try:
                yield 1
                raise ValueError("inside")
            finally:
                leaf(s, "cleanup", own)

    with s.span("request"):
        parent = s.handle()
        steps = inside(parent)
        next(steps)
        leaf(s, "between", parent)
        if way == "closed":
            steps.close()  # type: ignore[attr-defined]
        elif way == "raising":
            with contextlib.suppress(ValueError):
                next(steps)
        del steps
        gc.collect()
        leaf(s, "after", parent)
    return {"inside": "request", "cleanup": "inside", "between": "request", "after": "request"}


async def _ended_async(s: Subject, way: str) -> Parents:
    async def inside(parent: Any) -> AsyncIterator[int]:
        with s.step("inside", parent):
            own = s.handle()
            try:
                yield 1
                raise ValueError("inside")
            finally:
                leaf(s, "cleanup", own)

    with s.span("request"):
        parent = s.handle()
        steps = inside(parent)
        async for _ in steps:
            leaf(s, "between", parent)
            break
        if way == "closed":
            await steps.aclose()  # type: ignore[attr-defined]
        elif way == "raising":
            await asyncio.gather(steps.__anext__(), return_exceptions=True)
        del steps
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        leaf(s, "after", parent)
    return {"inside": "request", "cleanup": "inside", "between": "request", "after": "request"}


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


def _register_endings() -> None:
    for way in ("closed", "collected", "raising"):
        title = {"closed": "broken off and closed", "collected": "broken off and collected", "raising": "raising"}[way]
        for name, run in (("generator", _ended), ("async generator", _ended_async)):
            PATTERNS[f"{name.replace(' ', '_')}_{way}"] = Pattern(
                f"{name} with a span inside, {title}", "generators", functools.partial(run, way=way), lambda: True
            )


_register_endings()


# --- web -----------------------------------------------------------------------------------------


def has_web() -> bool:
    return bool(find_spec("fastapi"))


async def ask(app: Any) -> None:
    """One request, as a server makes it."""
    asked, answered = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
    await app({**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send)


def streaming(s: Subject, framework: str, base: bool) -> Any:
    """An app that streams, in a "request" span that lasts until the last byte."""
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    handles: list[Any] = []

    async def answer() -> AsyncIterator[str]:
        with s.step("answer", handles[0]):
            own = s.handle()
            yield "a"
            await asyncio.to_thread(leaf, s, "token", own)
            yield "b"

    async def endpoint() -> StreamingResponse:
        leaf(s, "endpoint", handles[0])
        return StreamingResponse(answer())

    async def hand_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    if framework == "fastapi":
        app: Any = FastAPI()
        app.get("/", response_model=None)(endpoint)
    else:

        async def routed(request: Any) -> StreamingResponse:
            return await endpoint()

        app = Starlette(routes=[Route("/", routed)])
    if base:
        app.add_middleware(BaseHTTPMiddleware, dispatch=hand_on)

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message.get("body"):
                leaf(s, f"send {message['body'].decode()}", handles[0])
            await send(message)

        with s.span("request"):
            handles.append(s.handle())
            await app(scope, receive, sending)

    return traced


STREAMED: Parents = {"endpoint": "request", "answer": "request", "token": "answer"}


async def _streamed(s: Subject, framework: str, base: bool) -> Parents:
    await ask(streaming(s, framework, base))
    # Behind a BaseHTTPMiddleware the bytes pass through a task of their own, made in the request.
    return {**STREAMED, "send a": "request", "send b": "request"}


@pattern("streaming response, Starlette", "web", needs=has_web)
async def starlette_stream(s: Subject) -> Parents:
    return await _streamed(s, "starlette", base=False)


@pattern("streaming response, Starlette, behind BaseHTTPMiddleware", "web", needs=has_web)
async def starlette_stream_base(s: Subject) -> Parents:
    return await _streamed(s, "starlette", base=True)


@pattern("streaming response, FastAPI", "web", needs=has_web)
async def fastapi_stream(s: Subject) -> Parents:
    return await _streamed(s, "fastapi", base=False)


@pattern("streaming response, FastAPI, behind BaseHTTPMiddleware", "web", needs=has_web)
async def fastapi_stream_base(s: Subject) -> Parents:
    return await _streamed(s, "fastapi", base=True)


@pattern("BackgroundTasks", "web", needs=has_web)
async def background_tasks(s: Subject) -> Parents:
    from starlette.background import BackgroundTasks
    from starlette.responses import PlainTextResponse

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with s.span("request"):
            tasks = BackgroundTasks()
            tasks.add_task(leaf, s, "background thread", s.handle())
            tasks.add_task(async_leaf, s, "background", s.handle())
            await PlainTextResponse("ok", background=tasks)(scope, receive, send)

    await ask(app)
    return {"background thread": "request", "background": "request"}


# --- processes -----------------------------------------------------------------------------------


def away(subject: str, explicit: bool, name: str, carrier: Any) -> None:
    """A span in another process. What was forked has its SDK already; any other sets it up."""
    s = _here.get(subject)
    if s is None:
        s = _here[subject] = SUBJECTS[subject](explicit=explicit)
    with s.away(name, carrier):
        pass
    s.flush()


_here: dict[str, Subject] = {}
"""The subject of this process, by name."""


def _named(s: Subject) -> str:
    name = next(name for name, made in SUBJECTS.items() if type(s) is made)
    _here[name] = s
    return name


def _process(s: Subject, method: str) -> Parents:
    context = multiprocessing.get_context(method)
    with s.span("request"):
        process = context.Process(target=away, args=(_named(s), s.explicit, "step", s.carrier()))
        process.start()  # type: ignore[attr-defined]
        process.join()  # type: ignore[attr-defined]
    return {"step": "request"}


def _process_pool(s: Subject, method: str) -> Parents:
    name = _named(s)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        for number in (1, 2):
            with s.span(f"request {number}"):
                pool.submit(away, name, s.explicit, f"step {number}", s.carrier()).result()
    return {"step 1": "request 1", "step 2": "request 2"}


def _register_processes() -> None:
    for method in ("fork", "spawn", "forkserver"):
        for name, title, run in (
            ("process", "multiprocessing.Process", _process),
            ("process_pool", "ProcessPoolExecutor", _process_pool),
        ):
            PATTERNS[f"{name}_{method}"] = Pattern(
                f"{title}, {method}", "processes", functools.partial(run, method=method), lambda: True
            )


_register_processes()


@pattern("os.fork in mid-span", "processes")
def forked(s: Subject) -> Parents:
    with s.span("request"):
        parent = s.handle()
        pid = os.fork()
        if pid == 0:
            leaf(s, "step", parent)
            s.flush()
            os._exit(0)
        os.waitpid(pid, 0)
        leaf(s, "after", parent)
    return {"step": "request", "after": "request"}


@pattern("subprocess, by the environment", "processes")
def by_environment(s: Subject) -> Parents:
    with s.span("request"):
        subprocess.run(_command(s), check=True)
    return {"step": "request"}


@pattern("asyncio.create_subprocess_exec, by the environment", "processes")
async def by_environment_async(s: Subject) -> Parents:
    with s.span("request"):
        process = await asyncio.create_subprocess_exec(*_command(s))
        await process.wait()
    return {"step": "request"}


def _command(s: Subject) -> list[str]:
    code = "import json, sys; sys.path.insert(0, sys.argv[1]); "
    code += "import matrix_patterns; matrix_patterns.away(*json.loads(sys.argv[2]))"
    here = os.path.dirname(__file__)
    return [sys.executable, "-c", code, here, json.dumps([_named(s), s.explicit, "step", s.carrier()])]


# --- servers -------------------------------------------------------------------------------------


def _served(s: Subject, command: list[str]) -> Parents:
    """Eight requests to a real server; each is one tree, and no id is drawn twice."""
    here = os.path.dirname(__file__)
    settings = {"MATRIX_SUBJECT": _named(s), "MATRIX_EXPLICIT": str(int(s.explicit)), "PYTHONPATH": here}
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with subprocess.Popen(
            [sys.executable, "-m", *(part.replace("FD", str(listening.fileno())) for part in command)],
            env={**os.environ, **settings},
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            for _ in range(8):
                with urllib.request.urlopen(url, timeout=20) as response:
                    response.read()
            server.terminate()
    return {"step": "request"}


def _register_servers() -> None:
    gunicorn = ["gunicorn", "matrix_app:app", "-b", "fd://FD", "-k", "uvicorn.workers.UvicornWorker", "-w", "2"]
    uvicorn = ["uvicorn", "matrix_app:app", "--fd", "FD"]
    for name, title, command in (
        ("uvicorn", "uvicorn", uvicorn),
        ("uvicorn_workers", "uvicorn, 2 workers", [*uvicorn, "--workers", "2"]),
        ("gunicorn", "gunicorn, 2 workers", gunicorn),
        ("gunicorn_preload", "gunicorn, 2 workers, --preload", [*gunicorn, "--preload"]),
    ):
        PATTERNS[name] = Pattern(
            title, "servers", functools.partial(_served, command=command), functools.partial(find_spec, command[0])
        )


_register_servers()
