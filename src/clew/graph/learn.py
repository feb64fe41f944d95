"""
Fold finished traces into an execution graph.

Pure: no clock, no I/O, no randomness, so the same traces give the same graph in any order.
Reading and saving are the work of `clew.jobs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from clew.graph.calls import TraceCalls
from clew.graph.columns import within
from clew.graph.counting import Run
from clew.graph.family import BEGIN, FINISH, ID, TOOK, WAS, Family, Row
from clew.graph.heat import heat_at
from clew.graph.order import After, after
from clew.graph.shapes import FAILED, Key, Shape, tallied
from clew.graph.state import Graph


def learn(trace: TraceCalls) -> Graph:
    """Give what one trace teaches: a small graph, to be merged into a big one."""
    graph = Graph()
    learn_into(graph, trace)
    return graph


def learn_into(graph: Graph, trace: TraceCalls) -> None:
    """
    Add what one trace teaches to *graph*.

    Takes any trace. A call whose parent is not there stands at the top, and so does the earliest of
    a ring of calls that name each other as parents. Of different calls with one id all count, and
    the earliest is the parent of what is below that id; the same call sent twice is one.
    """
    if not trace.calls:
        return
    family = Family(trace.calls)
    ended_ns = within(family.ended_ns)
    heat, exemplar = heat_at(ended_ns), (ended_ns, trace.trace_id)
    runs: list[tuple[Shape, Run]] = []
    for scope, siblings in family.scopes():
        tooks = [row[TOOK] for row in siblings]
        failed, took = (False, 0) if scope is None else (scope[WAS][FAILED], scope[TOOK])
        runs.append((_shape(graph, scope, siblings), (tooks, failed, took, heat, exemplar)))
    if family.fed:
        tooks = [row[TOOK] for row, _ in family.fed]
        runs.append((_provided(graph, family), (tooks, False, 0, heat, exemplar)))
    graph.add_runs(runs, len(trace.calls))


def _shape(graph: Graph, scope: Row | None, siblings: Sequence[Row]) -> Shape:
    order = _order(siblings) if len(siblings) > 1 else ()
    calls = tuple([row[WAS] for row in siblings])
    key: Key = (None if scope is None else scope[WAS][:2], calls, order)
    shapes = graph._shapes
    return shapes.met.get(key) or shapes.meet(graph, key)


def _order(siblings: Sequence[Row]) -> After:
    """Who had ended before whom began; empty if they ran one after another."""
    finish = siblings[0][BEGIN]
    for row in siblings:
        if row[BEGIN] < finish:
            return after([row[BEGIN] for row in siblings], [row[FINISH] for row in siblings])
        finish = row[FINISH]
    return ()


def _provided(graph: Graph, family: Family) -> Shape:
    """The edges to calls from those whose output values they took: no scope, but counted like one."""
    node, edge = graph._nodes.add, graph._edges.row
    observations = []
    for at, (row, provider_ids) in enumerate(family.fed):
        taker = node(*row[WAS][:2])
        for provider_id in sorted(set(provider_ids)):
            provider = family.by_id.get(provider_id)
            if provider is not None and provider_id != row[ID]:
                observations.append((edge(node(*provider[WAS][:2]), taker, "provides"), at, True))
    return Shape([], tallied(observations, [row[WAS] for row, _ in family.fed]), None)
