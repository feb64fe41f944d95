"""
A local server that takes what every SDK sends, so that exporters do their real work.

It answers at once, keeps the bodies, and decodes them only when asked how many spans came
(`GET /_arrived`): decoding while others are timed would cost them processor time.
`SINK_DISCARD=1` keeps nothing: the ceiling of a load generator.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Awaitable, Callable
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

kept: list[tuple[str, str, bytes]] = []
"""Path, content encoding, body."""
keeps = not os.environ.get("SINK_DISCARD")


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
    if keeps and scope["method"] == "POST":
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
        return 200, b"application/json", json.dumps(LANGSMITH_INFO).encode()
    if path.startswith("/runs"):
        return 202, b"application/json", b"{}"
    return 200, b"application/json", b'{"accepted":0,"rejected":[]}'


def arrived() -> dict[str, int]:
    """How many spans, requests and bytes have come."""
    runs: set[str] = set()
    spans = 0
    for path, encoding, body in kept:
        plain = inflated(body, encoding)
        if path == "/v1/traces":
            spans += otlp_spans(plain)
        elif path.startswith("/runs"):
            runs |= langsmith_runs(plain)
        elif path == "/api/v1/spans":
            spans += native_spans(plain)
    return {"spans": spans + len(runs), "requests": len(kept), "bytes": sum(len(body) for _, _, body in kept)}


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


def otlp_spans(body: bytes) -> int:
    """Spans of one OTLP request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest.FromString(body)
    return sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)


def langsmith_runs(body: bytes) -> set[str]:
    """Ids of the runs that one multipart or batch request names; a run comes in one or two parts."""
    named = re.findall(rb'name="(?:post|patch)\.([0-9a-f-]{36})"|"id": ?"([0-9a-f-]{36})"', body)
    return {(part or batch).decode() for part, batch in named}


def native_spans(body: bytes) -> int:
    """Spans of one body of Clew's own protocol, JSON or MessagePack."""
    import msgspec

    decode = msgspec.json.decode if body[:1] == b"{" else msgspec.msgpack.decode
    return len(decode(body)["spans"])
