"""Three real instrumentations from PyPI on clew.otel: httpx's, FastAPI's and OpenInference's for OpenAI."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import OpenAI
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider as SdkProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from starlette.background import BackgroundTask

import clew
import clew.asgi
import clew.otel
from clew.sdk import setup

WORDS = ["At", " nine", "."]
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


class FakeOpenAI(BaseHTTPRequestHandler):
    """Answers a chat completion, whole or streamed, and notes the headers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append(dict(self.headers))  # type: ignore[attr-defined]
        kind, body = ("text/event-stream", _stream()) if asked.get("stream") else ("application/json", _whole())
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _whole() -> bytes:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(_answer("chat.completion", [choice], USAGE)).encode()


def _stream() -> bytes:
    chunks = [_answer("chat.completion.chunk", [{"index": 0, "delta": {"content": word}}]) for word in WORDS]
    chunks.append(_answer("chat.completion.chunk", [{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    chunks.append(_answer("chat.completion.chunk", [], USAGE))
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def _answer(kind: str, choices: list[Any], usage: Any = None) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": "gpt-5-mini", "choices": choices, "usage": usage}


@pytest.fixture(scope="module")
def fake() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeOpenAI)
    server.headers = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ask(fake: Any) -> Iterator[Any]:
    """Ask the model: a function of OpenAI's own client."""
    with OpenAI(api_key="none", base_url=f"http://127.0.0.1:{fake.server_port}/v1", max_retries=0) as client:
        messages = [{"role": "user", "content": "When does the shop open?"}]

        def ask(**options: Any) -> Any:
            return client.chat.completions.create(model="gpt-5-mini", messages=messages, **options)  # type: ignore[call-overload]

        yield ask


@pytest.fixture
def key(shared: Any, clew_command: Any, project: str) -> str:
    """A key that writes to the test's project."""
    return str(clew_command("keys", "create", "--project", project, "--store", shared.store_url).stdout.strip())


@pytest.fixture
def instrumented(shared: Any, key: str) -> Iterator[None]:
    """Clew sends to a real server, OpenTelemetry runs on it, and httpx and OpenAI are instrumented."""
    before = context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done
    propagator = propagate.get_global_textmap()
    clew.configure(shared.url, api_key=key, service="shop")
    clew.otel.install()
    HTTPXClientInstrumentor().instrument()
    OpenAIInstrumentor().instrument()
    yield
    OpenAIInstrumentor().uninstrument()
    HTTPXClientInstrumentor().uninstrument()
    _restore_background_tasks()
    setup.forget()
    context._RUNTIME_CONTEXT, trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE._done = before
    propagate.set_global_textmap(propagator)


def _restore_background_tasks() -> None:
    """`instrument_app` also patches Starlette's class, for every app; tests that follow must not have it."""
    if hasattr(BackgroundTask, "_otel_original_call"):
        BackgroundTask.__call__ = BackgroundTask._otel_original_call  # type: ignore[method-assign]
        del BackgroundTask._otel_original_call


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve over a real socket, by uvicorn in a thread. When it has stopped, its spans have ended."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def an_app(ask: Any, **options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/answer")
    def answer() -> str:
        with clew.span("think", kind="chain"):
            return str(ask().choices[0].message.content)

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def words() -> Iterator[str]:
            with clew.span("think", kind="chain"):
                for chunk in ask(stream=True, stream_options={"include_usage": True}):
                    if chunk.choices and chunk.choices[0].delta.content:
                        yield chunk.choices[0].delta.content

        return StreamingResponse(words())

    return app


def asked(app: Any, path: str = "/answer") -> str:
    """Ask the app through httpx, in a trace of its own; gives the trace's id."""
    with served(app) as url, clew.span("user", kind="root") as user:
        assert httpx.get(url + path, timeout=30).text.strip('"') == "".join(WORDS)
    return user.trace_id


def stored(shared: Any, project: str, trace_id: str) -> list[dict[str, Any]]:
    """The trace's spans, as the server gives them back."""
    assert clew.flush(10)
    answer = shared.admin.get(f"/api/v1/admin/traces/{trace_id}?project={project}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["spans"])


def chain(spans: list[dict[str, Any]]) -> list[str]:
    """The names from the one root down to the model; fails for a span that hangs elsewhere."""
    known = {span["span_id"]: span for span in spans}
    assert [span["name"] for span in spans if span["parent_id"] not in known] == [spans[0]["name"]]
    (span,) = [span for span in spans if span["name"] == OPENAI]
    names = [span["name"]]
    while span["parent_id"] is not None:
        span = known[span["parent_id"]]
        names.append(span["name"])
    return names[::-1]


OPENAI = "ChatCompletion"


def test_the_three_run_in_one_tree(shared, project, instrumented, ask, fake):
    """httpx's span in the client, FastAPI's in the server, Clew's in the handler, OpenInference's of the model."""
    app = an_app(ask, **native(False))
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])

    spans = stored(shared, project, asked(app))
    by_name = {span["name"]: span for span in spans}

    assert chain(spans) == ["user", "GET", "GET /answer", "think", OPENAI]
    kinds = [by_name[name]["otel_kind"] for name in ("user", "GET", "GET /answer", OPENAI)]
    assert kinds == ["", "client", "server", "internal"]
    assert by_name["GET"]["scope"].startswith("opentelemetry.instrumentation.httpx ")
    model = by_name[OPENAI]
    derived = [model[name] for name in ("kind", "model", "input_tokens", "output_tokens")]
    assert derived == ["generation", "gpt-5-mini", 12, 3]
    assert model["inputs"] == [{"role": "user", "content": "When does the shop open?"}]
    assert model["outputs"] == [{"role": "assistant", "content": "At nine."}]
    assert model["resource"]["service.name"] == "shop"


def native(on: bool) -> dict[str, Any]:
    """Options for FastAPI's own spans, which came with 0.165; before, there is nothing to switch."""
    import inspect

    return {"telemetry": {"tracing": on}} if "telemetry" in inspect.signature(FastAPI.__init__).parameters else {}


@pytest.mark.skipif(not native(True), reason="this FastAPI opens no spans of its own")
@pytest.mark.parametrize("middleware", ["none", "inside", "outside"])
def test_fastapis_own_spans_join_once(shared, project, instrumented, ask, middleware):
    """It opens them under any global provider, and reads the headers that Clew's middleware reads too."""
    app: Any = an_app(ask, **native(True))
    if middleware == "inside":
        app.add_middleware(clew.asgi.TracingMiddleware, name="request")
    elif middleware == "outside":
        app = clew.asgi.TracingMiddleware(app, name="request")
    orders = {"none": ["GET /answer"], "inside": ["GET /answer", "request"], "outside": ["request", "GET /answer"]}
    request = orders[middleware]

    with_header = stored(shared, project, asked(app))
    HTTPXClientInstrumentor().uninstrument()
    with served(app) as url:
        trace_id = httpx.get(url + "/answer", timeout=30).headers.get("x-trace-id")

    assert chain(with_header) == ["user", "GET", *request, "fastapi.endpoint", "think", OPENAI]
    assert [span["otel_kind"] for span in with_header].count("server") == 1
    if middleware != "none":
        without = stored(shared, project, trace_id)
        assert chain(without) == [*request, "fastapi.endpoint", "think", OPENAI]


def test_both_instrumentations_of_fastapi_make_one_span(shared, project, instrumented, ask):
    """Its own steps back where OpenTelemetry's is there."""
    app = an_app(ask)
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])

    spans = stored(shared, project, asked(app))

    assert [span["otel_kind"] for span in spans].count("server") == 1
    assert chain(spans)[-2:] == ["think", OPENAI]


def test_a_streamed_answer_is_inside_to_its_last_byte(shared, project, instrumented, ask):
    """The generator runs step by step in other threads, under a span that is open across its yields."""
    app = an_app(ask, **native(False))
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"])

    spans = stored(shared, project, asked(app, "/stream"))
    by_name = {span["name"]: span for span in spans}

    assert chain(spans) == ["user", "GET", "GET /stream", "think", OPENAI]
    ends = [by_name[name]["start_ms"] + by_name[name]["duration_ms"] for name in ("GET /stream", "think", OPENAI)]
    assert ends == sorted(ends, reverse=True)
    assert by_name[OPENAI]["output_tokens"] == 3


def test_the_model_is_told_who_called(instrumented, fake, ask):
    """What the instrumented client sends names the span that is current, whoever opened it."""
    with clew.span("call") as span:
        sent: dict[str, str] = {}
        propagate.inject(sent)
        assert httpx.post(f"http://127.0.0.1:{fake.server_port}/", json={}).status_code == 200
    arrived = {name.lower(): value for name, value in fake.headers[-1].items()}["traceparent"]

    assert arrived.split("-")[1] == span.trace_id
    assert arrived.split("-")[2] != span.span_id  # httpx's own span lies between.
    assert sent == {"traceparent": span.traceparent}


def test_the_store_holds_what_it_holds_over_otlp(shared, project, key, instrumented, ask):
    """The same instrumented call, once on Clew and once on OpenTelemetry's SDK with its exporter."""
    with clew.span("ours") as ours:
        ask()
    OpenAIInstrumentor().uninstrument()
    provider = SdkProvider()
    exporter = OTLPSpanExporter(f"{shared.url}/v1/traces", headers={"authorization": f"Bearer {key}"})
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with clew.span("theirs") as theirs:
        ask()
    provider.shutdown()

    one, other = (
        {span["name"]: span for span in stored(shared, project, span.trace_id)}[OPENAI] for span in (ours, theirs)
    )
    varying = {"span_id", "parent_id", "start_ns", "start_ms", "started_at", "duration_ms", "resource"}
    assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} <= varying
    assert one["attributes"] == other["attributes"]


def test_nothing_of_all_this_asks_for_a_setting() -> None:
    """A developer's OTEL_* variables would decide what is tested here."""
    assert [name for name in os.environ if name.startswith("OTEL_")] == []
