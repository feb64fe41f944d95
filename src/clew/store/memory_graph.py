"""
The execution graph of the plain reference: a `Graph` for each project, in the plainest way.

What was learned of a trace is kept as the very spans that were learned.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy

from clew.graph import Graph
from clew.model import Span
from clew.model.tally import Minutes, merge
from clew.store.graph_protocol import (
    DELTAS_KEPT_NS,
    LONGEST_ROUND_SPANS,
    MOST_SLICES,
    Lesson,
    StaleLesson,
    Unlearned,
    delta_known_ns,
)
from clew.store.memory_choices import MemoryChoices
from clew.store.undeclared import undeclared

TraceKey = tuple[str, str]
"""Project and trace id."""


class _Project:
    """What was learned of one project."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.version = 0
        self.slices: dict[str, Graph] = {}
        self.templates: dict[str, tuple[str, Graph, int]] = {}
        self.deltas: dict[str, int] = {}
        self.minutes: Minutes = {}
        """Spans that SDKs counted and did not send."""

    def add(self, delta: Graph, slices: Mapping[str, Graph]) -> int:
        self.graph.merge(delta)
        self.graph.settle()
        for name, graph in slices.items():
            self.slices.setdefault(name, Graph()).merge(graph)
        newest = sorted(self.slices, key=lambda name: (_last_ns(self.slices[name]), name), reverse=True)
        for name in newest[MOST_SLICES:]:
            del self.slices[name]
        self.version += 1
        return self.version


class MemoryGraph(MemoryChoices):
    """Keeps what `clew.store.graph_protocol.GraphStore` promises, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._spans: dict[TraceKey, dict[str, Span]] = {}
        self._projects: dict[str, _Project] = {}
        self._due: dict[TraceKey, int] = {}
        """When something of a trace was last written, if it is to be learned."""
        self._learned: dict[TraceKey, dict[str, Span]] = {}
        """The spans that were learned, as they were then."""

    @abstractmethod
    def _has_root(self, key: TraceKey) -> bool:
        """Say whether the trace's root has come."""

    def _to_learn(self, changed: Iterable[tuple[str, Span]]) -> None:
        """Note what a write brought; of a trace that is learned only finished spans are news."""
        now_ns = time.time_ns()
        for project, span in changed:
            key = project, span.trace_id
            if key not in self._learned or self._spans[key][span.span_id].end_ns is not None:
                self._due[key] = max(now_ns, self._due.get(key, 0) + 1)

    # Learning.

    def unlearned(
        self,
        *,
        quiet_since_ns: int,
        rootless_quiet_since_ns: int,
        limit: int,
        most_spans: int = LONGEST_ROUND_SPANS,
    ) -> list[Unlearned]:
        """Give traces that are due; see `clew.store.graph_protocol.GraphLearning`."""
        found: list[Unlearned] = []
        total = 0
        with self._open():
            arrived = {key: at for at, key in enumerate(self._spans)}
            for key in sorted(self._due, key=lambda key: (self._due[key], arrived[key])):
                quiet_ns = quiet_since_ns if self._has_root(key) else rootless_quiet_since_ns
                if not 0 < self._due[key] <= quiet_ns or len(found) == limit:
                    continue
                total += len(self._spans[key])
                if found and total > most_spans:
                    break
                found.append(self._one(key))
        return found

    def _one(self, key: TraceKey) -> Unlearned:
        spans, learned = self._spans[key], self._learned.get(key, {})
        changed = [span for span_id, span in learned.items() if span is not spans[span_id]]
        return Unlearned(*key, list(spans.values()), frozenset(learned), self._due[key], tuple(changed))

    def save_lesson(self, lesson: Lesson) -> int:
        """Save what was learned; see `clew.store.graph_protocol.GraphLearning`."""
        with self._open():
            marks = {trace: (lesson.project, trace.trace_id) for trace in lesson.traces}
            stale = [trace.trace_id for trace, key in marks.items() if self._due.get(key) != trace.mark]
            if stale:
                raise StaleLesson(stale)
            for trace, key in marks.items():
                if trace.skipped:
                    self._due[key] = 0
                    continue
                del self._due[key]
                self._learned[key] = {span.span_id: span for span in self._spans[key].values() if span.end_ns}
            return self._project(lesson.project).add(lesson.delta, lesson.slices)

    def apply_delta(
        self,
        project: str,
        delta_id: str,
        delta: Graph,
        slices: Mapping[str, Graph],
        minutes: Minutes | None = None,
    ) -> bool:
        """Add what an SDK learned; see `clew.store.graph_protocol.GraphLearning`."""
        now_ns = time.time_ns()
        with self._open():
            at = self._project(project)
            at.deltas = {each: at_ns for each, at_ns in at.deltas.items() if at_ns >= now_ns - DELTAS_KEPT_NS}
            if delta_id in at.deltas:
                return False
            at.deltas[delta_id] = delta_known_ns(delta_id, now_ns)
            at.add(undeclared(delta), slices)
            at.minutes = merge([at.minutes, deepcopy(minutes or {})])
            return True

    # Reading.

    def graph(self, project: str) -> Graph:
        """Give the whole graph; see `clew.store.graph_protocol.GraphReader`."""
        graph = Graph()
        with self._open():
            graph.merge(self._project(project).graph)
        return graph

    def graph_version(self, project: str) -> int:
        """Say how often the graph was changed; 0 if never."""
        with self._open():
            return self._project(project).version

    def graph_slice(self, project: str, names: Sequence[str]) -> Graph:
        """Give the sum of some slices; see `clew.store.graph_protocol.GraphReader`."""
        graph = Graph()
        with self._open():
            slices = self._project(project).slices
            for name in dict.fromkeys(names):
                if name in slices:
                    _add_counts(graph, slices[name])
        return graph

    def slice_names(self, project: str) -> list[str]:
        """Give the names of all slices, sorted."""
        with self._open():
            return sorted(self._project(project).slices)

    # Templates.

    def save_template(self, project: str, name: str, source_text: str, graph: Graph, at_ns: int) -> None:
        """Keep a template; see `clew.store.graph_protocol.Templates`."""
        delta = _declarations(graph)
        with self._open():
            at = self._project(project)
            have = at.templates.get(name)
            at.templates[name] = source_text, _declarations(graph), at_ns
            if have:
                delta.merge(have[1], times=-1)
            at.add(delta, {})

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved) of each, by name."""
        with self._open():
            templates = self._project(project).templates
            return [(name, templates[name][0], templates[name][2]) for name in sorted(templates)]

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a template and what it declared; False if there is none of that name."""
        delta = Graph()
        with self._open():
            at = self._project(project)
            have = at.templates.pop(name, None)
            if have is None:
                return False
            delta.merge(have[1], times=-1)
            at.add(delta, {})
            return True

    def _project(self, project: str) -> _Project:
        return self._projects.setdefault(project, _Project())


def _last_ns(graph: Graph) -> int:
    return max(graph.node_last_ns, default=0)


def _add_counts(graph: Graph, slice_: Graph) -> None:
    """Add to *graph* what a slice keeps: counts, failures and durations."""
    graph.trace_count += slice_.trace_count
    for at, node in enumerate(slice_.nodes):
        if slice_.node_count[at] > 0:
            graph.count_node(
                graph.node(node),
                count=slice_.node_count[at],
                failures=slice_.node_failures[at],
                ended=slice_.node_ended[at],
                duration_ns=slice_.node_duration_ns[at],
                heat=0,
                last_ns=0,
            )
    for row in slice_.rows():
        origin, target, type_ = slice_.ends(row)
        if slice_.count[row] > 0 or slice_.inferred[row] > 0:
            graph.count_edge(
                graph.row(graph.node(slice_.nodes[origin]), graph.node(slice_.nodes[target]), type_),
                count=slice_.count[row],
                inferred=slice_.inferred[row],
                failures=slice_.failures[row],
                duration_ns=slice_.duration_ns[row],
            )


def _declarations(graph: Graph) -> Graph:
    """Give what a template declares, and nothing else that its graph may say."""
    declared = Graph()
    ids = [declared.node(node) for node in graph.nodes]
    for row in graph.rows():
        origin, target, type_ = graph.ends(row)
        if graph.declared[row]:
            declared.count_edge(declared.row(ids[origin], ids[target], type_), declared=graph.declared[row])
    return declared
