"""A graph as bytes, and back; and what is refused."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import MalformedBody
from clew.graph import Call, Graph, TraceCalls, learn, learn_into, packing
from clew.graph.packing import pack, unpack
from clew.model.graph import Node

FIELDS = packing._Packed.__struct_fields__
EDGE_COLUMNS = ("count", "inferred", "failures", "declared", "duration_ns", "heat", "last_ns")


def two_steps():
    calls = [
        Call(call_id="r", kind="capability", name="ask", start_ns=0, end_ns=90),
        Call(call_id="a", parent_id="r", kind="tool", name="a", start_ns=1, end_ns=5, arguments=("id",)),
        Call(call_id="b", parent_id="r", kind="tool", name="b", start_ns=6, end_ns=9, pending=("a.id",), ok=False),
    ]
    return learn(TraceCalls(trace_id="0af7651916cd43dd8448eb211c80319c", calls=calls))


def tampered(**changes):
    """The packed graph with fields replaced by what a function makes of them."""
    fields = msgspec.msgpack.decode(pack(two_steps()))
    for name, change in changes.items():
        fields[FIELDS.index(name)] = change(fields[FIELDS.index(name)])
    return msgspec.msgpack.encode(fields)


def edge_column(name, values):
    def change(columns):
        columns[EDGE_COLUMNS.index(name)] = values
        return columns

    return change


def first(change):
    """Change the first of several."""

    def change_first(several):
        several[0] = change(several[0])
        return several

    return change_first


calls = st.lists(
    st.builds(
        Call,
        call_id=st.sampled_from("abcdef"),
        parent_id=st.sampled_from([None, *"abc"]),
        kind=st.sampled_from(["tool", "capability"]),
        name=st.text(max_size=5),
        start_ns=st.integers(0, 30),
        end_ns=st.none() | st.integers(0, 30),
        ok=st.booleans(),
        arguments=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        pending=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        provider_ids=st.lists(st.sampled_from("abc"), max_size=2).map(tuple),
        parent_is_inferred=st.booleans(),
    ),
    max_size=8,
)


@given(st.lists(st.tuples(st.text(max_size=4) | st.just("0af7651916cd43dd8448eb211c80319c"), calls), max_size=5))
def test_what_was_packed_comes_back_the_same(some):
    """Counters, exemplars, episodes: all that it says."""
    graph = Graph()
    for trace_id, each in some:
        learn_into(graph, TraceCalls(trace_id=trace_id, calls=each))
    assert unpack(pack(graph)).content() == graph.content()


def test_declared_edges_and_nodes_without_a_call_come_back():
    """A template names tools that nobody has called yet."""
    graph = Graph()
    graph.count_edge(graph.row(graph.node(Node("tool", "a")), graph.node(Node("tool", "b")), "dependency"), declared=1)
    graph.node(Node("tool", "alone"))
    back = unpack(pack(graph))
    assert back.content() == graph.content()
    assert back.nodes == graph.nodes


def test_what_was_unpacked_goes_on_learning():
    """It is merged into a graph that lives on."""
    back = unpack(pack(two_steps()))
    back.merge(two_steps())
    assert {edge.count for edge in back.edges()} == {2}


def test_of_a_difference_only_what_is_more_than_nothing_is_packed():
    """Minus one call is nothing that another process could be told."""
    graph = two_steps()
    graph.merge(learn(TraceCalls(trace_id="x", calls=[Call(call_id="c", kind="tool", name="c", start_ns=0)])), times=-1)
    back = unpack(pack(graph))
    assert all(count >= 0 for count in back.node_count)
    assert back.trace_count == 0
    assert len(list(back.episodes())) == 2


def test_what_is_very_long_is_cut_so_that_it_can_be_unpacked():
    """What this Clew packs, this Clew reads."""
    long = Call(call_id="a", kind="k" * 999, name="n" * 999, start_ns=0, end_ns=1, arguments=("a" * 999,) * 2_000)
    graph = learn(TraceCalls(trace_id="t" * 999, calls=[long]))
    [episode] = unpack(pack(graph)).episodes()
    assert len(episode.steps[0].arguments) == packing.MOST_NAMES


def test_names_that_utf_8_cannot_hold_travel_all_the_same():
    """Recorded JSON may hold half of a character; one such name must not stop a delta."""
    odd = Call(call_id="a", kind="tool", name="half \ud83d", start_ns=0, end_ns=1, arguments=("\ud83d",))
    back = unpack(pack(learn(TraceCalls(trace_id="\ud83d", calls=[odd]))))
    assert back.find("half \ud83d") == 0


def test_a_packed_edge_is_small():
    """A delta of a busy minute is sent every few seconds."""
    graph = Graph()
    for at in range(200):
        steps = [
            Call(call_id=str(n), kind="tool", name=f"tool_{(at * n) % 500}", start_ns=10**18 + n * 10**6)
            for n in range(20)
        ]
        for step in steps:
            step.end_ns = step.start_ns + 10**5
        learn_into(graph, TraceCalls(trace_id=f"{at:032x}", calls=steps))
    assert graph.edge_count() > 1_000
    edges_alone = Graph()
    for row in graph.rows():
        origin, target, type_ = graph.ends(row)
        ends = edges_alone.node(graph.nodes[origin]), edges_alone.node(graph.nodes[target])
        edges_alone.count_edge(edges_alone.row(*ends, type_), count=graph.count[row], heat=graph.heat[row])
    assert len(pack(edges_alone)) / graph.edge_count() < 40


def refuse(what, body):
    return pytest.param(body, id=what)


@pytest.mark.parametrize(
    "body",
    [
        refuse("nothing", b""),
        refuse("no MessagePack", b"\xc1"),
        refuse("JSON", b'{"nodes": []}'),
        refuse("a number", b"\x01"),
        refuse("a list that says it is huge", b"\xdd\xff\xff\xff\xff"),
        refuse("cut off", pack(two_steps())[:-1]),
        refuse("something behind it", pack(two_steps()) + b"\x01"),
        refuse("deeply nested", b"\x91" * 100_000),
        refuse("a newer form", tampered(form=lambda _: packing.FORM + 1)),
        refuse("less than no traces", tampered(trace_count=lambda _: -1)),
        refuse("a node twice", tampered(nodes=first(lambda _: ["tool", "a"]))),
        refuse("a node of 10 KB", tampered(nodes=first(lambda _: ["tool", "x" * 10_000]))),
        refuse("a node without a name", tampered(nodes=first(lambda node: node[:1]))),
        refuse("a column too short", tampered(node_counters=first(lambda column: column[:-1]))),
        refuse("a column too few", tampered(node_counters=lambda columns: columns[:-1])),
        refuse("a negative counter", tampered(node_counters=first(lambda column: [-1, *column[1:]]))),
        refuse("a counter over 64 bits", tampered(node_counters=first(lambda column: [1 << 63, *column[1:]]))),
        refuse("a counter that is none", tampered(node_counters=first(lambda column: [0.5, *column[1:]]))),
        refuse("an edge from nowhere", tampered(origins=first(lambda _: 99))),
        refuse("an edge to before the first", tampered(targets=first(lambda _: -1))),
        refuse("an edge of no type", tampered(types=first(lambda _: 4))),
        refuse("an edge too few", tampered(origins=lambda column: column[1:])),
        refuse("an edge twice", tampered(**dict.fromkeys(["origins", "targets", "types"], lambda column: [0] * 3))),
        refuse("a negative edge", tampered(counters=edge_column("count", [-1, 1, 1]))),
        refuse("an edge that counts nothing", tampered(counters=edge_column("count", [0, 1, 1]))),
        refuse("an unknown exemplar", tampered(shown=first(lambda _: [7]))),
        refuse("too many exemplars", tampered(shown=first(lambda _: [0, 0, 0, 0]))),
        refuse("an unknown text", tampered(names=first(lambda _: [99]))),
        refuse("an episode of nowhere", tampered(ways=first(lambda way: [99, *way[1:]]))),
        refuse("an episode of below the top", tampered(ways=first(lambda way: [-2, *way[1:]]))),
        refuse("a negative episode", tampered(ways=first(lambda way: [*way[:2], -1, *way[3:]]))),
        refuse("an episode of too many steps", tampered(ways=first(lambda way: [*way[:-1], way[-1][:1] * 257]))),
        refuse("a step of no node", tampered(ways=first(lambda way: [*way[:-1], [[99, *way[-1][0][1:]]]]))),
        refuse("a step of no rank", tampered(ways=first(lambda way: [*way[:-1], [[*way[-1][0][:-1], 999]]]))),
    ],
)
def test_what_is_no_graph_is_refused(body):
    """It may come from anyone who has a key; nothing of it may reach the graph."""
    with pytest.raises(MalformedBody):
        unpack(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_graph_or_refused(body):
    """No input makes the server fail."""
    with suppress(MalformedBody):
        unpack(body)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_graph_with_one_byte_changed_is_a_graph_or_refused(at, byte):
    """Most of the form is right, so the checks behind it are reached."""
    body = bytearray(pack(two_steps()))
    body[at % len(body)] = byte
    try:
        graph = unpack(bytes(body))
    except MalformedBody:
        return
    assert min([*graph.node_count, *graph.count, *graph.heat]) >= 0
    Graph().merge(graph)
    graph.content()


def test_ten_thousand_nodes_and_a_hundred_thousand_edges_are_packed_and_unpacked_in_bounded_time():
    """The size that the graph is measured at."""
    graph = Graph()
    for at in range(10_000):
        graph.node(Node("tool", f"tool_{at}"))
    for at in range(100_000):
        graph.count_edge(graph.row(at % 10_000, (at * 7 + at // 10_000) % 10_000, "sequence"), count=1, heat=9)
    began = time.perf_counter()
    back = unpack(pack(graph))
    # Under a second when nothing else runs.
    assert time.perf_counter() - began < 10
    assert back.edge_count() == graph.edge_count()
