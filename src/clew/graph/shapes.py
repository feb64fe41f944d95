"""
The shape of a scope: all that its calls teach but how long they took, worked out once.

Services do the same things over and over. Of a shape that was met before only the durations are
new, so learning it is a few additions for each different tool and edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import not_
from typing import TYPE_CHECKING, Any, Final

from clew.graph.episodes import MOST_STEPS, TOP, Episode, Names, Step
from clew.graph.order import After, follows, ranks_of

if TYPE_CHECKING:
    from clew.graph.state import Graph

MOST_REMEMBERED = 8_192
"""Calls in all the shapes that a graph remembers: some megabytes. When it is full it begins anew."""

Was = tuple[str, str, bool, bool, bool, Names, Names, Names]
"""What a call was: kind, name, failed, ended, parent is inferred, arguments, pending, consumed."""
FAILED: Final = 2
ENDED: Final = 3
INFERRED: Final = 4

Tally = tuple[int, int, int, int, int, Sequence[int]]
"""
What a scope adds to one node: its id, how many calls, how many of them ended, how many failed. Or
to one edge: its row, how many observations, how many of them are sure, how many failed. Then the
place of the first call or target, and the places of the others: for the durations.
"""

Key = tuple[tuple[str, str] | None, tuple[Was, ...], After]
"""Kind and name of the scope, None for the top of a trace; its calls by begin; empty order: one after another."""


class Shape:
    """What each run of a scope adds to a graph. Equal to nothing but itself."""

    __slots__ = ("edges", "episode", "nodes")

    def __init__(self, nodes: Sequence[Tally], edges: Sequence[Tally], episode: Episode | None) -> None:
        self.nodes = nodes
        self.edges = edges
        self.episode = episode


class Shapes:
    """The shapes that a graph remembers. They hold its rows and episodes, so they are forgotten when one goes."""

    def __init__(self) -> None:
        self.met: dict[Key, Shape] = {}
        self._calls = 0

    def clear(self) -> None:
        """Forget all."""
        self.met.clear()
        self._calls = 0

    def meet(self, graph: Graph, key: Key) -> Shape:
        """Work out a new shape of *graph*, and remember it unless it is a giant."""
        shape = shape_of(graph, *key)
        size = len(key[1])
        if size <= MOST_STEPS:
            if self._calls + size > MOST_REMEMBERED:
                self.clear()
            self.met[key] = shape
            self._calls += size
        return shape


def shape_of(graph: Graph, scope: tuple[str, str] | None, calls: Sequence[Was], order: After) -> Shape:
    """Work out what a scope with these calls adds to *graph*; see `Key`."""
    known, add = graph._nodes.ids, graph._nodes.add
    ids = [known.get((call[0], call[1])) or add(call[0], call[1]) for call in calls]
    scope_id = TOP if scope is None else add(*scope)
    nodes = tallied(zip(ids, range(len(ids)), [call[ENDED] for call in calls], strict=True), calls)
    edges = tallied(_followed(graph, ids, calls, order), calls)
    if scope_id != TOP:
        edges += _contained(graph, scope_id, nodes, calls)
    return Shape(nodes, edges, _episode(graph, scope_id, ids, calls, order))


def tallied(observations: Iterable[tuple[int, int, bool]], calls: Sequence[Was]) -> list[Tally]:
    """Sum up observations: of which node or row, the place of the call, whether it is a sure one."""
    tallies: dict[int, Any] = {}
    for of, at, sure in observations:
        tally = tallies.get(of)
        if tally is None:
            tallies[of] = [of, 1, sure, calls[at][FAILED], at, ()]
            continue
        tally[1] += 1
        tally[2] += sure
        tally[3] += calls[at][FAILED]
        if tally[5]:
            tally[5].append(at)
        else:
            tally[5] = [at]
    return list(tallies.values())


def _followed(graph: Graph, ids: Sequence[int], calls: Sequence[Was], order: After) -> Iterator[tuple[int, int, bool]]:
    row = graph._edges.row
    guessed = [call[INFERRED] for call in calls]
    for earlier, later in follows(order, len(calls)):
        yield row(ids[earlier], ids[later], "sequence"), later, not (guessed[earlier] or guessed[later])


def _contained(graph: Graph, scope: int, nodes: Sequence[Tally], calls: Sequence[Was]) -> Iterator[Tally]:
    """Each node with its calls is what the scope contains."""
    for node, seen, _, failed, at, others in nodes:
        sure = seen - sum([calls[each][INFERRED] for each in (at, *others)])
        yield graph._edges.row(scope, node, "contains"), seen, sure, failed, at, others


def _episode(graph: Graph, scope: int, ids: Sequence[int], calls: Sequence[Was], order: After) -> Episode:
    shown = calls[:MOST_STEPS]
    order = tuple([min(after, len(shown)) for after in order[: len(shown)]])
    before, ranks = ranks_of(order) if order else (range(len(shown)), range(len(shown)))
    _, _, failed, _, _, *names = zip(*shown, strict=True)
    arguments, pending, consumed = [graph._episodes.once(each) for each in names]
    steps = tuple(map(Step, ids, map(not_, failed), arguments, pending, consumed, before, ranks))
    return graph._episodes.kept(scope, steps, truncated=len(calls) > MOST_STEPS)
