"""The nodes of a graph with their counters, and how one is found by what people call it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from difflib import get_close_matches

from clew.errors import UnknownNode
from clew.graph.calls import short
from clew.graph.columns import add, raise_to
from clew.model.graph import Node

_MOST_COMPARED = 1_000


class NodeTable:
    """Nodes by id, which is their position. None ever goes: what is taken back counts nothing."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.ids: dict[tuple[str, str], int] = {}
        self._named: dict[str, tuple[int, ...]] = {}
        self.count = array("q")
        self.failures = array("q")
        self.ended = array("q")
        self.duration_ns = array("q")
        self.heat = array("q")
        self.last_ns = array("q")
        self.counters = (self.count, self.failures, self.ended, self.duration_ns, self.heat)

    def __len__(self) -> int:
        return len(self.nodes)

    def add(self, kind: str, name: str) -> int:
        """Give the id of a node, which is entered if it is new. A very long name is kept short."""
        found = self.ids.get((kind, name))
        if found is not None:
            return found
        node = Node(short(kind), short(name))
        found = self.ids.get(node)
        if found is None:
            found = self.ids[node] = len(self.nodes)
            self.nodes.append(node)
            self._named[node.name] = (*self._named.get(node.name, ()), found)
            for column in (*self.counters, self.last_ns):
                column.append(0)
        return found

    def find(self, asked: Node | str) -> int:
        """
        Give the id of a node by itself, by 'kind:name', or by its name where that is enough.

        Raises:
            UnknownNode: there is none, or several of that name; says what is near.
        """
        kind, _, name = asked.partition(":") if isinstance(asked, str) else (asked.kind, "", asked.name)
        found = self.ids.get((short(kind), short(name)))
        if found is not None:
            return found
        text = str(asked)
        named = self._named.get(short(text), ())
        if len(named) == 1:
            return named[0]
        if named:
            raise UnknownNode(text, near=tuple(str(self.nodes[each]) for each in named), ambiguous=True)
        raise UnknownNode(text, near=self._near(text[:200]))

    def _near(self, asked: str) -> tuple[str, ...]:
        """Names like *asked*. Comparing is slow, so of many names only those that begin like it or hold it."""
        names = list(self._named)
        if len(names) > _MOST_COMPARED:
            low = asked.lower()
            names = [name for name in names if name[:2].lower() == low[:2] or low in name.lower()][:_MOST_COMPARED]
        return tuple(get_close_matches(asked, names, n=3))

    def count_up(self, node: int, amounts: Sequence[int], last_ns: int) -> None:
        """Add to a node's counters, in their order."""
        for column, amount in zip(self.counters, amounts, strict=True):
            if amount:
                add(column, node, amount)
        raise_to(self.last_ns, node, last_ns)
