"""
What the traces that are not sent add up to: histograms by operation, and the execution graph.

The server counts what it is sent; this counts all the rest, as the server would have, so that both
together are all traffic. A trace that was counted here and is sent after all is taken back. Nothing
here keeps a payload, and no trace is named, since nobody could look it up.

Runs on the writer's thread alone, and loads the graph and the conventions when it is first needed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from clew.model import Flag, Span, summarise
from clew.model.flag import EMPTY_BELOW_CHARS, LOW_CONFIDENCE_BELOW
from clew.model.tally import Minutes, add_to
from clew.sdk.outbox import outbox
from clew.wire import native

if TYPE_CHECKING:
    from clew.graph import Graph
    from clew.wire.deltas import Learned

MOST_NAMES: Final = 2_000
"""Of operations, and again of models, in the life of a process; what comes later is counted as `OTHER`."""

OTHER: Final = "(other)"

FLOWS_OF_AN_OPERATION: Final = 100
FLOWS: Final = 500
"""
Traces whose dataflow is looked at for one delta, by the root's name and in all. With large prompts it
costs twice as much as all the rest, so with these limits at most some 2 % of a core; what comes on top
counts in the histograms, nodes and edges, but says nothing of who took what from whom, nor of the ways
in which it ran.
"""


class Sum:
    """Spans of whole traces, added up."""

    def __init__(self) -> None:
        self.spans = 0
        self.minutes: Minutes = {}
        self._parts: dict[tuple[bool, tuple[str, ...]], Graph] = {}
        """By whether the dataflow was looked at, and the names of the slices that a trace falls in."""

    def add(self, spans: Sequence[Span], *, dataflow: bool) -> None:
        """Count one trace. A trace that trips the learner is left out of the graph, and complained of."""
        for span in spans:
            add_to(self.minutes, span)
        self.spans += len(spans)
        try:
            self._learn(spans, dataflow)
        except Exception as error:
            outbox.complain("rollup", f"a trace that is not stored was left out of the graph: {error!r:.300}")

    def _learn(self, spans: Sequence[Span], dataflow: bool) -> None:
        from clew.graph import Graph, learn_into
        from clew.graph.reading import calls_of
        from clew.graph.slices import slice_names

        # In one order: what is taken back must be to the letter what was learned.
        calls = calls_of(spans[0].trace_id, sorted(spans, key=_place), dataflow=dataflow)
        key = dataflow, tuple(slice_names(calls))
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Graph()
        learn_into(part, calls)

    def told(self) -> Learned:
        """Give the sum as it is sent."""
        from clew.graph import Graph
        from clew.graph.packing import pack
        from clew.wire.deltas import Learned, rows_of

        whole, slices = Graph(), dict[str, Graph]()
        for (dataflow, names), graph in self._parts.items():
            if not dataflow:
                graph.forget_episodes()
            whole.merge(graph)
            for name in names:
                slices.setdefault(name, Graph()).merge(graph)
        # An empty slice is all of the graph, which is the usual case: traces of one day.
        is_one = len({names for _, names in self._parts}) == 1
        return Learned(
            graph=pack(whole, exemplars=False),
            slices={name: b"" if is_one else pack(graph, exemplars=False) for name, graph in slices.items()},
            metrics=rows_of(self.minutes),
        )


class Rollup:
    """What is to be told of, and what is to be taken back."""

    def __init__(self) -> None:
        self._names: set[tuple[str, str]] = set()
        self._models: set[str] = set()
        self._more = Sum()
        self._less = Sum()
        self._flows: Counter[str] = Counter()

    @property
    def spans(self) -> int:
        """How many spans are to be told of."""
        return self._more.spans + self._less.spans

    def read(self, packed: Sequence[bytes], *, at_ns: int) -> list[Span]:
        """Read a trace as a server would keep it. The same moment gives the same spans."""
        spans = native.read_spans(packed, received_ns=at_ns)
        for span in spans:
            if (span.kind, span.name) not in self._names:
                self._enter(span)
            if span.model is not None and span.model not in self._models:
                self._enter_model(span)
        return spans

    def _enter(self, span: Span) -> None:
        if len(self._names) < MOST_NAMES:
            self._names.add((span.kind, span.name))
        else:
            span.name = OTHER

    def _enter_model(self, span: Span) -> None:
        if len(self._models) < MOST_NAMES:
            self._models.add(span.model or "")
        else:
            span.model = OTHER

    def add(self, spans: Sequence[Span]) -> bool:
        """Count a trace; gives whether its dataflow was looked at."""
        dataflow = self._looks_at_dataflow(spans)
        if spans:
            self._more.add(spans, dataflow=dataflow)
        return dataflow

    def _looks_at_dataflow(self, spans: Sequence[Span]) -> bool:
        if all(span.outputs is None for span in spans):
            return True  # There is none, so it costs nothing.
        name = next((span.name for span in spans if span.parent_id is None), "")
        if self._flows[name] >= FLOWS_OF_AN_OPERATION or sum(self._flows.values()) >= FLOWS:
            return False
        self._flows[name] += 1
        return True

    def take_back(self, spans: Sequence[Span], *, dataflow: bool) -> None:
        """Count a trace no longer: these are the very spans that were added, and how."""
        if spans:
            self._less.add(spans, dataflow=dataflow)

    def take(self) -> bytes | None:
        """Give the body of a delta with all that was counted, and begin anew; None if there is nothing."""
        if not self.spans:
            return None
        from clew.wire import deltas

        more, less = self._more, self._less
        self._more, self._less = Sum(), Sum()
        self._flows.clear()
        told = more.told()
        body = deltas.DeltaBody(
            delta_id=os.urandom(16).hex(),
            graph=told.graph,
            slices=told.slices,
            metrics=told.metrics,
            less=less.told() if less.spans else None,
        )
        return deltas.encode(body)


def is_flagged(spans: Sequence[Span]) -> bool:
    """Say whether the server would flag the trace that *spans* are."""
    for span in spans:
        chars, confidence = span.response_chars, span.confidence
        if (chars is not None and chars < EMPTY_BELOW_CHARS) or (
            confidence is not None and confidence < LOW_CONFIDENCE_BELOW
        ):
            # Only now is it worth asking which span speaks for the trace.
            return summarise("", spans).flag is not Flag.NORMAL
    return False


def _place(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id
