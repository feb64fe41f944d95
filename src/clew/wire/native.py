"""
Clew's own protocol: `POST /api/v1/spans`, JSON or MessagePack.

    {"resource": {"service.name": "shop"},
     "spans":  [{"trace_id": "…32 hex…", "span_id": "…16 hex…", "parent_id": "…16 hex…",
                 "name": "ChatOpenAI", "kind": "generation",
                 "start_ns": 1763700000000000000, "end_ns": 1763700001000000000,
                 "status": "ok", "attributes": {"model": "gpt-5-mini"}, "inputs": …, "outputs": …}],
     "scores": [{"trace_id": "…", "name": "rating", "value": 2, "best": 5}]}

Only ids, a name and a start are needed. The answer is 200 with
`{"accepted": n, "rejected": [{"index": i, "error": "…"}]}`, after the commit: a bad span
costs itself and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from clew.model import Event, Kind, Link, Score, Span, Status
from clew.wire import Decoded


class NativeSpan(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A span as the SDK sends it: what the client knows, nothing derived."""

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    parent_id: str | None = None
    kind: Kind = "other"
    end_ns: int | None = None
    status: Status = "unset"
    status_message: str = ""
    attributes: dict[str, Any] = {}
    inputs: Any = None
    outputs: Any = None
    events: list[Event] = []
    links: list[Link] = []
    problems: list[str] = []
    """What the SDK had to mend or cut, in words."""
    scope: str = ""
    """The instrumentation that made it, and its version."""
    otel_kind: str = ""
    """OpenTelemetry's SpanKind in lower case: internal, server, client, producer, consumer."""


class NativeBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request."""

    spans: list[NativeSpan] = []
    scores: list[Score] = []
    resource: dict[str, Any] = {}


def read_spans(packed: Sequence[bytes], *, received_ns: int) -> list[Span]:
    """
    Read single spans in MessagePack as a server that received them at *received_ns* (Unix) would keep them.

    What cannot be read is left out.
    """
    from clew.wire import native_reader

    return native_reader.read_spans(packed, received_ns=received_ns)


def decode(body: bytes, content_type: str) -> Decoded:
    """
    Read *body*, JSON or MessagePack by its *content_type*.

    Raises:
        UnsupportedMedia: another content type.
        MalformedBody: the body as a whole cannot be read.
    """
    # Imported here, since the SDK imports this module, writes only, and should start fast.
    from clew.wire import native_reader

    return native_reader.decode(body, content_type)
