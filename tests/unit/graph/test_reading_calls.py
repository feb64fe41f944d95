"""Spans read as calls."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.graph import learn
from clew.graph.calls import MOST_NAME_CHARS
from clew.graph.nesting import innermost
from clew.graph.reading import ENCLOSING_KINDS, MOST_ARGUMENTS, PARENTLESS, calls_of
from clew.model.span import KINDS, Span

TRACE = "a" * 32


def span(name, start, end, parent=None, **more):
    return Span(
        trace_id=TRACE,
        span_id=more.pop("id", name),
        parent_id=parent,
        name=name,
        kind=more.pop("kind", "tool"),
        start_ns=start,
        end_ns=end,
        **more,
    )


def event(name, start, end, **more):
    """A span that came from events which named no parent."""
    return span(name, start, end, attributes={PARENTLESS: True}, **more)


def read(*spans, **more):
    return {call.call_id: call for call in calls_of(TRACE, spans, **more).calls}


@pytest.mark.parametrize("kind", KINDS)
def test_a_span_of_any_kind_is_a_call(kind):
    """The graph is of steps, not of tools alone."""
    [call] = read(span("step", 5, 9, "root", kind=kind)).values()
    assert (call.kind, call.name, call.start_ns, call.end_ns, call.parent_id) == (kind, "step", 5, 9, "root")


@pytest.mark.parametrize(("status", "ok"), [("ok", True), ("unset", True), ("error", False)])
def test_only_an_error_is_a_failure(status, ok):
    """Most SDKs leave the status unset when all went well."""
    assert read(span("a", 0, 1, status=status))["a"].ok is ok


def test_a_span_that_runs_is_left_out_unless_asked_for():
    """How it ends is not known; it is learned when it is."""
    spans = [span("done", 0, 1), span("runs", 2, None)]
    assert set(read(*spans)) == {"done"}
    assert set(read(*spans, running=True)) == {"done", "runs"}


def test_the_version_is_the_root_s_and_what_is_said_wins():
    """Slices of the graph are by the version of the service that was asked, not of one that it called."""
    root = span("root", 0, 9, resource={"service.version": "1.4.2"})
    other = span("other", 1, 2, "root", resource={"service.version": "7"})
    assert calls_of(TRACE, [other, root]).version == "1.4.2"
    assert calls_of(TRACE, [other, root], version="2").version == "2"
    assert calls_of(TRACE, [other]).version is None


def test_a_version_that_is_no_text_is_none():
    """A resource holds whatever the client put there."""
    assert calls_of(TRACE, [span("root", 0, 9, resource={"service.version": 7})]).version is None


def test_arguments_are_the_names_of_the_inputs():
    """Never their values: the graph holds no payload."""
    [call] = read(span("a", 0, 1, inputs={"query": "secret", "top_k": 5})).values()
    assert call.arguments == ("query", "top_k")


@pytest.mark.parametrize("inputs", ["a question", ["a", "b"], 7, "{broken", "[1, 2]", None])
def test_inputs_without_names_have_no_arguments(inputs):
    """A prompt is not a set of arguments."""
    assert read(span("a", 0, 1, inputs=inputs))["a"].arguments == ()


def test_inputs_that_are_json_text_are_read():
    """Function calls of models come so."""
    assert read(span("a", 0, 1, inputs=' {"city": "Berlin", "days": 3} '))["a"].arguments == ("city", "days")


def test_names_and_arguments_are_bounded():
    """Ten kilobytes of name, ten thousand arguments: somebody sends them."""
    inputs = {f"argument {at:05d} {'x' * 10_000}": at for at in range(200)}
    [call] = read(span("n" * 10_000, 0, 1, id="a", inputs=inputs)).values()
    assert len(call.name) == MOST_NAME_CHARS
    assert len(call.arguments) == MOST_ARGUMENTS
    assert max(map(len, call.arguments)) == MOST_NAME_CHARS


def test_an_event_without_a_parent_is_found_in_the_innermost_capability_around_it():
    """True for 91 to 100 % of them, where the call just before is true for one in twenty."""
    calls = read(
        span("root", 0, 100, kind="root"),
        span("trip", 10, 90, "root", kind="capability"),
        span("booking", 20, 60, "trip", kind="capability"),
        event("pay", 30, 40),
        event("mail", 70, 80),
    )
    assert (calls["pay"].parent_id, calls["pay"].parent_is_inferred) == ("booking", True)
    assert (calls["mail"].parent_id, calls["mail"].parent_is_inferred) == ("trip", True)
    assert not calls["booking"].parent_is_inferred


@pytest.mark.parametrize("kind", sorted(ENCLOSING_KINDS))
def test_capabilities_agents_and_chains_enclose(kind):
    """What runs steps; a slow tool beside another is not around it."""
    assert read(span("outer", 0, 100, kind=kind), event("a", 30, 40))["a"].parent_id == "outer"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - ENCLOSING_KINDS))
def test_no_other_kind_encloses(kind):
    """Retrieval during a generation is not the generation's."""
    assert read(span("outer", 0, 100, kind=kind), event("a", 30, 40))["a"].parent_id is None


def test_capabilities_without_a_parent_nest_too():
    """Old event streams name no parent at all."""
    calls = read(
        event("trip", 0, 100, kind="capability"),
        event("booking", 10, 60, kind="capability"),
        event("pay", 20, 30),
    )
    assert {name: call.parent_id for name, call in calls.items()} == {"trip": None, "booking": "trip", "pay": "booking"}


def test_between_capabilities_that_overlap_nothing_is_inferred():
    """Either could have made the call; a guess would be half false."""
    calls = read(span("one", 0, 50, kind="capability"), span("two", 20, 90, kind="capability"), event("a", 30, 40))
    assert (calls["a"].parent_id, calls["a"].parent_is_inferred) == (None, True)


def test_between_capabilities_of_one_interval_nothing_is_inferred():
    """They cannot be told apart."""
    calls = read(span("one", 0, 50, kind="capability"), span("two", 0, 50, kind="capability"), event("a", 30, 40))
    assert calls["a"].parent_id is None


def test_what_fits_exactly_is_not_inside():
    """Two capabilities of one interval would each be the other's parent."""
    calls = read(event("one", 0, 50, kind="capability"), event("two", 0, 50, kind="capability"))
    assert {call.parent_id for call in calls.values()} == {None}


def test_what_fell_to_time_order_is_counted_as_inferred():
    """Old events at the top: their order is all there is."""
    graph = learn(calls_of(TRACE, [event("a", 0, 5), event("b", 6, 9)]))
    [edge] = graph.edges()
    assert (edge.type, edge.count, edge.inferred) == ("sequence", 0, 1)


@pytest.mark.parametrize("attributes", [{}, {PARENTLESS: False}, {PARENTLESS: "true"}])
def test_only_events_that_named_no_parent_are_given_one(attributes):
    """A root span has no parent and wants none."""
    calls = read(span("outer", 0, 100, kind="capability"), span("a", 30, 40, attributes=attributes))
    assert (calls["a"].parent_id, calls["a"].parent_is_inferred) == (None, False)


def test_a_parent_that_is_named_is_believed_whatever_the_clocks_say():
    """Machines disagree about the time, not about who called."""
    calls = read(
        span("caller", 0, 10, kind="capability"),
        span("bystander", 40, 90, kind="capability"),
        span("a", 50, 60, "caller", attributes={PARENTLESS: True}),
    )
    assert (calls["a"].parent_id, calls["a"].parent_is_inferred) == ("caller", False)


intervals = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted).map(tuple), max_size=8)


@given(intervals, intervals)
def test_the_nearest_interval_around_is_what_the_definition_says(inner, outer):
    """The sweep is fast; the definition, beside it, is plain."""

    def around(one, other):
        return one[0] <= other[0] and other[1] <= one[1] and one != other

    expected = []
    for each in inner:
        candidates = [at for at, one in enumerate(outer) if around(one, each)]
        nearest = [
            at for at in candidates if all(around(outer[other], outer[at]) for other in candidates if other != at)
        ]
        expected.append(nearest[0] if nearest else None)
    assert innermost(inner, outer) == expected


def test_nesting_a_hundred_thousand_events_takes_bounded_time():
    """A chain of them, each inside the one before, is the worst that a stack could meet."""
    spans = [event(f"c{at}", at, 400_000 - at, kind="capability") for at in range(100_000)]
    began = time.perf_counter()
    calls = read(*spans)
    assert calls["c99999"].parent_id == "c99998"
    # About a second and a half when nothing else runs; squared growth would take hours.
    assert time.perf_counter() - began < 30


def test_what_an_earlier_call_gave_is_on_the_later_one():
    """The matching has its own tests; here, that it is asked, with the inferred parents."""
    calls = read(
        span("trip", 0, 100, kind="capability", inputs={"user": "mia_li_3668"}),
        event("find", 10, 20, inputs={"user": "mia_li_3668"}, outputs={"reservation": "ABC123XY"}),
        event("cancel", 30, 40, inputs={"reservation": "ABC123XY", "user": "mia_li_3668"}),
    )
    assert calls["cancel"].provider_ids == ("find",)
    assert calls["cancel"].consumed == ("find.reservation",)
    assert calls["cancel"].pending == ("find.reservation",)
    assert calls["find"].pending == ()
