"""What no store should meet is mended on receipt, and each mending is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clew.model import Event, Link, Span
from clew.wire import native
from clew.wire.mend import LATEST_NS, MAX_EVENTS, MAX_NAME_CHARS, MAX_PROBLEMS, mend, mend_ids
from clew.wire.native import NativeBody, NativeSpan
from clew.wire.native_reader import from_native
from clew.wire.values import MAX_ATTRIBUTES, MAX_DEPTH, MAX_KEY_CHARS

TRACE, SPAN = "ab" * 16, "cd" * 8
START_NS = 1_763_700_000_000_000_000
NOW_NS = START_NS + 60 * 10**9


def a_span(**fields: Any) -> Span:
    return Span(
        **{"trace_id": TRACE, "span_id": SPAN, "name": "n", "start_ns": START_NS, "end_ns": START_NS + 7, **fields}
    )


def mended(max_chars: int = 1_000, trusted_text: bool = True, **fields: Any) -> Span:
    span = a_span(**fields)
    mend(span, max_chars=max_chars, received_ns=NOW_NS, trusted_text=trusted_text)
    return span


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def test_a_good_span_is_left_alone() -> None:
    """The same objects: nothing is copied for nothing."""
    attributes = {"a": 1, "b": 0.5, "c": True, "d": None, "e": "text", "f": ["x", {"y": 1}], "g": nested(MAX_DEPTH)}
    span = mended(attributes=attributes, inputs={"q": "é"}, events=[Event(name="e", at_ns=START_NS)])

    assert span.attributes is attributes
    assert span.problems == []


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "expected"),
    [
        (START_NS, START_NS - 5, (START_NS, START_NS)),
        (START_NS, LATEST_NS * 2, (START_NS, START_NS)),
        (0, START_NS, (START_NS, START_NS)),
        (0, None, (NOW_NS, None)),
        (-5, None, (NOW_NS, None)),
        (2**64 - 1, None, (NOW_NS, None)),
        (1_763_700_000_000, 1_763_700_000_250, (NOW_NS - 250, NOW_NS)),
        (10**30, 10**40, None),
    ],
)
def test_times_that_cannot_be_are_mended(
    start_ns: int, end_ns: int | None, expected: tuple[int, int | None] | None
) -> None:
    """Clocks jump, and some were never set. No duration is ever negative, and the page says what was done."""
    span = mended(start_ns=start_ns, end_ns=end_ns)

    assert 0 < span.start_ns < LATEST_NS
    assert span.end_ns is None or span.start_ns <= span.end_ns < LATEST_NS
    assert expected is None or (span.start_ns, span.end_ns) == expected
    assert span.problems


@pytest.mark.parametrize("where", ["attributes", "inputs", "outputs", "events"])
def test_a_long_text_is_cut_visibly(where: str) -> None:
    """Where it was cut it says so, and how long it was."""
    value: Any = {"long": "x" * 5_000, "short": "y"}
    span = mended(**{where: [Event(name="e", at_ns=START_NS, attributes=value)] if where == "events" else value})
    kept = span.events[0].attributes if where == "events" else getattr(span, where)

    assert len(kept["long"]) < 1_100
    assert "5000" in kept["long"]
    assert kept["short"] == "y"
    assert any("5000" in problem for problem in span.problems)


def test_a_10_mb_attribute_is_cut_and_its_span_kept() -> None:
    """By the setting's default, through the door that a client uses."""
    body = msgspec.json.encode({"spans": [msgspec.to_builtins(a_span(attributes={"blob": "x" * 10_000_000}))]})
    (span,) = native.decode(body, "application/json").spans

    assert len(span.attributes["blob"]) < 1_100_000
    assert span.problems


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30, 10**5000], ids=["2^63", "-2^63-1", "10^30", "10^5000"])
def test_an_integer_of_more_than_64_bits_becomes_text(value: int) -> None:
    """Neither SQLite nor PostgreSQL nor MessagePack can hold it."""
    span = mended(attributes={"n": value, "in": [{"n": value}]})

    assert type(span.attributes["n"]) is str
    assert type(span.attributes["in"][0]["n"]) is str
    assert span.problems


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0])
def test_an_integer_of_64_bits_stays(value: int) -> None:
    assert mended(attributes={"n": value}).attributes == {"n": value}


def test_nul_is_replaced_in_values_keys_and_names() -> None:
    """PostgreSQL refuses it, and C cuts texts there."""
    span = mended(name="a\0b", attributes={"k\0": "v\0", "list": ["\0"]}, status_message="\0", inputs="\0")

    assert "\0" not in repr(msgspec.to_builtins(span)).replace("\\x00", "\0")
    assert span.problems


def test_what_nests_too_deep_is_cut_there() -> None:
    """A page that draws it recursively, or a store that walks it, would fall over."""
    span = mended(inputs=nested(500))
    value, depth = span.inputs, 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1

    assert depth == MAX_DEPTH + 1 or depth == MAX_DEPTH
    assert "cut" in value
    assert span.problems


def test_attributes_without_number_are_cut() -> None:
    span = mended(attributes={f"k{n}": n for n in range(MAX_ATTRIBUTES + 10)})

    assert len(span.attributes) == MAX_ATTRIBUTES
    assert any("10 of" in problem for problem in span.problems)


def test_a_long_key_is_cut() -> None:
    """Keys are as hostile as values."""
    (key,) = mended(attributes={"k" * 5_000: 1}).attributes

    assert len(key) < MAX_KEY_CHARS + 50


def test_a_long_name_is_cut_and_a_missing_one_named() -> None:
    assert len(mended(name="n" * 5_000).name) < MAX_NAME_CHARS + 50
    assert mended(name="").name == "(no name)"


def test_events_without_number_are_cut() -> None:
    span = mended(events=[Event(name="token", at_ns=START_NS) for _ in range(MAX_EVENTS + 3)])

    assert len(span.events) == MAX_EVENTS
    assert span.problems


def test_an_event_out_of_time_moves_to_the_spans_start() -> None:
    (event,) = mended(events=[Event(name="e", at_ns=0)]).events

    assert event.at_ns == START_NS


def test_a_link_to_nowhere_is_dropped() -> None:
    span = mended(links=[Link(trace_id="x", span_id=SPAN), Link(trace_id=TRACE.upper(), span_id=SPAN)])

    assert span.links == [Link(trace_id=TRACE, span_id=SPAN)]
    assert span.problems


def test_problems_are_few_however_much_is_wrong() -> None:
    """The notes of what was cut must not be what fills the disk."""
    span = mended(attributes={f"k{n}": "\0" for n in range(500)}, problems=["p" * 9_999] * 50)

    assert len(span.problems) <= MAX_PROBLEMS
    assert max(map(len, span.problems)) < MAX_NAME_CHARS + 50


def test_ids_are_written_in_lower_case() -> None:
    """One trace must not become two because one client shouts."""
    span = a_span(trace_id=TRACE.upper(), span_id=SPAN.upper(), parent_id="EF" * 8)
    mend_ids(span, {})

    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE, SPAN, "ef" * 8)


@pytest.mark.parametrize("none", ["", "0" * 16])
def test_a_parent_of_zeros_is_no_parent(none: str) -> None:
    """So do some clients write it, and it is no mistake."""
    span = a_span(parent_id=none)
    mend_ids(span, {})

    assert (span.parent_id, span.problems) == (None, [])


@pytest.mark.parametrize("parent_id", [SPAN, SPAN.upper(), "nonsense"])
def test_a_parent_that_cannot_be_is_dropped_and_told(parent_id: str) -> None:
    """A span that is its own parent would be drawn forever."""
    span = a_span(parent_id=parent_id)
    mend_ids(span, {})

    assert span.parent_id is None
    assert span.problems


def test_values_that_json_has_not_become_text() -> None:
    """MessagePack brings bytes, timestamps, integer keys and extensions."""
    sent = {
        "bytes": b"\x00\x01",
        "time": msgspec.msgpack.Ext(-1, b"\0\0\0\0"),
        "ext": msgspec.msgpack.Ext(5, b"x"),
        "keys": {1: "one", 2.5: "x"},
    }
    body = msgspec.msgpack.encode({"spans": [{**msgspec.to_builtins(a_span()), "inputs": sent}]})
    (span,) = native.decode(body, "application/msgpack").spans

    assert span.inputs["bytes"] == "AAE="
    assert span.inputs["time"] == "1970-01-01T00:00:00+00:00"
    assert type(span.inputs["ext"]) is str
    assert span.inputs["keys"] == {"1": "one", "2.5": "x"}


def test_a_value_that_holds_itself_is_cut_when_written_straight_into_a_store() -> None:
    """There no encoder stands between user code and the store."""
    loop: list[Any] = []
    loop += [loop, loop]
    body = NativeBody(spans=[NativeSpan(trace_id=TRACE, span_id=SPAN, name="n", start_ns=START_NS, inputs=loop)])
    (span,) = from_native(body).spans

    msgspec.json.encode(span)
    assert span.problems


def test_the_resource_is_cleaned_too() -> None:
    body = msgspec.json.encode({"spans": [msgspec.to_builtins(a_span())], "resource": {"a\0": "\0", "n": 2**70}})
    (span,) = native.decode(body, "application/json").spans

    assert span.resource == {"a\ufffd": "\ufffd", "n": str(2**70)}
