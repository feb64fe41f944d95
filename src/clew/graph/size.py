"""How much memory a graph takes, by what for: measured on its own objects, each counted once."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from clew.graph.state import Graph


class GraphSize(NamedTuple):
    """Bytes."""

    nodes: int
    """Names, ids and counters of the nodes."""
    links: int
    """The dict of dicts from origin to target to row: what any such graph needs."""
    counters: int
    """Columns of the edges: counters, ends, exemplars."""
    traces: int
    """The table of the traces that edges name as exemplars."""
    episodes: int
    remembered: int
    """Shapes of scopes, and what waits to be counted."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


def size_of(graph: Graph) -> GraphSize:
    """Measure *graph*. Takes about a microsecond for each object in it."""
    nodes, edges = graph._nodes, graph._edges
    seen: set[int] = set()
    return GraphSize(
        nodes=_deep([nodes.__dict__], seen),
        links=_deep([edges.out], seen),
        traces=_deep([edges.traces.ended_ns, edges.traces.ids, edges.traces.odd_ids], seen),
        counters=_deep([edges.__dict__, edges.traces.packed], seen),
        episodes=_deep([graph._episodes.__dict__], seen),
        remembered=_deep([graph._shapes.__dict__, graph._waiting], seen),
    )


def _deep(things: Iterable[Any], seen: set[int]) -> int:
    """Add up objects with all that hangs on them and was not seen yet."""
    total = 0
    left = list(things)
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        total += sys.getsizeof(thing)
        if isinstance(thing, dict):
            left.extend(thing.keys())
            left.extend(thing.values())
        elif isinstance(thing, (list, tuple, set)):
            left.extend(thing)
        elif isinstance(thing, msgspec.Struct):
            left.extend(getattr(thing, field) for field in thing.__struct_fields__)
        elif not isinstance(thing, (str, int, array, bytearray)):
            left.extend(getattr(thing, slot) for slot in getattr(type(thing), "__slots__", ()))
    return total
