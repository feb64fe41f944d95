"""
What past requests asked for and which tools they used, for `search`: read from the newest traces.

Bounded: a few traces more with each search until the newest few hundred are known, and after that
only what is new, looked for once in a while. In memory alone.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from clew.errors import ClewError
from clew.graph import Graph
from clew.graph.search_index import HOLDERS, SearchIndex
from clew.model import Span, TraceSummary
from clew.model.graph import Node
from clew.store.protocol import StoredTrace, TraceFilter, TraceReader

MOST_TRACES = 400
"""Of a project; the newest."""

AT_ONCE = 40
"""Traces that one search reads, so that no search waits for all of them."""

MOST_SPANS = 1_000
"""Longer traces are left out: reading one takes longer than a search may."""

LOOK_EVERY_S = 10.0
MOST_PROJECTS = 64
MAX_DESCRIPTION_CHARS = 2_000

DESCRIPTIONS = ("gen_ai.tool.description", "tool.description", "description")
"""Attributes of a span that say what its tool is for. Source: OpenTelemetry's GenAI and OpenInference's conventions."""


class _Learned(NamedTuple):
    """What one trace says."""

    trace_id: str
    text: str
    nodes: list[Node]
    descriptions: Mapping[Node, str]


class _Project:
    """What is known of one project. `reading` is held by who reads the store."""

    def __init__(self) -> None:
        self.reading = threading.Lock()
        self.index: SearchIndex | None = None
        self.known: dict[str, int] = {}
        """Trace id -> how many spans it had when it was read."""
        self.waiting: list[TraceSummary] = []
        """To be read, newest first."""
        self.looked_at_s: float | None = None
        self.fresh: list[_Learned] = []
        """Read, but not in the index yet: that wants the graph's lock."""


class PastRequests:
    """Keeps a search index for each project. From any thread."""

    def __init__(self, store: TraceReader, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock_s = clock_s
        self._projects: OrderedDict[str, _Project] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, project: str) -> None:
        """
        Read a few more traces, if there are any. Hold no lock of a graph.

        What cannot be read now is left for later: a search goes on with what is known.
        """
        known = self._entry(project)
        if not known.reading.acquire(blocking=False):
            return
        try:
            self._look(project, known)
            for _ in range(min(AT_ONCE, len(known.waiting))):
                summary = known.waiting.pop(0)
                stored = self._store.trace(project, summary.trace_id)
                known.known[summary.trace_id] = summary.span_count
                if stored is not None and summary.input_preview:
                    known.fresh.append(_learned(summary.input_preview, stored))
        except ClewError:
            known.looked_at_s = self._clock_s()
        finally:
            known.reading.release()

    def index(self, project: str, graph: Graph) -> SearchIndex:
        """Give the index for *graph*, whose lock the caller holds for as long as the index is used."""
        known = self._entry(project)
        if known.index is None:
            known.index = SearchIndex(graph)
        while known.fresh:
            learned = known.fresh.pop(0)
            known.index.add_request(learned.text, learned.nodes, learned.trace_id)
            for node, text in learned.descriptions.items():
                known.index.describe(node, text)
        return known.index

    def _entry(self, project: str) -> _Project:
        with self._lock:
            known = self._projects.get(project)
            if known is None:
                known = self._projects[project] = _Project()
                while len(self._projects) > MOST_PROJECTS:
                    self._projects.popitem(last=False)
            self._projects.move_to_end(project)
            return known

    def _look(self, project: str, known: _Project) -> None:
        """Find traces that are new, or have grown since they were read."""
        now_s = self._clock_s()
        if known.waiting or (known.looked_at_s is not None and now_s - known.looked_at_s < LOOK_EVERY_S):
            return
        known.looked_at_s = now_s
        newest = [one for one in self._newest(project) if one.input_preview and one.span_count <= MOST_SPANS]
        known.waiting = [one for one in newest if known.known.get(one.trace_id) != one.span_count]
        shown = {one.trace_id for one in newest}
        known.known = {trace_id: spans for trace_id, spans in known.known.items() if trace_id in shown}

    def _newest(self, project: str) -> Iterator[TraceSummary]:
        after, left = None, MOST_TRACES
        while left > 0:
            page = self._store.list_traces(project, TraceFilter(), limit=min(left, 200), after=after)
            yield from page.traces
            left, after = left - len(page.traces), page.next_cursor
            if after is None:
                return


def _learned(text: str, stored: StoredTrace) -> _Learned:
    used: dict[Node, str | None] = {}
    for span in stored.spans:
        node = Node(span.kind, span.name)
        if span.parent_id is not None or span.kind not in HOLDERS:
            used[node] = used.get(node) or _description(span)
    described = {node: text for node, text in used.items() if text}
    return _Learned(stored.summary.trace_id, text, list(used), described)


def _description(span: Span) -> str | None:
    found = (span.attributes.get(name) for name in DESCRIPTIONS)
    return next((text[:MAX_DESCRIPTION_CHARS] for text in found if isinstance(text, str) and text), None)
