"""
The learned arm of `clew.graph.plan`: which tools wait for which, from what past runs say of each pair.

How often one set off the other, of the runs with both; less where they also ran side by side, or
the other way round. An output that was used speaks for waiting by itself. A template counts as a few
runs in which it was so, so it decides where nothing ran yet and matters less and less afterwards.
Two tools that never ran together are put in order by where each stands in its own runs, but only
among few, where some order is likelier than none. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import permutations
from typing import Final

from clew.graph.pairs import Pair, Pairs, Role
from clew.graph.roads import named, reason
from clew.graph.state import Graph
from clew.graph.waits import Wait, edges_among, set_off_reason
from clew.model.graph import Node, Reason

WEIGHTS: Final = {"likeness": 4.0, "doubt": 0.3, "least": 0.2, "guess": 0.45, "template": 3.0, "provides": 0.9}
"""
likeness: the power to which a run's likeness counts. doubt: so many runs with both speak against.
least: evidence that is enough; the best that speaks for waiting at all is kept whatever it is.
guess: how likely an order of two that never ran together must be. template: as how many runs one
counts. provides: the evidence of an output that was used in every run with both.
"""

_NO_RUNS = Pair(0.0, 0.0, 0.0, 0, 0, 0)


def learned(graph: Graph, nodes: Mapping[int, Node], weights: Mapping[str, float]) -> list[Wait]:
    """
    Give what is enough to wait for, and for each tool at least what speaks for it most.

    Ids past those of the graph are of tools that were never seen: others may wait for them.
    """
    evidence = _Evidence(graph, nodes, weights)
    seen = list(evidence.seen())
    best: dict[int, Wait] = {}
    for wait in seen:
        if wait.target not in best or wait.evidence > best[wait.target].evidence:
            best[wait.target] = wait
    kept = [wait for wait in seen if wait.evidence >= weights["least"] or wait is best[wait.target]]
    kept.extend(wait for wait in evidence.guesses() if wait.target not in best)
    return kept


class _Evidence:
    """What speaks for waiting among some nodes."""

    def __init__(self, graph: Graph, nodes: Mapping[int, Node], weights: Mapping[str, float]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._known = [node for node in nodes if node < len(graph.nodes)]
        self._weights = weights
        self._pairs = Pairs(graph, self._known, weights["likeness"])
        self._declared = {edge[:2]: edge[2] for edge in edges_among(graph, self._known, ("dependency",))}
        self._used = {edge[:2]: edge[2] for edge in edges_among(graph, self._known, ("provides",))}

    def seen(self) -> Iterator[Wait]:
        """Give for which pairs runs and templates say that one waits."""
        for origin, target in dict.fromkeys((*self._pairs, *self._declared, *self._used)):
            pair = self._pairs.of(origin, target) or _NO_RUNS
            order, data = self._order(origin, target, pair), self._data(origin, target, pair)
            evidence = 1 - (1 - order) * (1 - data)
            if evidence > 0:
                yield Wait(origin, target, evidence, partial(self._reasons, origin, target, order, data))

    def _order(self, origin: int, target: int, pair: Pair) -> float:
        """How often one set off the other; less where they ran otherwise."""
        said, said_back = self._said(origin, target), self._said(target, origin)
        there = pair.set_off + said
        if not there:
            return 0.0
        back = self._pairs.of(target, origin) or _NO_RUNS
        both = pair.both + said
        direction = there / (there + back.set_off + said_back)
        return there / (both + self._weights["doubt"]) * (1 - pair.beside / both) * direction

    def _data(self, origin: int, target: int, pair: Pair) -> float:
        """How often an output of one was used by the other."""
        used, back = self._times_used(origin, target), self._times_used(target, origin)
        if not used:
            return 0.0
        return self._weights["provides"] * min(1.0, used / max(1, pair.runs)) * used / (used + back)

    def _said(self, origin: int, target: int) -> float:
        """As how many runs the templates count that say so."""
        row = self._declared.get((origin, target))
        return 0.0 if row is None else self._graph.declared[row] * self._weights["template"]

    def _times_used(self, origin: int, target: int) -> int:
        row = self._used.get((origin, target))
        return 0 if row is None else self._graph.count[row] + self._graph.inferred[row]

    def _reasons(self, origin: int, target: int, order: float, data: float) -> tuple[Reason, ...]:
        graph, ends = self._graph, (origin, target)
        pair = self._pairs.of(origin, target)
        found = []
        if pair and pair.set_off_runs:
            found.append(set_off_reason(graph, origin, target, pair, order))
        if ends in self._declared:
            found.append(reason(graph, self._declared[ends], order))
        if data:
            found.append(reason(graph, self._used[ends], data))
        return tuple(found)

    def guesses(self) -> Iterator[Wait]:
        """Give an order for those of few that never ran together, from where each stands in its own runs."""
        likely = min(
            1.0, 2 / max(2, len(self._nodes))
        )  # Of n nodes that belong together, n - 1 pairs of n (n - 1) / 2 wait.
        if likely < self._weights["guess"]:
            return
        for origin, target in permutations(self._nodes, 2):
            ends = (origin, target)
            if target not in self._known or self._pairs.of(*ends) or ends in self._declared or ends in self._used:
                continue
            one, other = self._role(origin), self._role(target)
            forward = _share(one.first, one) * _share(other.second, other)
            backward = _share(other.first, other) * _share(one.second, one)
            sure = forward / (forward + backward)
            if forward > backward and likely * sure >= self._weights["guess"]:
                # Half: whatever was seen goes before what is guessed.
                evidence = likely * sure / 2
                yield Wait(*ends, evidence, partial(self._guessed, origin, target, evidence))

    def _role(self, node: int) -> Role:
        return self._pairs.role(node) if node < len(self._graph.nodes) else Role(0, 0, 0)

    def _guessed(self, origin: int, target: int, weight: float) -> tuple[Reason, ...]:
        one, other = self._nodes[origin], self._nodes[target]
        first, second = self._role(origin), self._role(target)
        text = (
            f"they never ran together; {named(one)} set off others in {first.first:,} of {first.runs:,} runs, "
            f"{named(other)} was set off in {second.second:,} of {second.runs:,}"
        )
        return (Reason(text=text, type="context", origin=one, target=other, weight=weight),)


def _share(times: int, role: Role) -> float:
    return (times + 0.5) / (role.runs + 1)
