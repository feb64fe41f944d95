"""
A local server that takes what every SDK sends, so that exporters do their real work.

It answers at once, keeps the bodies, and decodes them only when asked how many spans came
(`GET /_arrived`): decoding while others are timed would cost them processor time.
`SINK_DISCARD=1` keeps nothing: the ceiling of a load generator. With `SINK_DELAY_S=2` it takes
so many seconds for each answer.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

LANGSMITH_INFO = {
    "version": "0.18.0",
    "batch_ingest_config": {
        "use_multipart_endpoint": True,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
    },
    "instance_flags": {"zstd_compression_enabled": True},
}

DATADOG_INFO = {"endpoints": ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/info"], "client_drop_p0s": False}

kept: list[tuple[str, str, bytes]] = []
"""Path, content encoding, body."""
keeps = not os.environ.get("SINK_DISCARD")
delay_s = float(os.environ.get("SINK_DELAY_S", "0"))


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answer as the server that is meant by the path would."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, kind, answer = answer_to(scope["path"])
    if delay_s and scope["method"] != "GET":
        await asyncio.sleep(delay_s)
    if keeps and scope["method"] in ("POST", "PUT"):
        encoding = dict(scope["headers"]).get(b"content-encoding", b"").decode()
        kept.append((scope["path"], encoding, body))
    headers = [(b"content-type", kind), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def answer_to(path: str) -> tuple[int, bytes, bytes]:
    """Status, content type and body for *path*."""
    if path == "/v1/traces":
        return 200, b"application/x-protobuf", b""
    if path == "/_arrived":
        return 200, b"application/json", json.dumps(arrived()).encode()
    if path == "/info":
        return 200, b"application/json", json.dumps(LANGSMITH_INFO | DATADOG_INFO).encode()
    if path.startswith("/v0."):
        return 200, b"application/json", b'{"rate_by_service":{}}'
    if path.startswith("/runs"):
        return 202, b"application/json", b"{}"
    return 200, b"application/json", b'{"accepted":0,"rejected":[]}'


def arrived() -> dict[str, int]:
    """How many spans, requests and bytes have come; a span that came twice counts once."""
    spans: set[Any] = set()
    for path, encoding, body in kept:
        read = next((read for start, read in READERS.items() if path.startswith(start)), None)
        if read is not None:
            spans.update(read(inflated(body, encoding)))
    return {"spans": len(spans), "requests": len(kept), "bytes": sum(len(body) for _, _, body in kept)}


def inflated(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was compressed."""
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding == "zstd":
        import zstandard

        # As a stream, since langsmith's frames do not say how long they are.
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def otlp_spans(body: bytes) -> Iterator[Any]:
    """The ids of the spans of one OTLP request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest.FromString(body)
    return (
        (span.trace_id, span.span_id)
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def langsmith_runs(body: bytes) -> Iterator[Any]:
    """Ids of the runs that one multipart or batch request names; a run comes in one or two parts."""
    named = re.findall(rb'name="(?:post|patch)\.([0-9a-f-]{36})"|"id": ?"([0-9a-f-]{36})"', body)
    return ((part or batch).decode() for part, batch in named)


def datadog_spans(body: bytes) -> Iterator[Any]:
    """The ids of the spans of one request to a Datadog agent, of version 0.4 or 0.5."""
    import msgspec

    traces = msgspec.msgpack.decode(body, strict=False)
    if traces and isinstance(traces[0], list) and traces[0] and isinstance(traces[0][0], str):
        traces = traces[1]  # 0.5: the texts come first, and spans are lists that point to them.
    for trace in traces:
        for span in trace:
            yield (span["trace_id"], span["span_id"]) if isinstance(span, dict) else (span[3], span[4])


def native_spans(body: bytes) -> Iterator[Any]:
    """The ids of the spans of one body of Clew's own protocol, JSON or MessagePack."""
    import msgspec

    decode = msgspec.json.decode if body[:1] == b"{" else msgspec.msgpack.decode
    return ((span["trace_id"], span["span_id"]) for span in decode(body)["spans"])


READERS: dict[str, Callable[[bytes], Iterator[Any]]] = {
    "/v1/traces": otlp_spans,
    "/runs": langsmith_runs,
    "/api/v1/spans": native_spans,
    "/v0.": datadog_spans,
}
"""Who reads what was sent, by how the path begins."""
