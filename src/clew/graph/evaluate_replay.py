"""
Recorded traces as material for questions: what is learned of them, and what of them is asked.

The same for evaluating and for tuning. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from clew.graph import evaluate_next, evaluate_path, evaluate_plan, evaluate_search
from clew.graph.calls import Call, TraceCalls, runs_before
from clew.graph.evaluate_arms import Question
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import learned
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph
from clew.model.graph import Node

ReplayTimes = Literal["auto", "parallel", "as-recorded"]
"""
With which times plans are learned: those recorded, or as if each call had begun as soon as all
that it depends on had ended. auto: the latter where no two recorded calls ever ran side by side,
since then the times are mere numbering.
"""

Weigh = Callable[[RecordedTrace], float]


class Replay(Protocol):
    """Held-out traces, ready to be asked about."""

    asked: int
    """How many questions each arm is asked."""

    def ask(self, graph: Graph, askers: Mapping[str, Callable[..., Any]], tallies: Mapping[str, Tally], /) -> None:
        """Ask each arm everything, and count in its tally how right it was."""


class Material:
    """One data set."""

    def __init__(self, traces: Sequence[RecordedTrace], times: ReplayTimes = "auto") -> None:
        self.traces = traces
        self.catalogue: set[Node] = {call.node for trace in traces for call in trace.calls.calls}
        self.knows_pending = any(call.pending for trace in traces for call in trace.calls.calls)
        self.parallel = times == "parallel" or (times == "auto" and not _some_overlap(traces))

    def lacks(self, question: Question) -> str:
        """Say what the data lacks to be asked this; empty if nothing."""
        if question == "plan" and not any(trace.deps for trace in self.traces):
            return "the data does not say what each call depends on (dep)"
        if question == "search" and not any(trace.text for trace in self.traces):
            return "the data does not hold the words that asked for each trace (text)"
        return ""

    def graph(self, question: Question, training: Iterable[RecordedTrace]) -> Graph:
        """Learn traces as it suits one question. All tools are known by name, as from a registry."""
        graph = learned(self._lesson(question, trace) for trace in training)
        self.register(graph)
        return graph

    def register(self, graph: Graph) -> None:
        """Make every tool known to *graph* by its name alone."""
        for node in sorted(self.catalogue):
            graph.node(node)

    def _lesson(self, question: Question, trace: RecordedTrace) -> TraceCalls:
        if question == "plan" and self.parallel:
            return evaluate_plan.in_parallel(trace)
        return trace.calls

    def replay(
        self,
        question: Question,
        training: Sequence[RecordedTrace],
        test: Sequence[RecordedTrace],
        *,
        most: int,
        weigh: Weigh = lambda _: 1.0,
    ) -> Replay:
        """Give what of the held-out traces is asked: at most *most*, sampled; *weigh* says how much a trace counts."""
        if question == "next":
            return evaluate_next.Replay(test, self.catalogue, knows_pending=self.knows_pending, most=most, weigh=weigh)
        if question == "path":
            return evaluate_path.Replay(test, most=most, weigh=weigh)
        if question == "plan":
            return evaluate_plan.Replay(test, most=most, weigh=weigh)
        return evaluate_search.Replay(training, test, most=most, weigh=weigh)


def _some_overlap(traces: Iterable[RecordedTrace]) -> bool:
    """Say whether any two calls of one parent, one after the other by start, ran side by side."""
    for trace in traces:
        last: dict[str | None, Call] = {}
        for call in trace.calls.calls:
            before = last.get(call.parent_id)
            if before is not None and not runs_before(before, call):
                return True
            last[call.parent_id] = call
    return False
