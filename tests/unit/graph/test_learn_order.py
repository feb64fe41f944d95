"""Learning is a pure fold: properties over any traces."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from clew.graph import Call, Graph, TraceCalls, learn, learn_into
from clew.graph.calls import in_order, runs_before
from clew.graph.state import ran_before

NAMES = ("search", "book", "rank", "ask")
moments = st.integers(0, 12)


@st.composite
def traces(draw, number=0):
    """Nested and parallel calls, some of them running, failed, inferred or broken."""
    calls = []
    for at in range(draw(st.integers(0, 9))):
        start = draw(moments)
        calls.append(
            Call(
                # Seldom an id that is there already.
                call_id=str(draw(st.sampled_from([at, at, at, at, max(0, at - 1)]))),
                parent_id=draw(st.sampled_from([None, None, *"0123456789"])),
                kind=draw(st.sampled_from(["tool", "capability"])),
                name=draw(st.sampled_from(NAMES)),
                start_ns=start,
                end_ns=draw(st.sampled_from([None, start - 1, start, start + 1, start + 2, start + 5])),
                ok=draw(st.booleans()),
                arguments=draw(st.sampled_from([(), ("id",), ("id", "query")])),
                pending=draw(st.sampled_from([(), ("search.id",)])),
                consumed=draw(st.sampled_from([(), ("search.id",)])),
                provider_ids=draw(st.sampled_from([(), ("0",), ("1", "3")])),
                parent_is_inferred=draw(st.booleans()),
            )
        )
    return TraceCalls(trace_id=f"{number:032x}", calls=calls)


@st.composite
def batches(draw):
    """Several traces of different ids."""
    return [draw(traces(number=at)) for at in range(draw(st.integers(1, 6)))]


def folded(some):
    graph = Graph()
    for each in some:
        learn_into(graph, each)
    return graph


@given(batches(), st.randoms(use_true_random=False))
def test_any_order_and_any_grouping_of_traces_gives_the_same_graph(batch, dice: random.Random):
    """Workers learn side by side, deltas overtake each other, calls of a trace come as they like."""
    straight = folded(batch)

    shuffled = [TraceCalls(trace_id=each.trace_id, calls=dice.sample(each.calls, len(each.calls))) for each in batch]
    dice.shuffle(shuffled)
    groups = [Graph() for _ in range(dice.randint(1, 4))]
    for each in shuffled:
        if dice.random() < 0.5:
            learn_into(dice.choice(groups), each)
        else:
            dice.choice(groups).merge(learn(each))
    merged = Graph()
    for group in dice.sample(groups, len(groups)):
        merged.merge(group)

    assert merged.content() == straight.content()
    assert merged.trace_count == straight.trace_count


@given(batches(), traces(number=99), traces(number=99))
def test_taking_a_trace_back_and_learning_its_newer_form_is_learning_the_newer_form_alone(others, old, new):
    """Late spans correct what was learned."""
    corrected = folded([*others, old])
    corrected.merge(learn(old), times=-1)
    learn_into(corrected, new)

    assert corrected.content(when=False) == folded([*others, new]).content(when=False)


@given(batches(), traces(number=99), traces(number=99), st.booleans())
def test_a_correction_may_travel_as_a_difference(others, old, new, minus_first):
    """The job that learns sends one delta for many traces: the new form less the old, some of it below zero."""
    difference = Graph()
    if minus_first:
        difference.merge(learn(old), times=-1)
        learn_into(difference, new)
    else:
        learn_into(difference, new)
        difference.merge(learn(old), times=-1)
    base = folded([*others, old])
    base.merge(difference)
    assert base.content(when=False) == folded([*others, new]).content(when=False)

    # What the base remembers of what was taken from it must not trip what it learns next.
    again = TraceCalls(trace_id="again", calls=old.calls)
    learn_into(base, again)
    assert base.content(when=False) == folded([*others, new, again]).content(when=False)


@given(traces())
def test_a_trace_less_itself_is_nothing(some):
    """Nothing is left behind that would be asked one day."""
    graph = learn(some)
    graph.merge(learn(some), times=-1)
    assert graph.content() == Graph().content()
    assert list(graph.rows()) == []
    assert graph.edge_count() == 0


@given(batches())
def test_looking_in_between_changes_nothing(batch):
    """What is learned waits to be counted until somebody looks; nobody must notice."""
    watched = Graph()
    for each in batch:
        learn_into(watched, each)
        assert len(watched.count) >= watched.edge_count()
    assert watched.content() == folded(batch).content()


@given(traces())
def test_every_call_is_counted_once(some):
    """Nothing is lost, however broken the trace is; what was sent twice is one."""
    different = {repr(call) for call in some.calls}
    assert sum(learn(some).node_count) == len(different)


@given(traces())
def test_a_sequence_is_a_pair_of_siblings_between_which_no_other_ran(some):
    """The definition, word by word, beside the sweep that is fast."""
    ids = {call.call_id for call in some.calls}
    flat = [call for call in some.calls if call.parent_id not in ids]
    if len(ids) < len(some.calls) or not flat:
        return
    expected: dict[tuple[str, str], int] = {}
    for first in flat:
        for second in flat:
            between = any(runs_before(first, each) and runs_before(each, second) for each in flat)
            if runs_before(first, second) and not between:
                ends = str(first.node), str(second.node)
                expected[ends] = expected.get(ends, 0) + 1

    graph = learn(TraceCalls(trace_id="t", calls=flat))
    found = {
        (str(edge.origin), str(edge.target)): edge.count + edge.inferred
        for edge in graph.edges()
        if edge.type == "sequence"
    }
    assert found == expected


@given(traces())
def test_the_ranks_of_an_episode_say_who_ran_before_whom(some):
    """Suggestions and plans read the order from the ranks alone."""
    flat = [call for call in some.calls if call.parent_id is None]
    if not flat or len({call.call_id for call in flat}) < len(flat):
        return
    [episode] = learn(TraceCalls(trace_id="t", calls=flat)).episodes()
    for step, call in zip(episode.steps, in_order(flat), strict=True):
        for other, beside in zip(episode.steps, in_order(flat), strict=True):
            assert ran_before(step, other) == runs_before(call, beside)
