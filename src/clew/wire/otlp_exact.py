"""
Spans as OTLP that any OpenTelemetry backend reads, and back again to the letter.

What OTLP has a field for stands there. The rest goes in attributes: the kind in `clew.kind`, inputs
and outputs in `input.value` and `output.value` (OpenInference's names), and in `clew.export`, as
JSON, which attributes were added and every other field. An attribute that the span had under one
of these names stays as it is. Pure; `clew.wire.otlp_protobuf` is how spans of others are read.

Source: opentelemetry-proto 1.x, trace.proto and common.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from clew.errors import MalformedBody
from clew.model import Event, Link, Span
from clew.wire import otlp_messages as otlp
from clew.wire.otlp_messages import attributes_of, text_of

MARK = "clew.export"
"""The attribute that holds what else is to be known of a span."""

_STATUS = ("unset", "ok", "error")
_OTEL_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_READABLE = {"kind": "clew.kind", "inputs": "input.value", "outputs": "output.value"}
_PAYLOAD = ("inputs", "outputs")
_MAX_DEPTH = 20
"""Protobuf's libraries read no message that is nested deeper than 100, and each level takes three."""

_OTLP_FIELDS = frozenset({
    "trace_id", "span_id", "parent_id", "name", "start_ns", "end_ns", "status", "status_message", "attributes",
    "events", "links", "resource", "scope", "otel_kind",
})  # fmt: skip
_OTHER_FIELDS = {field.name: field.default for field in msgspec.structs.fields(Span) if field.name not in _OTLP_FIELDS}
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Span)}

_NOT_CARRIED = (ValueError, TypeError, OverflowError)
"""What protobuf says of a value that it cannot hold."""


class _Rest(msgspec.Struct, omit_defaults=True):
    """What `MARK` holds."""

    added: dict[str, str] = {}
    """By field, the attribute that was added for it."""
    json: list[str] = []
    """Of these fields the added attribute is JSON; of others the text itself."""
    fields: dict[str, Any] = {}
    """Fields that OTLP has no place for."""
    packed: bytes = b""
    """Values that neither OTLP nor JSON can hold, by field, as MessagePack. Of attributes only those."""


_rest = msgspec.json.Decoder(_Rest)
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def encode(spans: Sequence[Span]) -> Any:
    """Give an `ExportTraceServiceRequest` of *spans*; those that stand side by side share resource and scope."""
    request = ExportTraceServiceRequest()
    resource: dict[str, Any] | None = None
    scope: str | None = None
    group = scoped = None
    for span in spans:
        rest = _Rest()
        beyond: dict[str, Any] = {}
        carried = _resource(span, beyond)
        if group is None or (carried is not resource and carried != resource):
            resource, scope = carried, None
            group = request.resource_spans.add()
            group.resource.attributes.extend(_pairs(carried))
        if scoped is None or span.scope != scope:
            scope = span.scope
            scoped = group.scope_spans.add()
            scoped.scope.name, scoped.scope.version = _split_scope(scope)
        _fill(scoped.spans.add(), span, rest, beyond)
    return request


def _resource(span: Span, beyond: dict[str, Any]) -> dict[str, Any]:
    try:
        _pairs(span.resource)
    except _NOT_CARRIED:
        beyond["resource"] = span.resource
        return {}
    return span.resource


def _split_scope(scope: str) -> tuple[str, str]:
    name, _, version = scope.rpartition(" ")
    return (name, version) if name and version[:1].isdigit() else (scope, "")


def _fill(message: Any, span: Span, rest: _Rest, beyond: dict[str, Any]) -> None:
    message.trace_id = bytes.fromhex(span.trace_id)
    message.span_id = bytes.fromhex(span.span_id)
    if span.parent_id is not None:
        message.parent_span_id = bytes.fromhex(span.parent_id)
    message.name = span.name
    _fill_times(message, span, rest)
    if span.status != "unset":
        message.status.code = _STATUS.index(span.status)
    if span.status_message:
        message.status.message = span.status_message
    if span.otel_kind in _OTEL_KINDS:
        message.kind = _OTEL_KINDS.index(span.otel_kind)
    else:
        rest.fields["otel_kind"] = span.otel_kind
    _fill_lists(message, span, beyond)
    _fill_attributes(message, span, beyond)
    _fill_others(message, span, rest, beyond)


def _fill_times(message: Any, span: Span, rest: _Rest) -> None:
    for field, at_ns in (("start", span.start_ns), ("end", span.end_ns)):
        if at_ns is None:
            continue
        if 0 < at_ns < 1 << 64:
            setattr(message, f"{field}_time_unix_nano", at_ns)
        else:
            rest.fields[f"{field}_ns"] = at_ns


def _fill_lists(message: Any, span: Span, beyond: dict[str, Any]) -> None:
    try:
        message.events.extend([_event(event) for event in span.events])
    except _NOT_CARRIED:
        beyond["events"] = span.events
    try:
        message.links.extend([_link(link) for link in span.links])
    except _NOT_CARRIED:
        beyond["links"] = span.links


def _event(event: Event) -> Any:
    return trace_pb2.Span.Event(time_unix_nano=event.at_ns, name=event.name, attributes=_pairs(event.attributes))


def _link(link: Link) -> Any:
    return trace_pb2.Span.Link(
        trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id), attributes=_pairs(link.attributes)
    )


def _fill_attributes(message: Any, span: Span, beyond: dict[str, Any]) -> None:
    kept: dict[str, Any] = {}
    for key, value in span.attributes.items():
        if key == MARK:
            kept[key] = value
            continue
        try:
            message.attributes.append(_pair(key, value))
        except _NOT_CARRIED:
            kept[key] = value
    if kept:
        beyond["attributes"] = kept


def _fill_others(message: Any, span: Span, rest: _Rest, beyond: dict[str, Any]) -> None:
    for field, default in _OTHER_FIELDS.items():
        value = getattr(span, field)
        if value is None or value == default or (field == "problems" and not value):
            continue
        key = _READABLE.get(field)
        if key is None or key in span.attributes:
            (beyond if field in _PAYLOAD else rest.fields)[field] = value
        elif type(value) is str:
            rest.added[field] = key
            message.attributes.append(_text_pair(key, value))
        elif (text := _exact_json(value)) is None:
            beyond[field] = value
        else:
            rest.added[field] = key
            rest.json.append(field)
            message.attributes.append(_text_pair(key, text))
    if beyond:
        rest.packed = _msgpack.encode(beyond)
    if rest.added or rest.fields or beyond:
        message.attributes.append(_text_pair(MARK, _json.encode(rest).decode()))


def _exact_json(value: Any) -> str | None:
    """*value* as JSON, if that says it to the letter: bytes and NaN it cannot say."""
    try:
        text = _json.encode(value)
        return text.decode() if msgspec.json.decode(text) == value else None
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return None


def _text_pair(key: str, text: str) -> Any:
    return KeyValue(key=key, value=AnyValue(string_value=text))


def _pairs(attributes: dict[str, Any]) -> list[Any]:
    return [_pair(key, value) for key, value in attributes.items()]


def _pair(key: str, value: Any) -> Any:
    return KeyValue(key=key, value=_any(value, _MAX_DEPTH))


def _any(value: Any, depth: int) -> Any:
    """
    Give *value* as OTLP writes it.

    Raises:
        ValueError, TypeError: OTLP, or a reader of it, cannot hold it.
    """
    kind = type(value)
    if kind is str:
        return AnyValue(string_value=value)
    if kind is bool:
        return AnyValue(bool_value=value)
    if kind is int:
        return AnyValue(int_value=value)
    if kind is float:
        return AnyValue(double_value=value)
    if value is None:
        return AnyValue()
    if depth == 0:
        raise ValueError("nested too deep")
    filled = AnyValue()
    if kind is list:
        filled.array_value.SetInParent()
        filled.array_value.values.extend([_any(item, depth - 1) for item in value])
    elif kind is dict:
        filled.kvlist_value.SetInParent()
        pairs = [KeyValue(key=key, value=_any(item, depth - 1)) for key, item in value.items()]
        filled.kvlist_value.values.extend(pairs)
    else:
        raise TypeError(f"no {kind.__name__} in OTLP")
    return filled


# And back.


def decode(body: bytes) -> list[Span]:
    """
    Read what `encode` wrote, and any other `ExportTraceServiceRequest` as well as it says what it means.

    Raises:
        MalformedBody: it is none, or an id or a field in it is none.
    """
    try:
        request = otlp.Request.FromString(body)
    except DecodeError as error:
        raise MalformedBody(f"not an ExportTraceServiceRequest: {error}") from None
    try:
        return list(_spans(request))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedBody(f"a span's {MARK} cannot be read: {error}") from None


def _spans(request: Any) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = attributes_of(group.resource.attributes)
        for scoped in group.scope_spans:
            name, version = text_of(scoped.scope.name), text_of(scoped.scope.version)
            scope = f"{name} {version}" if version else name
            for message in scoped.spans:
                span = _span(message)
                span.resource, span.scope = resource, scope
                yield _completed(span)


def _span(message: Any) -> Span:
    code, kind = message.status.code, message.kind
    if len(message.trace_id) != 16 or len(message.span_id) != 8 or len(message.parent_span_id) not in (0, 8):
        raise MalformedBody("a span's ids are not of 16 and 8 bytes")
    return Span(
        trace_id=message.trace_id.hex(),
        span_id=message.span_id.hex(),
        parent_id=message.parent_span_id.hex() or None,
        name=text_of(message.name),
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano or None,
        status=_STATUS[code] if 0 < code < 3 else "unset",  # type: ignore[arg-type]
        status_message=text_of(message.status.message),
        attributes=attributes_of(message.attributes),
        otel_kind=_OTEL_KINDS[kind] if 0 < kind < 6 else "",
        events=_events(message.events),
        links=_links(message.links),
    )


def _events(messages: Iterable[Any]) -> list[Event]:
    return [
        Event(name=text_of(each.name), at_ns=each.time_unix_nano, attributes=attributes_of(each.attributes))
        for each in messages
    ]


def _links(messages: Iterable[Any]) -> list[Link]:
    return [
        Link(trace_id=each.trace_id.hex(), span_id=each.span_id.hex(), attributes=attributes_of(each.attributes))
        for each in messages
    ]


def _completed(span: Span) -> Span:
    """Put back what `MARK` says, and take out what was added."""
    told = span.attributes.pop(MARK, None)
    if type(told) is not str:
        if told is not None:
            span.attributes[MARK] = told
        return span
    rest = _rest.decode(told)
    for field, key in rest.added.items():
        text = span.attributes.pop(key, None)
        if text is not None:
            _put(span, field, msgspec.json.decode(text) if field in rest.json else text)
    packed = msgspec.msgpack.decode(rest.packed, type=dict[str, Any]) if rest.packed else {}
    for field, value in (rest.fields | packed).items():
        if field == "attributes" and type(value) is dict:
            span.attributes |= value
        else:
            _put(span, field, value)
    return span


def _put(span: Span, field: str, value: Any) -> None:
    if field in _FIELDS:
        setattr(span, field, msgspec.convert(value, _FIELDS[field]))
