"""
Declared workflows: what a tool needs to have run before it, as its author says.

As YAML, or as a Python mapping of the same form:

    name: book a trip
    tools:
      search_flights:
      book_flight:
        needs: [search_flights, get_user]
      capability:notify:
        needs: [book_flight]

or, in short, `{"book_flight": ["search_flights", "get_user"]}`. A name is that of a tool, unless a
kind stands before it. What is needed need not be listed by itself. Each need becomes an edge of
type `dependency`, from what is needed to what needs it: the direction in which work flows. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from clew.errors import BadTemplate
from clew.graph.state import Graph
from clew.graph.template_yaml import read_yaml
from clew.model.graph import Node
from clew.model.span import KINDS

MOST_BYTES = 256 * 1024
"""Of YAML."""

MOST_TOOLS = 5_000

MOST_NEEDS = 20_000
"""In one template."""

_SHOWN = 60  # Letters of a name in an error.
_SHOWN_OF_CYCLE = 10


class Template(msgspec.Struct, kw_only=True, frozen=True):
    """One declared workflow, without cycles."""

    name: str
    needs: dict[Node, tuple[Node, ...]]
    """Every node of it, with what has to run before it; in the order in which they were written."""


def read_template(source: str | bytes | Mapping[str, Any], *, name: str = "unnamed") -> Template:
    """
    Read a template from YAML or from a mapping; *name* is its name if it does not say one itself.

    Raises:
        BadTemplate: not of the form above, over the limits, a tool needs itself, or needs go round
            in a circle; says which, and where it is YAML in which line.
    """
    tools = read_yaml(_bounded(source)) if isinstance(source, str | bytes) else source
    if not isinstance(tools, Mapping):
        raise BadTemplate(f"a template is a mapping of tools to what they need; this is {_called(tools)}")
    if _is_long_form(tools):
        if unknown := [key for key in tools if key not in {"name", "tools"}]:
            raise BadTemplate(f"{_short(unknown[0])} is not known here; a template has `name` and `tools`")
        name = _name(tools.get("name") or name, "the template's name")
        tools = tools.get("tools")
        if not isinstance(tools, Mapping):
            raise BadTemplate(f"`tools` is a mapping of tools to what they need; here it is {_called(tools)}")
    needs = _needs(tools)
    if not needs:
        raise BadTemplate("the template names no tools; write for example `book: [search]`")
    _refuse_cycle(needs)
    return Template(name=name, needs=needs)


def template_graph(template: Template) -> Graph:
    """Give the graph that a template declares: its nodes, never called, and an edge for each need, declared once."""
    graph = Graph()
    for node in template.needs:
        graph.node(node)
    for node, needed in template.needs.items():
        for each in needed:
            row = graph.row(graph.node(each), graph.node(node), "dependency")
            graph.count_edge(row, declared=1)
    return graph


def _bounded(text: str | bytes) -> str:
    size = len(text.encode("utf-8", "replace")) if isinstance(text, str) else len(text)
    if size > MOST_BYTES:
        raise BadTemplate(f"a template is at most {MOST_BYTES} bytes, this one has {size}; split it")
    try:
        return text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTemplate(f"a template is text in UTF-8: {error}") from error


def _is_long_form(source: Mapping[str, Any]) -> bool:
    """A tool may be called `tools` or `name` too: then a list stands there, or nothing."""
    return isinstance(source.get("tools"), Mapping) or isinstance(source.get("name"), str)


def _needs(tools: Mapping[str, Any]) -> dict[Node, tuple[Node, ...]]:
    needs: dict[Node, tuple[Node, ...]] = {}
    count = 0
    for tool, said in tools.items():
        node = _node(tool, "the name of a tool")
        if needs.get(node):
            raise BadTemplate(f"{_short(tool)} is listed twice")
        needed = tuple(dict.fromkeys(_node(each, f"what {_short(tool)} needs") for each in _listed(tool, said)))
        if node in needed:
            raise BadTemplate(f"{_short(tool)} needs itself, so it could never begin; take it out of its `needs`")
        needs[node] = needed
        for each in needed:
            needs.setdefault(each, ())
        count += len(needed)
        if len(needs) > MOST_TOOLS or count > MOST_NEEDS:
            raise BadTemplate(f"a template has at most {MOST_TOOLS} tools and {MOST_NEEDS} needs; split it")
    return needs


def _listed(tool: str, said: Any) -> Iterable[Any]:
    """What a tool needs, in whichever form it is said."""
    if isinstance(said, Mapping):
        if unknown := [key for key in said if key != "needs"]:
            raise BadTemplate(f"{_short(unknown[0])} of {_short(tool)} is not known here; a tool has `needs`")
        said = said.get("needs")
    if said is None:
        return ()
    if isinstance(said, str):
        return (said,)
    if isinstance(said, list | tuple):
        return said
    raise BadTemplate(f"what {_short(tool)} needs is a list of tools, not {_called(said)}")


def _node(said: Any, what: str) -> Node:
    text = _name(said, what)
    kind, colon, name = text.partition(":")
    if colon and kind in KINDS and name.strip():
        return Node(kind, name.strip())
    return Node("tool", text)


def _name(said: Any, what: str) -> str:
    if not isinstance(said, str):
        hint = "; put it in quotes" if isinstance(said, int | float) else ""
        raise BadTemplate(f"{what} is text, not {_called(said)}{hint}")
    if not said.strip():
        raise BadTemplate(f"{what} is empty")
    return said.strip()


def _refuse_cycle(needs: Mapping[Node, tuple[Node, ...]]) -> None:
    """Look for a circle, depth first and without recursion, since a chain may be thousands long."""
    done: set[Node] = set()
    for start in needs:
        way: dict[Node, None] = {}
        open_ = [(start, iter(needs[start]))] if start not in done else []
        way.update((node, None) for node, _ in open_)
        while open_:
            node, rest = open_[-1]
            following = next((each for each in rest if each not in done), None)
            if following is None:
                done.add(node)
                del way[node]
                open_.pop()
            elif following in way:
                circle = list(way)[list(way).index(following) :]
                raise BadTemplate(_cycle_text([*circle, following]))
            else:
                way[following] = None
                open_.append((following, iter(needs[following])))


def _cycle_text(cycle: list[Node]) -> str:
    """The circle in order: each needs the next, and the last is the first."""
    shown = [_short(each.name) for each in cycle]
    left_out = len(shown) - _SHOWN_OF_CYCLE
    if left_out > 0:
        shown[_SHOWN_OF_CYCLE - 1 : -1] = [f"... ({left_out} more) ..."]
    return f"the needs go round in a circle: {' needs '.join(shown)}; take one of them out"


def _short(said: Any) -> str:
    text = str(said) if not isinstance(said, str) else said
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _called(said: Any) -> str:
    """What something is, in words for people who write YAML."""
    if said is None:
        return "empty"
    if isinstance(said, Mapping):
        return "a mapping"
    if isinstance(said, list | tuple):
        return "a list"
    return _short(said)
