"""Where a run stands, built from what people say."""

from __future__ import annotations

import pytest

from clew.errors import BadFilter, UnknownNode
from clew.graph.calls import Call, Context
from clew.graph.next_place import Place, beside, names_of
from clew.graph.state import TOP, Graph
from clew.graph.suggest import context_of
from clew.model.graph import Node


@pytest.fixture
def graph() -> Graph:
    made = Graph()
    for node in (Node("tool", "search"), Node("capability", "book"), Node("agent", "both"), Node("tool", "both")):
        made.node(node)
    made.node(Node("tool", "odd:name"))
    return made


def nodes(context: Context) -> list[Node]:
    return [call.node for call in context.calls]


def test_a_call_is_a_name_a_kind_and_name_a_node_or_a_mapping(graph):
    """Whatever is at hand: the command line has names, programs have nodes, JSON has mappings."""
    context = context_of(
        graph,
        ["search", "agent:both", Node("tool", "both"), {"name": "search", "ok": False, "arguments": ["b", "a"]}],
    )

    assert nodes(context) == [
        Node("tool", "search"),
        Node("agent", "both"),
        Node("tool", "both"),
        Node("tool", "search"),
    ]
    assert [call.ok for call in context.calls] == [True, True, True, False]
    assert context.calls[3].arguments == ("a", "b")
    assert (context.parent_id, context.pending) == (None, None)


def test_a_mapping_may_say_its_kind(graph):
    """So that a name which two nodes have can be meant."""
    assert nodes(context_of(graph, [{"name": "both", "kind": "agent"}])) == [Node("agent", "both")]


def test_a_colon_in_a_name_is_no_kind(graph):
    """n8n and MCP servers name tools so."""
    assert nodes(context_of(graph, ["odd:name", "tool:odd:name"])) == [Node("tool", "odd:name")] * 2


def test_what_is_not_known_is_kept_as_a_tool_or_as_what_it_says_it_is(graph):
    """To have called a new tool is no mistake."""
    context = context_of(graph, ["brand new", "retrieval:docs", "no:kind"], within="nowhere")

    assert nodes(context)[1:] == [Node("tool", "brand new"), Node("retrieval", "docs"), Node("tool", "no:kind")]
    assert nodes(context)[0] == Node("tool", "nowhere")


def test_a_name_that_several_have_is_refused_and_they_are_named(graph):
    """To guess would answer another question."""
    with pytest.raises(UnknownNode) as refused:
        context_of(graph, ["both"])

    assert refused.value.near == ("agent:both", "tool:both")


@pytest.mark.parametrize("said", [{"kind": "tool"}, {"name": 5}, {"name": "a", "kind": 5}, 5, None, ["search"]])
def test_what_is_no_call_is_refused(graph, said):
    """It came from JSON."""
    with pytest.raises(BadFilter, match=r"^called: "):
        context_of(graph, [said])


def test_within_is_the_parent_of_what_was_called(graph):
    """The calls are its children, and it is none of them."""
    context = context_of(graph, ["search"], "book", ["search.id"])
    place = Place(graph, context)

    assert place.node(place.walk.scope) == Node("capability", "book")
    assert [place.node(node) for node in place.walk.nodes] == [Node("tool", "search")]
    assert place.pending == ("search.id",)
    assert Place(graph, context_of(graph, ["search"])).walk.scope == TOP


def test_strangers_have_ids_of_their_own(graph):
    """Below TOP and below those of the graph; the same stranger twice is one."""
    place = Place(graph, context_of(graph, ["new", "newer", "new"]))
    first, second, third = place.walk.nodes

    assert first == third != second
    assert max(first, second) < TOP
    assert hash(first) != hash(TOP)
    assert place.node(second) == Node("tool", "newer")


def test_names_grow_with_the_graph(graph):
    """They are not collected anew for each question."""
    assert names_of(graph).called("later") is None
    graph.node(Node("tool", "later"))

    assert names_of(graph).called("later") == Node("tool", "later")
    assert names_of(graph) is names_of(graph)


def call(call_id: str, parent_id: str | None) -> Call:
    return Call(call_id=call_id, parent_id=parent_id, kind="tool", name=call_id, start_ns=0, end_ns=1)


def test_a_call_that_is_its_own_parent_stands_at_the_top():
    """Broken instrumentation; it must not hide the call."""
    _, siblings = beside(Context(calls=[call("a", "a"), call("b", "b")], parent_id="turn 3"))

    assert [each.call_id for each in siblings] == ["a", "b"]


def test_children_of_a_capability_that_is_not_shown_are_not_the_tops():
    """Where the next call has no parent and others have none either, a parent that is missing is another scope."""
    parent, siblings = beside(Context(calls=[call("a", None), call("b", "hidden"), call("c", None)]))

    assert parent is None
    assert [each.call_id for each in siblings] == ["a", "c"]
