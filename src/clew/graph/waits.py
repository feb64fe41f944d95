"""
What speaks for one tool of a plan having to wait for another, in the simpler arms of `clew.graph.plan`.

The learned arm is in `clew.graph.waits_learned`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from clew.graph.pairs import Pair, Pairs
from clew.graph.roads import named, reason, source_of
from clew.graph.state import Graph
from clew.graph.weights import fixed_weight
from clew.model.graph import EDGE_TYPES, EdgeType, Reason


class Wait(NamedTuple):
    """*target* waits for *origin*."""

    origin: int
    target: int
    evidence: float
    """Above 0, at most 1."""
    reasons: Callable[[], tuple[Reason, ...]]
    """Made only for what is shown."""


def follows(graph: Graph, nodes: Sequence[int], *, majority: bool) -> Iterator[Wait]:
    """A tool waits for those that it ever followed; with *majority* for those it followed oftener than not."""
    seen = {
        edge[:2]: graph.count[edge[2]] + graph.inferred[edge[2]] for edge in edges_among(graph, nodes, ("sequence",))
    }
    for origin, target, row in edges_among(graph, nodes, ("sequence",)):
        count = seen[origin, target]
        if not majority or count > seen.get((target, origin), 0):
            yield Wait(origin, target, count / (count + 1), partial(_of_row, graph, row, float(count)))


def by_weight(graph: Graph, nodes: Sequence[int], *, weighted: bool) -> Iterator[Wait]:
    """
    The original design: a tool waits for those from which an edge of any type leads to it.

    Of two that lead to each other the heavier edge stays; of equals, that from the tool that was
    asked for first. Longer circles it left standing: whoever asks breaks them.
    """
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for origin, target, row in edges_among(graph, nodes, EDGE_TYPES):
        weight = fixed_weight(graph.ends(row)[2], source_of(graph, row)) if weighted else 1.0
        if weight > best.get((origin, target), (0.0, 0))[0]:
            best[origin, target] = weight, row
    asked = {node: at for at, node in enumerate(nodes)}
    for (origin, target), (weight, row) in best.items():
        back = best.get((target, origin), (0.0, 0))[0]
        if weight > back or (weight == back and asked[origin] < asked[target]):
            yield Wait(origin, target, weight, partial(_of_row, graph, row, weight))


def trigger_rule(graph: Graph, nodes: Sequence[int], *, within: int | None = None) -> Iterator[Wait]:
    """
    A tool waits for those that ever were the last to end before it began, and came before it in every run with both.

    Meant for the runs of one workflow: those of the capability *within*, if it is given.
    """
    pairs = Pairs(graph, nodes, 0.0, within=within)
    for origin, target in pairs:
        pair = pairs.of(origin, target)
        if pair is not None and pair.set_off_runs and pair.earlier_runs == pair.runs:
            share = pair.set_off_runs / pair.runs
            yield Wait(origin, target, share, partial(_set_off, graph, origin, target, pair, share))


def edges_among(graph: Graph, nodes: Sequence[int], types: Iterable[EdgeType]) -> Iterator[tuple[int, int, int]]:
    """Give the edges of some types between different *nodes*: origin, target, row."""
    asked = dict.fromkeys(nodes)
    for type_ in types:
        out = graph.out(type_)
        for origin in asked:
            targets = out.get(origin, {})
            for target in asked if len(asked) < len(targets) else targets:
                if target in targets and target in asked and target != origin:
                    yield origin, target, targets[target]


def _of_row(graph: Graph, row: int, weight: float) -> tuple[Reason, ...]:
    return (reason(graph, row, weight),)


def _set_off(graph: Graph, origin: int, target: int, pair: Pair, weight: float) -> tuple[Reason, ...]:
    return (set_off_reason(graph, origin, target, pair, weight),)


def set_off_reason(graph: Graph, origin: int, target: int, pair: Pair, weight: float) -> Reason:
    """Say in how many runs one began when the other had just ended."""
    one, other = graph.nodes[origin], graph.nodes[target]
    row = graph.out("sequence").get(origin, {}).get(target)
    often = f"{pair.set_off_runs:,} of {pair.runs:,} runs with both"
    return Reason(
        text=f"{named(other)} began when {named(one)} had just ended in {often}",
        type="sequence",
        origin=one,
        target=other,
        count=pair.set_off_runs,
        weight=weight,
        source=None if row is None else source_of(graph, row),
        traces=() if row is None else graph.edge_traces(row),
    )
