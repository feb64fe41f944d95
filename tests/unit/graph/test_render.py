"""Drawing a graph, and handing it to other programs."""

from __future__ import annotations

import re
import string
from html import unescape
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.graph.render import FORMATS, render
from clew.graph.templates import read_template, template_graph
from clew.model.graph import EDGE_TYPES, Node

HOSTILE = [
    'say "hi"',
    "back\\slash\\",
    'end\\"',
    "line\nbreak\r\nand\ttab",
    '"]-->',
    '"]; n0 --> n1; x["',
    "%%{init: {'theme': 'dark'}}%%",
    "</node><node id='evil'/>",
    "]]><!-- & &amp; <b onclick=alert(1)>",
    "nul\0bell\a",
    "\u202etxt.exe\u202c\u2066x\u2069",
    "`code` **bold** #quot; #35;",
    "end",
    "עברית العربية 中文 🧵",
    "half \ud800 pair",
    "\ufffe\uffff",
    "x" * 10_000,
    " ",
    "",
    "graph; subgraph { node [shape=box] }",
    "<html>",
    "${jndi:ldap://x}",
]


def graph_of(*names: str) -> Graph:
    """Tools called one after the other inside of a capability."""
    calls = [Call(call_id="root", kind="capability", name="job", start_ns=0, end_ns=10**6)]
    for at, name in enumerate(names):
        calls.append(
            Call(
                call_id=f"c{at}",
                parent_id="root",
                kind="tool",
                name=name,
                start_ns=10 * at,
                end_ns=10 * at + 5,
                ok=at != 1,
                provider_ids=(f"c{at - 1}",) if at == 2 else (),
            )
        )
    graph = Graph()
    learn_into(graph, TraceCalls(trace_id="0af7651916cd43dd8448eb211c80319c", calls=calls))
    return graph


@pytest.fixture
def graph() -> Graph:
    graph = graph_of("search", "book", "pay")
    learn_into(
        graph, TraceCalls(trace_id="t2", calls=[Call(call_id="c", kind="tool", name="pay", start_ns=0, end_ns=9)])
    )
    graph.merge(template_graph(read_template({"pay": ["book"]})))
    return graph


# JSON.


def test_json_has_every_figure(graph):
    """It is what other programs compute with."""
    drawn = msgspec.json.decode(render(graph, format="json"))
    names = {node["id"]: node["name"] for node in drawn["nodes"]}
    edges = {(names[edge["origin"]], names[edge["target"]], edge["type"]): edge for edge in drawn["edges"]}

    assert drawn["traces"] == 2
    assert len(edges) == graph.edge_count()
    assert edges["search", "book", "sequence"] | {"heat": 0} == {
        "origin": graph.find("search"),
        "target": graph.find("book"),
        "type": "sequence",
        "source": "inferred",
        "count": 1,
        "inferred": 0,
        "failures": 1,
        "declared": 0,
        "duration_ns": 5,
        "heat": 0,
        "last_seen_ns": 10**6,
        "traces": ["0af7651916cd43dd8448eb211c80319c"],
    }
    assert edges["book", "pay", "dependency"]["source"] == "template"
    pay = next(node for node in drawn["nodes"] if node["name"] == "pay")
    assert (pay["kind"], pay["count"], pay["failures"], pay["duration_ns"]) == ("tool", 2, 0, 14)


# What is drawn.


@pytest.mark.parametrize("type_", EDGE_TYPES)
def test_only_the_types_that_are_wanted_are_drawn(graph, type_):
    """A picture of everything shows nothing."""
    drawn = msgspec.json.decode(render(graph, format="json", types=[type_]))

    assert {edge["type"] for edge in drawn["edges"]} == {type_}


def test_rare_edges_and_nodes_can_be_left_out_but_not_what_is_declared(graph):
    """And not the nodes that a drawn edge joins."""
    drawn = msgspec.json.decode(render(graph, format="json", least_count=2))

    assert [edge["type"] for edge in drawn["edges"]] == ["dependency"]
    assert sorted(node["name"] for node in drawn["nodes"]) == ["book", "pay"]


def test_a_node_without_edges_is_drawn():
    """It was called."""
    graph = Graph()
    learn_into(
        graph, TraceCalls(trace_id="t", calls=[Call(call_id="c", kind="tool", name="alone", start_ns=0, end_ns=9)])
    )

    assert "alone" in render(graph, format="dot")


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_graph_can_be_drawn(format_):
    """As nothing, in the form that readers of the format expect."""
    assert PARSERS[format_](render(Graph(), format=format_)) == ([], [])


@pytest.mark.parametrize(
    ("asked", "field"), [({"format": "svg"}, "format"), ({"format": "dot", "types": ["x"]}, "types")]
)
def test_what_cannot_be_drawn_is_refused_by_name(asked, field):
    """And what can be is said."""
    with pytest.raises(BadFilter) as caught:
        render(Graph(), **asked)

    assert caught.value.field == field


# Readers of the formats: each gives the labels of nodes, and edges as pairs of ids.

Read = tuple[list[str], list[tuple[str, str]]]


def read_json(text: str) -> Read:
    drawn = msgspec.json.decode(text)
    return [node["name"] for node in drawn["nodes"]], [(edge["origin"], edge["target"]) for edge in drawn["edges"]]


DOT_TOKEN = re.compile(r'\s+|"(?:\\.|[^"\\])*"|->|[{}\[\]=,;]|[A-Za-z_][A-Za-z_0-9]*', re.DOTALL)


def dot_tokens(text: str) -> list[str]:
    """Source: https://graphviz.org/doc/info/lang.html. In a quoted string a backslash before a quote escapes it."""
    tokens, at = [], 0
    while at < len(text):
        match = DOT_TOKEN.match(text, at)
        assert match, f"no token at {text[at : at + 40]!r}"
        at = match.end()
        if match.group().strip():
            tokens.append(match.group())
    return tokens


def read_dot(text: str) -> Read:
    statements = " ".join(dot_tokens(text)[3:-1]).split(" ;")
    labels, edges = [], []
    for statement in statements:
        match = re.fullmatch(r' ?n\d+ \[ label = ("(?:\\.|[^"\\])*") , shape = \w+ \]', statement, re.DOTALL)
        edge = re.fullmatch(r' ?n(\d+) -> n(\d+) \[ label = "[\w ,]+" , style = \w+(?: , color = red)? \]', statement)
        setting = re.fullmatch(r" ?(rankdir = LR|(node|edge) \[ fontname = \"sans-serif\" \])? ?", statement)
        assert match or edge or setting, statement
        if match:
            label = re.sub(r"\\(.)", lambda each: {"n": "\n"}.get(each[1], each[1]), match[1][1:-1], flags=re.DOTALL)
            labels.append(unescape(label.rpartition("\n")[0]))
        elif edge:
            edges.append((edge[1], edge[2]))
    return labels, edges


MERMAID_NODE = re.compile(r'  n\d+(?:\["([^"\n]*)"\]|\[\["([^"\n]*)"\]\])')
MERMAID_EDGE = re.compile(r'  n(\d+) (?:-->|-\.->|==>|--o)\|"[\w ,]+"\| n(\d+)')


def read_mermaid(text: str) -> Read:
    first, *lines, last = text.split("\n")
    assert (first, last) == ("flowchart LR", "")
    labels, edges = [], []
    for line in lines:
        node, edge = MERMAID_NODE.fullmatch(line), MERMAID_EDGE.fullmatch(line)
        assert node or edge, line
        if node:
            label = (node[1] or node[2]).partition("<br>")[0]
            assert not set(re.sub(r"#\d+;", "", label)) & set(string.punctuation) - set("._-/:,")
            labels.append(re.sub(r"#(\d+);", lambda each: chr(int(each[1])), label))
        elif edge:
            edges.append((edge[1], edge[2]))
    return labels, edges


GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"


def read_graphml(text: str) -> Read:
    root = ET.fromstring(text.encode())
    keys = {key.get("id") for key in root.iter(f"{GRAPHML}key")}
    ids = {node.get("id") for node in root.iter(f"{GRAPHML}node")}
    assert {data.get("key") for data in root.iter(f"{GRAPHML}data")} <= keys
    labels = [node.findtext(f"{GRAPHML}data[@key='node_name']") or "" for node in root.iter(f"{GRAPHML}node")]
    edges = [(edge.get("source"), edge.get("target")) for edge in root.iter(f"{GRAPHML}edge")]
    assert ids.issuperset(end for edge in edges for end in edge)
    return labels, edges


PARSERS = {"json": read_json, "dot": read_dot, "mermaid": read_mermaid, "graphml": read_graphml}


@pytest.mark.parametrize("format_", FORMATS)
def test_each_format_has_all_nodes_and_edges(graph, format_):
    """Read back by what is known of the format."""
    labels, edges = PARSERS[format_](render(graph, format=format_))

    assert sorted(labels) == ["book", "job", "pay", "search"]
    assert len(edges) == graph.edge_count() == 7


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_cannot_leave_its_place(format_, name):
    """Names are what users and models wrote; the drawing has as many nodes and edges as the graph."""
    graph = graph_of("before", name, "after")

    text = render(graph, format=format_)
    labels, edges = PARSERS[format_](text)

    assert len(labels) == len(graph.nodes) == 4
    assert len(edges) == graph.edge_count()
    assert {"before", "after"} <= set(labels)
    assert not re.search("[\0\a]", text)
    text.encode()


@pytest.mark.parametrize("format_", ["dot", "mermaid"])
def test_a_drawing_says_nothing_that_turns_the_reading_direction(format_):
    """'exe.txt' must not look like 'txt.exe'; Hebrew and Arabic stay as they are."""
    text = render(graph_of("\u202etxt.exe\u202c", "עברית العربية"), format=format_)

    assert not re.search("[\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
    assert {"txt.exe", "עברית العربية"} <= set(PARSERS[format_](text)[0])


@pytest.mark.parametrize("format_", ["json", "graphml"])
def test_data_keeps_a_name_as_it_is(format_):
    """All of it, up to what the format cannot write."""
    names = ['a "quoted" <b> & c\\d', "line\nbreak\ttab", "carriage\rreturn", "\u202eturned", "🧵"]

    labels, _ = PARSERS[format_](render(graph_of(*names), format=format_))

    assert set(names) <= set(labels)


@pytest.mark.parametrize("format_", ["dot", "mermaid"])
def test_a_drawing_shows_a_name_as_it_is(format_):
    """Escaped twice or not at all it would read differently."""
    names = ['say "hi"', "a &lt;b&gt; & c", "back\\slash\\", "\\n", "#35;", "%%{x}%%"]

    assert set(names) <= set(PARSERS[format_](render(graph_of(*names), format=format_))[0])


def test_a_drawn_name_is_cut_where_nobody_reads_on():
    """A box of two hundred letters is no picture."""
    (label,) = [each for each in read_dot(render(graph_of("x" * 190), format="dot"))[0] if each.startswith("x")]

    assert label == "x" * 120 + "…"


def test_what_often_fails_is_red(graph):
    """And said in numbers."""
    text = render(graph, format="dot", types=["sequence"])

    assert 'label="sequence 1, 1 failed", style=dashed, color=red' in text
    assert text.count("color=red") == 1


@given(st.lists(st.text(max_size=30), max_size=5), st.sampled_from(FORMATS))
def test_any_names_give_a_readable_drawing(names, format_):
    """Whatever they are."""
    graph = Graph()
    for name in names:
        graph.count_node(graph.node(Node("tool", name)), count=1, failures=0, ended=0, duration_ns=0, heat=1, last_ns=1)

    labels, _ = PARSERS[format_](render(graph, format=format_))

    assert len(labels) == len(graph.nodes)
