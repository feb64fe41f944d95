"""
The edges of a graph with their counters: a dict of dicts that gives each a row in the columns.

Measured beside networkx, rustworkx, igraph and scipy: none takes in more edges a second, and
counters in columns are eight bytes each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from clew.graph.columns import add, raise_to
from clew.graph.exemplars import TraceTable
from clew.model.graph import EDGE_TYPES, EdgeType

_NUMBERS = {type_: number for number, type_ in enumerate(EDGE_TYPES)}


class EdgeTable:
    """Edges by row. A row that went is given to the next edge that comes."""

    def __init__(self) -> None:
        self.out: dict[EdgeType, dict[int, dict[int, int]]] = {type_: {} for type_ in EDGE_TYPES}
        """Type -> origin -> target -> row."""
        self.origins = array("i")
        self.targets = array("i")
        self.types = array("b")
        self.count = array("q")
        self.inferred = array("q")
        self.failures = array("q")
        self.declared = array("q")
        self.duration_ns = array("q")
        self.heat = array("q")
        self.last_ns = array("q")
        self.counters = (self.count, self.inferred, self.failures, self.declared, self.duration_ns, self.heat)
        self.traces = TraceTable()
        self.owed: set[int] = set()
        """Rows for which nothing speaks, and which are still not nothing: differences have them."""
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self.types) - len(self._free)

    def row(self, origin: int, target: int, type_: EdgeType) -> int:
        """Give the row of an edge, which is entered if it is new."""
        targets = self.out[type_].setdefault(origin, {})
        row = targets.get(target)
        if row is None:
            row = targets[target] = self._free.pop() if self._free else self._new_row()
            self.origins[row], self.targets[row], self.types[row] = origin, target, _NUMBERS[type_]
        return row

    def _new_row(self) -> int:
        for column in (self.origins, self.targets, self.types, *self.counters, self.last_ns, self.traces.packed):
            column.append(0)
        return len(self.types) - 1

    def ends(self, row: int) -> tuple[int, int, EdgeType]:
        """Give an edge's origin, target and type."""
        return self.origins[row], self.targets[row], EDGE_TYPES[self.types[row]]

    def rows(self) -> Iterator[int]:
        """The row of every edge."""
        for origins in self.out.values():
            for targets in origins.values():
                yield from targets.values()

    def count_up(self, row: int, amounts: Sequence[int], last_ns: int) -> bool:
        """Add to an edge's counters, in their order; say whether it is there no longer."""
        for column, amount in zip(self.counters, amounts, strict=True):
            if amount:
                add(column, row, amount)
        raise_to(self.last_ns, row, last_ns)
        return self.review(row)

    def review(self, row: int) -> bool:
        """Drop an edge if all of it is zero, and say so; note it if something is owed."""
        if self.count[row] > 0 or self.inferred[row] > 0 or self.declared[row] > 0:
            if self.owed:
                self.owed.discard(row)
            return False
        if any(column[row] for column in self.counters):
            self.owed.add(row)
            return False
        self.drop(row)
        return True

    def drop(self, row: int) -> None:
        """Take an edge out, whatever it counts."""
        origin, target, type_ = self.ends(row)
        targets = self.out[type_][origin]
        del targets[target]
        if not targets:
            del self.out[type_][origin]
        for column in (*self.counters, self.last_ns, self.traces.packed):
            column[row] = 0
        self.owed.discard(row)
        self._free.append(row)
