"""The middleware, under real Starlette and FastAPI applications."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

import clew
from clew.asgi import TracingMiddleware
from clew.logs import TraceIdFilter

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def get(app, path="/", *, raises=True, **headers) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=raises)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


def app_of(endpoint, path="/", **kwargs) -> TracingMiddleware:
    return TracingMiddleware(Starlette(routes=[Route(path, endpoint)], **kwargs))


async def plain(request) -> PlainTextResponse:
    with clew.span("work"):
        pass
    return PlainTextResponse("ok")


async def test_a_request_is_one_root_span(captured):
    response = await get(app_of(plain), "/?secret=1")

    root = captured["GET /"]
    assert captured.tree() == {"GET /": {"work": {}}}
    assert root.kind == "root"
    assert root.parent_id is None
    assert root.status == "ok"
    assert root.attributes == {
        "http.request.method": "GET",
        "url.path": "/",
        "http.response.status_code": 200,
    }
    assert response.headers["x-trace-id"] == root.trace_id
    assert response.headers["traceparent"] == f"00-{root.trace_id}-{root.span_id}-01"


async def test_the_callers_trace_is_continued(captured):
    response = await get(app_of(plain), traceparent=TRACEPARENT)

    assert captured["GET /"].trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert captured["GET /"].parent_id == "00f067aa0ba902b7"
    assert response.headers["x-trace-id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "header", ["", "garbage", TRACEPARENT[:-1], "ff" + TRACEPARENT[2:], "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "é"]
)
async def test_a_malformed_traceparent_is_as_none(captured, header, caplog):
    response = await get(app_of(plain), traceparent=header.encode())

    assert response.status_code == 200
    assert captured["GET /"].parent_id is None
    assert caplog.text == ""


async def test_what_is_ambient_at_the_server_is_no_parent(captured):
    """A server that was started inside of a span would put all of its requests into one trace."""
    with clew.span("around"):
        await get(app_of(plain))

    assert captured["GET /"].parent_id is None


async def test_it_is_named_by_the_route_template(captured):
    """The path of each document would make a name of its own, and no percentile of anything."""
    app = FastAPI()
    app.add_middleware(TracingMiddleware)

    @app.get("/documents/{doc_id}")
    async def document(doc_id: str) -> str:
        return doc_id

    await get(app, "/documents/7")

    assert captured["GET /documents/{doc_id}"].attributes["url.path"] == "/documents/7"


async def test_a_mounted_apps_route_has_the_mounts_prefix(captured):
    inner = FastAPI()
    inner.add_api_route("/items/{item}", lambda item: item)
    await get(TracingMiddleware(Starlette(routes=[Mount("/api", inner)])), "/api/items/7")

    assert captured["GET /api/items/{item}"]


async def test_a_path_that_no_route_knows_is_shown_as_it_is(captured):
    response = await get(app_of(plain), "/nowhere")

    assert response.status_code == 404
    assert captured["GET /nowhere"].status == "ok"
    assert captured["GET /nowhere"].attributes["http.response.status_code"] == 404


async def test_a_name_can_be_given(captured):
    await get(TracingMiddleware(Starlette(routes=[Route("/", plain)]), name="front door"))

    assert captured["front door"]


async def test_a_streamed_body_runs_inside_and_the_last_byte_ends_the_span(captured):
    """Whatever ends with the response's start hides the whole of the generation."""
    ended_while_streaming = []

    async def body():
        for n in range(3):
            with clew.span(f"token {n}"):
                await asyncio.sleep(0)
            ended_while_streaming.append("GET /" in {span.name for span in captured.spans})
            yield f"{n}\n"

    async def stream(request):
        return StreamingResponse(body())

    response = await get(app_of(stream))

    assert response.text == "0\n1\n2\n"
    assert ended_while_streaming == [False, False, False]
    assert captured.tree() == {"GET /": {"token 0": {}, "token 1": {}, "token 2": {}}}
    assert captured["GET /"].end_ns >= captured["token 2"].end_ns


async def test_background_tasks_are_in_the_tree_and_not_in_the_duration(captured):
    ended_before_the_task = []

    async def later() -> None:
        ended_before_the_task.append("GET /" in {span.name for span in captured.spans})
        with clew.span("later"):
            pass

    async def endpoint(request):
        return JSONResponse({}, background=BackgroundTask(later))

    await get(app_of(endpoint))

    assert ended_before_the_task == [True]
    assert captured.tree() == {"GET /": {"later": {}}}
    assert captured["GET /"].end_ns <= captured["later"].start_ns


async def test_fastapi_dependencies_threads_and_tasks_are_in_the_tree(captured):
    app = FastAPI()
    app.add_middleware(TracingMiddleware)

    async def dependency():
        with clew.span("dependency"):
            yield 1

    def later() -> None:
        clew.span("later").end()

    @app.get("/")
    def endpoint(tasks: BackgroundTasks, one: int = Depends(dependency)) -> int:
        tasks.add_task(later)
        clew.span("in a thread").end()
        return one

    await get(app)

    names = {span.name for span in captured.spans}
    assert names == {"GET /", "dependency", "in a thread", "later"}
    assert {span.trace_id for span in captured.spans} == {captured["GET /"].trace_id}
    assert "GET /" in captured.tree()
    assert len(captured.tree()) == 1


@pytest.mark.parametrize("outermost", [True, False], ids=["around the app", "added to the app"])
async def test_a_crash_is_an_error_and_goes_on_as_the_same_object(captured, outermost):
    error = ValueError("no model")

    async def endpoint(request):
        raise error

    app = Starlette(routes=[Route("/", endpoint)])
    if outermost:
        app = TracingMiddleware(app)
    else:
        app.add_middleware(TracingMiddleware)
    with pytest.raises(ValueError) as caught:
        await get(app)

    assert caught.value is error
    root = captured["GET /"]
    assert (root.status, root.status_message) == ("error", "no model")
    assert root.events[0].attributes["exception.type"] == "ValueError"


async def test_a_500_without_an_exception_is_an_error(captured):
    async def endpoint(request):
        return PlainTextResponse("down", status_code=503)

    await get(app_of(endpoint))

    root = captured["GET /"]
    assert (root.status, root.status_message) == ("error", "HTTP 503")


async def test_a_stream_that_breaks_is_an_error(captured):
    async def body():
        yield "a"
        raise ValueError("the model died")

    async def stream(request):
        return StreamingResponse(body())

    with pytest.raises(ValueError):
        await get(app_of(stream))

    assert captured["GET /"].status_message == "the model died"


async def test_a_client_that_goes_away_ends_the_span(captured):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await TracingMiddleware(app)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)

    assert captured["GET /"].events[0].name == "client disconnected"
    assert not clew.current_span()


async def test_two_middlewares_make_one_root(captured):
    app = Starlette(routes=[Route("/", plain)])
    app.add_middleware(TracingMiddleware)
    await get(TracingMiddleware(app))

    assert captured.tree() == {"GET /": {"work": {}}}


async def test_requests_side_by_side_do_not_mix(captured):
    async def endpoint(request):
        with clew.span("work"):
            await asyncio.sleep(0)
        return PlainTextResponse(clew.current_span().trace_id)

    app = app_of(endpoint)
    responses = await asyncio.gather(*(get(app) for _ in range(10)))

    assert len({response.text for response in responses}) == 10
    assert all(response.text == response.headers["x-trace-id"] for response in responses)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_http_request_passes_through_untouched(captured, kind):
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    scope, receive, send = {"type": kind}, object(), object()
    await TracingMiddleware(app)(scope, receive, send)

    assert seen == [({"type": kind}, receive, send)]
    assert captured.spans == []


async def test_nothing_is_added_when_tracing_is_off(captured):
    clew.configure(enabled=False)
    response = await get(app_of(plain))

    assert response.text == "ok"
    assert "x-trace-id" not in response.headers
    assert captured.spans == []


async def test_the_apps_own_header_of_that_name_is_replaced(captured):
    """Behind a proxy that copies headers back, the client would see another trace's id."""

    async def endpoint(request):
        return PlainTextResponse("", headers={"X-Trace-Id": "theirs"})

    response = await get(app_of(endpoint))

    assert response.headers.get_list("x-trace-id") == [captured["GET /"].trace_id]


async def test_log_records_of_a_request_carry_its_ids(captured, caplog):
    caplog.handler.addFilter(TraceIdFilter())

    async def endpoint(request):
        logging.getLogger("app").warning("here")
        return PlainTextResponse("")

    await get(app_of(endpoint))

    (record,) = [record for record in caplog.records if record.name == "app"]
    assert record.trace_id == captured["GET /"].trace_id
    assert record.span_id == captured["GET /"].span_id
