"""
Fold finished traces into an execution graph.

Pure: no clock, no I/O, no randomness, so the same traces give the same graph in any order.
Reading and saving are the work of `clew.jobs`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from clew.graph.calls import Call, TraceCalls, in_order, runs_before
from clew.graph.heat import heat_at
from clew.graph.state import TOP, Episode, Exemplars, Graph, Step
from clew.model.graph import EdgeType

MOST_STEPS = 256
"""Longer episodes are cut: nobody reads them, and their edges are counted all the same."""


def learn(trace: TraceCalls) -> Graph:
    """Give what one trace teaches: a small graph, to be merged into a big one."""
    graph = Graph()
    learn_into(graph, trace)
    return graph


def learn_into(graph: Graph, trace: TraceCalls) -> None:
    """Add what one trace teaches to *graph*."""
    _Lesson(graph, trace).teach()


class _Lesson:
    """One trace being learned."""

    def __init__(self, graph: Graph, trace: TraceCalls) -> None:
        self.graph = graph
        self.calls = in_order({call.call_id: call for call in trace.calls}.values())
        self.ended_ns = trace.ended_ns
        self.heat = heat_at(self.ended_ns)
        self.exemplar: Exemplars = ((self.ended_ns, trace.trace_id),)
        self.by_id = {call.call_id: call for call in self.calls}
        self.ids = {call.call_id: graph.node(call.node) for call in self.calls}

    def teach(self) -> None:
        if not self.calls:
            return
        for call in self.calls:
            self._count_node(call)
        for parent, siblings in self._scopes():
            if parent is not None:
                for child in siblings:
                    self._observe(parent, child, "contains", sure=not child.parent_is_inferred)
            self._sequences(siblings)
            self._episode(parent, siblings)
        for call in self.calls:
            for provider_id in call.provider_ids:
                provider = self.by_id.get(provider_id)
                if provider is not None and provider is not call:
                    self._observe(provider, call, "provides")
        self.graph.trace_count += 1

    def _count_node(self, call: Call) -> None:
        ended = call.end_ns is not None
        self.graph.count_node(
            self.ids[call.call_id],
            count=1,
            failures=not call.ok,
            ended=ended,
            duration_ns=_duration_ns(call),
            heat=self.heat,
            last_ns=self.ended_ns,
        )

    def _scopes(self) -> list[tuple[Call | None, list[Call]]]:
        """The calls below each parent, in order; whose parent has not come is at the top."""
        below: dict[str | None, list[Call]] = {}
        for call in self.calls:
            parent_id = call.parent_id if call.parent_id in self.by_id and call.parent_id != call.call_id else None
            below.setdefault(parent_id, []).append(call)
        return [(None if of is None else self.by_id[of], calls) for of, calls in below.items()]

    def _sequences(self, siblings: Sequence[Call]) -> None:
        for at, later in enumerate(siblings):
            before = [each for each in siblings[:at] if runs_before(each, later)]
            # Of those that had ended, the ones after which nothing else ran before this one.
            latest_start = max((each.start_ns for each in before), default=0)
            for each in before:
                if each.end_ns is not None and each.end_ns > latest_start:
                    sure = not (each.parent_is_inferred or later.parent_is_inferred)
                    self._observe(each, later, "sequence", sure=sure)

    def _observe(self, origin: Call, target: Call, type_: EdgeType, *, sure: bool = True) -> None:
        graph = self.graph
        graph.count_edge(
            graph.row(self.ids[origin.call_id], self.ids[target.call_id], type_),
            count=int(sure),
            inferred=int(not sure),
            failures=int(not target.ok),
            duration_ns=_duration_ns(target),
            heat=self.heat,
            last_ns=self.ended_ns,
            exemplars=self.exemplar,
        )

    def _episode(self, scope: Call | None, siblings: Sequence[Call]) -> None:
        shown = siblings[:MOST_STEPS]
        ends = sorted(call.end_ns for call in shown if call.end_ns is not None)
        places = sorted(range(len(shown)), key=lambda at: (shown[at].end_ns or 1 << 63, at))
        ranks = {at: rank for rank, at in enumerate(places)}
        steps = tuple(
            Step(
                node=self.ids[call.call_id],
                ok=call.ok,
                arguments=call.arguments,
                pending=call.pending,
                consumed=call.consumed,
                ended_before=bisect_left(ends, call.start_ns + 1),
                end_rank=ranks[at],
            )
            for at, call in enumerate(shown)
        )
        self.graph.count_episode(
            Episode(
                scope=TOP if scope is None else self.ids[scope.call_id],
                steps=steps,
                truncated=len(siblings) > MOST_STEPS,
                count=1,
                failures=int(scope is not None and not scope.ok),
                duration_ns=0 if scope is None else _duration_ns(scope),
                heat=self.heat,
                last_ns=self.ended_ns,
                exemplars=self.exemplar,
            )
        )


def _duration_ns(call: Call) -> int:
    return 0 if call.end_ns is None else max(0, call.end_ns - call.start_ns)
