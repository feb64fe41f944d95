"""
Requests of Starlette and FastAPI, as a server makes them.

Each runs in a "request" span: by Clew's own middleware; of a peer, a span around the app. Whatever
reaches the server's `send` is inside of it, the last byte too, and finds it open.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import Any

from matrix_register import PATTERNS, Parents, Pattern, async_leaf, leaf, pattern
from matrix_subjects import Subject

STREAMED: Parents = {
    "endpoint": "request",
    "answer": "request",
    "token": "answer",
    "send a": "request",
    "send b": "request",
}


def has_web() -> bool:
    return bool(find_spec("fastapi"))


async def ask(s: Subject, app: Any) -> None:
    """One request; the handle of its span is in *app*'s scope, as "request"."""
    asked, answered = asyncio.Event(), asyncio.Event()

    async def receive() -> Any:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        if message.get("body"):
            if not s.is_open(handles[0]):
                raise RuntimeError("the request's span has ended before its last byte")
            leaf(s, f"send {message['body'].decode()}", handles[0])
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    handles: list[Any] = []

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        handles.append(s.handle())
        scope["request"] = handles[0]
        await app(scope, receive, send)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
    await s.asgi(noted)({**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send)


def application(framework: str, base: bool, endpoint: Callable[[Any], Any]) -> Any:
    """An app with one route, behind a BaseHTTPMiddleware or a pure one."""
    from fastapi import FastAPI, Request
    from starlette.applications import Starlette
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    class Pure:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    async def hand_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    if framework == "FastAPI":
        endpoint.__annotations__["request"] = Request
        app: Any = FastAPI()
        app.get("/", response_model=None)(endpoint)
    else:
        app = Starlette(routes=[Route("/", endpoint)])
    if base:
        app.add_middleware(BaseHTTPMiddleware, dispatch=hand_on)
    else:
        app.add_middleware(Pure)
    return app


async def _streamed(s: Subject, framework: str, base: bool, plain: bool) -> Parents:
    from starlette.responses import StreamingResponse

    async def answer(parent: Any) -> AsyncIterator[str]:
        with s.step("answer", parent):
            own = s.handle()
            yield "a"
            await asyncio.to_thread(leaf, s, "token", own)
            yield "b"

    def plain_answer(parent: Any) -> Iterator[str]:
        with s.step("answer", parent):  # Each step runs in a worker thread of its own.
            own = s.handle()
            yield "a"
            leaf(s, "token", own)
            yield "b"

    async def endpoint(request: Any) -> Any:
        parent = request.scope["request"]
        leaf(s, "endpoint", parent)
        return StreamingResponse((plain_answer if plain else answer)(parent))

    await ask(s, application(framework, base, endpoint))
    return STREAMED


def _register_streams() -> None:
    for framework in ("Starlette", "FastAPI"):
        for base, behind in ((False, "a pure middleware"), (True, "BaseHTTPMiddleware")):
            for plain, what in ((False, "async generator"), (True, "plain generator (in worker threads)")):
                title = f"{framework}: streaming {what}, behind {behind}"
                key = f"{framework.lower()}_stream{'_base' * base}{'_plain' * plain}"
                made = functools.partial(_streamed, framework=framework, base=base, plain=plain)
                PATTERNS[key] = Pattern(title, "web", made, has_web)


_register_streams()


@pattern("FastAPI: a sync endpoint, run_in_threadpool, a dependency with yield", "web", needs=has_web)
async def fastapi_threads(s: Subject) -> Parents:
    from fastapi import Depends, FastAPI, Request
    from starlette.concurrency import run_in_threadpool

    async def session(request: Request) -> AsyncIterator[Any]:
        with s.step("session", request.scope["request"]):
            yield s.handle()

    async def endpoint(parent: Any = Depends(session)) -> str:  # noqa: B008  so FastAPI has it
        leaf(s, "endpoint", parent)
        await run_in_threadpool(leaf, s, "pool", parent)
        return "ok"

    def plain(request: Request) -> str:
        return leaf(s, "plain", request.scope["request"])

    session.__annotations__["request"] = plain.__annotations__["request"] = Request
    for path in (endpoint, plain):
        app = FastAPI()
        app.get("/", response_model=None)(path)
        await ask(s, app)
    return {"session": "request", "endpoint": "session", "pool": "session", "plain": "request"}


@pattern("Starlette, FastAPI: BackgroundTasks", "web", needs=has_web)
async def background_tasks(s: Subject) -> Parents:
    from fastapi import BackgroundTasks, FastAPI, Request
    from starlette.responses import PlainTextResponse

    async def starlette(scope: Any, receive: Any, send: Any) -> None:
        tasks = BackgroundTasks()
        tasks.add_task(leaf, s, "background thread", scope["request"])
        tasks.add_task(async_leaf, s, "background", scope["request"])
        await PlainTextResponse("", background=tasks)(scope, receive, send)

    async def endpoint(request: Any, tasks: Any) -> str:
        tasks.add_task(async_leaf, s, "background of FastAPI", request.scope["request"])
        return ""

    endpoint.__annotations__.update(request=Request, tasks=BackgroundTasks)
    app = FastAPI()
    app.get("/")(endpoint)
    await ask(s, starlette)
    await ask(s, app)
    return {"background thread": "request", "background": "request", "background of FastAPI": "request"}
