"""Clew's own protocol: what is written is read, and what is wrong in a body costs only itself."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import ClewError, MalformedBody, UnsupportedMedia
from clew.model import KINDS, Event, Link, Score
from clew.wire import Decoded, native
from clew.wire.mend import EARLIEST_NS
from clew.wire.native import NativeBody, NativeSpan

TRACE, SPAN, PARENT = "ab" * 16, "cd" * 8, "ef" * 8
START_NS = 1_763_700_000_000_000_000

ENCODERS = {"application/json": msgspec.json.encode, "application/msgpack": msgspec.msgpack.encode}
both = pytest.mark.parametrize("media", list(ENCODERS))


def a_span(**changes: Any) -> dict[str, Any]:
    return {"trace_id": TRACE, "span_id": SPAN, "name": "step", "start_ns": START_NS, "end_ns": START_NS + 5, **changes}


def read(media: str, *spans: Any, **more: Any) -> Decoded:
    return native.decode(ENCODERS[media]({"spans": spans, **more}), media)


ids = st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
times = st.integers(EARLIEST_NS, EARLIEST_NS * 4)


@st.composite
def native_spans(draw: st.DrawFn) -> NativeSpan:
    start_ns = draw(times)
    return NativeSpan(
        trace_id=draw(ids) + draw(ids),
        span_id=draw(ids),
        name=draw(texts.filter(bool)),
        start_ns=start_ns,
        kind=draw(st.sampled_from(KINDS)),
        end_ns=draw(st.none() | st.integers(0, 10**12).map(lambda ns: start_ns + ns)),
        status=draw(st.sampled_from(("unset", "ok", "error"))),
        status_message=draw(texts),
        attributes=draw(st.dictionaries(texts.map(lambda key: "x." + key), values, max_size=6)),
        inputs=draw(values),
        outputs=draw(values),
        events=[
            Event(name=draw(texts), at_ns=draw(times), attributes={"k": draw(values)})
            for _ in range(draw(st.integers(0, 2)))
        ],
        links=[Link(trace_id=TRACE, span_id=draw(ids)) for _ in range(draw(st.integers(0, 2)))],
    )


@settings(max_examples=50, deadline=None)
@given(spans=st.lists(native_spans(), max_size=4), media=st.sampled_from(list(ENCODERS)))
def test_what_is_written_is_read(spans: list[NativeSpan], media: str) -> None:
    """A span that needs no mending arrives as it was sent, field by field."""
    decoded = native.decode(ENCODERS[media](NativeBody(spans=spans, resource={"service.name": "shop"})), media)

    assert not decoded.rejected
    for sent, got in zip(spans, decoded.spans, strict=True):
        for field in NativeSpan.__struct_fields__:
            assert getattr(got, field) == getattr(sent, field), field
        assert got.resource == {"service.name": "shop"}


@both
def test_ids_a_name_and_a_start_are_enough(media: str) -> None:
    """The least that a client must know."""
    (span,) = read(media, {"trace_id": TRACE, "span_id": SPAN, "name": "n", "start_ns": START_NS}).spans

    assert (span.kind, span.status, span.end_ns, span.parent_id, span.problems) == ("other", "unset", None, None, [])


@both
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (a_span(trace_id="0" * 32), "trace id"),
        (a_span(trace_id="ab"), "trace id"),
        (a_span(span_id="0" * 16), "span id"),
        (a_span(span_id="g" * 16), "span id"),
        (a_span(start_ns="yesterday"), "start_ns"),
        (a_span(kind="LLM"), "kind"),
        ({"name": "no ids"}, "trace_id"),
        ("no object", "object"),
        (None, "object"),
    ],
)
def test_a_bad_span_costs_only_itself(media: str, bad: Any, says: str) -> None:
    """And the answer says which it was, and why."""
    good = a_span(span_id="1" * 16), a_span(span_id="2" * 16)
    decoded = read(media, good[0], bad, good[1])

    assert [span.span_id for span in decoded.spans] == ["1" * 16, "2" * 16]
    (rejection,) = decoded.rejected
    assert rejection.index == 1
    assert "spans[1]" in rejection.error
    assert says in rejection.error


@both
@pytest.mark.parametrize(
    "bad",
    [
        {"value": 9, "best": 5},
        {"value": -1},
        {"value": 1, "best": 0},
        {"value": 1, "name": ""},
        {"value": 1, "span_id": "x"},
        {"value": "good"},
        {"value": 1, "source": "stranger"},
    ],
)
def test_a_bad_score_costs_only_itself(media: str, bad: dict[str, Any]) -> None:
    good = {"trace_id": TRACE, "name": "rating", "value": 4}
    decoded = read(media, a_span(), scores=[good, {"trace_id": TRACE, "name": "rating", **bad}])

    assert decoded.scores == [Score(trace_id=TRACE, name="rating", value=4)]
    assert len(decoded.spans) == 1
    assert [(one.index, "scores[1]" in one.error) for one in decoded.rejected] == [(1, True)]


@both
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nonsense", b"\xff\xfe", b"{", b'{"spans": 5}', b"[" * 100_000, b"\x91" * 100_000]
)
def test_a_body_that_cannot_be_read_is_malformed(media: str, body: bytes) -> None:
    """Nothing of it can be trusted, so it is refused as a whole, and quickly: also one that nests without end."""
    with pytest.raises(MalformedBody):
        native.decode(body, media)


@both
def test_a_body_that_is_cut_short_is_malformed(media: str) -> None:
    """Half of a list may be half of the truth."""
    body = ENCODERS[media](NativeBody(spans=[NativeSpan(trace_id=TRACE, span_id=SPAN, name="n", start_ns=START_NS)]))
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            native.decode(body[:length], media)


def test_another_content_type_is_refused() -> None:
    with pytest.raises(UnsupportedMedia):
        native.decode(b"{}", "text/plain")


def test_a_content_type_may_have_parameters() -> None:
    assert native.decode(b"{}", "Application/JSON; charset=utf-8") == Decoded([], [], [])


@given(st.binary(max_size=300), st.sampled_from(list(ENCODERS)))
def test_no_bytes_raise_anything_but_a_named_error(body: bytes, media: str) -> None:
    """A stranger's bytes must never become a 500."""
    with contextlib.suppress(ClewError):
        native.decode(body, media)


@settings(max_examples=50, deadline=None)
@given(span=native_spans(), media=st.sampled_from(list(ENCODERS)), data=st.data())
def test_no_damage_raises_anything_but_a_named_error(span: NativeSpan, media: str, data: st.DataObject) -> None:
    """Damage inside a body that is nearly right reaches deeper than noise."""
    body = bytearray(ENCODERS[media](NativeBody(spans=[span])))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ClewError):
        native.decode(bytes(body), media)


@pytest.mark.parametrize(("number", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_pythons_own_json_is_read(number: float, text: str) -> None:
    """Python's `json` writes NaN and infinities, which are no JSON: one of them costs neither its span nor another."""
    body = json.dumps(
        {"spans": [a_span(attributes={"ratio": number, "deep": {"er": [number]}}), a_span(span_id="1" * 16)]}
    )
    decoded = native.decode(body.encode(), "application/json")

    bad, good = decoded.spans
    assert bad.attributes == {"ratio": text, "deep": {"er": [text]}}
    assert any(text in problem for problem in bad.problems)
    assert good.problems == []


def test_nan_in_messagepack_becomes_text() -> None:
    """MessagePack has NaN, but the answers of the API are JSON."""
    (span,) = read("application/msgpack", a_span(attributes={"ratio": math.nan})).spans

    assert span.attributes == {"ratio": "NaN"}
    assert span.problems


def test_a_lone_surrogate_is_replaced() -> None:
    """Python's `json` writes what no UTF-8 can hold."""
    body = json.dumps({"spans": [a_span(name="a\ud800b", attributes={"k\udfff": "v\ud800"})]})
    (span,) = native.decode(body.encode(), "application/json").spans

    assert "\ud800" not in span.name
    msgspec.json.encode(span)
    assert span.problems


def test_text_that_is_no_utf8_is_replaced() -> None:
    body = msgspec.json.encode({"spans": [a_span(name="caf@")]}).replace(b"@", b"\xe9")
    (span,) = native.decode(body, "application/json").spans

    assert span.name == "caf\ufffd"


def test_derived_fields_are_not_taken_from_the_client() -> None:
    """They say what Clew makes of a span; a client that sends them must not be able to flag a trace."""
    (span,) = read(
        "application/json", a_span(kind="root", response_chars=3, input_preview="x", model="y", resource={"z": 1})
    ).spans

    assert (span.response_chars, span.input_preview, span.model, span.resource) == (None, None, None, {})


def test_what_an_instrumentation_says_of_itself_is_kept() -> None:
    """As OTLP has it; an unknown kind says nothing, and no store needs to hold a scope without end."""
    (span,) = read("application/json", a_span(scope="httpx 1\0", otel_kind="client")).spans
    (odd,) = read("application/json", a_span(scope="s" * 5_000, otel_kind="CLIENT")).spans

    assert (span.scope, span.otel_kind) == ("httpx 1\ufffd", "client")
    assert (len(odd.scope) < 600, odd.otel_kind) == (True, "")
