"""
Replay held-out traces call by call, and ask each arm what comes next.

A position is a call with an earlier sibling or a known parent. What the arm is shown: the calls
that stand before it, the capability it is inside of, and the outputs not used yet. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from heapq import nlargest

from clew.graph.calls import Call, Context
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import sampled
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph
from clew.graph.statistics import Rank, rank_of
from clew.model.graph import Node

Ranker = Callable[[Graph, Context], Mapping[int, float]]

SHOWN = 5
"""So many suggestions are given if nobody says how many."""

MOST_POSITIONS = 4000
"""Of a fold; more are sampled."""


class Replay:
    """Held-out traces, and what of them is asked."""

    def __init__(
        self,
        traces: Sequence[RecordedTrace],
        catalogue: Collection[Node],
        *,
        knows_pending: bool,
        most: int = MOST_POSITIONS,
        weigh: Callable[[RecordedTrace], float] = lambda _: 1.0,
    ) -> None:
        """*catalogue*: every tool there is; *knows_pending*: the data says which outputs were not used yet."""
        self.catalogue_size = len(catalogue)
        self.knows_pending = knows_pending
        self._places = sampled([(trace, at) for trace in traces for at in positions(trace)], most)
        self.weigh = weigh
        self.asked = len(self._places)

    def ask(self, graph: Graph, rankers: Mapping[str, Ranker], tallies: Mapping[str, Tally]) -> None:
        """Ask each arm at each position, and count how right it was."""
        ids = {node: at for at, node in enumerate(graph.nodes)}
        for trace, at in self._places:
            context = context_at(trace, at, knows_pending=self.knows_pending)
            wanted = ids.get(trace.calls.calls[at].node)
            weight = self.weigh(trace)
            for arm, rank in rankers.items():
                probabilities = rank(graph, context)
                place = rank_of(wanted, probabilities, self.catalogue_size)
                _count(tallies[arm], trace.task, place, weight)
                tallies[arm].add(trace.task, "quadratic", weight * quadratic(probabilities, wanted), weight)
                _count_calibration(tallies[arm], trace.task, probabilities, wanted, place)


def _count(tally: Tally, task: str, place: Rank, weight: float) -> None:
    tally.add(task, "hit@1", weight * place.hit(1), weight)
    tally.add(task, "hit@3", weight * place.hit(3), weight)
    tally.add(task, "MRR", weight * place.reciprocal, weight)


def _count_calibration(
    tally: Tally, task: str, probabilities: Mapping[int, float], wanted: int | None, place: Rank
) -> None:
    shown = nlargest(SHOWN, probabilities.items(), key=lambda each: each[1])
    for at, (node, probability) in enumerate(shown):
        if at == 0:
            tally.first.add(task, probability, place.hit(1))
        tally.shown.add(task, probability, float(node == wanted))


def quadratic(probabilities: Mapping[int, float], wanted: int | None) -> float:
    """
    Score all probabilities at once, -1 to 1: best is to say what one believes, so calibration counts.

    Source: Brier's quadratic rule, as in Gneiting and Raftery: Strictly Proper Scoring Rules (2007).
    """
    right = 0.0 if wanted is None else probabilities.get(wanted, 0.0)
    return 2 * right - sum(probability * probability for probability in probabilities.values())


def positions(trace: RecordedTrace) -> Iterator[int]:
    """Give the index of each call of a trace that can be asked for."""
    seen: set[str | None] = set()
    for at, call in enumerate(trace.calls.calls):
        if call.parent_id is not None or None in seen:
            yield at
        seen.add(call.parent_id)


def context_at(trace: RecordedTrace, at: int, *, knows_pending: bool) -> Context:
    """Give what was known just before call *at*; what is pending is None where nobody recorded it."""
    calls = trace.calls.calls
    call = calls[at]
    return Context(
        calls=_before(calls, at),
        parent_id=call.parent_id,
        pending=call.pending if knows_pending else None,
    )


def _before(calls: Sequence[Call], at: int) -> list[Call]:
    """The calls before *at*; its parent is one of them, even where a clock says that it began later."""
    before = list(calls[:at])
    parent_id = calls[at].parent_id
    if parent_id is not None and all(call.call_id != parent_id for call in before):
        before.extend(call for call in calls[at:] if call.call_id == parent_id)
    return before
