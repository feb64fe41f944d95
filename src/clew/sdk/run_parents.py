"""
Where a LangSmith run hangs: ids, dotted orders, headers, and all that may stand as `parent=`.

A run's id is a UUID whose last 8 bytes are the span id; a trace's UUID is its 16 bytes. A dotted
order names the runs from the root down, `20260131T101500000000Z<uuid>.20260131T...`, so its first
UUID gives the trace and its last the span. Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple
from uuid import UUID

from clew.errors import MalformedId
from clew.sdk.ambient import NO_PARENT, SpanContext
from clew.sdk.kept import is_a
from clew.sdk.outbox import outbox
from clew.sdk.run_payload import shown

LOW: Final = (1 << 64) - 1
UUID_CHARS: Final = 36
DOTTED_ORDER_HEADER: Final = "langsmith-trace"
_BAGGAGE: Final = {"langsmith-metadata": "metadata", "langsmith-tags": "tags", "langsmith-project": "project"}


class Baggage(NamedTuple):
    """What travels beside the ids."""

    metadata: dict[str, Any]
    tags: list[str]
    project: str | None


def parent_span(parent: Any) -> Any:
    """
    Give what `ActiveSpan(parent=...)` takes for the *parent* of a LangSmith call; None for the ambient one.

    A run (ours or the real SDK's), a span, a SpanContext, a traceparent, a dotted order, or headers.
    False and "ignore" begin a new trace.
    """
    if parent is None or parent is NO_PARENT:
        return parent
    if parent is False or (type(parent) is str and parent == "ignore"):
        return NO_PARENT
    try:
        return _span_of(parent)
    except Exception as error:
        outbox.complain("run parent", f"parent= ignored: {shown(error)}")
        return None


def _span_of(parent: Any) -> Any:
    if is_a(parent, (str, bytes)):
        return _from_text(parent.decode() if is_a(parent, bytes) else parent)
    if is_a(parent, Mapping):
        return _from_headers(parent)
    if hasattr(parent, "__clew_span__"):
        return parent.__clew_span__
    order = getattr(parent, "dotted_order", None)
    return _from_text(order) if is_a(order, str) and order else parent


def _from_text(text: str) -> SpanContext | None:
    try:
        if text.count("-") == 3:
            return SpanContext.from_traceparent(text)
        return span_context_of(text)
    except (MalformedId, ValueError):
        outbox.complain("run parent", f"parent= ignored: neither a traceparent nor a dotted order: {text[:120]!r}")
        return None


def _from_headers(headers: Mapping[Any, Any]) -> SpanContext | None:
    """Headers without a trace in them leave the ambient parent: a middleware may have read them already."""
    for wanted in ("traceparent", DOTTED_ORDER_HEADER):
        text = header(headers, wanted)
        if text:
            return _from_text(text.strip())
    return None


def header(headers: Mapping[Any, Any], wanted: str) -> str | None:
    """Look *wanted* up, whatever the case, in text or bytes as ASGI has them."""
    for name, value in headers.items():
        if _text(name).lower() == wanted:
            return _text(value)
    return None


def _text(value: Any) -> str:
    return value.decode("latin-1") if is_a(value, bytes) else str(value)


def span_context_of(dotted_order: str) -> SpanContext:
    """
    Read a dotted order.

    Raises:
        ValueError, MalformedId: it is not one, or holds an id of zeros.
    """
    parts = dotted_order.strip().split(".")
    first, last = UUID(parts[0][-UUID_CHARS:]), UUID(parts[-1][-UUID_CHARS:])
    return SpanContext(f"{first.int:032x}", f"{last.int & LOW:016x}")


def dotted_part(started_ns: int, run_id: UUID) -> str:
    """Write one run's part of a dotted order."""
    return f"{moment(started_ns).strftime('%Y%m%dT%H%M%S%fZ')}{run_id}"


def moment(unix_ns: int) -> datetime:
    """Give Unix nanoseconds as LangSmith has times."""
    return datetime.fromtimestamp(unix_ns / 1e9, tz=timezone.utc)


def run_uuid(trace: int, span: int) -> UUID:
    """Give a span's run id: the trace's first 8 bytes and the span id, so that it can be told again anywhere."""
    return UUID(int=(trace >> 64 << 64) | span)


def given_uuid(value: Any) -> UUID | None:
    """Give the id that the user chose; None if there is none, or none that a span could bear."""
    if value is None:
        return None
    try:
        found = value if is_a(value, UUID) else UUID(str(value))
    except Exception:
        outbox.complain("run_id", "run_id= ignored: it is no UUID")
        return None
    if not found.int & LOW:
        outbox.complain("run_id", f"run_id= ignored: the last 8 bytes of {found} are zeros, which is no span id")
        return None
    return found


def headers_of(traceparent: str, dotted_order: str, baggage: Baggage) -> dict[str, str]:
    """Write the headers that make a run in another process a child of this one."""
    headers = {DOTTED_ORDER_HEADER: dotted_order, "traceparent": traceparent}
    try:
        if written := _written(baggage):
            headers["baggage"] = written
    except Exception as error:
        outbox.complain("baggage", f"metadata and tags were left out of the headers: {shown(error)}")
    return headers


def _written(baggage: Baggage) -> str:
    import json
    from urllib.parse import quote

    items = []
    if baggage.metadata:
        items.append(f"langsmith-metadata={quote(json.dumps(baggage.metadata, default=str))}")
    if baggage.tags:
        items.append(f"langsmith-tags={quote(','.join(map(str, baggage.tags)))}")
    if baggage.project:
        items.append(f"langsmith-project={quote(baggage.project)}")
    return ",".join(items)


def baggage_of(headers: Any) -> Baggage:
    """Read metadata, tags and project from headers; what cannot be read is left out."""
    found: dict[str, str] = {}
    try:
        from urllib.parse import unquote

        for item in (header(headers, "baggage") or "").split(","):
            name, _, value = item.strip().partition("=")
            if name in _BAGGAGE:
                found[_BAGGAGE[name]] = unquote(value)
        tags = found["tags"].split(",") if "tags" in found else []
        return Baggage(_metadata(found.get("metadata")), tags, found.get("project"))
    except Exception as error:
        outbox.complain("baggage", f"a baggage header could not be read: {shown(error)}")
        return Baggage({}, [], None)


def _metadata(text: str | None) -> dict[str, Any]:
    import json

    try:
        read = json.loads(text) if text else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
