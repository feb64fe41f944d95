"""
From traces that are due to one lesson: what they teach now, less what they had taught before.

Pure but for the log: a trace that trips the learner is a bug; it is named and left out, so that it
costs only itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from clew.graph import Graph, TraceCalls, learn, learn_into
from clew.graph.reading import calls_of
from clew.graph.slices import slice_names
from clew.model import Span
from clew.store.protocol import LearnedTrace, Lesson, Unlearned

_by_start = attrgetter("start_ns", "span_id")
_logger = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One trace as calls: as it is now, and as it was when it was learned before."""

    trace: Unlearned
    now: TraceCalls
    before: TraceCalls | None


def read(traces: Iterable[Unlearned]) -> list[Reading]:
    """Read spans as calls; a trace that cannot be read is logged and left out."""
    readings: list[Reading] = []
    for trace in traces:
        if not trace.spans:
            _leave_out(trace, "its spans cannot be read")
            continue
        try:
            before = _calls(trace.trace_id, trace.before) if trace.learned else None
            readings.append(Reading(trace, _calls(trace.trace_id, trace.finished), before))
        except Exception:
            _leave_out(trace, "it cannot be read as calls", with_error=True)
    return readings


def lesson_of(project: str, traces: Sequence[Unlearned], readings: Sequence[Reading]) -> Lesson:
    """
    Fold *readings*, those of *traces* that could be read, into one lesson.

    The traces that are in no reading, or cannot be learned, are marked as skipped.
    """
    good = list(readings)
    while True:
        parts, bad = _fold(good)
        if bad is None:
            break
        # What it left half done is in the graphs: begin again without it.
        good.remove(bad)
    taught = {reading.trace.trace_id for reading in good}
    delta, slices = _add_up(parts)
    marks = [LearnedTrace(trace.trace_id, trace.mark, trace.trace_id not in taught) for trace in traces]
    return Lesson(project=project, delta=delta, traces=marks, slices=slices)


_Part = tuple[str, ...]
"""The names of the slices that a trace falls in."""


def _fold(readings: Iterable[Reading]) -> tuple[dict[_Part, Graph], Reading | None]:
    """What is taught by part, so that each trace is learned once; or the reading that cannot be learned."""
    parts: dict[_Part, Graph] = {}
    for reading in readings:
        try:
            if reading.before is not None:
                _of(parts, reading.before).merge(learn(reading.before), times=-1)
            learn_into(_of(parts, reading.now), reading.now)
        except Exception:
            _leave_out(reading.trace, "it cannot be learned", with_error=True)
            return {}, reading
    return parts, None


def _of(parts: dict[_Part, Graph], trace: TraceCalls) -> Graph:
    return parts.setdefault(tuple(slice_names(trace)), Graph())


def _add_up(parts: dict[_Part, Graph]) -> tuple[Graph, dict[str, Graph]]:
    if len(parts) == 1:
        [(names, graph)] = parts.items()
        return graph, dict.fromkeys(names, graph)
    delta = Graph()
    slices: dict[str, Graph] = {}
    for names, graph in parts.items():
        delta.merge(graph)
        for name in names:
            slices.setdefault(name, Graph()).merge(graph)
    return delta, slices


def _calls(trace_id: str, spans: Iterable[Span]) -> TraceCalls:
    # In one order: what is taken back must be to the letter what was learned.
    return calls_of(trace_id, sorted(spans, key=_by_start))


def _leave_out(trace: Unlearned, why: str, *, with_error: bool = False) -> None:
    _logger.error(
        "trace %s of project %r is left out of the graph: %s", trace.trace_id, trace.project, why, exc_info=with_error
    )
