"""
The best ways from one node to another, each edge of them with its reason.

Arms:
    hops: the fewest edges, of any type; of equally many, those seen oftenest.
    fixed: the original design, 1 / (type weight x source factor), edges of any type.
    likely: -log P(b | a) along what comes next in a run: see `clew.graph.roads`.
    learned: the same with P from the runs that had the goal, and ways weighed against each other:
        see `clew.graph.towards`. The default.
    between: as learned, for when it is known that something came between: the direct step is only
        taken where there is no other way.

A way has no loops. From a node to itself it is the best loop, of which a direct repetition is the
shortest. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Final, Protocol

from clew.errors import BadFilter
from clew.graph.dijkstra import Roads, ways
from clew.graph.roads import Fixed, Hops, Likely, reason
from clew.graph.state import Graph
from clew.graph.towards import MOST_WAYS, Towards, weighed
from clew.model.graph import Node, Path, Paths

ARMS: Final = ("hops", "fixed", "likely", "learned", "between")

_TOWARDS = {"all_runs": 3.0, "passing": 0.1, "company": 1.0}
WEIGHTS: Final[dict[str, dict[str, float]]] = {"learned": _TOWARDS, "between": _TOWARDS}
"""
all_runs: so many observations is what all runs teach worth, beside the runs that had the goal.
passing: what a run counts that went on after the goal. company: how much it counts to pass through
what other likely ways pass through, beside being likely.
"""

MOST_PATHS = 50

_AGAIN = -1
"""The node to which a way leads that ends where it began."""


def path(
    graph: Graph,
    start: str | Node,
    goal: str | Node,
    *,
    k: int = 3,
    arm: str = "learned",
    weights: Mapping[str, float] | None = None,
    version: int = 0,
) -> Paths:
    """
    Give the *k* best ways, at most `MOST_PATHS`; none if none was ever gone.

    Raises:
        UnknownNode: an end is none of the graph's.
        BadFilter: *arm*, *k* or a weight makes no sense.
    """
    known = known_weights("path", arm, ARMS, WEIGHTS, weights)
    if k < 1:
        raise BadFilter("k", "must be at least 1")
    origin, target = graph.find(start), graph.find(goal)
    roads = _roads(graph, target, arm, known)
    found = _ways(roads, origin, target, k=min(k, MOST_PATHS), arm=arm, weights=known)
    return Paths(arm=arm, arm_version=version, paths=tuple(_path(graph, roads, nodes) for nodes in found))


def known_weights(
    question: str,
    arm: str,
    arms: Iterable[str],
    defaults: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float] | None,
) -> dict[str, float]:
    """
    Give an arm's weights, with those that were asked for in place of its own.

    Raises:
        BadFilter: there is no such arm; it has no such weight; or a weight is below 0.
    """
    if arm not in arms:
        raise BadFilter("arm", f"{arm[:80]!r} is none of {', '.join(arms)}")
    own = defaults.get(arm, {})
    for name, value in (weights or {}).items():
        if name not in own:
            raise BadFilter("weights", f"{name[:80]!r} is none of {', '.join(own) or 'those of this arm: it has none'}")
        if not 0 <= value < float("inf"):
            raise BadFilter("weights", f"{name} of {question} must be 0 or more, and finite")
    return {**own, **(weights or {})}


class _Priced(Roads, Protocol):
    """Roads that can say what a step rests on."""

    beyond: float

    def cost(self, node: int, target: int) -> float:
        """Give what the step costs, in the arm's own terms."""

    def weight(self, node: int, target: int) -> float:
        """Give what it weighs, in the arm's own terms."""

    def rows(self, node: int, target: int) -> list[int]:
        """Give the rows of the edges of which it is made, strongest first."""


_BUILD: Final[dict[str, Callable[[Graph], Hops | Fixed | Likely]]] = {"hops": Hops, "fixed": Fixed, "likely": Likely}


def _roads(graph: Graph, goal: int, arm: str, weights: Mapping[str, float]) -> _Priced:
    if arm in _BUILD:
        return graph.derived(f"paths.{arm}", _BUILD[arm])
    return Towards(graph, graph.derived("paths.likely", Likely), goal, weights)


def _ways(
    priced: _Priced, start: int, goal: int, *, k: int, arm: str, weights: Mapping[str, float]
) -> list[tuple[int, ...]]:
    roads: Roads = priced
    end = goal
    if start == goal:
        roads, end = _Round(priced, start, repeats=bool(priced.rows(start, start))), _AGAIN
    if arm not in WEIGHTS:
        found = ways(roads, start, end, k, beyond=priced.beyond)
    else:
        around = [_Around(roads, start, end)] if arm == "between" else []
        tried = (ways(each, start, end, k, most=max(k, MOST_WAYS), beyond=priced.beyond) for each in (*around, roads))
        found = weighed(next((each for each in tried if each), []), weights)[:k]
    return [(*nodes[:-1], goal) for _, nodes in found]


class _Round:
    """Roads on which a node can be left and come back to: whoever comes back stands at a node of its own."""

    def __init__(self, roads: Roads, node: int, *, repeats: bool) -> None:
        self._roads = roads
        self._node = node
        self._again = [(node, roads.step(node, node))] if repeats else []

    def ahead(self, node: int) -> Iterable[tuple[int, float]]:
        """Give where *node* leads."""
        row = [(_AGAIN if target == self._node else target, cost) for target, cost in self._roads.ahead(node)]
        return row + [(_AGAIN, cost) for _, cost in self._again] if node == self._node else row

    def behind(self, node: int) -> Iterable[tuple[int, float]]:
        """Give what leads to *node*."""
        if node != _AGAIN:
            return self._roads.behind(node)
        return [*self._roads.behind(self._node), *self._again]

    def step(self, node: int, target: int) -> float:
        """Give what the step costs."""
        return self._roads.step(node, self._node if target == _AGAIN else target)


class _Around:
    """Roads without the direct one."""

    def __init__(self, roads: Roads, start: int, goal: int) -> None:
        self._roads = roads
        self._start, self._goal = start, goal

    def ahead(self, node: int) -> Iterable[tuple[int, float]]:
        """Give where *node* leads."""
        row = self._roads.ahead(node)
        return row if node != self._start else [step for step in row if step[0] != self._goal]

    def behind(self, node: int) -> Iterable[tuple[int, float]]:
        """Give what leads to *node*."""
        row = self._roads.behind(node)
        return row if node != self._goal else [step for step in row if step[0] != self._start]

    def step(self, node: int, target: int) -> float:
        """Give what the step costs."""
        return self._roads.step(node, target)


def _path(graph: Graph, roads: _Priced, nodes: tuple[int, ...]) -> Path:
    steps = list(pairwise(nodes))
    return Path(
        nodes=tuple(graph.nodes[node] for node in nodes),
        cost=sum(roads.cost(*step) for step in steps),
        reasons=tuple(reason(graph, roads.rows(*step)[0], roads.weight(*step)) for step in steps),
    )
