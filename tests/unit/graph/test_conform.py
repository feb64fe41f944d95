"""Where a run left the usual ways."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.graph.conform import MOST_DEPARTURES, MOST_WAYS, conform
from clew.graph.variants import variants
from clew.graph.walk import sets_of, walk
from clew.model.graph import Departure, Node

Span = tuple[str, int, int]


def run(*spans: Span, trace_id: str = "new", ended: bool = True) -> TraceCalls:
    """One run of the capability `job`: its calls as (name, start, end)."""
    calls = [Call(call_id="job", kind="capability", name="job", start_ns=0, end_ns=10**6 if ended else None)]
    for at, (name, start, end) in enumerate(spans):
        calls.append(Call(call_id=f"c{at}", parent_id="job", kind="tool", name=name, start_ns=start, end_ns=end))
    return TraceCalls(trace_id=trace_id, calls=calls)


def in_turn(names: str, **asked: object) -> TraceCalls:
    return run(*((name, 10 * at, 10 * at + 5) for at, name in enumerate(names)), **asked)


def times(count: int, trace: TraceCalls, name: str = "") -> list[TraceCalls]:
    return [msgspec.structs.replace(trace, trace_id=f"{name}{at}") for at in range(count)]


def learned(*traces: TraceCalls) -> Graph:
    graph = Graph()
    for trace in traces:
        learn_into(graph, trace)
    return graph


@pytest.fixture
def usual() -> Graph:
    """`job` goes a b c d six times of ten, a b e four times."""
    return learned(*times(6, in_turn("abcd"), "long"), *times(4, in_turn("abe"), "short"))


def departure(graph: Graph, trace: TraceCalls) -> Departure:
    answer = conform(graph, trace)
    assert not answer.fits
    (only,) = answer.departures
    return only


@pytest.mark.parametrize("names", ["abcd", "abe", "aabcd", "ababcd", "aaababe", "abccd"])
def test_a_run_that_goes_a_usual_way_fits(usual, names):
    """Loops may go round as often as they like."""
    answer = conform(usual, in_turn(names))

    assert answer.fits
    assert answer.checked == 2  # The job, and the top of the trace.
    assert answer.departures == ()


def test_the_step_at_which_a_run_left_is_named(usual):
    """With what usually comes there, and how often."""
    left = departure(usual, in_turn("abxd"))

    assert left.capability == Node("capability", "job")
    assert left.span_id == "job"
    assert left.position == 2
    assert (left.left_by, left.left_by_span_id) == (Node("tool", "x"), "c2")
    assert [(each.node.name, each.probability) for each in left.expected] == [("c", 0.6), ("e", 0.4)]
    assert left.expected[0].reasons[0].count == 6
    assert left.expected[0].reasons[0].traces


def test_the_usual_way_is_the_one_followed_longest(usual):
    """Not the commonest."""
    left = departure(usual, in_turn("abex"))

    assert left.position == 3
    assert [step[0].name for step in left.usual.steps] == ["a", "b", "e"]
    assert left.usual.share == pytest.approx(0.4)
    assert left.expected == ()  # It ends there.


def test_a_loop_belongs_to_the_way_that_was_left(usual):
    """However often it went round before."""
    left = departure(usual, in_turn("ababx"))

    assert left.position == 4
    assert [each.node.name for each in left.expected] == ["c", "e"]


def test_a_usual_way_fits_however_many_are_commoner():
    """Only the commonest are followed call by call."""
    names = [f"{one}{two}" for one in "abcdef" for two in "uvwxyz"]
    assert len(names) > MOST_WAYS
    graph = learned(*[trace for at, name in enumerate(names) for trace in times(40 - at, in_turn(name), name)])

    assert conform(graph, in_turn(names[-1])).fits
    assert not conform(graph, in_turn("ua")).fits


def test_a_run_that_stops_early_left_the_way(usual):
    """By nothing."""
    left = departure(usual, in_turn("abc"))

    assert (left.position, left.left_by, left.left_by_span_id) == (3, None, "")
    assert [each.node.name for each in left.expected] == ["d"]


def test_a_run_that_still_runs_has_not_stopped(usual):
    """It may do yet what is usual; what it did already is compared."""
    assert conform(usual, in_turn("abc", ended=False)).fits
    assert not conform(usual, in_turn("abx", ended=False)).fits


def test_a_run_that_called_nothing_has_stopped_early():
    """If that is not usual; it has no episode, but it ran."""
    graph = learned(*times(5, in_turn("ab")), run(trace_id="empty"))

    left = departure(graph, run(trace_id="other"))

    assert (left.position, left.left_by) == (0, None)
    assert [each.node.name for each in left.expected] == ["a"]


def test_calling_nothing_may_be_usual():
    """A cache answers."""
    graph = learned(*times(5, in_turn("ab"), "full"), *times(5, run(), "empty"))

    assert conform(graph, run()).fits


def test_parallel_calls_may_come_in_another_order():
    """Or one after the other, or several times: none of it is a departure."""
    graph = learned(*times(4, run(("a", 0, 9), ("b", 1, 9), ("c", 10, 12))))

    for trace in (
        run(("b", 0, 9), ("a", 1, 9), ("c", 10, 12)),
        run(("a", 0, 4), ("b", 5, 9), ("c", 10, 12)),
        run(("b", 0, 4), ("a", 5, 9), ("c", 10, 12)),
        run(("a", 0, 9), ("b", 1, 9), ("a", 2, 9), ("c", 10, 12)),
    ):
        assert conform(graph, trace).fits


def test_a_parallel_step_must_be_whole_before_the_next():
    """What is missing of it is expected."""
    graph = learned(*times(4, run(("a", 0, 9), ("b", 1, 9), ("c", 10, 12))))

    left = departure(graph, run(("a", 0, 9), ("c", 10, 12)))

    assert (left.position, left.left_by) == (1, Node("tool", "c"))
    assert [each.node.name for each in left.expected] == ["b"]


@pytest.mark.parametrize(
    ("seen", "of", "fits"),
    [
        (1, 1, False),  # One observation is not usual...
        (2, 2, True),
        (2, 10, True),
        (2, 11, False),  # ...nor two of many...
        (3, 1_000, True),  # ...but three always are.
    ],
)
def test_usual_is_what_three_did_or_two_that_are_a_fifth(seen, of, fits):
    """The rule as it is written down."""
    graph = learned(*times(seen, in_turn("xy"), "x"), *times(of - seen, in_turn("ab"), "a"))
    answer = conform(graph, in_turn("xy"))

    assert bool(answer.fits) is (fits or of == 1)  # Where nothing is usual, nothing is compared.
    assert answer.checked == (0 if of == 1 else 2)


def test_a_trace_does_not_vouch_for_itself():
    """It was learned before it is asked about, as every finished trace is."""
    strange = in_turn("xyz", trace_id="strange")
    graph = learned(*times(9, in_turn("ab")), strange)

    assert departure(graph, strange).position == 0


def test_a_trace_that_ran_the_same_way_often_does_not_vouch_for_itself():
    """A capability may run many times within one trace."""
    jobs = []
    for at in range(5):
        job = Call(call_id=f"job{at}", kind="capability", name="job", start_ns=100 * at, end_ns=100 * at + 90)
        step = Call(
            call_id=f"x{at}", parent_id=f"job{at}", kind="tool", name="x", start_ns=100 * at, end_ns=100 * at + 1
        )
        jobs += [job, step]
    strange = TraceCalls(trace_id="strange", calls=jobs)
    graph = learned(*times(9, in_turn("ab")), strange)

    answer = conform(graph, strange)

    assert not answer.fits
    assert [each.span_id for each in answer.departures if each.capability] == [f"job{at}" for at in range(5)]


def test_two_others_vouch_for_a_trace():
    """If they are a fifth of all."""
    strange = in_turn("xyz", trace_id="strange")
    graph = learned(*times(4, in_turn("ab")), strange, *times(2, in_turn("xyz"), "other"))

    assert conform(graph, strange).fits


def test_each_run_is_compared_by_itself_and_told_in_order(usual):
    """A trace may go wrong in several places."""
    calls = []
    for at, names in ((1, "abcd"), (0, "zb"), (2, "ax")):
        start = 1_000 * at
        calls.append(Call(call_id=f"job{at}", kind="capability", name="job", start_ns=start, end_ns=start + 900))
        for place, name in enumerate(names):
            calls.append(
                Call(
                    call_id=f"{at}{name}",
                    parent_id=f"job{at}",
                    kind="tool",
                    name=name,
                    start_ns=start + 10 * place,
                    end_ns=start + 10 * place + 5,
                )
            )

    answer = conform(usual, TraceCalls(trace_id="new", calls=calls))

    assert answer.checked == 4
    assert [(each.span_id, each.position) for each in answer.departures] == [("job0", 0), ("job2", 1)]


def test_a_capability_that_was_never_seen_cannot_be_compared(usual):
    """Nor one of which nothing is usual."""
    other = TraceCalls(
        trace_id="new",
        calls=[
            Call(call_id="o", kind="capability", name="other", start_ns=0, end_ns=9),
            Call(call_id="p", parent_id="o", kind="tool", name="a", start_ns=0, end_ns=9),
        ],
    )

    answer = conform(learned(in_turn("ab")), other)

    assert (answer.fits, answer.checked) == (True, 0)


@pytest.mark.parametrize("graph", [Graph(), learned(in_turn("ab"))])
def test_nothing_is_compared_with_nothing(graph):
    """An empty trace, an empty graph."""
    answer = conform(graph, TraceCalls(trace_id="new", calls=[]))

    assert (answer.trace_id, answer.fits, answer.checked) == ("new", True, 0)


def test_a_ring_of_parents_is_compared_like_anything_else(usual):
    """Hostile events may say that each of two calls is inside of the other."""
    ring = TraceCalls(
        trace_id="ring",
        calls=[
            Call(call_id="1", parent_id="2", kind="capability", name="job", start_ns=0, end_ns=9),
            Call(call_id="2", parent_id="1", kind="capability", name="job", start_ns=0, end_ns=9),
        ],
    )

    assert not conform(usual, ring).fits


def test_a_very_long_name_is_the_one_that_was_learned():
    """Graphs cut names of 10 KB."""
    trace = run(("x" * 10_000, 0, 5), ("b", 6, 9))
    graph = learned(*times(3, trace))

    assert conform(graph, trace).fits


def test_a_trace_of_very_many_runs_is_compared_in_bounded_time_and_space():
    """Departures are counted up to a limit; the answer is the same."""
    jobs = []
    for at in range(2_000):
        jobs.append(Call(call_id=f"j{at}", kind="capability", name="job", start_ns=100 * at, end_ns=100 * at + 90))
        jobs.append(
            Call(call_id=f"x{at}", parent_id=f"j{at}", kind="tool", name="x", start_ns=100 * at, end_ns=100 * at + 9)
        )

    answer = conform(learned(*times(5, in_turn("ab"))), TraceCalls(trace_id="big", calls=jobs))

    assert not answer.fits
    assert answer.checked >= 2_000
    assert len(answer.departures) == MOST_DEPARTURES


def test_a_run_longer_than_an_episode_is_compared_as_far_as_that():
    """The graph has seen no more of such runs."""
    names = "abcdefgh" * 100
    graph = learned(*times(3, in_turn(names)))

    assert conform(graph, in_turn(names)).fits
    assert departure(graph, in_turn("abx" + names)).position == 2


# Walking along ways.


def test_a_walk_says_what_is_next_on_each_way():
    """Those that did not come so far are out."""
    gone = walk([1, 2], sets_of([[[1], [2], [3]], [[1], [2]], [[1], [4]]]))

    assert gone.length == 2
    assert gone.followed == (0, 1)
    assert gone.expected == ((3,), ())
    assert gone.ends


def test_a_node_of_this_step_and_of_the_next_is_followed_both_ways():
    """Only what comes later tells which it was."""
    ways = sets_of([[[1, 2], [1], [3]]])

    assert walk([1, 2, 1, 3], ways).ends
    assert walk([2, 1, 3], ways).length == 2


step = st.sets(st.integers(0, 3), min_size=1, max_size=3)


@given(st.lists(step, min_size=1, max_size=6), st.data())
def test_a_way_can_be_walked_to_its_end_in_any_order_within_its_steps(way, data):
    """Whatever is repeated within a step."""
    nodes = [node for each in way for node in data.draw(st.permutations(sorted(each)))]

    gone = walk(nodes, sets_of([way]))

    assert gone.length == len(nodes)
    assert gone.ends


spans = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.integers(0, 6)), max_size=8)


@given(spans, spans)
def test_what_was_seen_often_fits_and_positions_are_within_the_run(often, other):
    """For any runs: the same way is the same way, however its clocks tick."""
    known = run(*((name, start, start + length) for name, start, length in often))
    graph = learned(*times(3, known))
    unknown = run(*((name, start, start + length) for name, start, length in other))

    assert conform(graph, known).fits
    answer = conform(graph, unknown)
    for each in answer.departures:
        assert 0 <= each.position <= len(other)
        assert sum(expected.probability for expected in each.expected) <= 4
        assert each.usual in variants(graph, each.capability).variants
