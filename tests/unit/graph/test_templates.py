"""Declared workflows."""

from __future__ import annotations

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadTemplate
from clew.graph.template_yaml import DEEPEST
from clew.graph.templates import MOST_BYTES, MOST_NEEDS, MOST_TOOLS, Template, read_template, template_graph
from clew.model.graph import Node


def tool(name: str) -> Node:
    return Node("tool", name)


WHOLE = """
# What a trip takes.
name: book a trip
tools:
  search_flights:
  book_flight:
    needs: [search_flights, get_user]
  capability:notify:
    needs:
      - book_flight
"""


def test_a_template_is_read_from_yaml():
    """What is needed need not be listed; a kind may stand before a name."""
    assert read_template(WHOLE) == Template(
        name="book a trip",
        needs={
            tool("search_flights"): (),
            tool("book_flight"): (tool("search_flights"), tool("get_user")),
            tool("get_user"): (),
            Node("capability", "notify"): (tool("book_flight"),),
        },
    )


@pytest.mark.parametrize(
    "source",
    [
        {"book": ["search"], "search": []},
        {"book": ["search"]},
        {"book": ("search",)},
        {"book": "search"},
        {"book": {"needs": ["search"]}},
        {"book": {"needs": "search"}, "search": None},
        {"tools": {"book": {"needs": ["tool:search", "search"]}, "search": {}}},
        {"name": "unnamed", "tools": {"book": ["search"], "search": {"needs": None}}},
        "book: [search]",
        "book: search",
        "book: {needs: search}",
        b"\xef\xbb\xbfbook: [search]\nsearch: ~\n",
        "tools: {book: [search], search: null}",
        "book:\n- search\nsearch:\n",
    ],
)
def test_the_short_forms_say_the_same(source):
    """People write what is least to write."""
    template = read_template(source)

    assert dict(sorted(template.needs.items())) == {tool("book"): (tool("search"),), tool("search"): ()}
    assert template.name == "unnamed"


def test_who_hands_in_a_template_may_name_it():
    """By its file, for example; a name inside it wins."""
    assert read_template("a: [b]", name="trip.yaml").name == "trip.yaml"
    assert read_template(WHOLE, name="trip.yaml").name == "book a trip"


def test_words_stay_words():
    """In YAML `on`, `1` and `2026-01-01` are something else; tools have such names."""
    template = read_template("on: [no, 1, 2026-01-01, 0x10, 1e3, 'null', \"~\"]")

    assert [node.name for node in template.needs[tool("on")]] == ["no", "1", "2026-01-01", "0x10", "1e3", "null", "~"]


def test_only_a_known_kind_is_a_kind():
    """Names of tools hold colons too."""
    nodes = list(read_template({"mcp:search": ["agent:planner", "tool:x:y", "tool:"]}).needs)

    assert nodes == [tool("mcp:search"), Node("agent", "planner"), tool("x:y"), tool("tool:")]


@pytest.mark.parametrize("source", [{"tools": ["a"]}, {"name": ["a"], "tools": []}, "tools: [a]"])
def test_a_tool_may_be_called_like_a_word_of_the_format(source):
    """Then a list stands there, and not a mapping or a text."""
    assert tool("tools") in read_template(source).needs


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "'a' needs 'b' needs 'c' needs 'a'"),
        ({"x": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}, "'b' needs 'd' needs 'b'"),
        ("capability:a: [b]\nb: ['capability:a']", "'a' needs 'b' needs 'a'"),
    ],
)
def test_a_cycle_in_a_template_is_refused_and_named(source, says):
    """In its order, so that one can see which need is wrong."""
    with pytest.raises(BadTemplate, match="circle") as caught:
        read_template(source)

    assert says in str(caught.value)


def test_a_very_long_cycle_is_named_in_short():
    """And found without running out of stack."""
    ring = {f"t{at}": [f"t{(at + 1) % 4_000}"] for at in range(4_000)}

    with pytest.raises(BadTemplate) as caught:
        read_template(ring)

    assert "'t0' needs 't1'" in str(caught.value)
    assert "(3991 more)" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_is_needed_twice_over_is_no_cycle():
    """A diamond."""
    template = read_template({"d": ["b", "c"], "b": ["a"], "c": ["a"]})

    assert len(template.needs) == 4


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"a": ["a"]}, "'a' needs itself"),
        ({"tool:a": ["a"]}, "needs itself"),
        ("", "empty"),
        ("{}", "no tools"),
        ("name: x\ntools: {}", "no tools"),
        ("name: x", "`tools` is a mapping"),
        ("name: x\ntools: [a, b]", "a list"),
        ("- a\n- b", "this is a list"),
        ("just words", "'just words'"),
        ("name: x\nversion: 1\ntools: {a: }", "'version'"),
        ({"a": {"need": ["b"]}}, "'need' of 'a'"),
        ({"a": 5}, "not '5'"),
        ({"a": [5]}, "put it in quotes"),
        ({5: ["a"]}, "put it in quotes"),
        ({"a": [["b"]]}, "a list"),
        ({"a": [None]}, "empty"),
        ({" ": ["a"]}, "is empty"),
        ({"a": ["b"], "tool:a": ["c"]}, "listed twice"),
        ({"name": " ", "tools": {"a": []}}, "name is empty"),
        (None, "this is empty"),
        ("a: [b]\na: [c]", "line 2: 'a' stands here for the second time"),
        ("a: [b]\n---\nb: [c]", "line 2: a second document"),
        ("a: &x [b]\nc: [d]", "line 1: anchors"),
        ("a: [b]\nc: *x", "line 2: anchors"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: tags"),
        ("a: !tool b", "line 1: tags"),
        ("a: [b", "not YAML"),
        ("a: [b\x00]", "not YAML"),
        ("\ud800: [a]", "not YAML"),
        (b"a: [\xff]", "UTF-8"),
        ("? [a]\n: b", "a name is text"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(source, says):
    """What is wrong, and where."""
    with pytest.raises(BadTemplate) as caught:
        read_template(source)

    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_bomb_of_aliases_is_refused_before_it_is_built():
    """Ten lines that stand for a billion names."""
    lines = ["a: &a0 [x]"] + [f"b{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 10)]

    with pytest.raises(BadTemplate, match="aliases"):
        read_template("\n".join(lines))


@pytest.mark.parametrize("source", ["[" * 100_000, "a: " + "{b: " * (DEEPEST + 2), "- " * 50_000])
def test_a_deep_nest_is_refused_without_a_deep_stack(source):
    """It is no template."""
    with pytest.raises(BadTemplate, match="deep"):
        read_template(source)


@pytest.mark.parametrize("source", ["#" * (MOST_BYTES + 1), b"#" * (MOST_BYTES + 1), "é" * (MOST_BYTES // 2 + 1)])
def test_a_template_has_a_size(source):
    """In bytes."""
    with pytest.raises(BadTemplate, match="bytes"):
        read_template(source)


@pytest.mark.parametrize(
    "source",
    [
        {f"t{at}": [] for at in range(MOST_TOOLS + 1)},
        {f"t{at}": [f"u{each}" for each in range(200)] for at in range(MOST_NEEDS // 200 + 1)},
    ],
)
def test_a_mapping_has_limits_too(source):
    """It has no bytes."""
    with pytest.raises(BadTemplate, match="at most"):
        read_template(source)


def test_errors_do_not_repeat_a_name_of_ten_kilobytes():
    """It is shown as far as one reads."""
    with pytest.raises(BadTemplate) as caught:
        read_template({"x" * 10_000: ["x" * 10_000]})

    assert len(str(caught.value)) < 200
    assert len(template_graph(read_template({"x" * 10_000: ["y" * 10_000]})).nodes) == 2


def test_without_pyyaml_a_mapping_still_works(monkeypatch):
    """It comes with the server; the error says so."""
    real = builtins.__import__

    def without_yaml(name, *args, **kwargs):
        if name == "yaml":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_yaml)

    assert read_template({"a": ["b"]}).needs
    with pytest.raises(BadTemplate, match=r"clew\[server\]"):
        read_template("a: [b]")


# The graph.


def test_each_need_is_an_edge_in_the_direction_of_work():
    """From what has to run first; declared, and never seen."""
    graph = template_graph(read_template(WHOLE))

    edges = {(str(edge.origin), str(edge.target)): edge for edge in graph.edges()}

    assert set(edges) == {
        ("tool:search_flights", "tool:book_flight"),
        ("tool:get_user", "tool:book_flight"),
        ("tool:book_flight", "capability:notify"),
    }
    for edge in edges.values():
        assert (edge.type, edge.declared, edge.count, edge.source) == ("dependency", 1, 0, "template")


def test_taking_a_template_back_leaves_nothing():
    """A template can be removed."""
    graph = template_graph(read_template(WHOLE))
    graph.merge(template_graph(read_template(WHOLE)), times=-1)

    assert graph.edge_count() == 0


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.dictionaries(names, st.lists(names, max_size=4), max_size=8))
def test_any_mapping_is_read_or_refused(source):
    """And what is read has no cycles: each node can come after all that it needs."""
    try:
        template = read_template(source)
    except BadTemplate:
        return
    placed: set[Node] = set()
    for _ in template.needs:
        placed.update(node for node, needs in template.needs.items() if placed.issuperset(needs))
    assert placed == set(template.needs)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    """Nothing else is raised."""
    try:
        read_template(text)
    except BadTemplate as error:
        assert str(error)  # noqa: PT017 - most texts are refused, some are templates
