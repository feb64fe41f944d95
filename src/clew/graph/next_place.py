"""
Where a run stands, read for prediction: the calls beside which the next one will be, as node ids.

What the graph has never seen is kept as a stranger: it is no error to have called a new tool, the
graph only knows nothing of it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from clew.errors import BadFilter, UnknownNode
from clew.graph.calls import Call, Context, short
from clew.graph.next_contexts import Walk
from clew.graph.state import TOP, Graph
from clew.model.graph import Node
from clew.model.span import KINDS

MOST_CALLS = 1_024
"""Of the calls beside the next one, so many of the latest are read."""

_FIRST_STRANGER = -3
"""Strangers count down from here. Not from -2, since Python hashes that like -1, which is TOP."""


class Seen(NamedTuple):
    """A call as the walk takes it."""

    node: int
    ok: bool
    arguments: tuple[str, ...]


class Place:
    """One place in one run."""

    def __init__(self, graph: Graph, context: Context) -> None:
        self._graph = graph
        self._index = names_of(graph)
        self.strangers: dict[Node, int] = {}
        parent, siblings = beside(context)
        self.walk = Walk(TOP if parent is None else self._id(parent.node))
        for call in siblings[-MOST_CALLS:]:
            self.walk.take(Seen(self._id(call.node), call.ok, call.arguments))
        self.walk.count = len(siblings)
        self.pending: tuple[str, ...] = context.pending or ()
        self._nodes = {number: node for node, number in self.strangers.items()}

    def _id(self, node: Node) -> int:
        found = self._index.id_of(node)
        if found is None:
            kept = Node(short(node.kind), short(node.name))
            found = self.strangers.setdefault(kept, _FIRST_STRANGER - len(self.strangers))
        return found

    def node(self, number: int) -> Node:
        """Give the node of an id, a stranger's too."""
        return self._graph.nodes[number] if number >= 0 else self._nodes[number]


def beside(context: Context) -> tuple[Call | None, list[Call]]:
    """
    Give the call inside of which the next one will be (None: the top), and the calls beside it, in order.

    A parent that is none of the calls means the top of the trace, as it does for the learner. Only
    where the next call is said to have none, and others have none either, is it taken to be a
    capability that the calls do not show.
    """
    ids = {call.call_id for call in context.calls}
    wanted = context.parent_id
    if wanted in ids:
        parent = next(call for call in reversed(context.calls) if call.call_id == wanted)
        return parent, [call for call in context.calls if call.parent_id == wanted and call is not parent]
    if wanted is None:
        top = [call for call in context.calls if call.parent_id is None]
        if top:
            return None, top
    return None, [call for call in context.calls if call.parent_id not in ids or call.parent_id == call.call_id]


class Names:
    """The nodes of one graph by what people call them; grows with the graph."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._ids: dict[Node, int] = {}
        self._named: dict[str, list[int]] = {}

    def grow(self) -> None:
        """Take in the nodes that came since last time."""
        for at in range(len(self._ids), len(self._nodes)):
            node = self._nodes[at]
            self._ids[node] = at
            self._named.setdefault(node.name, []).append(at)

    def id_of(self, node: Node) -> int | None:
        """Give a node's id, if the graph has it."""
        found = self._ids.get(node)
        return self._ids.get(Node(short(node.kind), short(node.name))) if found is None else found

    def called(self, text: str) -> Node | None:
        """
        Find a node by 'kind:name', or by its name where that is enough; None if there is none.

        Raises:
            UnknownNode: several have that name; says which.
        """
        kind, colon, name = text.partition(":")
        node = Node(short(kind), short(name))
        if colon and node in self._ids:
            return node
        found = self._named.get(short(text), [])
        if len(found) > 1:
            near = tuple(sorted(str(self._nodes[at]) for at in found))
            raise UnknownNode(text, near=near, ambiguous=True)
        return self._nodes[found[0]] if found else None


_NAMES: WeakKeyDictionary[Graph, Names] = WeakKeyDictionary()


def names_of(graph: Graph) -> Names:
    """Give the names of a graph as it is now."""
    names = _NAMES.get(graph)
    if names is None:
        names = _NAMES[graph] = Names(graph.nodes)
    names.grow()
    return names


def context_of(
    graph: Graph,
    called: Sequence[str | Node | Mapping[str, Any]],
    within: str | Node | None = None,
    pending: Sequence[str] | None = None,
) -> Context:
    """
    Build a context from what people say: *called* so far, in order, directly inside of *within*.

    Each call is a name, 'kind:name', a node, or a mapping {name, kind?, ok?, arguments?}; *pending*
    are the output paths that nothing has used yet. What the graph does not know is kept as it is.

    Raises:
        UnknownNode: several nodes have the name; says which.
        BadFilter: a call is none of these.
    """
    names = names_of(graph)
    inside = None if within is None else _call(names, within, "within", 0, None)
    parent_id = None if inside is None else inside.call_id
    calls = [_call(names, each, str(at), at + 1, parent_id) for at, each in enumerate(called)]
    return Context(
        calls=calls if inside is None else [inside, *calls],
        parent_id=parent_id,
        pending=None if pending is None else tuple(pending),
    )


def _call(names: Names, said: str | Node | Mapping[str, Any], call_id: str, at: int, parent_id: str | None) -> Call:
    more: Mapping[str, Any] = {}
    if isinstance(said, Mapping):
        more, said = said, _named(said)
    if isinstance(said, str):
        said = names.called(said) or _stranger(said)
    elif not isinstance(said, Node):
        raise BadFilter("called", f"{str(said)[:80]!r} is no call; give a name, 'kind:name', or {{name, kind, ok}}")
    arguments = more.get("arguments") or ()
    return Call(
        call_id=call_id,
        parent_id=parent_id,
        kind=said.kind,
        name=said.name,
        start_ns=at,
        end_ns=at,
        ok=more.get("ok") is not False,
        arguments=tuple(sorted(str(each) for each in arguments)),
    )


def _named(said: Mapping[str, Any]) -> str | Node:
    name, kind = said.get("name"), said.get("kind")
    if not isinstance(name, str) or not (kind is None or isinstance(kind, str)):
        raise BadFilter("called", "a call needs its `name`, and may have `kind`, `ok` and `arguments`")
    return name if kind is None else Node(kind, name)


def _stranger(text: str) -> Node:
    """A name that the graph has not: with a kind if it begins with one, else a tool's."""
    kind, colon, name = text.partition(":")
    return Node(kind, name) if colon and kind in KINDS else Node("tool", text)
