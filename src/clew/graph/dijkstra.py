"""
Cheapest ways in a directed graph whose rows are made when they are first walked.

Two searches, one from each end, meet at the best way. For more ways both go on until they hold every
node that can be part of a way within a limit; between those, Yen's searches go nearly straight, since
how far each is from the goal is known exactly. Measured beside networkx, rustworkx, igraph and scipy:
see the notes on the execution graph. Pure.

Sources: Dijkstra 1959; Pohl 1971, two searches; Hart, Nilsson, Raphael 1968, A*; Yen 1971, ways
without loops; Lawler 1972, no way twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Protocol

MOST_SETTLED = 20_000
"""Nodes that the searches for further ways of one question look at; the best way is always searched to its end."""

_WIDER = 2.0
"""Where there are too few ways within a limit, it is made so many times as wide."""

Way = tuple[float, tuple[int, ...]]
"""What it costs, and its nodes."""

_Row = Callable[[int], Iterable[tuple[int, float]]]


class Roads(Protocol):
    """A directed graph. Costs are 0 or more."""

    def ahead(self, node: int) -> Iterable[tuple[int, float]]:
        """Give where *node* leads, and what going there costs; cheapest first."""

    def behind(self, node: int) -> Iterable[tuple[int, float]]:
        """Give what leads to *node*, and what coming from there costs; cheapest first."""

    def step(self, node: int, target: int) -> float:
        """Give what going from *node* to *target* costs; there is such a step."""


def ways(roads: Roads, start: int, goal: int, k: int, *, most: int = 0, beyond: float) -> list[Way]:
    """
    Give the *k* cheapest ways without loops, cheapest first; fewer if there are no more.

    *start* and *goal* are different. If *most* is more than *k*, up to so many are given of those
    that cost less than *beyond* more than the best. In a graph that is both large and dense, ways after
    the first may be missed: the search for them is bounded.
    """
    most = max(k, most)
    meeting = _Meeting(roads, start, goal, beyond if most > 1 else 0.0)
    first = meeting.run()
    if first is None or most == 1:
        return [] if first is None else [first]
    while True:
        further = _Further(roads, goal, meeting)
        found = further.ways(first, most)
        if len(found) >= k or meeting.limit == inf or further.left <= 0:
            return found
        meeting.widen()


class _Side:
    """One of two searches that meet."""

    def __init__(self, origin: int, row: _Row) -> None:
        self.row = row
        self.reached: dict[int, float] = {origin: 0.0}
        self.came_from: dict[int, int] = {}
        self.settled: set[int] = set()
        self.heap: list[tuple[float, int]] = [(0.0, origin)]
        self.cut: list[tuple[float, int]] = []
        """Settled nodes of whose row some was over the limit."""

    @property
    def radius(self) -> float:
        """What is not settled is at least so far."""
        return self.heap[0][0] if self.heap else inf

    def reopen(self) -> None:
        """Take up again what was over the limit."""
        for so_far, node in self.cut:
            self.settled.discard(node)
            heappush(self.heap, (so_far, node))
        self.cut.clear()

    def way(self, node: int) -> list[int]:
        """The nodes from *node* back to where this side began."""
        nodes = [node]
        while nodes[-1] in self.came_from:
            nodes.append(self.came_from[nodes[-1]])
        return nodes


class _Meeting:
    """The search from both ends, for the best way and what costs less than *beyond* more."""

    def __init__(self, roads: Roads, start: int, goal: int, beyond: float) -> None:
        self.fore, self.back = _Side(start, roads.ahead), _Side(goal, roads.behind)
        self.beyond = beyond
        self.best = self.limit = inf
        self.meeting = start

    def run(self) -> Way | None:
        """Find the best way; None if there is none."""
        self._search()
        if self.best == inf:
            return None
        return self.best, (*reversed(self.fore.way(self.meeting)), *self.back.way(self.meeting)[1:])

    def widen(self) -> None:
        """Go on, to a wider limit; to none if nothing was over it."""
        self.beyond *= _WIDER
        self.limit = self.best + self.beyond if self.fore.cut or self.back.cut or self.back.heap else inf
        self.fore.reopen()
        self.back.reopen()
        self._search()

    def _search(self) -> None:
        fore, back = self.fore, self.back
        while fore.heap and back.heap and fore.heap[0][0] + back.heap[0][0] < self.limit:
            # The side with less to do. Either may go on at any time.
            side, other = (fore, back) if len(fore.heap) <= len(back.heap) else (back, fore)
            so_far, node = heappop(side.heap)
            if node not in side.settled:
                side.settled.add(node)
                self._relax(side, other, so_far, node)

    def _relax(self, side: _Side, other: _Side, so_far: float, node: int) -> None:
        """
        Go on from a settled node, to what can be part of a way within the limit.

        A way through the rest of its row, to a node that the other side has settled, was met when
        this node was reached: the other side had come to it before.
        """
        reached, met, came_from, heap = side.reached, other.reached, side.came_from, side.heap
        most = self.limit - other.radius
        for target, cost in side.row(node):
            total = so_far + cost
            if total >= most:
                side.cut.append((so_far, node))
                return
            if total < reached.get(target, inf):
                reached[target] = total
                came_from[target] = node
                heappush(heap, (total, target))
                if target in met and total + met[target] < self.best:
                    self.best, self.meeting = total + met[target], target
                    self.limit = self.best + self.beyond
                    most = self.limit - other.radius

    def to_goal(self) -> dict[int, float]:
        """
        Give how far from the goal each node is that can be part of a way within the limit.

        Such a node has been settled by one side at least, so the other has only to go on through those.
        """
        fore, back, over = self.fore, self.back, []
        cut, back.cut = back.cut, []
        for so_far, node in cut:
            self._complete(so_far, node)
        while back.heap:
            so_far, node = heappop(back.heap)
            if node not in back.settled:
                if node in fore.settled and fore.reached[node] + so_far < self.limit:
                    back.settled.add(node)
                    self._complete(so_far, node)
                else:
                    over.append((so_far, node))
        back.heap = over  # Taken in order, so it is a heap.
        return {node: back.reached[node] for node in back.settled}

    def _complete(self, so_far: float, node: int) -> None:
        """Go on from a settled node of the goal's side."""
        back, settled, from_start, limit = self.back, self.fore.settled, self.fore.reached, self.limit
        reached, cut = back.reached, False
        for origin, cost in back.row(node):
            total = so_far + cost
            if origin not in settled or from_start[origin] + total >= limit:
                cut = True
            elif total < reached.get(origin, inf):
                reached[origin] = total
                back.came_from[origin] = node
                heappush(back.heap, (total, origin))
        if cut:
            back.cut.append((so_far, node))


class _Further:
    """Yen: the next best way leaves a better one somewhere, and goes on as cheaply as it can."""

    def __init__(self, roads: Roads, goal: int, meeting: _Meeting) -> None:
        self.roads = roads
        self.goal = goal
        self.limit = meeting.limit
        self.to_goal = meeting.to_goal()
        self.left = MOST_SETTLED

    def ways(self, first: Way, most: int) -> list[Way]:
        found: list[Way] = []
        waiting: list[tuple[float, tuple[int, ...], int]] = [(*first, 0)]
        while waiting and len(found) < most:
            cost, nodes, left_at = heappop(waiting)
            found.append((cost, nodes))
            self._leave(nodes, left_at, found, waiting, most - len(found))
        return found

    def _leave(
        self,
        nodes: tuple[int, ...],
        left_at: int,
        found: Sequence[Way],
        waiting: list[tuple[float, tuple[int, ...], int]],
        wanted: int,
    ) -> None:
        """Leave a way at each of its nodes, from where it left the one that it came of itself."""
        so_far = 0.0
        for at, node in enumerate(nodes[:-1] if wanted else ()):
            if at >= left_at:
                root = nodes[: at + 1]
                taken = {way[at + 1] for _, way in found if way[: at + 1] == root}
                limit = sorted(each[0] for each in waiting)[wanted - 1] if len(waiting) >= wanted else self.limit
                further = self._onward(root, taken, so_far, limit)
                if further is not None:
                    heappush(waiting, (further[0], root + further[1], at))
            so_far += self.roads.step(node, nodes[at + 1])

    def _onward(self, root: tuple[int, ...], taken: set[int], so_far: float, limit: float) -> Way | None:
        """A*: the cheapest rest of a way that does not go through *root* again, nor first to what is *taken*."""
        first, to_goal = root[-1], self.to_goal
        reached = dict.fromkeys(root, -inf)
        came_from: dict[int, int] = {}
        settled: set[int] = set()
        heap: list[tuple[float, float, int]] = [(so_far, so_far, first)]
        while heap and self.left > 0:
            _, cost, node = heappop(heap)
            if node == self.goal:
                return cost, _back_from(node, came_from, first)
            if node in settled:
                continue
            settled.add(node)
            self.left -= 1
            for target, step in self.roads.ahead(node):
                total = cost + step
                if target in to_goal and total < reached.get(target, inf) and not (node == first and target in taken):
                    expected = total + to_goal[target]
                    if expected < limit:
                        reached[target] = total
                        came_from[target] = node
                        heappush(heap, (expected, total, target))
        return None


def _back_from(goal: int, came_from: Mapping[int, int], first: int) -> tuple[int, ...]:
    nodes = [goal]
    while came_from[nodes[-1]] != first:
        nodes.append(came_from[nodes[-1]])
    return tuple(reversed(nodes))
