"""OTLP as real clients write it, as hostile ones might, and the answer."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from clew.errors import ClewError, MalformedBody
from clew.model import Span
from clew.wire import Rejection, otlp_messages, otlp_protobuf
from clew.wire.compression import inflate

SAMPLES = Path(__file__).parents[2] / "wire_samples"
TRACE, SPAN, PARENT = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(9, 17))
START_NS = 1_763_700_000_000_000_000


def otlp_span(**fields: Any) -> OtlpSpan:
    times = {"start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 9}
    return OtlpSpan(**{"trace_id": TRACE, "span_id": SPAN, "name": "step", **times, **fields})


def request(*spans: OtlpSpan) -> bytes:
    group = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[group]).SerializeToString()


def read(*spans: OtlpSpan) -> list[Span]:
    decoded = otlp_protobuf.decode(request(*spans))
    assert decoded.rejected == []
    return decoded.spans


def any_value(value: Any) -> AnyValue:
    if value is None:
        return AnyValue()
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    field = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
    return AnyValue(**{field: value})


def pairs(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


@pytest.mark.parametrize(
    "sample", sorted(SAMPLES.glob("opentelemetry-*/*.pb*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_a_real_client_sent_is_read_as_recorded(sample: Path) -> None:
    """Captured from the SDK's own exporter: see `record_opentelemetry.py`, which also made the expectation."""
    encoding = "gzip" if sample.suffix == ".gz" else ""
    decoded = otlp_protobuf.decode(inflate(sample.read_bytes(), encoding, limit_bytes=1 << 20))
    expected = msgspec.json.decode(
        (sample.parent / f"{sample.name.partition('.')[0]}.json").read_bytes(), type=list[Span]
    )

    assert decoded.rejected == []
    assert decoded.spans == expected


def test_the_recorded_rag_request_means_what_its_client_meant() -> None:
    """Said by hand, so that the recorded expectation cannot drift unseen."""
    (sample,) = SAMPLES.glob("opentelemetry-1.45.2/openinference_rag.pb")
    spans = {span.name: span for span in otlp_protobuf.decode(sample.read_bytes()).spans}
    root, chat, cache = spans["rag.query"], spans["ChatOpenAI"], spans["cache"]

    assert {span.parent_id for span in spans.values()} == {None, root.span_id}
    assert {name: span.kind for name, span in spans.items()} == {
        "rag.query": "chain",
        "embed": "embedding",
        "retrieve": "retrieval",
        "cache": "other",
        "ChatOpenAI": "generation",
    }
    assert (root.user_id, root.session_id, root.status, root.otel_kind) == ("u-1", "s-1", "ok", "server")
    assert root.attributes["tag.tags"] == ["prod", "rag"]
    assert root.response_chars == len(root.outputs)
    assert (chat.model, chat.input_tokens, chat.output_tokens, chat.cost_usd) == ("gpt-5-mini", 412, 21, 0.00031)
    assert chat.input_preview == "When does the shop open?"
    assert spans["retrieve"].confidence == 0.82
    assert [document["id"] for document in spans["retrieve"].outputs] == ["d-7", "d-2"]
    assert (cache.status, cache.status_message, cache.events[0].name) == ("error", "no answer in 2 s", "exception")
    assert cache.links[0].span_id == root.span_id
    assert root.resource == {"service.name": "shop", "service.version": "1.4.2"}
    assert root.scope == "openinference.instrumentation.shop 0.1.30"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=10
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(texts, values, max_size=8))
def test_every_value_comes_through(attributes: dict[str, Any]) -> None:
    """As Python's own types, nested as they were. Twice, since the second time some are remembered."""
    for _ in range(2):
        (span,) = read(otlp_span(attributes=pairs(attributes)))
        assert span.attributes == attributes


@given(st.integers(0, 40_000))
@settings(max_examples=60, deadline=None)
def test_texts_of_every_length_come_through(length: int) -> None:
    """Sizes are written in one byte, two or three, and the quick way must know its limits."""
    attributes = {"k" * min(length, 400) + "!": "v" * length}
    (span,) = read(otlp_span(attributes=pairs(attributes)))

    assert span.attributes == attributes


@pytest.mark.parametrize("length", [0, 1, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16_370, 16_383, 16_384])
def test_texts_at_the_edges_of_a_size_come_through(length: int) -> None:
    (span,) = read(otlp_span(attributes=pairs({"key": "v" * length, "k" * max(length % 400, 1): "x"})))

    assert span.attributes["key"] == "v" * length


def test_bytes_are_shown_as_otlps_own_json_shows_them() -> None:
    (span,) = read(otlp_span(attributes=[KeyValue(key="b", value=AnyValue(bytes_value=b"\0\xff"))]))

    assert span.attributes == {"b": "AP8="}


def test_remembered_attributes_are_not_shared_between_spans() -> None:
    """A list is opened anew for each span: who changes one must not change another."""
    first, second = read(
        otlp_span(attributes=pairs({"tags": ["a"]})), otlp_span(span_id=PARENT, attributes=pairs({"tags": ["a"]}))
    )

    assert first.attributes["tags"] == second.attributes["tags"]
    assert first.attributes["tags"] is not second.attributes["tags"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that never come again must not fill the memory."""
    monkeypatch.setattr(otlp_messages, "_MAX_REMEMBERED", 50)
    monkeypatch.setattr(otlp_messages, "opened", remembered := otlp_messages.Opened())
    for number in range(200):
        read(otlp_span(attributes=pairs({"request": f"r-{number}", "long": "x" * 500})))

    assert 0 < len(remembered) <= 50
    assert max(map(len, remembered)) <= otlp_messages.MAX_REMEMBERED_BYTES


@pytest.mark.parametrize(
    ("odd", "kept"),
    [
        ({"key": "a\0b"}, {"key": "a\ufffdb"}),
        ({"k\0y": "x"}, {"k\ufffdy": "x"}),
        ({"key": math.nan}, {"key": "NaN"}),
        ({"key": ["a\0b"]}, {"key": ["a\ufffdb"]}),
    ],
)
def test_an_attribute_that_is_remembered_needs_no_second_look_and_any_other_gets_one(
    odd: dict[str, Any], kept: dict[str, Any]
) -> None:
    """Only what every store can keep is remembered, so a body that comes again is mended again."""
    for _ in range(2):
        good, bad = read(otlp_span(attributes=pairs({"a": "b"})), otlp_span(attributes=pairs({"a": "b", **odd})))
        assert good.attributes == {"a": "b"}
        assert good.problems == []
        assert bad.attributes == {"a": "b", **kept}
        assert bad.problems


def test_a_bound_on_texts_holds_for_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be set lower than what is remembered is long."""
    attributes = pairs({"a": "x" * 40})
    assert read(otlp_span(attributes=attributes))[0].problems == []

    monkeypatch.setenv("CLEW_MAX_VALUE_CHARS", "30")
    [span] = read(otlp_span(attributes=attributes))

    assert span.attributes["a"].startswith("x" * 30 + "… [cut")


@pytest.mark.parametrize("number", [0.5, -1e300, 0.0])
def test_a_double_is_opened_by_hand_as_by_the_library(number: float) -> None:
    """Scores of documents are all different, so none of them is remembered from the time before."""
    [pair] = [each.SerializeToString() for each in pairs({"document.score": number})]

    assert otlp_messages._open_usual(pair) == otlp_messages._open(pair) == ("document.score", number)


def test_the_messages_have_otlps_own_numbers() -> None:
    """They are described a second time, so they are held to the first."""
    theirs = {**_messages(ExportTraceServiceRequest.DESCRIPTOR), "Request": ExportTraceServiceRequest.DESCRIPTOR}
    for name, lines in otlp_messages._FIELDS.items():
        fields = theirs[name.removeprefix("Damaged")].fields_by_name
        for number, kind, field in (line.split() for line in lines):
            assert fields[field].number == int(number), (name, field)
            if kind.lstrip("*") not in otlp_messages._FIELDS and kind.lstrip("*") != "bytes":
                assert fields[field].type in (getattr(fields[field], f"TYPE_{kind.upper()}"), fields[field].TYPE_ENUM)


def _messages(descriptor: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    todo = [descriptor]
    while todo:
        message = todo.pop()
        if message.name not in found:
            found[message.name] = message
            todo += [field.message_type for field in message.fields if field.message_type]
    return found


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"trace_id": b""}, "trace id"),
        ({"trace_id": bytes(16)}, "trace id"),
        ({"trace_id": b"short"}, "trace id"),
        ({"span_id": bytes(8)}, "span id"),
        ({"span_id": bytes(range(1, 17))}, "span id"),
    ],
)
def test_a_span_with_an_invalid_id_costs_only_itself(bad: dict[str, bytes], says: str) -> None:
    """The answer is 200 with `partial_success`, which clients do not retry."""
    decoded = otlp_protobuf.decode(request(otlp_span(), otlp_span(**bad), otlp_span(span_id=PARENT)))

    assert [span.span_id for span in decoded.spans] == [SPAN.hex(), PARENT.hex()]
    (rejection,) = decoded.rejected
    assert rejection.index == 1
    assert says in rejection.error


def test_text_that_is_no_utf8_is_replaced_and_costs_nothing() -> None:
    """Clients in C++ and Go do send it, and protobuf's own classes would refuse the whole body."""
    body = request(otlp_span(name="caf@", attributes=pairs({"drink": "th@", "caf@": 1})), otlp_span(span_id=PARENT))
    bad, good = otlp_protobuf.decode(body.replace(b"@", b"\xe9")).spans

    assert (bad.name, bad.attributes) == ("caf\ufffd", {"drink": "th\ufffd", "caf\ufffd": 1})
    assert good.name == "step"


def test_a_damaged_span_costs_only_itself() -> None:
    body = request(otlp_span(name="#" * 20), otlp_span(span_id=PARENT, name="good"))
    # The tag of the parent's field, then a size that reaches past the span's end.
    decoded = otlp_protobuf.decode(
        body.replace(b"#" * 20, b"#" * 18 + b"\x22\x7f").replace(b"\x2a\x14##", b"\x2a\x12##")
    )

    assert [span.name for span in decoded.spans] == ["good"]
    assert [one.index for one in decoded.rejected] == [0]


def test_a_value_that_nests_without_end_costs_only_itself() -> None:
    """Protobuf's own classes would refuse the whole body."""
    value = AnyValue(string_value="bottom").SerializeToString()
    for _ in range(300):
        inner = b"\x0a" + _varint(len(value)) + value
        value = b"\x2a" + _varint(len(inner)) + inner
    pair = b"\x0a\x01k\x12" + _varint(len(value)) + value
    span = otlp_span(attributes=pairs({"kept": 1})).SerializeToString() + b"\x4a" + _varint(len(pair)) + pair
    scoped = b"\x12" + _varint(len(span)) + span
    group = b"\x12" + _varint(len(scoped)) + scoped
    (read_span,) = otlp_protobuf.decode(b"\x0a" + _varint(len(group)) + group).spans

    assert read_span.attributes["kept"] == 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_what_the_client_dropped_is_told() -> None:
    (span,) = read(otlp_span(dropped_attributes_count=3, dropped_events_count=1))

    assert span.problems == ["the client dropped 3 attributes, 1 events and 0 links"]


def test_a_running_span_has_no_end() -> None:
    (span,) = read(otlp_span(end_time_unix_nano=0))

    assert span.end_ns is None


def test_a_scopes_attributes_are_kept_with_the_resource() -> None:
    message = ExportTraceServiceRequest.FromString(request(otlp_span(trace_state="a=1")))
    scope = message.resource_spans[0].scope_spans[0].scope
    scope.name = "lib"
    scope.attributes.extend(pairs({"team": "red"}))
    (span,) = otlp_protobuf.decode(message.SerializeToString()).spans

    assert (span.scope, span.resource) == ("lib", {"otel.scope.team": "red"})
    assert span.attributes == {"otel.trace_state": "a=1"}


def test_an_empty_body_is_an_empty_request() -> None:
    """So protobuf says, and exporters may send it."""
    assert otlp_protobuf.decode(b"") == ([], [], [])


@pytest.mark.parametrize(
    "body", [b'{"resourceSpans": []}', b"garbage", b"\xff" * 50, b"\x08\x01", b"\x7a\x03abc", b"<html></html>"]
)
def test_what_is_no_otlp_is_malformed(body: bytes) -> None:
    """Also where it happens to be protobuf made of fields that nobody knows."""
    with pytest.raises(MalformedBody):
        otlp_protobuf.decode(body)


def test_a_body_that_is_cut_short_is_malformed() -> None:
    body = request(otlp_span(attributes=pairs({"k": "v"})), otlp_span(span_id=PARENT))
    for length in range(1, len(body)):
        with pytest.raises(MalformedBody):
            otlp_protobuf.decode(body[:length])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_named_error(body: bytes) -> None:
    """A stranger's bytes must never become a 500."""
    with contextlib.suppress(ClewError):
        otlp_protobuf.decode(body)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_raises_anything_but_a_named_error(data: st.DataObject) -> None:
    """Damage inside a body that is nearly right reaches deeper than noise."""
    body = bytearray(
        request(otlp_span(attributes=pairs({"a": "b", "n": 1, "l": [1, {"x": 2.5}], "t": True}), trace_state="s"))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        spans = otlp_protobuf.decode(bytes(body)).spans
    except ClewError:
        return
    msgspec.json.encode(spans)


def test_the_answer_is_empty_if_all_was_taken() -> None:
    """An unset `partial_success` is how OTLP says "all of it"."""
    assert otlp_protobuf.encode_response([]) == b""


def test_the_answer_counts_what_was_rejected_and_says_why() -> None:
    answer = ExportTraceServiceResponse.FromString(
        otlp_protobuf.encode_response([Rejection(n, f"spans[{n}]: bad") for n in range(7)])
    )

    assert answer.partial_success.rejected_spans == 7
    assert "spans[0]: bad" in answer.partial_success.error_message
    assert "2 more" in answer.partial_success.error_message
