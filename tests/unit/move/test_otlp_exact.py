"""Spans as OTLP, to the letter: what an export is made of."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.errors import MalformedBody
from clew.model import KINDS, Event, Link, Span
from clew.testing.store_contract import START_NS, a_rich_span, a_span
from clew.wire.otlp_exact import MARK, decode, encode

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.binary(max_size=4)
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
OWN_NAMES = st.sampled_from([MARK, "clew.kind", "input.value", "output.value", "model"])
ATTRIBUTES = st.dictionaries(TEXTS | OWN_NAMES, VALUES, max_size=4)
TIMES = st.integers(START_NS, START_NS + 10**15)
IDS = st.integers(1, 1 << 60).map(lambda number: f"{number:016x}")
TRACE_IDS = st.integers(1, 1 << 100).map(lambda number: f"{number:032x}")


def _maybe(values):
    return st.none() | values


SPANS = st.builds(
    Span,
    trace_id=TRACE_IDS,
    span_id=IDS,
    parent_id=_maybe(IDS),
    name=TEXTS,
    kind=st.sampled_from(KINDS),
    start_ns=TIMES,
    end_ns=_maybe(TIMES),
    status=st.sampled_from(["unset", "ok", "error"]),
    status_message=TEXTS,
    model=_maybe(TEXTS),
    strategy=_maybe(TEXTS),
    input_tokens=_maybe(st.integers(0, 1 << 53)),
    output_tokens=_maybe(st.integers(0, 1 << 53)),
    cost_usd=_maybe(st.floats(0, 1e9)),
    confidence=_maybe(st.floats(0, 1)),
    first_token_ms=_maybe(st.floats(0, 1e9)),
    user_id=_maybe(TEXTS),
    session_id=_maybe(TEXTS),
    response_chars=_maybe(st.integers(0, 1 << 40)),
    input_preview=_maybe(TEXTS),
    output_preview=_maybe(TEXTS),
    attributes=ATTRIBUTES,
    inputs=VALUES,
    outputs=VALUES,
    events=st.lists(st.builds(Event, name=TEXTS, at_ns=TIMES, attributes=ATTRIBUTES), max_size=2),
    links=st.lists(st.builds(Link, trace_id=TRACE_IDS, span_id=IDS, attributes=ATTRIBUTES), max_size=2),
    resource=ATTRIBUTES,
    scope=TEXTS | st.sampled_from(["lib 1.2", "a b", " x", "x 1 "]),
    otel_kind=st.sampled_from(["", "internal", "server", "client", "producer", "consumer", "odd"]),
    problems=st.lists(TEXTS, max_size=2),
)


def test_every_field_of_a_span_is_drawn():
    """A field that is added to spans must be exported too: here it is seen."""
    assert set(Span.__struct_fields__) == set(SPANS.wrapped_strategy.kwargs)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SPANS, max_size=4))
def test_any_spans_come_back_as_they_were(spans):
    """An export that loses a field is no backup."""
    again = decode(encode(spans).SerializeToString())
    assert again == spans
    # An int is no float, and true is no 1, though they are equal.
    assert msgspec.json.encode(again, order="sorted") == msgspec.json.encode(spans, order="sorted")


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SPANS, min_size=1, max_size=3))
def test_other_readers_of_otlp_read_it(spans):
    """The bytes are plain OTLP: opentelemetry-proto alone finds ids, names and times."""
    request = ExportTraceServiceRequest.FromString(encode(spans).SerializeToString())
    found = [each for group in request.resource_spans for scoped in group.scope_spans for each in scoped.spans]
    assert [each.trace_id.hex() for each in found] == [span.trace_id for span in spans]
    assert [each.span_id.hex() for each in found] == [span.span_id for span in spans]
    assert [each.name for each in found] == [span.name for span in spans]
    assert [each.start_time_unix_nano for each in found] == [span.start_ns for span in spans]
    assert [each.end_time_unix_nano for each in found] == [span.end_ns or 0 for span in spans]


def test_kind_inputs_and_outputs_stand_where_others_look_for_them():
    """`clew.kind` and OpenInference's names: a page elsewhere shows what was asked and answered."""
    span = a_span(kind="generation", inputs={"q": 1}, outputs="said")
    request = encode([span])
    [message] = request.resource_spans[0].scope_spans[0].spans
    told = {each.key: each.value.string_value for each in message.attributes}
    assert (told["clew.kind"], told["input.value"], told["output.value"]) == ("generation", '{"q":1}', "said")


def test_what_is_nested_deeper_than_protobuf_reads_comes_back():
    """Its libraries stop at a hundred messages in each other, and a client may nest lists without end."""
    deep: object = "bottom"
    for _ in range(60):
        deep = [deep]
    span = a_span(
        attributes={"deep": deep, "flat": 1}, inputs=deep, events=[Event(name="e", at_ns=1, attributes={"d": deep})]
    )
    body = encode([span]).SerializeToString()
    ExportTraceServiceRequest.FromString(body)
    assert decode(body) == [span]


def test_a_span_with_everything_comes_back():
    """Bytes among its attributes, NUL in its texts, the largest integer."""
    assert decode(encode([a_rich_span()]).SerializeToString()) == [a_rich_span()]


@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05\x12\x03\x12\x01\x41", b"no"])
def test_what_is_no_otlp_is_told(body):
    """A part may be damaged in a way that its checksum was made of."""
    with pytest.raises(MalformedBody):
        decode(body)
