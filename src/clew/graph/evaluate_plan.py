"""
Give each arm the tools of a held-out run, and ask which waits for which.

Only for data whose source states what each call depends on (`dep`). Edges are held against those
by the names of their tools; shares are over all edges of all runs (micro-F1). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from clew.graph.calls import Call, TraceCalls, in_order
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import sampled
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph
from clew.model.graph import Node, Plan

Planner = Callable[[Graph, Sequence[Node]], Plan]
Pairs = frozenset[tuple[Node, Node]]

MOST_RUNS = 2000
"""Of a fold; more are sampled."""


class Run(msgspec.Struct, frozen=True):
    """The tools of one run, and which of them truly waited for which."""

    tools: tuple[Node, ...]
    edges: Pairs


class Replay:
    """Runs of held-out traces."""

    def __init__(
        self,
        traces: Sequence[RecordedTrace],
        *,
        most: int = MOST_RUNS,
        weigh: Callable[[RecordedTrace], float] = lambda _: 1.0,
    ) -> None:
        self._runs = sampled([(trace, run) for trace in traces for run in runs(trace)], most)
        self.weigh = weigh
        self.asked = len(self._runs)

    def ask(self, graph: Graph, planners: Mapping[str, Planner], tallies: Mapping[str, Tally]) -> None:
        """Ask each arm for each plan, and count how like the true one it is."""
        for trace, run in self._runs:
            for arm, plan in planners.items():
                edges = frozenset((edge.origin, edge.target) for edge in plan(graph, run.tools).edges)
                _count(tallies[arm], trace.task, run.edges, edges, self.weigh(trace))


def _count(tally: Tally, task: str, true: Pairs, planned: Pairs, weight: float) -> None:
    both = weight * len(true & planned)
    tally.add(task, "edge F1", 2 * both, weight * (len(true) + len(planned)))
    tally.add(task, "precision", both, weight * len(planned))
    tally.add(task, "recall", both, weight * len(true))
    tally.add(task, "cyclic", is_cyclic(planned))


def runs(trace: RecordedTrace) -> Iterator[Run]:
    """Give the runs of a trace with two different tools or more: the calls below one parent, or at the top."""
    if not trace.deps:
        return
    below: dict[str | None, list[Call]] = {}
    for call in trace.calls.calls:
        below.setdefault(call.parent_id, []).append(call)
    for calls in below.values():
        nodes = {call.call_id: call.node for call in calls}
        tools = tuple(sorted(set(nodes.values())))
        if len(tools) > 1:
            yield Run(tools, _edges(trace, nodes))


def _edges(trace: RecordedTrace, nodes: Mapping[str, Node]) -> Pairs:
    return frozenset(
        (nodes[before], node)
        for call_id, node in nodes.items()
        for before in trace.deps.get(call_id, ())
        if before in nodes and nodes[before] != node
    )


def in_parallel(trace: RecordedTrace) -> TraceCalls:
    """
    Give the calls as if each had begun as soon as all that it depends on had ended, and took one unit.

    Sources that state dependencies often list the calls one after the other, in an order that says
    nothing of what had to wait. What depends on itself, over whatever way, keeps its recorded order.
    """
    ends: dict[str, int] = {}
    replayed = []
    for call in in_order(trace.calls.calls):
        start = max((ends[before] for before in trace.deps.get(call.call_id, ()) if before in ends), default=0)
        ends[call.call_id] = start + 1
        replayed.append(msgspec.structs.replace(call, start_ns=start, end_ns=start + 1))
    return msgspec.structs.replace(trace.calls, calls=in_order(replayed))


def is_cyclic(edges: Iterable[tuple[Node, Node]]) -> bool:
    """Say whether some way along the edges leads back to where it began."""
    waiting: dict[Node, int] = {}
    after: dict[Node, list[Node]] = {}
    for origin, target in edges:
        waiting[target] = waiting.get(target, 0) + 1
        waiting.setdefault(origin, 0)
        after.setdefault(origin, []).append(target)
    ready = [node for node, count in waiting.items() if not count]
    placed = 0
    while ready:
        placed += 1
        for target in after.get(ready.pop(), ()):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return placed < len(waiting)
