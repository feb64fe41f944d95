"""The way in, with real clients: what is acknowledged is stored, once, and can be asked for."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time

import httpx
import msgspec
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}


def read(shared, project, trace_id):
    """Read one trace."""
    answer = shared.admin.get(f"/api/v1/admin/traces/{trace_id}?project={project}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def otel_key(shared, clew_command):
    """A key that writes to project "otel"."""
    return clew_command("keys", "create", "--project", "otel", "--store", shared.store_url).stdout.strip()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_an_unmodified_opentelemetry_client_is_understood(shared, otel_key, compression):
    """Two settings and a whole tree arrives, with its meaning derived."""
    exporter = OTLPSpanExporter(
        f"{shared.url}/v1/traces", headers={"authorization": f"Bearer {otel_key}"}, compression=compression
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("request") as root:
        with tracer.start_as_current_span("chat") as chat:
            chat.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5-mini"})
            chat.set_attributes({"gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3})
        with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("retrieve"):
            raise ValueError("no")
    provider.shutdown()

    body = read(shared, "otel", f"{root.get_span_context().trace_id:032x}")

    assert [(span["name"], span["depth"]) for span in body["spans"]] == [("request", 0), ("chat", 1), ("retrieve", 1)]
    assert body["trace"]["input_tokens"] == 12
    assert body["trace"]["models"] == ["gpt-5-mini"]
    chat_row, retrieve_row = body["spans"][1:]
    assert chat_row["kind"] == "generation"
    assert chat_row["resource"]["service.name"] == "shop"
    assert retrieve_row["status"] == "error"
    assert retrieve_row["events"][0]["name"] == "exception"


def test_an_opentelemetry_client_with_a_wrong_key_is_told_so(shared):
    """It does not retry a 401, and logs why."""
    exporter = OTLPSpanExporter(f"{shared.url}/v1/traces", headers={"authorization": "Bearer wrong"})
    provider = TracerProvider()
    with provider.get_tracer("tests").start_as_current_span("request") as span:
        pass

    assert exporter.export([span]) is SpanExportResult.FAILURE
    exporter.shutdown()
    provider.shutdown()


SERVICE = """
import asyncio, clew

@clew.traced(kind="retrieval")
async def retrieve(where):
    await asyncio.sleep(0.001)
    return [where]

async def main():
    with clew.span("request", kind="root", user_id="ada") as root:
        await asyncio.gather(*(retrieve(where) for where in ("messages", "documents")))
        with clew.span("ChatOpenAI", kind="generation", model="SmolLM2", input_tokens=5, output_tokens=2):
            pass
        root.outputs = "x" * 60
    print(root.trace_id)

asyncio.run(main())
"""


def test_our_own_client_needs_two_settings_and_sends_at_exit(shared, clew_command):
    """A process that ends at once still leaves its whole trace."""
    key = clew_command("keys", "create", "--project", "sdk", "--store", shared.store_url).stdout.strip()
    environ = os.environ | {"CLEW_ENDPOINT": shared.url, "CLEW_API_KEY": key}

    done = subprocess.run(
        [sys.executable, "-c", SERVICE], env=environ, capture_output=True, text=True, timeout=60, check=True
    )

    body = read(shared, "sdk", done.stdout.strip())
    assert [(span["kind"], span["depth"]) for span in body["spans"]] == [
        ("root", 0),
        ("retrieval", 1),
        ("retrieval", 1),
        ("generation", 1),
    ]
    assert body["trace"]["user_id"] == "ada"
    assert body["spans"][1]["inputs"] == {"where": "messages"}


@pytest.mark.parametrize(
    ("encode", "headers"),
    [
        (lambda body: json.dumps(body).encode(), JSON),
        (lambda body: gzip.compress(json.dumps(body).encode()), JSON | {"content-encoding": "gzip"}),
        (msgspec.msgpack.encode, {"content-type": "application/msgpack"}),
        (
            lambda body: gzip.compress(msgspec.msgpack.encode(body)),
            {"content-type": "application/msgpack", "content-encoding": "gzip"},
        ),
    ],
    ids=["json", "json gzip", "msgpack", "msgpack gzip"],
)
def test_the_native_protocol_comes_back_as_it_went(shared, project, make, encode, headers):
    """Inputs, outputs and attributes of every JSON type."""
    span = make.span(
        inputs={"question": "why?", "k": [1, 2.5, None, True]},
        outputs="because",
        attributes={"model": "m", "deep": {"er": [1]}},
        events=[{"name": "token", "at_ns": make.start_ns + 1_000_000}],
        status="ok",
    )

    answer = shared.admin.post(
        f"/api/v1/spans?project={project}",
        content=encode({"spans": [span], "resource": {"service.name": "shop"}}),
        headers=headers,
    )

    assert answer.json() == {"accepted": 1, "rejected": []}
    row = read(shared, project, span["trace_id"])["spans"][0]
    for field in ("inputs", "outputs", "status", "name", "kind"):
        assert row[field] == span[field]
    assert row["attributes"]["deep"] == {"er": [1]}
    assert row["events"][0]["at_ms"] == 1.0
    assert row["resource"] == {"service.name": "shop"}


def test_a_retry_never_duplicates(shared, project, make):
    """Each batch three times, in shuffled order: the same rows, totals and histograms as once."""
    trace_id = make.trace_id()
    root = make.span(trace_id, name="root")
    spans = [root] + [
        make.span(trace_id, kind="generation", parent_id=root["span_id"], attributes={"input_tokens": 10})
        for _ in range(9)
    ]
    batches = [spans[:5], spans[5:]] * 3
    random.Random(7).shuffle(batches)

    for batch in batches:
        answer = shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": batch}).json()
        assert answer["accepted"] == 5

    trace = read(shared, project, trace_id)["trace"]
    latency = shared.admin.get(f"/api/v1/admin/traces/metrics/latency?project={project}").json()["operations"]
    assert (trace["span_count"], trace["input_tokens"]) == (10, 90)
    assert {one["operation_type"]: one["count"] for one in latency} == {"ROOT": 1, "GENERATION": 9}


def test_spans_in_any_order_make_the_same_tree(shared, project, make):
    """A child before its parent is an orphan only until the parent comes."""
    trace_id = make.trace_id()
    root = make.span(trace_id, name="root")
    child = make.span(trace_id, name="child", kind="tool", parent_id=root["span_id"])

    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [child]})
    alone = read(shared, project, trace_id)
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [root]})
    whole = read(shared, project, trace_id)

    assert (alone["trace"]["has_root"], alone["spans"][0]["orphan"]) == (False, True)
    assert (whole["trace"]["has_root"], whole["trace"]["name"]) == (True, "root")
    assert [(span["name"], span["depth"], span["orphan"]) for span in whole["spans"]] == [
        ("root", 0, False),
        ("child", 1, False),
    ]


def test_a_span_is_acknowledged_after_it_can_be_read(shared, project, make):
    """Many clients at once share commits; none is answered before its own."""
    failures: list[str] = []

    def client() -> None:
        with httpx.Client(base_url=shared.url, headers=shared.admin.headers) as http:
            for _ in range(10):
                span = make.span()
                http.post(f"/api/v1/spans?project={project}", json={"spans": [span]}).raise_for_status()
                if http.get(f"/api/v1/admin/traces/{span['trace_id']}?project={project}").status_code != 200:
                    failures.append(span["trace_id"])

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_later_score_changes_the_flag_and_says_why(shared, project, make):
    """The user's verdict comes minutes after the answer."""
    span = make.span(outputs="x" * 80)
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [span]})
    assert read(shared, project, span["trace_id"])["trace"]["flag"] == "NORMAL"

    score = {"trace_id": span["trace_id"], "name": "rating", "value": 2, "comment": "wrong"}
    answer = shared.admin.post(f"/api/v1/scores?project={project}", json=score).json()

    assert answer["flag"] == "USER_NEGATIVE"
    assert "2 of 5" in answer["flag_reason"]
    body = read(shared, project, span["trace_id"])
    assert body["trace"]["flag"] == "USER_NEGATIVE"
    assert body["scores"][0]["comment"] == "wrong"
    better = shared.admin.post(f"/api/v1/scores?project={project}", json=score | {"value": 5}).json()
    assert better["flag"] == "NORMAL"


def test_a_score_that_comes_first_waits_for_its_trace(shared, project, make):
    """Feedback may overtake a batch that waits five seconds in the client."""
    span = make.span(outputs="x" * 80)
    score = {"trace_id": span["trace_id"], "name": "rating", "value": 1}

    assert shared.admin.post(f"/api/v1/scores?project={project}", json=score).json() == {"flag": None}
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [span]})

    assert read(shared, project, span["trace_id"])["trace"]["flag"] == "USER_NEGATIVE"


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"outputs": "short"}, "EMPTY"),
        ({"outputs": "x" * 50, "attributes": {"confidence": 0.49}}, "LOW_CONFIDENCE"),
        ({"outputs": "x" * 49, "attributes": {"confidence": 0.1}}, "EMPTY"),
        ({"outputs": "x" * 50, "attributes": {"confidence": 0.5}}, "NORMAL"),
        ({}, "NORMAL"),
    ],
)
def test_each_trace_is_flagged_as_it_is_stored(shared, project, make, fields, flag):
    """EMPTY goes before LOW_CONFIDENCE; what is not known is not held against it."""
    span = make.span(**fields)
    shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": [span]})

    trace = read(shared, project, span["trace_id"])["trace"]

    assert trace["flag"] == flag
    assert trace["flag_reason"]


def test_what_is_counted_is_shown_to_prometheus(shared, project, make):
    """Stored, duplicate and rejected spans, refused bodies, requests by route."""

    def figure(name: str) -> float:
        lines = shared.anybody.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)

    names = [f'clew_spans_total{{outcome="{outcome}"}}' for outcome in ("stored", "duplicate", "rejected")]
    names.append('clew_requests_total{method="POST",route="/api/v1/spans",status="200"}')
    names.append('clew_bodies_refused_total{cause="MalformedBody"}')
    before = [figure(name) for name in names]
    span = make.span()

    for batch in ([span, make.span(trace_id="0" * 32)], [span]):
        shared.admin.post(f"/api/v1/spans?project={project}", json={"spans": batch})
    shared.admin.post(f"/api/v1/spans?project={project}", content=b"{", headers=JSON)

    assert [after - was for after, was in zip(map(figure, names), before, strict=True)] == [1, 1, 1, 2, 1]


def test_over_capacity_is_503_and_says_when_to_come_back(serve, make):
    """All bodies together are bounded, also while they arrive; what was refused can be sent again."""
    running = serve(CLEW_MAX_QUEUE_BYTES="2000")
    body = json.dumps({"spans": [make.span(inputs="x" * 1_000)]}).encode()

    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as slow:
        slow.sendall(
            b"POST /api/v1/spans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1800\r\n\r\n" + b" " * 1_500
        )
        _eventually(lambda: "503" in _status(running, "/api/v1/spans", body, JSON))
        answer = running.anybody.post("/v1/traces", content=body, headers=PROTOBUF)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
    _eventually(lambda: "200" in _status(running, "/api/v1/spans", body, JSON))


def test_a_body_larger_than_the_whole_queue_is_413(serve):
    """503 would make its client try for ever."""
    running = serve(CLEW_MAX_QUEUE_BYTES="2000")

    assert "413" in _status(running, "/api/v1/spans", b" " * 2_001, JSON)


def _status(running, path, body, headers):
    return str(running.anybody.post(path, content=body, headers=headers).status_code)


def _eventually(holds):
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
