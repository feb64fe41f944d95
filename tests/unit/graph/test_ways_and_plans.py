"""Paths and plans over what was learned, and the fixed weights of the original design."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter, UnknownNode
from clew.graph import Call, Graph, TraceCalls, learn_into, paths
from clew.graph.acyclic import acyclic
from clew.graph.paths import path
from clew.graph.plan import ARMS as PLAN_ARMS
from clew.graph.plan import plan
from clew.graph.templates import read_template, template_graph
from clew.graph.weights import fixed_cost, fixed_weight

TOOLS = [f"t{number}" for number in range(6)]


def call(call_id, name, start, end, *, kind="tool", parent=None):
    return Call(call_id=call_id, parent_id=parent, kind=kind, name=name, start_ns=start, end_ns=end)


def in_sequence(*names):
    """One run of tools, one after the other."""
    return [call(str(at), name, 10 * at, 10 * at + 5) for at, name in enumerate(names)]


def taught(*runs):
    graph = Graph()
    for number, calls in enumerate(runs):
        learn_into(graph, TraceCalls(trace_id=f"{number:032x}", calls=calls))
    return graph


def names(nodes):
    return [node.name for node in nodes]


# The fixed weights.


@pytest.mark.parametrize(
    ("type_", "source", "weight"),
    [
        ("contains", "observed", 0.8),
        ("sequence", "observed", 0.5),
        ("dependency", "template", 0.5),
        ("provides", "inferred", 0.49),
        ("sequence", "inferred", 0.35),
    ],
)
def test_the_original_weights_are_kept_to_the_digit(type_, source, weight):
    """They are the arm that others are measured against."""
    assert fixed_weight(type_, source) == pytest.approx(weight)
    assert fixed_cost(type_, source) == pytest.approx(1 / weight)


# Paths.


def test_the_likely_way_may_be_longer_than_the_one_with_fewest_hops():
    graph = taught(*[in_sequence("a", "b", "c")] * 9, in_sequence("a", "c"))

    (likely,) = path(graph, "a", "c", k=1, arm="likely").paths
    (hops,) = path(graph, "a", "c", k=1, arm="hops").paths

    assert names(likely.nodes) == ["a", "b", "c"]
    assert names(hops.nodes) == ["a", "c"]
    assert hops.cost == 1


def test_the_fixed_arm_costs_one_over_the_weight_of_each_edge():
    graph = taught(*[in_sequence("a", "b", "c")] * 3)

    (best,) = path(graph, "a", "c", k=1, arm="fixed").paths

    assert best.cost == pytest.approx(2 * fixed_cost("sequence", "observed"))


@pytest.mark.parametrize("arm", paths.ARMS)
def test_each_edge_of_a_way_says_what_it_rests_on(arm):
    graph = taught(*[in_sequence("a", "b", "c")] * 4)

    (best,) = path(graph, "a", "c", k=1, arm=arm).paths

    assert len(best.reasons) == len(best.nodes) - 1
    assert all(reason.count == 4 and reason.traces for reason in best.reasons)


@pytest.mark.parametrize("arm", paths.ARMS)
def test_several_ways_come_best_first_and_none_twice(arm):
    runs = [in_sequence("a", "b", "d")] * 5 + [in_sequence("a", "c", "d")] * 3 + [in_sequence("a", "d")] * 2
    found = path(taught(*runs), "a", "d", k=5, arm=arm).paths

    assert len({each.nodes for each in found}) == len(found) >= 2
    assert all(len(set(each.nodes)) == len(each.nodes) for each in found)


def test_no_way_is_an_answer_and_no_error():
    graph = taught(in_sequence("a", "b"), in_sequence("c", "d"))

    assert path(graph, "b", "a").paths == ()
    assert path(graph, "a", "d").paths == ()


def test_an_end_that_is_not_known_is_named():
    with pytest.raises(UnknownNode, match="'x'"):
        path(taught(in_sequence("a", "b")), "a", "x")


@pytest.mark.parametrize("asked", [{"arm": "best"}, {"k": 0}, {"weights": {"nonsense": 1.0}}])
def test_a_senseless_question_for_a_way_is_refused(asked):
    with pytest.raises(BadFilter):
        path(taught(in_sequence("a", "b")), "a", "b", **asked)


# Plans.


def test_what_ran_side_by_side_is_planned_side_by_side():
    run = [call("1", "embed", 0, 5), call("2", "left", 6, 20), call("3", "right", 7, 19), call("4", "answer", 21, 30)]
    found = plan(taught(*[run] * 5), ["answer", "right", "embed", "left"])

    assert [names(level) for level in found.levels] == [["embed"], ["left", "right"], ["answer"]]


def test_an_edge_that_others_imply_is_left_out():
    found = plan(taught(*[in_sequence("a", "b", "c")] * 5), ["a", "b", "c"])

    assert {(edge.origin.name, edge.target.name) for edge in found.edges} == {("a", "b"), ("b", "c")}


def test_the_weaker_side_of_a_contradiction_gives_way():
    """A plan is run; it cannot wait for itself."""
    graph = taught(*[in_sequence("a", "b")] * 8, *[in_sequence("b", "a")] * 2)

    assert [names(level) for level in plan(graph, ["b", "a"]).levels] == [["a"], ["b"]]


def test_a_tool_that_was_never_seen_can_start_at_once_and_is_named():
    found = plan(taught(*[in_sequence("a", "b")] * 3), ["b", "stranger", "a"])

    assert found.unknown == ("tool:stranger",)
    assert "stranger" in names(found.levels[0])


def test_a_tool_that_is_asked_for_twice_is_planned_once():
    found = plan(taught(*[in_sequence("a", "b")] * 3), ["a", "b", "a", "tool:b"])

    assert [names(level) for level in found.levels] == [["a"], ["b"]]


def test_a_template_orders_what_was_never_run():
    graph = taught(in_sequence("search"), in_sequence("book"))
    graph.merge(template_graph(read_template({"book": ["search"]})))

    assert [names(level) for level in plan(graph, ["book", "search"]).levels] == [["search"], ["book"]]


@pytest.mark.parametrize("arm", PLAN_ARMS)
def test_an_empty_graph_plans_nothing_and_says_what_it_does_not_know(arm):
    found = plan(Graph(), ["a", "b"], arm=arm)

    assert sorted(found.unknown) == ["tool:a", "tool:b"]
    assert found.edges == ()


def test_each_edge_of_a_plan_has_its_evidence():
    found = plan(taught(*[in_sequence("a", "b")] * 4), ["a", "b"])

    (edge,) = found.edges
    assert 0 < edge.evidence <= 1
    assert edge.reasons[0].traces


runs_of_tools = st.lists(
    st.lists(st.tuples(st.sampled_from(TOOLS), st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=8),
    min_size=1,
    max_size=8,
)


@given(runs=runs_of_tools, arm=st.sampled_from(PLAN_ARMS))
def test_no_runs_whatever_make_a_plan_that_waits_for_itself(runs, arm):
    graph = taught(*[[call(str(at), *each[:2], each[1] + each[2]) for at, each in enumerate(run)] for run in runs])

    found = plan(graph, TOOLS, arm=arm)

    level = {node: at for at, nodes in enumerate(found.levels) for node in nodes}
    assert len(level) == len(TOOLS) == sum(len(nodes) for nodes in found.levels)
    assert all(level[edge.origin] < level[edge.target] for edge in found.edges)


# Views without cycles.


def test_what_contains_itself_is_cut_at_its_weakest_edge():
    """An agent that calls itself: containment stays a tree to be walked."""
    outer = [call("1", "a", 0, 9, kind="agent"), call("2", "b", 1, 8, kind="agent", parent="1")]
    inner = [call("1", "b", 0, 9, kind="agent"), call("2", "a", 1, 8, kind="agent", parent="1")]
    graph = taught(*[outer] * 5, inner)

    view = acyclic(graph, "contains")

    assert [names((graph.edge(row).origin, graph.edge(row).target)) for row in view.kept] == [["a", "b"]]
    assert [graph.edge(row).origin.name for row in view.refused] == ["b"]


def test_something_directly_in_itself_is_refused():
    loop = [call("1", "a", 0, 9, kind="agent"), call("2", "a", 1, 8, kind="agent", parent="1")]

    assert acyclic(taught(loop), "contains").kept == ()
