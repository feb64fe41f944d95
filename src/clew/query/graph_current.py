"""
The graphs that are asked, one a project, each as current as its store.

A graph is loaded once. What this process learns is added to it before the next question; what others
save is noticed by the graph's version in the store, and read again. Nobody sees a graph half changed:
who asks holds its lock, and so does who adds to it.

Reading a large graph takes seconds, and so may the first answer after a change, since what answers
rest on is worked out anew. So both happen for at most a tenth of the time: until then a question is
answered from the graph as it is.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from clew.graph import Graph
from clew.store.graph_protocol import MOST_VARIANTS, GraphStore

MOST_GRAPHS = 64
"""Kept in memory; of more projects the one that was asked longest ago is read again when it is next asked."""

MOST_EPISODES = MOST_VARIANTS * 5 // 4
"""A graph that has grown past what its store keeps is read again."""

PATIENCE_S = 1.0
"""What another thread of this process has saved is about to be added; only after so long is it read instead."""

REST = 10
"""A change is rested for so many times as long as reading it, or the slowest answer after it, took..."""

FREE_S = 1.0
"""... less this, so that small graphs are always as they are in the store."""

MOST_WAITING = 20
"""Changes that wait to be added, each of up to a few hundred traces; more are added whatever it costs."""


class Sizes(NamedTuple):
    """What is kept in memory now."""

    graphs: int
    nodes: int
    edges: int


class _Kept:
    """One project's graph. `lock` guards all but `reading`, which is held by who reads the store."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reading = threading.Lock()
        self.graph: Graph | None = None
        self.version = -1
        self.gap = False
        """Something was saved that is not in it, and never will be but by reading anew."""
        self.behind_since_s: float | None = None
        self.read_at_s = 0.0
        self.reading_took_s = 0.0
        self.waiting: list[Graph] = []
        """Saved by this process, counted in `version`, and not added yet."""
        self.added_at_s = 0.0
        self.slowest_answer_s = 0.0
        """Since then."""

    def add_waiting(self, now_s: float) -> None:
        """Add what waits, if the answers that would be worked out anew have been used for long enough."""
        rested = now_s - self.added_at_s >= REST * self.slowest_answer_s - FREE_S
        if self.graph is None or not self.waiting or not (rested or len(self.waiting) > MOST_WAITING):
            return
        for delta in self.waiting:
            self.graph.merge(delta)
        self.graph.settle()
        self.waiting.clear()
        self.added_at_s, self.slowest_answer_s = now_s, 0.0
        # The store forgets what did not run for longest, which a graph in memory cannot know.
        self.gap = self.gap or self.graph.episode_count() > MOST_EPISODES


class CurrentGraphs:
    """Gives the graph of a project. From any thread."""

    def __init__(self, store: GraphStore, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock_s = clock_s
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._is_told = False
        """Somebody in this process says what was learned."""

    @contextmanager
    def of(self, project: str) -> Iterator[Graph]:
        """Give the graph, which stays as it is until the `with` ends. Change nothing in it."""
        kept = self._entry(project)
        self._refresh(project, kept)
        with kept.lock:
            began_s = self._clock_s()
            kept.add_waiting(began_s)
            assert kept.graph is not None
            try:
                yield kept.graph
            finally:
                kept.slowest_answer_s = max(kept.slowest_answer_s, self._clock_s() - began_s)

    def learned(self, project: str, delta: Graph, version: int) -> None:
        """
        Add what was saved as *version* of the project's graph.

        Nothing happens if it is in already; if saves before it are not, all is read anew in time.
        """
        self._is_told = True
        with self._lock:
            kept = self._kept.get(project)
        if kept is None:
            return
        with kept.lock:
            if kept.graph is None or version <= kept.version:
                return
            if version > kept.version + 1:
                kept.gap = True
                return
            kept.waiting.append(delta)
            kept.version = version
            if len(kept.waiting) > MOST_WAITING:
                kept.add_waiting(self._clock_s())

    def changed(self, project: str) -> None:
        """Read the graph anew before it is next asked: this process changed it in a way that cannot be added."""
        with self._lock:
            kept = self._kept.get(project)
        if kept is not None:
            with kept.lock:
                kept.gap, kept.read_at_s = True, -math.inf

    def sizes(self) -> Sizes:
        """Count what is kept, for whoever watches the server."""
        with self._lock:
            graphs = [kept.graph for kept in self._kept.values() if kept.graph is not None]
        return Sizes(len(graphs), sum(len(each.nodes) for each in graphs), sum(each.edge_count() for each in graphs))

    def _entry(self, project: str) -> _Kept:
        with self._lock:
            kept = self._kept.get(project)
            if kept is None:
                kept = self._kept[project] = _Kept()
                while len(self._kept) > MOST_GRAPHS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(project)
            return kept

    def _refresh(self, project: str, kept: _Kept) -> None:
        if kept.graph is None:
            with kept.reading:
                if kept.graph is None:
                    self._read(project, kept)
            return
        # Others go on with the graph as it is while one of them reads.
        if self._is_due(project, kept) and kept.reading.acquire(blocking=False):
            try:
                self._read(project, kept)
            finally:
                kept.reading.release()

    def _is_due(self, project: str, kept: _Kept) -> bool:
        with kept.lock:
            version, now_s = self._store.graph_version(project), self._clock_s()
            if version == kept.version and not kept.gap:
                kept.behind_since_s = None
                return False
            kept.gap = kept.gap or version < kept.version  # Another store stands in its place.
            if kept.behind_since_s is None:
                kept.behind_since_s = now_s
            patient = self._is_told and not kept.gap and now_s - kept.behind_since_s < PATIENCE_S
            return not patient and now_s - kept.read_at_s >= REST * kept.reading_took_s - FREE_S

    def _read(self, project: str, kept: _Kept) -> None:
        began_s = self._clock_s()
        graph, version, gap = self._whole(project)
        with kept.lock:
            kept.read_at_s = self._clock_s()
            kept.reading_took_s = kept.read_at_s - began_s
            kept.behind_since_s = None
            if kept.graph is None or version > kept.version or kept.gap:
                kept.graph, kept.version, kept.gap = graph, version, gap
                kept.waiting.clear()
                kept.slowest_answer_s = 0.0

    def _whole(self, project: str) -> tuple[Graph, int, bool]:
        """Read graph and version; and whether saves of the meantime may be missing from the graph."""
        before = self._store.graph_version(project)
        for _ in range(3):
            graph = self._store.graph(project)
            after = self._store.graph_version(project)
            if after == before:
                return graph, after, False
            before = after
        # Somebody saves all the time. As of *after*, so that nothing can be counted twice.
        return graph, after, True
