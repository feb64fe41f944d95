"""
OTLP over HTTP in protobuf: `POST /v1/traces`, ExportTraceServiceRequest and -Response.

Resource and scope are kept with each span, attributes as they came. A span whose ids OTLP calls
invalid, or which cannot be parsed, is rejected alone and told of in `partial_success`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from clew.config import MAX_VALUE_CHARS
from clew.errors import MalformedBody
from clew.model import Event, Link, Span, Status
from clew.model.ids import ZERO_SPAN, ZERO_TRACE
from clew.wire import Decoded, Rejection
from clew.wire import otlp_messages as otlp
from clew.wire.conventions import derive
from clew.wire.mend import clean_resource, mend, mend_parent, note
from clew.wire.otlp_messages import attributes_of, text_of
from clew.wire.values import MAX_KEY_CHARS, clean_text

_MAX_ERRORS_TOLD = 5

_STATUS: tuple[Status, ...] = ("unset", "ok", "error")
_OTEL_KINDS = ("", "internal", "server", "client", "producer", "consumer")


def decode(body: bytes) -> Decoded:
    """
    Read an ExportTraceServiceRequest.

    Raises:
        MalformedBody: it is not one, or it is cut short.
    """
    reader = _Reader()
    try:
        request = otlp.Request.FromString(body)
    except DecodeError as error:
        reader.read_damaged(body, error)
        return reader.decoded()
    _must_hold_something(body, request)
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scoped in group.scope_spans:
            reader.read(scoped.spans, resource, scoped.scope)
    return reader.decoded()


def encode_response(rejected: list[Rejection]) -> bytes:
    """Write the answer: empty if all was taken, `partial_success` if not. Clients do not retry it."""
    response = ExportTraceServiceResponse()
    if rejected:
        told = "; ".join(each.error for each in rejected[:_MAX_ERRORS_TOLD])
        more = f"; and {len(rejected) - _MAX_ERRORS_TOLD} more" if len(rejected) > _MAX_ERRORS_TOLD else ""
        response.partial_success.rejected_spans = len(rejected)
        response.partial_success.error_message = told + more
    return bytes(response.SerializeToString())


class _Reader:
    """Collects the spans of one request."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._rejected: list[Rejection] = []
        self._index = 0
        self._received_ns = time.time_ns()
        self._max_chars = MAX_VALUE_CHARS.read()

    def decoded(self) -> Decoded:
        return Decoded(self._spans, [], self._rejected)

    def read(self, messages: Iterable[Any], resource: dict[str, Any], scope: Any) -> None:
        """Take the spans of one scope, which share *resource*."""
        if scope.attributes:
            about = attributes_of(scope.attributes)
            resource = {**resource, **{f"otel.scope.{key}": value for key, value in about.items()}}
        resource = clean_resource(resource, self._max_chars)
        scope_name = clean_text(f"{text_of(scope.name)} {text_of(scope.version)}".strip(), MAX_KEY_CHARS)
        opened = otlp.opened
        opened.max_chars = max_chars = self._max_chars
        # What is remembered was short enough for any store, unless texts may be hardly longer than a word.
        small = max_chars < otlp.MAX_REMEMBERED_BYTES
        for message in messages:
            before = opened.tick()
            trace_id, span_id = message.trace_id.hex(), message.span_id.hex()
            if len(trace_id) != 32 or trace_id == ZERO_TRACE:
                self.reject(f"trace id {trace_id[:64]!r} is not 16 bytes, or all zeros")
            elif len(span_id) != 16 or span_id == ZERO_SPAN:
                self.reject(f"span id {span_id[:64]!r} is not 8 bytes, or all zeros")
            else:
                span = _span(message, trace_id, span_id)
                span.resource, span.scope = resource, scope_name
                mend_parent(span)
                plain = opened.tick() == before + 1 and not small
                mend(span, max_chars=max_chars, received_ns=self._received_ns, plain_attributes=plain)
                derive(span)
                self._spans.append(span)
                self._index += 1

    def reject(self, problem: str) -> None:
        self._rejected.append(Rejection(self._index, f"spans[{self._index}]: {problem}"))
        self._index += 1

    def read_damaged(self, body: bytes, cause: DecodeError) -> None:
        """Take what can be taken of a body that does not parse as a whole."""
        try:
            request = otlp.DamagedRequest.FromString(body)
        except DecodeError:
            raise MalformedBody(f"the body is not OTLP protobuf, or is cut short: {cause}") from None
        _must_hold_something(body, request)
        for group in request.resource_spans:
            resource = attributes_of(_parsed(otlp.Resource, group.resource, otlp.Resource()).attributes)
            for scoped in group.scope_spans:
                scope = _parsed(otlp.InstrumentationScope, scoped.scope, otlp.InstrumentationScope())
                for data in scoped.spans:
                    message = _parsed(otlp.Span, data, None)
                    if message is None:
                        self.reject("it is damaged and cannot be parsed")
                    else:
                        self.read([message], resource, scope)


def _must_hold_something(body: bytes, request: Any) -> None:
    # Bytes that are no OTLP can still be protobuf, made of fields that nobody knows.
    if body and not request.resource_spans:
        raise MalformedBody("the body holds no OTLP resource spans; is it an ExportTraceServiceRequest?")


def _parsed(message: Any, data: bytes, otherwise: Any) -> Any:
    try:
        return message.FromString(data)
    except DecodeError:
        return otherwise


def _span(message: Any, trace_id: str, span_id: str) -> Span:
    status = message.status
    code, kind = status.code, message.kind
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=message.parent_span_id.hex() or None,
        name=text_of(message.name),
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano or None,
        status=_STATUS[code] if 0 < code < 3 else "unset",
        status_message=text_of(status.message),
        attributes=attributes_of(message.attributes),
        otel_kind=_OTEL_KINDS[kind] if 0 < kind < 6 else "",
    )
    if message.events:
        span.events = [_event(event) for event in message.events]
    if message.links:
        span.links = [_link(link) for link in message.links]
    if message.trace_state:
        span.attributes["otel.trace_state"] = text_of(message.trace_state)
    if message.dropped_attributes_count or message.dropped_events_count or message.dropped_links_count:
        dropped = message.dropped_attributes_count, message.dropped_events_count, message.dropped_links_count
        note(span, "the client dropped {} attributes, {} events and {} links".format(*dropped))
    return span


def _event(event: Any) -> Event:
    return Event(name=text_of(event.name), at_ns=event.time_unix_nano, attributes=attributes_of(event.attributes))


def _link(link: Any) -> Link:
    return Link(trace_id=link.trace_id.hex(), span_id=link.span_id.hex(), attributes=attributes_of(link.attributes))
