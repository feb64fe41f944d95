"""What one trace teaches, as stories."""

from __future__ import annotations

import time
from itertools import count

import pytest

from clew.graph import Call, Graph, TraceCalls, learn, learn_into
from clew.graph.calls import MOST_NAME_CHARS, in_order, runs_before
from clew.graph.columns import MOST
from clew.graph.episodes import MOST_STEPS
from clew.graph.order import MOST_TRIGGERS
from clew.graph.state import TOP, ran_before

_numbers = count()


def call(name, start, end, parent=None, **more):
    """A tool's call; ids are its name unless said otherwise."""
    call_id = more.pop("id", name)
    kind = more.pop("kind", "tool")
    return Call(call_id=call_id, parent_id=parent, kind=kind, name=name, start_ns=start, end_ns=end, **more)


def trace(*calls, id=None):  # noqa: A002 (a keyword that reads well)
    return TraceCalls(trace_id=id or f"{next(_numbers):032x}", calls=list(calls))


def counts(graph, type_):
    """Edges of one type by names: how often, counting the inferred ones apart."""
    named = {}
    for row in graph.rows():
        origin, target, of = graph.ends(row)
        if of == type_:
            named[graph.nodes[origin].name, graph.nodes[target].name] = (graph.count[row], graph.inferred[row])
    return named


def sure(graph, type_):
    assert all(inferred == 0 for _, inferred in counts(graph, type_).values())
    return {ends: seen for ends, (seen, _) in counts(graph, type_).items()}


def node_count(graph, name):
    return graph.node_count[graph.find(name)]


def test_a_parent_contains_its_children_and_nobody_else():
    """The chronological graph joins a child to its own parent in 44 % of its pairs."""
    graph = learn(trace(call("ask", 0, 100), call("search", 10, 20, "ask"), call("rank", 30, 40, "search")))
    assert sure(graph, "contains") == {("ask", "search"): 1, ("search", "rank"): 1}
    assert sure(graph, "sequence") == {}


def test_a_sibling_that_ended_before_the_next_began_is_followed_by_it():
    """Only what lies nearest: c follows b, not a."""
    graph = learn(
        trace(call("ask", 0, 100), call("a", 1, 10, "ask"), call("b", 11, 20, "ask"), call("c", 21, 30, "ask"))
    )
    assert sure(graph, "sequence") == {("a", "b"): 1, ("b", "c"): 1}


def test_siblings_that_ran_side_by_side_follow_neither_each_other_nor_hide_what_was_before_them():
    """Consecutive siblings ran side by side in 38.8 % of the pairs of real services."""
    graph = learn(
        trace(
            call("ask", 0, 100),
            call("embed", 1, 10, "ask"),
            call("bm25", 11, 30, "ask"),
            call("dense", 12, 25, "ask"),
            call("rerank", 31, 40, "ask"),
        )
    )
    assert sure(graph, "sequence") == {
        ("embed", "bm25"): 1,
        ("embed", "dense"): 1,
        ("bm25", "rerank"): 1,
        ("dense", "rerank"): 1,
    }


def test_one_that_ran_beside_all_others_follows_nothing_and_is_followed_by_nothing():
    """A long watcher beside a chain is no step of it."""
    graph = learn(trace(call("watch", 0, 100), call("a", 1, 10), call("b", 20, 30)))
    assert sure(graph, "sequence") == {("a", "b"): 1}


def test_calls_of_different_parents_do_not_follow_each_other():
    """Time order across parents is chance: 38.1 % of chronological pairs."""
    graph = learn(
        trace(call("a", 0, 20), call("in a", 1, 5, "a"), call("b", 30, 50), call("in b", 31, 35, "b")),
    )
    assert sure(graph, "sequence") == {("a", "b"): 1}


def test_iteration_is_a_loop_with_its_count():
    """Agents loop; the graph is not a DAG."""
    graph = learn(trace(*[call("fetch", at * 10, at * 10 + 5, id=str(at)) for at in range(5)]))
    assert sure(graph, "sequence") == {("fetch", "fetch"): 4}
    assert node_count(graph, "fetch") == 5


def test_the_calls_whose_values_were_taken_provide():
    """What follows what and what feeds what are two things."""
    graph = learn(
        trace(
            call("find", 0, 1),
            call("look", 2, 3),
            call("book", 4, 5, provider_ids=("find", "find", "nobody", "book")),
        )
    )
    assert sure(graph, "provides") == {("find", "book"): 1}


def test_what_is_inferred_is_counted_apart():
    """An event without a parent may have been placed wrongly; three sure observations make an edge observed."""
    graph = learn(
        trace(
            call("plan", 0, 100, kind="capability"),
            call("a", 1, 10, "plan", parent_is_inferred=True),
            call("b", 11, 20, "plan"),
            call("c", 21, 30, "plan"),
        )
    )
    assert counts(graph, "contains") == {("plan", "a"): (0, 1), ("plan", "b"): (1, 0), ("plan", "c"): (1, 0)}
    assert counts(graph, "sequence") == {("a", "b"): (0, 1), ("b", "c"): (1, 0)}


def test_durations_failures_and_last_sight_are_kept_of_nodes_and_edges():
    """From these every rate and mean is derived when it is asked for."""
    graph = learn(trace(call("ask", 0, 100), call("a", 1, 11, "ask"), call("b", 20, 50, "ask", ok=False), id="t" * 32))
    [edge] = [edge for edge in graph.edges() if edge.type == "sequence"]
    assert (edge.failures, edge.duration_ns, edge.last_seen_ns, edge.traces) == (1, 30, 100, ("t" * 32,))
    b = graph.find("b")
    assert (graph.node_failures[b], graph.node_duration_ns[b], graph.node_ended[b], graph.node_last_ns[b]) == (
        1,
        30,
        1,
        100,
    )


def test_a_call_that_runs_is_counted_and_follows_but_is_not_followed():
    """It has no end, so nothing can have come after it."""
    graph = learn(trace(call("a", 0, 5), call("hangs", 10, None), call("b", 20, 30)))
    assert sure(graph, "sequence") == {("a", "hangs"): 1, ("a", "b"): 1}
    hangs = graph.find("hangs")
    assert (graph.node_count[hangs], graph.node_ended[hangs], graph.node_duration_ns[hangs]) == (1, 0, 0)


def test_an_end_before_its_start_took_no_time():
    """Clocks are set back while spans are open."""
    graph = learn(trace(call("a", 0, 5), call("odd", 20, 10), call("b", 30, 40)))
    assert sure(graph, "sequence") == {("a", "odd"): 1, ("odd", "b"): 1}
    assert graph.node_duration_ns[graph.find("odd")] == 0


def test_an_end_at_the_moment_of_a_start_counts_as_before():
    """Clocks are coarse: a millisecond holds the end of one and the start of the next."""
    graph = learn(trace(call("a", 0, 5), call("b", 5, 9), call("c", 9, 9), call("d", 9, 12)))
    assert sure(graph, "sequence") == {("a", "b"): 1, ("b", "c"): 1, ("c", "d"): 1}


def test_of_two_calls_without_length_at_one_moment_neither_is_before_the_other():
    """There is nothing to tell them apart by, and each before the other would be a cycle out of nothing."""
    graph = learn(trace(call("a", 5, 5), call("b", 5, 5), call("c", 9, 12)))
    assert sure(graph, "sequence") == {("a", "c"): 1, ("b", "c"): 1}
    [episode] = graph.episodes()
    a, b, c = episode.steps
    assert not ran_before(a, b)
    assert not ran_before(b, a)
    assert not ran_before(a, a)
    assert ran_before(a, c)


def test_a_call_whose_parent_never_came_stands_at_the_top():
    """A span lost is worse than a span late; its trace is learned all the same."""
    graph = learn(trace(call("a", 0, 5, "lost"), call("b", 6, 9)))
    assert sure(graph, "sequence") == {("a", "b"): 1}
    assert sure(graph, "contains") == {}


def test_a_child_outside_of_its_parent_s_time_is_still_its_child():
    """Clocks of two machines disagree; whoever names a parent knows it."""
    graph = learn(trace(call("ask", 100, 200), call("late", 300, 310, "ask"), call("early", 10, 20, "ask")))
    assert sure(graph, "contains") == {("ask", "late"): 1, ("ask", "early"): 1}
    assert sure(graph, "sequence") == {("early", "late"): 1}


def test_a_call_that_is_its_own_parent_stands_at_the_top():
    """Only a broken client says so."""
    graph = learn(trace(call("a", 0, 5, "a"), call("in a", 1, 2, "a"), call("b", 6, 9)))
    assert sure(graph, "sequence") == {("a", "b"): 1}
    assert sure(graph, "contains") == {("a", "in a"): 1}


@pytest.mark.parametrize("turn", range(3))
def test_a_ring_of_parents_is_cut_at_its_earliest_call(turn):
    """As the trace's own tree cuts it, whichever call comes first in the list."""
    ring = [call("a", 0, 50, "c"), call("b", 5, 40, "a"), call("c", 10, 30, "b"), call("below", 11, 12, "c")]
    graph = learn(trace(*ring[turn:], *ring[:turn]))
    assert sure(graph, "contains") == {("a", "b"): 1, ("b", "c"): 1, ("c", "below"): 1}
    [top] = [episode for episode in graph.episodes() if episode.scope == TOP]
    assert [graph.nodes[step.node].name for step in top.steps] == ["a"]


def test_different_calls_with_one_id_all_count_and_the_earliest_is_the_parent():
    """A client that draws ids badly loses nothing; in any order it is the same."""
    calls = [call("late", 50, 60, id="x"), call("early", 0, 40, id="x"), call("child", 5, 6, "x")]
    forward, backward = learn(trace(*calls, id="t")), learn(trace(*reversed(calls), id="t"))
    assert forward.content() == backward.content()
    assert sure(forward, "contains") == {("early", "child"): 1}
    assert sure(forward, "sequence") == {("early", "late"): 1}


def test_the_same_call_sent_twice_is_one():
    """Clients retry."""
    once = learn(trace(call("a", 0, 5), call("b", 6, 9), id="t"))
    twice = learn(trace(call("a", 0, 5), call("b", 6, 9), call("a", 0, 5), id="t"))
    assert once.content() == twice.content()


def test_an_empty_trace_teaches_nothing():
    """All of its spans may still run."""
    graph = learn(trace())
    assert graph.content() == Graph().content()


def test_a_very_long_name_is_cut_and_stays_different_from_others_that_begin_alike():
    """Some clients put a whole prompt into the name; 10 KB of it."""
    graph = learn(trace(call("x" * 10_000, 0, 1, id="a"), call("x" * 9_999 + "y", 2, 3, id="b")))
    assert len(graph.nodes) == 2
    assert {len(node.name) for node in graph.nodes} == {MOST_NAME_CHARS}
    assert graph.nodes[graph.find("x" * 10_000)].name != graph.nodes[graph.find("x" * 9_999 + "y")].name


def test_an_episode_says_the_order_of_its_steps_exactly():
    """From episodes suggestions, plans and variants are made; `ran_before` must be what `runs_before` is."""
    calls = [call("a", 0, 30), call("b", 5, 10), call("c", 12, 50), call("d", 31, 40), call("e", 55, None)]
    [episode] = learn(trace(*calls)).episodes()
    for first, earlier in zip(episode.steps, in_order(calls), strict=True):
        for second, later in zip(episode.steps, in_order(calls), strict=True):
            assert ran_before(first, second) == runs_before(earlier, later)


def test_in_which_order_parallel_calls_ended_makes_no_other_episode():
    """Ten retrievers side by side would end in three million orders, which mean nothing."""
    start = [call("a", 0, 20), call("b", 1, 30), call("join", 40, 50)]
    other = [call("a", 0, 30), call("b", 1, 20), call("join", 40, 50)]
    graph = learn(trace(*start))
    learn_into(graph, trace(*other))
    [episode] = graph.episodes()
    assert episode.count == 2


def test_a_long_episode_is_cut_and_its_edges_are_not():
    """Nobody reads the thousandth step, but every one of them counts."""
    graph = learn(trace(*[call("step", at * 10, at * 10 + 5, id=str(at)) for at in range(1_000)]))
    [episode] = graph.episodes()
    assert episode.truncated
    assert len(episode.steps) == MOST_STEPS
    assert sure(graph, "sequence") == {("step", "step"): 999}


def test_after_a_wide_fan_out_a_call_follows_those_that_ended_last():
    """A thousand after a thousand would be a million pairs; what was waited for is what ended last."""
    wide = [call(f"a{at}", 0, 100 + at) for at in range(1_000)]
    next_ = [call(f"b{at}", 5_000, 6_000 + at) for at in range(1_000)]
    followed = sure(learn(trace(*wide, *next_, call("last", 8_000, 9_000))), "sequence")
    assert {after for _, after in followed} == {*[f"b{at}" for at in range(1_000)], "last"}
    assert len(followed) == 1_001 * MOST_TRIGGERS


def test_sums_stop_at_the_end_of_the_scale():
    """Clients mistake units and send the year 200,000; learning goes on."""
    graph = Graph()
    for _ in range(3):
        learn_into(graph, trace(call("a", 0, 1 << 62, id="a"), call("b", 1 << 63, 1 << 70, "a"), call("c", -5, -1)))
    assert graph.node_duration_ns[graph.find("a")] == MOST
    assert graph.node_duration_ns[graph.find("b")] == MOST
    assert node_count(graph, "b") == 3


def _row_of(number):
    return [call(f"t{at % 50}", at * 10, at * 10 + 5, "root", id=str(at)) for at in range(number)]


HUGE = 100_000
HOSTILE = {
    "siblings": lambda: [call("root", 0, HUGE * 10), *_row_of(HUGE)],
    "different siblings": lambda: [call(f"t{at}", at * 10, at * 10 + 5) for at in range(HUGE)],
    "chain": lambda: [call(f"t{at % 50}", at, HUGE * 3 - at, str(at - 1), id=str(at)) for at in range(HUGE)],
    "ring": lambda: [call(f"t{at % 50}", at, HUGE * 3 - at, str((at - 1) % HUGE), id=str(at)) for at in range(HUGE)],
    "two fan-outs": lambda: [
        *[call("a", 0, 10 + at, id=f"a{at}") for at in range(HUGE // 2)],
        *[call("b", HUGE, HUGE * 2 + at, id=f"b{at}") for at in range(HUGE // 2)],
    ],
    "staircase": lambda: [call(f"t{at % 50}", at * 10, at * 10 + 500, id=str(at)) for at in range(HUGE)],
    "one id": lambda: [call("a", at * 10, at * 10 + 5, id="a") for at in range(HUGE)],
    "own parents": lambda: [call("a", at * 10, at * 10 + 5, str(at), id=str(at)) for at in range(HUGE)],
    "running": lambda: [call("a", at, None, id=str(at)) for at in range(HUGE)],
    "one moment": lambda: [call("a", 5, 5, id=str(at)) for at in range(HUGE)],
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_trace_of_a_hundred_thousand_calls_is_learned_in_bounded_time(shape):
    """Whatever its shape: nothing is lost, and the learner does not stand still."""
    whole = trace(*HOSTILE[shape]())
    began = time.perf_counter()
    graph = learn(whole)
    assert sum(graph.node_count) == len(whole.calls)
    # Under three seconds when nothing else runs; squared growth would take minutes.
    assert time.perf_counter() - began < 30
