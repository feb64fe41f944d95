"""A store that takes what is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clew.ingest.deltas import read_delta
from clew.jobs.learn import LearnJob
from clew.model import Batch, Score, Span
from clew.move.choices import Choice, keep
from clew.move.importing import Expected
from clew.store.protocol import KeyRecord, Store, TraceFilter
from clew.store.snapshot import each_trace

PAGE = 1_000
_SPANS_OF_A_TRACE = 50
"""A guess, where only its scores are known."""
_PAGES_TOO_MANY = 4
"""So many times as many traces as are looked for may lie beside them; then each is looked up alone."""


class StoreTarget:
    """Writes into *store*, with no server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take_spans(self, project: str, spans: Sequence[Span]) -> int:
        """Write one commit."""
        return self._store.write([Batch(project=project, spans=list(spans))]).duplicates

    def take_scores(self, project: str, scores: Sequence[Score]) -> None:
        """Write one commit."""
        self._store.write([Batch(project=project, scores=list(scores))])

    def take_choice(self, project: str, choice: Choice) -> bool:
        """Keep it, if nothing newer is there."""
        return keep(self._store, project, choice)

    def take_beyond(self, project: str, body: bytes) -> bool:
        """Add it, if it was not added before."""
        return self._store.apply_delta(project, *read_delta(body))

    def take_key(self, key: KeyRecord) -> None:
        """Keep it; the same key again changes nothing."""
        self._store.add_key(key)

    def missing(self, project: str, expected: Expected) -> int:
        """Look at what is listed of the time in which they began, and look up what is not there."""
        wanted = dict(expected.spans)
        for trace_id, span_count in self._listed(project, expected):
            if span_count >= wanted.get(trace_id, span_count + 1):
                del wanted[trace_id]
        return sum(not self._has(project, trace_id, count) for trace_id, count in wanted.items())

    def _listed(self, project: str, expected: Expected) -> Iterator[tuple[str, int]]:
        where = TraceFilter(from_ns=expected.first_ns, to_ns=expected.last_ns + 1)
        after: tuple[int, str] | None = None
        for _ in range(1 + _PAGES_TOO_MANY * len(expected.spans) // PAGE):
            page = self._store.list_traces(project, where, limit=PAGE, after=after)
            yield from ((summary.trace_id, summary.span_count) for summary in page.traces)
            if (after := page.next_cursor) is None:
                return

    def _has(self, project: str, trace_id: str, span_count: int) -> bool:
        stored = self._store.trace(project, trace_id)
        return stored is not None and stored.summary.span_count >= span_count

    def missing_scores(self, project: str, expected: dict[str, int]) -> int:
        """Look up each trace; a score whose trace is not stored is taken at the store's word."""
        missing = 0
        for stored in each_trace(self._store, project, ((trace_id, _SPANS_OF_A_TRACE) for trace_id in expected)):
            missing += max(0, expected[stored.summary.trace_id] - len(stored.scores))
        return missing

    def learn(self, tell: Callable[[int], None]) -> int:
        """Learn what is due, unless another process does; gives how many traces that were."""
        job = LearnJob(self._store, quiet_s=0.0)
        learned = 0
        while some := job.learn_once():
            learned += some
            tell(some)
        return learned

    def close(self) -> None:
        """Close the store."""
        self._store.close()
