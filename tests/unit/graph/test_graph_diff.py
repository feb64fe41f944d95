"""What changed between two graphs."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.graph.diff import diff
from clew.graph.surprise import MOST, g_of_rates, g_of_shares, spread_of, surprise, surprising
from clew.model.graph import EdgeChange, GraphDiff, Node


def learned(runs: Sequence[str], *, failing: Sequence[int] = (), name: str = "t") -> Graph:
    """Traces of a capability `job` and the tools that each word of *runs* spells; in some the last tool fails."""
    graph = Graph()
    for at, tools in enumerate(runs):
        calls = [Call(call_id="job", kind="capability", name="job", start_ns=0, end_ns=1_000)]
        for place, tool in enumerate(tools):
            ok = at not in failing or place < len(tools) - 1
            start = 10 * place
            calls.append(
                Call(
                    call_id=str(place),
                    parent_id="job",
                    kind="tool",
                    name=tool,
                    start_ns=start,
                    end_ns=start + 5,
                    ok=ok,
                )
            )
        learn_into(graph, TraceCalls(trace_id=f"{name}{at}", calls=calls))
    return graph


def compared(before: Graph, after: Graph, **asked: int) -> GraphDiff:
    return diff(before, after, before_name="monday", after_name="tuesday", **asked)


def told(answer: GraphDiff) -> dict[str, str]:
    return {f"{each.origin.name} {each.type} {each.target.name}": each.change for each in answer.changes}


def change(answer: GraphDiff, text: str) -> EdgeChange:
    return next(each for each in answer.changes if f"{each.origin.name} {each.type} {each.target.name}" == text)


def test_nothing_changed_between_a_graph_and_itself():
    """Whatever it learned."""
    graph = learned(["abc", "abd"] * 50)

    answer = compared(graph, graph)

    assert (answer.before, answer.after) == ("monday", "tuesday")
    assert (answer.before_traces, answer.after_traces) == (100, 100)
    assert (answer.changes, answer.nodes_new, answer.nodes_gone) == ((), (), ())


def test_more_traffic_is_no_change():
    """A week has seven times the traces of a day."""
    answer = compared(learned(["abc", "abd"] * 20), learned(["abc", "abd"] * 140))

    assert answer.changes == ()


def test_what_is_used_more_and_less_is_told_with_its_shares():
    """Of the origin's calls."""
    answer = compared(learned(["ab"] * 90 + ["ac"] * 10), learned(["ab"] * 50 + ["ac"] * 50))

    more, less = change(answer, "a sequence c"), change(answer, "a sequence b")
    assert (more.change, more.before_count, more.after_count) == ("more", 10, 50)
    assert (more.before_share, more.after_share) == (0.1, 0.5)
    assert (less.change, less.before_share, less.after_share) == ("less", 0.9, 0.5)
    assert more.surprise > 6
    assert more.traces == ("t99", "t98", "t97")


def test_new_and_gone_edges_are_told():
    """Between tools that were there before."""
    answer = compared(learned(["abc"] * 60), learned(["acb"] * 60))

    assert told(answer) == {
        "a sequence b": "gone",
        "b sequence c": "gone",
        "a sequence c": "new",
        "c sequence b": "new",
    }
    assert change(answer, "a sequence b").traces  # Of before: there are no others.


def test_new_and_gone_nodes_are_told_and_their_own_edges_go_without_saying():
    """A tool was renamed: who calls it now is told, what it calls has nothing to be held against."""
    answer = compared(learned(["abc"] * 60), learned(["axc"] * 60))

    assert answer.nodes_new == (Node("tool", "x"),)
    assert answer.nodes_gone == (Node("tool", "b"),)
    assert told(answer) == {
        "job contains b": "gone",
        "a sequence b": "gone",
        "job contains x": "new",
        "a sequence x": "new",
    }


def test_what_fails_oftener_is_told_with_its_failures():
    """The shares are then those of the edge's own observations."""
    answer = compared(learned(["ab"] * 100, failing=range(2)), learned(["ab"] * 100, failing=range(40)))

    failing = change(answer, "job contains b")
    assert (failing.change, failing.before_share, failing.after_share) == ("failing", 0.02, 0.4)
    assert (failing.before_count, failing.after_count) == (100, 100)
    assert {each.change for each in answer.changes} == {"failing"}


def test_what_fails_no_longer_is_mended():
    """The same the other way round."""
    answer = compared(learned(["ab"] * 100, failing=range(40)), learned(["ab"] * 100))

    assert set(told(answer).values()) == {"mended"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["ab"] * 52 + ["ac"] * 48, ["ab"] * 48 + ["ac"] * 52),
        (["ab"] * 3, ["ac"] * 2),
        (["ab"] * 100, ["ab"] * 99 + ["ac"]),
        (["ab"] * 1_000, ["ab"]),
    ],
)
def test_noise_is_not_told(before, after):
    """Chance explains it."""
    answer = compared(learned(before), learned(after))

    assert (answer.changes, answer.nodes_new, answer.nodes_gone) == ((), (), ())


def test_a_sure_change_that_is_tiny_is_not_told():
    """With a million calls anything is significant."""
    before, after = Graph(), Graph()
    for graph, share in ((before, 500_000), (after, 504_000)):
        a, b = graph.node(Node("tool", "a")), graph.node(Node("tool", "b"))
        graph.count_node(a, count=1_000_000, failures=0, ended=0, duration_ns=0, heat=1, last_ns=1)
        graph.count_node(b, count=share, failures=0, ended=0, duration_ns=0, heat=1, last_ns=1)
        graph.count_edge(graph.row(a, b, "sequence"), count=share)

    assert compared(before, after).changes == ()


def test_one_trace_with_a_runaway_loop_is_no_change():
    """A hundred calls of one trace are one observation that it happened."""
    before = learned(["ab", "ac"] * 30)
    after = learned(["ab", "ac"] * 30, name="u")
    loop = [
        Call(call_id=str(at), kind="tool", name="abcd"[at % 4], start_ns=10 * at, end_ns=10 * at + 5)
        for at in range(400)
    ]
    learn_into(after, TraceCalls(trace_id="loop", calls=loop))

    answer = compared(before, after)

    assert not [each for each in answer.changes if each.change == "new"]
    assert answer.nodes_new == ()


def test_what_one_trace_does_oftener_is_no_change():
    """Before it was seen in twelve traces once each, after it in one trace two hundred times."""
    calls = [
        Call(call_id=str(at), kind="tool", name="ab"[at % 2], start_ns=10 * at, end_ns=10 * at + 5) for at in range(400)
    ]
    before = learned(["a"] * 48 + ["ab"] * 12)
    after = learned(["a"] * 60)
    learn_into(after, TraceCalls(trace_id="loop", calls=calls))

    assert "a sequence b" not in told(compared(before, after))


def test_what_was_seen_in_two_traces_is_as_surprising_as_two_observations():
    """However often each of them did it: two of twenty beside none of five hundred."""
    once = compared(learned(["ab"] * 500), learned(["ab"] * 18 + ["acb"] * 2))
    often = compared(learned(["ab"] * 500), learned(["ab"] * 18 + ["a" + "cb" * 50] * 2))

    assert change(once, "a sequence c").change == "new"
    assert change(often, "a sequence c").surprise == pytest.approx(change(once, "a sequence c").surprise, abs=0.1)
    assert change(often, "job contains c").surprise == pytest.approx(change(once, "job contains c").surprise, abs=0.1)


def test_calls_of_one_trace_count_as_one():
    """Each trace does one of two things twenty times; of ten traces seven instead of five is no change."""
    one, other = "ab" * 20, "ac" * 20

    answer = compared(learned([one] * 5 + [other] * 5), learned([one] * 7 + [other] * 3))

    assert answer.changes == ()


def test_templates_are_told_first_since_there_is_no_chance_in_them():
    """What is declared anew, and what no longer."""
    before, after = learned(["ab"] * 90 + ["ac"] * 10), learned(["ab"] * 50 + ["ac"] * 50)
    for graph, target in ((before, "b"), (after, "c")):
        row = graph.row(graph.find("a"), graph.find(target), "dependency")
        graph.count_edge(row, declared=1)

    changes = compared(before, after).changes

    assert [(each.type, each.target.name, each.change) for each in changes[:2]] == [
        ("dependency", "b", "gone"),
        ("dependency", "c", "new"),
    ]
    assert (changes[1].before_count, changes[1].after_count, changes[1].surprise) == (0, 1, MOST)
    assert changes[2].surprise < MOST


def test_against_nothing_all_nodes_are_new_and_no_share_has_changed():
    """The first day of a project."""
    answer = compared(Graph(), learned(["ab"]))

    assert {node.name for node in answer.nodes_new} == {"job", "a", "b"}
    assert answer.changes == ()
    assert compared(Graph(), Graph()).nodes_new == ()


def test_only_the_most_surprising_are_given():
    """k is how many one wants to read."""
    before, after = learned(["ab"] * 60 + ["acd"] * 40), learned(["ab"] * 10 + ["acd"] * 90)

    whole, part = compared(before, after).changes, compared(before, after, k=2).changes

    assert part == whole[:2]
    assert [each.surprise for each in whole] == sorted((each.surprise for each in whole), reverse=True)
    with pytest.raises(BadFilter):
        compared(before, after, k=0)


def test_ids_mean_nothing_from_one_graph_to_the_other():
    """They are positions."""
    before, after = learned(["abc"] * 50), Graph()
    for name in "cba":
        after.node(Node("tool", name))
    after.merge(learned(["abc"] * 50))

    assert compared(before, after).changes == ()


runs = st.lists(st.sampled_from(["ab", "ba", "abc", "cab", "aab", "d"]), max_size=40)


@given(runs, runs)
def test_the_other_way_round_the_same_is_told_the_other_way_round(one, two):
    """New is gone, more is less, failing is mended."""
    turned = {"new": "gone", "gone": "new", "more": "less", "less": "more"}
    forth, back = compared(learned(one), learned(two), k=1_000), compared(learned(two), learned(one), k=1_000)

    assert {edge: turned[change] for edge, change in told(forth).items()} == told(back)
    assert (forth.nodes_new, forth.nodes_gone) == (back.nodes_gone, back.nodes_new)


# How surprising.


@pytest.mark.parametrize(("g", "expected"), [(0.0, 0.0), (3.841, 1.301), (6.635, 2.0), (10.828, 3.0), (100.0, 22.817)])
def test_surprise_is_that_of_chi_square_with_one_degree_of_freedom(g, expected):
    """From any table of it."""
    assert surprise(g) == pytest.approx(expected, abs=0.005)


def test_surprise_goes_on_where_floats_end():
    """Without a jump, and up to a limit."""
    assert surprise(1_249.9) == pytest.approx(surprise(1_250.1), abs=0.1)
    assert surprise(1e9) == MOST


@given(*[st.floats(0, 1) for _ in range(2)], *[st.integers(1, 10_000) for _ in range(2)])
def test_g_is_none_for_equal_shares_and_the_same_from_both_sides(one, two, olds, news):
    """Whatever the sizes."""
    assert g_of_shares(one * olds, olds, one * news, news) == pytest.approx(0, abs=1e-6)
    assert g_of_shares(one * olds, olds, two * news, news) == pytest.approx(
        g_of_shares(two * news, news, one * olds, olds), abs=1e-6
    )
    assert g_of_rates(one * olds, olds, one * news, news) == pytest.approx(0, abs=1e-6)


def test_two_of_five_beside_none_of_ten_thousand_is_not_out_of_this_world():
    """Where chi-square would say 480 digits. Fisher's exact test says 6.7."""
    assert 4 < surprise(g_of_shares(0, 10_000, 2, 5)) < 7


def test_nothing_to_compare_is_no_surprise():
    """A side without calls says nothing."""
    assert g_of_shares(0, 0, 5, 5) == 0
    assert g_of_rates(1, 1, 0, 0) == 0


def test_of_many_findings_only_those_count_that_chance_does_not_bring():
    """One in a hundred of a thousand is ten, and none of them means anything."""
    noise = [-log10((each + 0.5) / 1_000) for each in range(1_000)]

    assert surprising(noise, 0.01) > max(noise)
    assert surprising([*noise, 6.0, 7.0], 0.01) == 6.0
    assert surprising([], 0.01) > MOST


def test_where_everything_jumps_more_is_needed_to_be_surprising():
    """Judged by the middle, and of many only."""
    assert spread_of([0.4549] * 30) == pytest.approx(1.0)
    assert spread_of([1.4] * 30) == pytest.approx(3.08, abs=0.01)
    assert spread_of([100.0] * 30) == 8.0
    assert spread_of([100.0] * 10) == 1.0
