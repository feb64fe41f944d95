"""The usual ways in which a capability runs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter, UnknownNode
from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.graph.variants import steps_of, variants
from clew.model.graph import Node, Variant


def run(*spans: tuple[str, int, int], trace_id: str = "t", ok: bool = True, **fields: object) -> TraceCalls:
    """One run of the capability `job`: its calls as (name, start, end)."""
    calls = [Call(call_id="job", kind="capability", name="job", start_ns=0, end_ns=1_000_000, ok=ok)]
    for at, (name, start, end) in enumerate(spans):
        calls.append(
            Call(call_id=f"c{at}", parent_id="job", kind="tool", name=name, start_ns=start, end_ns=end, **fields)
        )
    return TraceCalls(trace_id=trace_id, calls=calls)


def in_turn(names: str, **fields: object) -> TraceCalls:
    return run(*((name, 10 * at, 10 * at + 5) for at, name in enumerate(names)), **fields)


def learned(*traces: TraceCalls) -> Graph:
    graph = Graph()
    for trace in traces:
        learn_into(graph, trace)
    return graph


def shown(variant: Variant) -> str:
    return " ".join("+".join(node.name for node in step) for step in variant.steps)


def ways(graph: Graph, **asked: int) -> dict[str, int]:
    return {shown(variant): variant.count for variant in variants(graph, "job", **asked).variants}


def test_each_way_has_its_count_and_share_and_the_commonest_is_first():
    """That is what is usual."""
    answer = variants(learned(in_turn("abc"), in_turn("ab", trace_id="u"), in_turn("abc", trace_id="v")), "job")

    assert answer.capability == Node("capability", "job")
    assert answer.runs == 3
    assert [shown(variant) for variant in answer.variants] == ["a b c", "a b"]
    assert answer.variants[0].share == pytest.approx(2 / 3)
    assert answer.variants[0].traces == ("v", "t")


def test_calls_that_overlap_are_one_step():
    """No order is claimed between what ran side by side; all of a step had ended before the next."""
    graph = learned(run(("a", 0, 9), ("c", 5, 20), ("b", 15, 30), ("d", 30, 40)))

    assert ways(graph) == {"a+b+c d": 1}


def test_the_order_of_parallel_calls_makes_no_new_way():
    """It is a matter of milliseconds."""
    graph = learned(run(("a", 0, 9), ("b", 1, 9), ("c", 9, 12)), run(("b", 0, 9), ("a", 1, 5), ("c", 9, 12)))

    assert ways(graph) == {"a+b c": 2}


@pytest.mark.parametrize(
    ("ran", "way"),
    [
        ("aab", "a b"),
        ("aaaab", "a b"),
        ("abab", "a b"),
        ("xababc", "x a b c"),
        ("aabaab", "a b"),
        ("aba", "a b a"),
        ("abcabc", "a b c a b c"),
    ],
)
def test_a_loop_is_shown_once(ran, way):
    """How often it went round is no other way; a round has two steps at most."""
    assert ways(learned(in_turn(ran))) == {way: 1}


def test_a_fan_out_of_any_width_is_one_step():
    """Five documents or three, they are read side by side."""
    five = run(*(("read", at, 50) for at in range(5)), ("merge", 60, 70))
    three = run(*(("read", at, 50) for at in range(3)), ("merge", 60, 70))

    assert ways(learned(five, three)) == {"read merge": 2}


def test_arguments_and_failed_steps_make_no_new_way():
    """The episodes differ, the way does not."""
    graph = learned(in_turn("ab", arguments=("city",)), in_turn("ab"), in_turn("ab", pending=("a.x",)))

    assert graph.episode_count() == 4  # One of them is the top's.
    assert ways(graph) == {"a b": 3}


def test_failures_and_durations_are_those_of_the_capability():
    """A way that fails is worth knowing."""
    (variant,) = variants(learned(in_turn("ab"), in_turn("ab", ok=False)), "job").variants

    assert variant.failures == 1
    assert variant.mean_duration_ms == pytest.approx(1.0)


def test_runs_that_called_nothing_are_a_way_without_steps():
    """They are no episodes, but runs all the same."""
    graph = learned(in_turn("ab"), run(trace_id="u", ok=False), run(trace_id="v"))

    answer = variants(graph, "job")

    assert answer.runs == 3
    assert [(shown(variant), variant.count, variant.failures) for variant in answer.variants] == [
        ("", 2, 1),
        ("a b", 1, 0),
    ]
    assert answer.variants[0].mean_duration_ms == pytest.approx(1.0)


def test_what_never_called_anything_has_no_ways():
    """A tool is no capability."""
    answer = variants(learned(in_turn("ab")), "a")

    assert (answer.runs, answer.variants) == (0, ())


def test_none_asks_for_whole_traces():
    """By their topmost calls; a trace has no duration of its own."""
    answer = variants(learned(in_turn("ab"), in_turn("c", trace_id="u")), None)

    assert answer.capability is None
    assert [shown(variant) for variant in answer.variants] == ["job"]
    assert answer.variants[0].mean_duration_ms is None


def test_only_the_commonest_are_given_but_shares_are_of_all():
    """k is how many one wants to read."""
    graph = learned(in_turn("a"), in_turn("a"), in_turn("b"), in_turn("c"))

    (variant,) = variants(graph, "job", k=1).variants

    assert variant.share == 0.5


def test_a_graph_that_learns_on_answers_anew():
    """Nothing stale is kept."""
    graph = learned(in_turn("a"))
    assert ways(graph) == {"a": 1}

    learn_into(graph, in_turn("a", trace_id="u"))

    assert ways(graph) == {"a": 2}


def test_what_was_taken_back_is_no_way():
    """A trace that is learned in a new form leaves nothing of the old."""
    graph = learned(in_turn("a"), in_turn("b"))
    graph.merge(learned(in_turn("b")), times=-1)

    assert ways(graph) == {"a": 1}


def test_a_capability_that_is_not_known_is_named():
    """And what is near."""
    with pytest.raises(UnknownNode):
        variants(learned(in_turn("a")), "jop")


def test_no_ways_are_no_question():
    """k counts what is asked for."""
    with pytest.raises(BadFilter):
        variants(Graph(), None, k=0)


def test_an_empty_graph_has_no_ways():
    """A new project is no error."""
    assert variants(Graph(), None).variants == ()


calls = st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 8))


@given(st.lists(calls, min_size=1, max_size=12))
def test_each_call_of_a_step_had_ended_before_the_next_began(spans):
    """The one thing that a row of steps claims: checked by names that are given once."""
    ordered = sorted((2 * start, 2 * (start + length) + 1, at) for at, (_, start, length) in enumerate(spans))
    steps = steps_of((at, begin, finish) for begin, finish, at in ordered)
    times = {at: (begin, finish) for begin, finish, at in ordered}

    assert sorted(at for step in steps for at in step) == sorted(times)
    for one, two in pairwise(steps):
        assert max(times[at][1] for at in one) <= min(times[at][0] for at in two)


@given(st.lists(calls, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_calls_come_changes_nothing(spans, random):
    """Spans arrive as they like."""
    trace = run(*(("abcd"[name], start, start + length) for name, start, length in spans))
    mixed = TraceCalls(trace_id="t", calls=random.sample(trace.calls, len(trace.calls)))

    assert variants(learned(trace), "job") == variants(learned(mixed), "job")
