"""Whatever OpenTelemetry's callers hand in: the span is kept, one log line says it, nothing is raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, StatusCode

import clew
from clew.sdk.outbox import outbox


class Hostile(Mapping):
    """A mapping whose every part raises."""

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        "00-0-0-01",
        "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
        "00-" + "g" * 32 + "-" + "1" * 16 + "-01",
        "\0" * 55,
        "00-" + "1" * 5_000,
    ],
)
def test_a_malformed_traceparent_is_as_none(captured, otel, header):
    with otel.start_as_current_span("a", context=propagate.extract({"traceparent": header})):
        pass

    assert captured["a"].parent_id is None


def test_the_first_end_counts(captured, otel):
    span = otel.start_span("a", start_time=1_763_700_000_000_000_000)
    span.end(1_763_700_000_000_000_007)
    span.end(1_763_700_000_000_000_099)
    span.end()

    assert captured["a"].end_ns - captured["a"].start_ns == 7
    assert len(captured.spans) == 1


def test_an_end_before_the_start_is_the_start(captured, otel):
    otel.start_span("a", start_time=1_763_700_000_000_000_000).end(1_763_600_000_000_000_000)

    assert captured["a"].end_ns == captured["a"].start_ns


def test_nothing_is_added_after_the_end(captured, otel):
    """It was sent, or is about to be; each sort of call is complained of once."""
    span = otel.start_span("a")
    span.end()
    for _ in range(3):
        span.set_attribute("k", 1)
        span.set_attributes({"k": 1})
        span.add_event("e")
        span.add_link(span.get_span_context())
        span.record_exception(ValueError())
        span.set_status(StatusCode.ERROR)
        span.update_name("b")
    said = [text for text in outbox.complaints if "has ended" in text]

    assert not span.is_recording()
    assert len(said) == len(set(said)) == 7
    a = captured["a"]
    assert (a.attributes, a.events, a.links, a.status, a.name) == ({}, [], [], "unset", "a")


@pytest.mark.parametrize("parent", ["text", 7, object(), [], Hostile(), {"current-span": 1}])
def test_a_context_that_is_none_is_complained_of(captured, otel, parent):
    with clew.span("above"):
        with otel.start_as_current_span("a", context=parent):
            pass
        with clew.span("after"):
            pass

    assert {"above", "a", "after"} == {span.name for span in captured.spans}
    assert captured["after"].parent_id == captured["above"].span_id


@pytest.mark.parametrize("value", ["text", 7, Hostile()])
def test_a_span_key_that_holds_no_span_is_as_none(captured, otel, value):
    token = context.attach(trace.set_span_in_context(value))
    with otel.start_as_current_span("a"):
        pass
    context.detach(token)

    assert captured["a"].parent_id is None


def test_an_attribute_that_opentelemetry_does_not_know_is_kept_as_text(captured, otel):
    with otel.start_as_current_span("a", attributes={"object": object, "set": {1}, "": 1, 5: 2, None: 3}) as span:
        span.set_attribute("ok", 1)
    a = captured["a"]

    assert set(a.attributes) == {"object", "set", "ok"}
    assert "class 'object'" in a.attributes["object"]


def test_a_list_is_kept_as_it_was(captured, otel):
    """Callers reuse theirs."""
    words = ["a"]
    with otel.start_as_current_span("a", attributes={"words": words}) as span:
        span.set_attribute("again", words)
        words.append("b")

    assert captured["a"].attributes == {"words": ["a"], "again": ["a"]}


def test_a_list_without_end_is_cut(captured, otel):
    """On the caller's thread nothing may take as long as the user's data is large."""
    with otel.start_as_current_span("a", attributes={"vector": [0.5] * 50_000}):
        pass

    assert len(captured["a"].attributes["vector"]) == 10_000


@pytest.mark.parametrize("name", [None, 5, "", b"x", "n" * 5_000, Hostile()])
def test_a_name_that_is_none_costs_no_span(captured, otel, name):
    with otel.start_as_current_span(name) as span:
        span.update_name(name)
        span.add_event(name)

    assert len(captured.spans) == 1


@pytest.mark.parametrize("bad", ["x", -1, 1.5, True, Hostile()])
def test_a_time_that_is_none_is_now(captured, otel, bad):
    span = otel.start_span("a", start_time=bad)
    span.add_event("e", timestamp=bad)
    span.end(bad)
    a = captured["a"]

    assert 0 <= a.end_ns - a.start_ns < 60e9
    assert a.start_ns <= a.events[0].at_ns <= a.end_ns


def test_links_that_cannot_be_read_cost_no_other(captured, otel):
    target = otel.start_span("target")
    good = Link(target.get_span_context())
    for links in ([good, None], [good, "x"], "x", 5, [good] * 2_000):
        otel.start_span("a", links=links).end()

    assert [len(span.links) for span in captured.spans] == [1, 1, 0, 0, 1_000]


def test_a_hostile_exception_is_recorded_and_goes_on(captured, otel):
    error = Unreadable()
    with pytest.raises(Unreadable) as raised, otel.start_as_current_span("a"):
        raise error
    a = captured["a"]

    assert raised.value is error
    assert (a.status, a.status_message) == ("error", "Unreadable")
    assert "cannot be read" in a.events[0].attributes["exception.message"]


ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.sampled_from([Hostile(), object(), Hostile, Context(), StatusCode.OK, SpanKind.SERVER, Unreadable()]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(ANYTHING, min_size=8, max_size=8), data=st.data())
def test_no_argument_makes_it_raise(captured, otel, arguments, data):
    """Every method, with whatever in every place."""
    name, given_context, kind, attributes, links, start, one, two = arguments
    span = otel.start_span(name, given_context, kind, attributes, links, start, one, two)
    method = data.draw(
        st.sampled_from(
            [
                lambda: span.set_attribute(one, two),
                lambda: span.set_attributes(one),
                lambda: span.add_event(one, two, start),
                lambda: span.add_link(one, two),
                lambda: span.record_exception(one, two, start, kind),
                lambda: span.set_status(one, two),
                lambda: span.update_name(one),
                lambda: span.end(one),
                lambda: clew.span("x", parent=one).end(),
            ]
        )
    )
    method()
    with otel.start_as_current_span(name, given_context, kind, attributes, links, start, one, two, bool(one)):
        pass
    assert not clew.current_span()
    span.end()
    clew.flush()
    assert not any("mended" in text for text in outbox.complaints)


def test_the_spans_of_the_above_are_sent(captured, otel):
    """A span is never lost for what was put into it."""
    span = otel.start_span(Hostile(), attributes={"k": Hostile()}, kind=None)
    span.set_attributes(Hostile())
    span.end()

    assert len(captured.spans) == 1
