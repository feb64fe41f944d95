"""Web frameworks and servers: one request is one tree, until the last byte and beyond."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest

import clew
from clew.asgi import TracingMiddleware
from clew.sdk.held import HELD

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi import BackgroundTasks, Depends, FastAPI  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.responses import PlainTextResponse, StreamingResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402


def step(name: str) -> None:
    with clew.span(name):
        pass


async def answer() -> AsyncIterator[str]:
    with clew.span("answer"):
        step("retrieve")
        for token in ("a", "b"):
            await asyncio.sleep(0)
            step(f"token {token}")
            yield token
        await asyncio.gather(asyncio.to_thread(step, "thread"))


def plain_answer() -> Iterator[str]:
    """Each of its steps runs in a worker thread, in a context of its own."""
    with clew.span("answer"):
        step("retrieve")
        for token in ("a", "b"):
            step(f"token {token}")
            yield token
        step("thread")


class Pure:
    """A middleware that hands everything on."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        async def send_on(message) -> None:
            if message["type"] == "http.response.body" and message.get("more_body"):
                step("middleware")
            await send(message)

        with clew.span("pure"):
            await self.app(scope, receive, send_on)


class Base(BaseHTTPMiddleware):
    """Runs the app in a task of its own, and is done before the body is."""

    async def dispatch(self, request, call_next):
        with clew.span("base"):
            return await call_next(request)


async def get(app, path: str = "/"):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path)


def starlette(make, *middlewares):
    async def endpoint(request):
        return StreamingResponse(make())

    app = Starlette(routes=[Route("/", endpoint)])
    for middleware in middlewares:
        app.add_middleware(middleware)
    return app


def fastapi(make, *middlewares):
    app = FastAPI()

    @app.get("/")
    async def endpoint():
        return StreamingResponse(make())

    for middleware in middlewares:
        app.add_middleware(middleware)
    return app


ANSWER = {"retrieve": {}, "token a": {}, "token b": {}, "thread": {}}


@pytest.mark.parametrize("framework", [starlette, fastapi])
@pytest.mark.parametrize("make", [answer, plain_answer])
async def test_a_streamed_answer_behind_a_pure_middleware(captured, framework, make):
    response = await get(framework(make, Pure, TracingMiddleware))

    assert response.text == "ab"
    assert captured.tree() == {"GET /": {"pure": {"answer": ANSWER, "middleware": {}}}}
    spans = {span.name: span for span in captured.spans}
    assert spans["GET /"].end_ns >= spans["answer"].end_ns
    assert not HELD


@pytest.mark.parametrize("framework", [starlette, fastapi])
@pytest.mark.parametrize("make", [answer, plain_answer])
async def test_a_streamed_answer_behind_a_base_http_middleware(captured, framework, make):
    response = await get(framework(make, Base, TracingMiddleware))

    assert response.text == "ab"
    assert captured.tree() == {"GET /": {"base": {"answer": ANSWER}}}
    spans = {span.name: span for span in captured.spans}
    assert spans["base"].end_ns < spans["answer"].end_ns <= spans["GET /"].end_ns
    assert not HELD


async def test_a_client_that_goes_leaves_nothing_open(captured):
    """The server stops asking for more; the generator is closed where it stands."""
    gone = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        with clew.span("answer"):
            while True:
                step("token")
                yield "a"
                gone.set()
                await asyncio.sleep(0)

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        await asyncio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "root_path": ""}
    scope["asgi"] = {"version": "3.0", "spec_version": "2.3"}
    await starlette(endless, TracingMiddleware)(scope, receive, send)
    # What was cut off is closed by asyncio, in a task of its own.
    for _ in range(20):
        await asyncio.sleep(0)
    assert not HELD
    names = {span.name for span in captured.spans}
    assert names == {"GET /", "answer", "token"}
    assert captured["answer"].parent_id == captured["GET /"].span_id


async def test_background_tasks_belong_to_the_request(captured):
    app = FastAPI()
    app.add_middleware(TracingMiddleware)

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks):
        tasks.add_task(step, "background thread")
        tasks.add_task(background)
        return "ok"

    async def background() -> None:
        await asyncio.sleep(0)
        step("background")

    await get(app)

    assert captured.tree() == {"GET /": {"background thread": {}, "background": {}}}


async def test_a_dependency_that_yields_is_a_scope(captured):
    """FastAPI makes a context manager of it; an async one runs where the endpoint does."""
    app = FastAPI()
    app.add_middleware(TracingMiddleware)

    async def session() -> AsyncIterator[str]:
        with clew.span("session"):
            step("open")
            yield "session"
            step("close")

    @app.get("/")
    async def endpoint(session: str = Depends(session)):
        step("endpoint")
        return PlainTextResponse(session)

    await get(app)

    assert captured.tree() == {"GET /": {"session": {"open": {}, "endpoint": {}, "close": {}}}}


async def test_a_plain_dependency_that_yields_holds_its_own_and_loses_no_parent(captured):
    """It is entered in a worker thread, whose context nothing comes back from; the endpoint is the request's."""
    app = FastAPI()
    app.add_middleware(TracingMiddleware)

    def session() -> Iterator[str]:
        with clew.span("session"):
            step("open")
            yield "session"

    @app.get("/")
    async def endpoint(session: str = Depends(session)):
        step("endpoint")
        return PlainTextResponse(session)

    await get(app)

    assert captured.tree() == {"GET /": {"session": {"open": {}}, "endpoint": {}}}


APP = """
import asyncio, os
import clew
from clew.asgi import TracingMiddleware
from fastapi import FastAPI, BackgroundTasks
from fastapi.responses import StreamingResponse

clew.configure()
with clew.span("import"):   # In the master, with --preload: its writer runs before the fork.
    pass
app = FastAPI()
app.add_middleware(TracingMiddleware)

def step(name):
    with clew.span(name):
        pass

async def answer():
    with clew.span("answer"):
        await asyncio.gather(asyncio.to_thread(step, "thread"))
        yield f"{os.getpid()}"
        step("after")

@app.get("/")
async def endpoint(tasks: BackgroundTasks):
    tasks.add_task(step, "background")
    tasks.add_task(clew.flush)  # A server that is stopped waits for this.
    return StreamingResponse(answer(), background=tasks)
"""


COMMANDS = {
    "uvicorn": ["uvicorn", "app:app", "--fd", "FD", "--log-level", "warning"],
    "uvicorn workers": ["uvicorn", "app:app", "--fd", "FD", "--log-level", "warning", "--workers", "2"],
    "gunicorn": ["gunicorn", "app:app", "-b", "fd://FD", "-k", "WORKER", "-w", "2"],
    "gunicorn preload": ["gunicorn", "app:app", "-b", "fd://FD", "-k", "WORKER", "-w", "2", "--preload"],
}


@pytest.fixture(params=COMMANDS)
def service(request, server, tmp_path):
    """A real server process with APP. The socket listens already, so requests wait until it is up."""
    pytest.importorskip(COMMANDS[request.param][0])
    (tmp_path / "app.py").write_text(APP)
    environ = {name: value for name, value in os.environ.items() if name != "TRACEPARENT"}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        replaced = {"FD": str(listening.fileno()), "fd://FD": f"fd://{listening.fileno()}", "WORKER": gunicorn_worker()}
        with subprocess.Popen(
            [sys.executable, "-m", *(replaced.get(part, part) for part in COMMANDS[request.param])],
            cwd=tmp_path,
            env={**environ, "CLEW_ENDPOINT": server.url},
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            yield listening.getsockname()[1], process
            if process.poll() is None:
                process.kill()


def gunicorn_worker() -> str:
    try:
        import uvicorn_worker  # noqa: F401
    except ImportError:
        return "uvicorn.workers.UvicornWorker"
    return "uvicorn_worker.UvicornWorker"


def test_the_workers_of_a_real_server(server, service):
    """However they come to be, ids differ, and each request is one tree."""
    port, process = service
    asked = 8
    for _ in range(asked):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
            assert response.read().isdigit()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)

    spans = [span for span in server.spans() if span.name != "import"]
    assert len({span.span_id for span in spans}) == len(spans) == 5 * asked, errors.decode()[-3000:]
    by_id = {span.span_id: span for span in spans}
    parents = {
        (span.name, by_id[span.parent_id].name if span.parent_id is not None else None) for span in by_id.values()
    }
    assert parents == {
        ("GET /", None),
        ("answer", "GET /"),
        ("thread", "answer"),
        ("after", "answer"),
        ("background", "GET /"),
    }
    assert len({span.trace_id for span in spans}) == asked
