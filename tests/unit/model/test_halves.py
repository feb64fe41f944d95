"""One span from two halves."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.model import Event, Span
from clew.model.halves import EVENT, START_IS_DERIVED, is_half, join, keep

RUNNING = Span(
    trace_id="t",
    span_id="s",
    parent_id="p",
    name="search",
    kind="tool",
    start_ns=100,
    inputs={"q": 1},
    attributes={"a": 1, EVENT: "start"},
    resource={"service.name": "shop"},
    events=[Event(name="retry", at_ns=110)],
    problems=["one"],
)
END = Span(
    trace_id="t",
    span_id="s",
    name="",
    start_ns=150,
    end_ns=200,
    status="error",
    status_message="quota",
    outputs=[1],
    attributes={"b": 2, EVENT: "end", START_IS_DERIVED: True},
    problems=["one", "two"],
)


def test_the_start_says_what_went_in_and_the_end_what_came_out():
    """Neither half is lost."""
    assert join(RUNNING, END) == Span(
        trace_id="t",
        span_id="s",
        parent_id="p",
        name="search",
        kind="tool",
        start_ns=100,
        end_ns=200,
        status="error",
        status_message="quota",
        inputs={"q": 1},
        outputs=[1],
        attributes={"a": 1, "b": 2},
        resource={"service.name": "shop"},
        events=[Event(name="retry", at_ns=110)],
        problems=["one", "two"],
    )


def test_an_end_that_knows_its_own_start_keeps_it():
    """Only a start that was reckoned is worse than one that was told."""
    told = msgspec.structs.replace(END, attributes={EVENT: "end"})
    assert join(RUNNING, told).start_ns == 150


def test_the_end_may_say_what_the_start_left_out():
    """Old clients name the tool only when it ends."""
    joined = join(
        msgspec.structs.replace(RUNNING, name="", kind="other", parent_id=None, inputs=None),
        msgspec.structs.replace(END, name="search", kind="tool", parent_id="q", inputs="x"),
    )
    assert (joined.name, joined.kind, joined.parent_id, joined.inputs) == ("search", "tool", "q", "x")


def test_the_start_may_say_what_the_end_left_out():
    """A model or a user is known from the beginning."""
    started = msgspec.structs.replace(RUNNING, model="m", user_id="ana")
    assert join(started, END).model == "m"
    assert join(started, msgspec.structs.replace(END, model="n")).model == "n"


def test_clocks_that_disagree_make_no_negative_span():
    """Two machines told of it; what was wrong is told with it."""
    joined = join(msgspec.structs.replace(RUNNING, start_ns=300), END)
    assert (joined.start_ns, joined.end_ns) == (300, 300)
    assert "before its start" in joined.problems[-1]


def test_a_whole_span_is_no_half():
    """It replaces a running one, as it always did."""
    whole = msgspec.structs.replace(END, attributes={})
    assert join(RUNNING, whole) is whole
    assert [is_half(span) for span in (RUNNING, END, whole, join(RUNNING, END))] == [True, True, False, False]


@given(st.lists(st.sampled_from([RUNNING, END]), min_size=1, max_size=6))
def test_any_order_with_any_repetition_gives_the_same(halves):
    """Each half counts as news once."""
    spans = {}
    changes = [keep(half, spans) for half in halves]
    kinds = {half.end_ns for half in halves}
    expected = join(RUNNING, END) if len(kinds) == 2 else halves[0]
    assert spans == {"s": expected}
    assert sum(changes) == len(kinds)


@pytest.mark.parametrize("span", [RUNNING, END])
def test_halves_are_left_as_they_were(span):
    """They may be kept elsewhere: in a queue that will send them again."""
    before = msgspec.json.encode(span)
    join(RUNNING, END)
    assert msgspec.json.encode(span) == before
