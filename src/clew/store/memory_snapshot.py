"""One moment of the plain reference, for moving it: see `clew.store.snapshot`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from clew.graph import Graph
from clew.model import Score, Span
from clew.model.tally import MINUTE_NS, count, merge
from clew.store.snapshot import Counted, Known, Totals, known
from clew.store.tally import MINUTE_S, Operation


class MemorySnapshot:
    """Looks at *store*, whose lock is held."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def projects(self) -> list[str]:
        """Every project of which there is anything."""
        store = self._store
        with_traces = {project for project, _ in [*store._spans, *store._scores]}
        return sorted(with_traces | {name for name, of in store._projects.items() if of.version})

    def totals(self, project: str) -> Totals:
        """Count what is stored."""
        found = list(self.traces(project))
        spans = [span for trace in found for span in trace.spans]
        finished = [span for span in spans if span.end_ns is not None]
        return Totals(len(found), len(spans), len(finished), sum(bool(trace.learned) for trace in found))

    def counted(self, project: str) -> Iterator[Counted]:
        """Give all that is counted: from the spans, and what was told without them."""
        finished = [span for trace in self.traces(project) for span in trace.spans if span.end_ns is not None]
        told = deepcopy(self._store._project(project).minutes)
        for (minute, kind, name, model), tally in merge([count(finished), told]).items():
            operation = Operation(kind, name, model or "")
            yield Counted(MINUTE_S, minute * MINUTE_NS // 10**9, operation, tally)

    def traces(self, project: str) -> Iterator[Known]:
        """Give each trace."""
        for key, spans in self._store._spans.items():
            if key[0] == project:
                yield self._known(key, spans)

    def _known(self, key: tuple[str, str], spans: dict[str, Span]) -> Known:
        learned = self._store._learned.get(key)
        late = None if learned is None else [span_id for span_id in spans if span_id not in learned]
        changed = [span for span_id, span in (learned or {}).items() if span is not spans[span_id]]
        return known(list(spans.values()), is_due=True, late=late, changed=changed)

    def graph(self, project: str) -> Graph:
        """Give all that was learned."""
        found: Graph = self._store.graph(project)
        return found

    def slices(self, project: str) -> Iterator[tuple[str, Graph]]:
        """Give each slice by name."""
        for name in self._store.slice_names(project):
            yield name, self._store.graph_slice(project, [name])

    def lone_scores(self, project: str) -> list[Score]:
        """Give the scores whose trace is not stored."""
        return [
            score
            for key, scores in self._store._scores.items()
            if key[0] == project and key not in self._store._spans
            for score in scores.values()
        ]
