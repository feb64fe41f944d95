"""
OTLP's messages, described anew so that a body is opened no further than it must be.

The numbers are OTLP's own and a test holds them to opentelemetry-proto; the types differ:

- texts are bytes here, since protobuf refuses a whole body for one text that is no UTF-8,
  which some clients do send;
- attributes are bytes here, since most come again and again (kinds, models, addresses), and
  looking one up by its bytes costs a fraction of opening it: see `attributes_of`;
- `DamagedRequest` leaves each span closed, so that one that is damaged can be left out.

Source: opentelemetry-proto 1.x, common.proto, resource.proto, trace.proto, trace_service.proto.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter
from struct import Struct
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from clew.wire.values import MAX_KEY_CHARS, is_plain_value

_PACKAGE = "clew.otlp"

_FIELDS = {
    "AnyValue": (
        "1 bytes string_value", "2 bool bool_value", "3 int64 int_value", "4 double double_value",
        "5 ArrayValue array_value", "6 KeyValueList kvlist_value", "7 bytes bytes_value",
    ),
    "ArrayValue": ("1 *AnyValue values",),
    "KeyValueList": ("1 *KeyValue values",),
    "KeyValue": ("1 bytes key", "2 AnyValue value"),
    "Resource": ("1 *bytes attributes",),
    "InstrumentationScope": ("1 bytes name", "2 bytes version", "3 *bytes attributes"),
    "Event": ("1 fixed64 time_unix_nano", "2 bytes name", "3 *bytes attributes"),
    "Link": ("1 bytes trace_id", "2 bytes span_id", "4 *bytes attributes"),
    "Status": ("2 bytes message", "3 int32 code"),
    "Span": (
        "1 bytes trace_id", "2 bytes span_id", "3 bytes trace_state", "4 bytes parent_span_id", "5 bytes name",
        "6 int32 kind", "7 fixed64 start_time_unix_nano", "8 fixed64 end_time_unix_nano", "9 *bytes attributes",
        "10 uint32 dropped_attributes_count", "11 *Event events", "12 uint32 dropped_events_count",
        "13 *Link links", "14 uint32 dropped_links_count", "15 Status status",
    ),
    "ScopeSpans": ("1 InstrumentationScope scope", "2 *Span spans"),
    "ResourceSpans": ("1 Resource resource", "2 *ScopeSpans scope_spans"),
    "Request": ("1 *ResourceSpans resource_spans",),
    "DamagedScopeSpans": ("1 bytes scope", "2 *bytes spans"),
    "DamagedResourceSpans": ("1 bytes resource", "2 *DamagedScopeSpans scope_spans"),
    "DamagedRequest": ("1 *DamagedResourceSpans resource_spans",),
}  # fmt: skip


def _described() -> Callable[[str], Any]:
    file = descriptor_pb2.FileDescriptorProto(name="clew/otlp.proto", package=_PACKAGE, syntax="proto3")
    field_type = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for line in fields:
            number, kind, field_name = line.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = field_type.LABEL_REPEATED if kind.startswith("*") else field_type.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in _FIELDS:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(field_type, f"TYPE_{kind.upper()}")
            if name == "AnyValue":
                field.oneof_index = 0
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_message = _described()
Request, DamagedRequest = _message("Request"), _message("DamagedRequest")
Resource, InstrumentationScope, Span = _message("Resource"), _message("InstrumentationScope"), _message("Span")
_KeyValue = _message("KeyValue")


def text_of(data: bytes) -> str:
    """Decode a text; what is no UTF-8 in it is shown as U+FFFD."""
    return data.decode("utf-8", "replace")


def attributes_of(pairs: Iterable[bytes]) -> dict[str, Any]:
    """Open attributes; of a key that comes twice, the last counts."""
    return dict([opened[pair] for pair in pairs])


MAX_REMEMBERED_BYTES = 80
_MAX_REMEMBERED = 20_000


class Opened(dict[bytes, tuple[str, Any]]):
    """
    Short attributes that were opened lately, by their bytes.

    Only those are remembered that any store can keep as they are. So a span needs no second look at
    its attributes if `tick` gave two numbers in a row before and after they were opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tick = count().__next__
        """Goes on by one for each that some store might not keep as it is, and for each call. One step of C, so
        another thread can only make it larger, which costs a look in vain."""
        self.max_chars = MAX_REMEMBERED_BYTES
        """Of a text; set by whoever calls `tick`."""

    def __missing__(self, pair: bytes) -> tuple[str, Any]:
        known = _open_usual(pair) or _open(pair)
        key, value = known
        if len(key) > MAX_KEY_CHARS or "\0" in key or not is_plain_value(value, self.max_chars, trusted_text=True):
            self.tick()
        elif len(pair) <= MAX_REMEMBERED_BYTES and type(value) not in (list, dict):
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[pair] = known
        return known


opened = Opened()

_double = Struct("<d").unpack_from


def _open_usual(pair: bytes) -> tuple[str, Any] | None:
    """
    Open a KeyValue that holds a text or a double, in the one form in which clients write it; None for any other.

    Tag 0x0a, size, key; tag 0x12, size; tag 0x0a, size, text or tag 0x21, double. Sizes are varints,
    here of one byte for the key and at most two for the rest. By hand, it takes half the time of
    protobuf's library.
    """
    try:
        key_end = 2 + pair[1]
        size, value = pair[key_end + 1], key_end + 2
        if size > 127:
            size, value = size & 127 | pair[value] << 7, value + 1
        if pair[0] != 0x0A or pair[1] > 127 or pair[key_end] != 0x12 or value + size != len(pair):
            return None
        if pair[value] == 0x21 and size == 9:
            return pair[2:key_end].decode(), _double(pair, value + 1)[0]
        text_size, text = pair[value + 1], value + 2
        if text_size > 127:
            text_size, text = text_size & 127 | pair[text] << 7, text + 1
        if pair[value] == 0x0A and text + text_size == len(pair):
            return pair[2:key_end].decode(), pair[text:].decode()
    except (IndexError, UnicodeDecodeError):
        pass
    return None


def _open(pair: bytes) -> tuple[str, Any]:
    try:
        found = _KeyValue.FromString(pair)
    except DecodeError:
        return "(damaged attribute)", "… [cut: damaged, or nested without end]"
    return text_of(found.key), _value(found.value)


def _value(value: Any) -> Any:
    return _READ[value.WhichOneof("value")](value)


def _text(value: Any) -> str:
    return text_of(value.string_value)


def _list(value: Any) -> list[Any]:
    return [_value(item) for item in value.array_value.values]


def _mapping(value: Any) -> dict[str, Any]:
    return {text_of(item.key): _value(item.value) for item in value.kvlist_value.values}


def _base64(value: Any) -> str:
    """Bytes as OTLP's own JSON writes them."""
    return base64.b64encode(value.bytes_value).decode("ascii")


def _nothing(_value: Any) -> None:
    """An attribute without a value, or with one that a newer OTLP has added."""


_READ: dict[str | None, Callable[[Any], Any]] = {
    "string_value": _text,
    "bool_value": attrgetter("bool_value"),
    "int_value": attrgetter("int_value"),
    "double_value": attrgetter("double_value"),
    "array_value": _list,
    "kvlist_value": _mapping,
    "bytes_value": _base64,
    None: _nothing,
}
