"""Nodes that keep the same company: they could stand in for each other."""

import pytest

from clew.errors import BadFilter, UnknownNode
from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.graph.similarity import ARMS, MOST_PAIRS, similar


def taught(*runs):
    """A graph of runs of tools, one after the other, inside of a capability."""
    graph = Graph()
    for number, tools in enumerate(runs):
        calls = [Call(call_id="c", kind="capability", name="agent", start_ns=0, end_ns=1_000_000)]
        calls += [
            Call(call_id=f"{at}", parent_id="c", kind="tool", name=name, start_ns=10 * at + 1, end_ns=10 * at + 5)
            for at, name in enumerate(tools)
        ]
        learn_into(graph, TraceCalls(trace_id=f"{number:032x}", calls=calls))
    return graph


FLIGHTS = [("get_user", "search_flights", "book", "pay"), ("get_user", "find_trains", "book", "pay")] * 3
OTHERS = [("log_in", "read_mail", "answer_mail", "log_out")] * 3


@pytest.mark.parametrize("arm", ARMS)
def test_tools_that_stand_between_the_same_others_are_alike(arm):
    found = similar(taught(*FLIGHTS, *OTHERS), "search_flights", k=1, arm=arm)

    assert [each.node.name for each in found.similar] == ["find_trains"]


@pytest.mark.parametrize("arm", ARMS)
def test_each_answer_says_what_the_two_share_and_where_it_was_seen(arm):
    (best,) = similar(taught(*FLIGHTS), "search_flights", k=1, arm=arm).similar

    shared = {reason.text.partition(": ")[2] for reason in best.reasons}
    assert {"get_user", "book"} <= shared
    assert all(reason.traces and reason.count for reason in best.reasons)


def test_one_that_only_lives_in_the_same_capability_is_less_alike_than_a_substitute():
    scores = {each.node.name: each.score for each in similar(taught(*FLIGHTS), "search_flights").similar}

    assert scores["find_trains"] > 2 * scores["pay"]


def test_a_node_of_another_kind_is_no_substitute():
    kinds = {each.node.kind for each in similar(taught(*FLIGHTS), "book", k=50).similar}

    assert kinds == {"tool"}


def test_company_is_one_for_a_twin_and_never_more():
    scores = [each.score for each in similar(taught(*FLIGHTS), "search_flights", k=50).similar]

    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1.0)
    assert all(0 < score <= 1 + 1e-9 for score in scores)


def test_a_loner_is_like_nothing():
    graph = Graph()
    learn_into(graph, TraceCalls(trace_id="a", calls=[Call(call_id="1", kind="tool", name="alone", start_ns=1)]))

    assert similar(graph, "alone").similar == ()


def test_the_order_of_learning_changes_nothing():
    one = similar(taught(*FLIGHTS, *OTHERS), "book").similar
    other = similar(taught(*OTHERS, *FLIGHTS[::-1]), "book").similar

    assert [each.node for each in one] == [each.node for each in other]
    assert [each.score for each in one] == pytest.approx([each.score for each in other])


def test_a_hub_is_answered_from_its_rare_neighbours():
    """What everything shares says nothing, and would take the longest."""
    runs = [("hub", f"t{number}") for number in range(MOST_PAIRS + 500)] + [("hub", "rare"), ("twin", "rare")]

    found = similar(taught(*runs), "hub", k=3)

    assert [each.node.name for each in found.similar][:1] == ["twin"]


@pytest.mark.parametrize(("asked", "error"), [({"arm": "best"}, BadFilter), ({"k": 0}, BadFilter)])
def test_what_makes_no_sense_is_refused(asked, error):
    with pytest.raises(error):
        similar(taught(*FLIGHTS), "book", **asked)


def test_an_unknown_tool_is_named_with_what_is_near():
    with pytest.raises(UnknownNode, match="book"):
        similar(taught(*FLIGHTS), "bok")
