"""
The plain reference: a store in dicts, for tests and for looking around.

Nothing is durable and nothing is fast; every answer is computed from all that is kept, in the
plainest way, so that other backends can be compared with it. Percentiles are exact.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Any

import msgspec

from clew.errors import BadFilter, StoreUnavailable
from clew.model import Batch, Kind, Score, Span, TraceSummary, histogram, in_tree_order, summarise
from clew.model.halves import keep
from clew.model.span import METERED_KINDS
from clew.model.tally import Tally
from clew.store.check import check_batch, check_cursor, check_latency, check_limit
from clew.store.memory_graph import MemoryGraph, TraceKey
from clew.store.protocol import KeyRecord, Latency, Meanwhile, Page, StoredTrace, TraceFilter, Written
from clew.store.tally import MINUTE_S, Operation, grouping, whole_minutes
from clew.store.text import check_words, text_of, words


class MemoryStore(MemoryGraph):
    """A `clew.store.protocol.Store` that forgets everything when it is closed."""

    def __init__(self, *, text_search: bool = True) -> None:
        super().__init__()
        self._text_search = text_search
        self._scores: dict[TraceKey, dict[tuple[str | None, str, str], Score]] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._closed = False

    def write(
        self,
        batches: Sequence[Batch],
        *,
        meanwhile: Meanwhile | None = None,  # noqa: ARG002
    ) -> Written:
        """Keep *batches*; see `clew.store.protocol.SpanWriter`."""
        for batch in batches:
            check_batch(batch)
        # Copied, and first of all: what cannot be kept must leave nothing behind.
        copies = [(batch.project, _copy(span)) for batch in batches for span in batch.spans]
        with self._open():
            changed = [(project, span) for project, span in copies if self._add_span(project, span)]
            self._to_learn(changed)
            for batch in batches:
                for score in batch.scores:
                    self._add_score(batch.project, score)
        return Written(len(changed), len(copies) - len(changed))

    def prepare(self, batch: Batch) -> Batch:
        """Give *batch* back; see `clew.store.protocol.SpanWriter`."""
        return batch

    def _add_span(self, project: str, span: Span) -> bool:
        return keep(span, self._spans.setdefault((project, span.trace_id), {}))

    def _add_score(self, project: str, score: Score) -> None:
        timed = msgspec.structs.replace(score, at_ns=score.at_ns or time.time_ns())
        scores = self._scores.setdefault((project, score.trace_id), {})
        name = score.span_id, score.name, score.source
        have = scores.get(name)
        if have is None or timed.at_ns >= have.at_ns:
            scores[name] = timed

    def list_traces(
        self, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> Page:
        """Give a page of traces; see `clew.store.protocol.TraceReader`."""
        check_limit(limit)
        check_cursor(after)
        wanted = self._words(where.text) if where.text else None
        with self._open():
            found = [
                (summary, spans)
                for (of, trace_id), spans in self._spans.items()
                if of == project and _matches(summary := self._summary(project, trace_id), where)
            ]
        traces = [one for one, spans in found if wanted is None or wanted <= words(text_of(spans.values()))]
        traces.sort(key=_place, reverse=True)
        rest = [one for one in traces if after is None or _place(one) < after]
        page = rest[:limit]
        return Page(page, _place(page[-1]) if len(rest) > limit else None)

    def _words(self, text: str) -> set[str]:
        if not self._text_search:
            raise BadFilter("text", "text search is off; start with CLEW_TEXT_SEARCH=1")
        return set(check_words(words(text)))

    def _summary(self, project: str, trace_id: str) -> TraceSummary:
        key = project, trace_id
        return summarise(project, list(self._spans[key].values()), list(self._scores.get(key, {}).values()))

    def _has_root(self, key: TraceKey) -> bool:
        return self._summary(*key).has_root

    def trace(self, project: str, trace_id: str) -> StoredTrace | None:
        """Give one trace; see `clew.store.protocol.TraceReader`."""
        trace_id = trace_id.lower()
        with self._open():
            spans = self._spans.get((project, trace_id))
            if spans is None:
                return None
            scores = self._scores.get((project, trace_id), {}).values()
            return StoredTrace(
                summary=self._summary(project, trace_id),
                spans=[at.span for at in in_tree_order(spans.values())],
                scores=sorted(scores, key=lambda score: (score.at_ns, score.name, score.source)),
            )

    def latency(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        kind: Kind | None = None,
        group_by: Sequence[str] = ("kind",),
    ) -> list[Latency]:
        """Give percentiles; see `clew.store.protocol.MetricsReader`."""
        check_latency(since_ns=since_ns, until_ns=until_ns, group_by=group_by)
        from_s, to_s = whole_minutes(since_ns, until_ns)
        groups: dict[Operation, list[Span]] = {}
        with self._open():
            for span in self._finished(project):
                if from_s * 10**9 <= span.start_ns < to_s * 10**9 and kind in (None, span.kind):
                    operation = grouping(Operation(span.kind, span.name, span.model or ""), group_by)
                    groups.setdefault(operation, []).append(span)
            told = self._told(project, from_s, to_s, kind, group_by)
        both = sorted(groups.keys() | told.keys())
        found = [_latency(operation, groups.get(operation, ()), told.get(operation)) for operation in both]
        return [latency for latency in found if latency.count > 0]

    def _told(
        self, project: str, from_s: int, to_s: int, kind: Kind | None, group_by: Sequence[str]
    ) -> dict[Operation, Tally]:
        """What SDKs counted by themselves."""
        tallies: dict[Operation, Tally] = {}
        for (minute, of, name, model), tally in self._project(project).minutes.items():
            if from_s <= minute * MINUTE_S < to_s and kind in (None, of):
                operation = grouping(Operation(of, name, model or ""), group_by)
                tallies.setdefault(operation, Tally()).merge(tally)
        return tallies

    def _finished(self, project: str) -> Iterator[Span]:
        for (of, _), spans in self._spans.items():
            if of == project:
                yield from (span for span in spans.values() if span.end_ns is not None)

    def stats(self) -> dict[str, Any]:
        """Give figures; see `clew.store.protocol.Maintenance`."""
        with self._open():
            return {
                "engine": "memory",
                "path": "",
                "schema": 0,
                "traces": len(self._spans),
                "spans": sum(len(spans) for spans in self._spans.values()),
                "scores": sum(len(scores) for scores in self._scores.values()),
                "projects": len(self.projects()),
                "bytes": 0,
                "text_search": self._text_search,
                "read_only": False,
            }

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""
        with self._open():
            return sorted({project for project, _ in self._spans})

    def close(self) -> None:
        """Forget everything. Idempotent."""
        with self._lock:
            self._closed = True
            for kept in (self._spans, self._scores, self._keys, self._projects, self._due, self._learned):
                kept.clear()

    def add_key(self, key: KeyRecord) -> None:
        """Keep a key; the same hash again replaces it."""
        with self._open():
            self._keys[key.key_hash] = key

    def find_key(self, key_hash: str) -> KeyRecord | None:
        """Give the key of that hash."""
        with self._open():
            return self._keys.get(key_hash)

    def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        with self._open():
            return sorted(self._keys.values(), key=lambda key: (key.created_ns, key.key_hash))

    def remove_key(self, key_hash_prefix: str) -> int:
        """Forget the keys whose hash starts so; an empty prefix removes none."""
        with self._open():
            gone = [each for each in self._keys if key_hash_prefix and each.startswith(key_hash_prefix)]
            for each in gone:
                del self._keys[each]
            return len(gone)

    def _open(self) -> AbstractContextManager[Any]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return self._lock


def _copy(span: Span) -> Span:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(span), type=Span)


def _place(summary: TraceSummary) -> tuple[int, str]:
    return summary.start_ns, summary.trace_id


def _matches(summary: TraceSummary, where: TraceFilter) -> bool:
    duration_ns = summary.duration_ns
    checks: Iterable[tuple[object, Callable[[], bool]]] = (
        (where.user_id or None, lambda: summary.user_id == where.user_id),
        (where.session_id or None, lambda: summary.session_id == where.session_id),
        (where.from_ns, lambda: summary.start_ns >= where.from_ns),  # type: ignore[operator]
        (where.to_ns, lambda: summary.start_ns < where.to_ns),  # type: ignore[operator]
        (where.min_duration_ns, lambda: duration_ns is not None and duration_ns >= where.min_duration_ns),  # type: ignore[operator]
        (where.max_duration_ns, lambda: duration_ns is not None and duration_ns <= where.max_duration_ns),  # type: ignore[operator]
        (where.flag, lambda: summary.flag == where.flag),
        (where.status, lambda: summary.status == where.status),
        (where.kind, lambda: where.kind in summary.kinds),
        (where.model or None, lambda: where.model in summary.models),
    )
    return all(check() for given, check in checks if given is not None)


def _latency(operation: Operation, spans: Sequence[Span], told: Tally | None = None) -> Latency:
    """Of spans exactly; what was only *told* is as exact as its histogram."""
    told = told or Tally()
    durations_ns: Counter[float] = Counter(span.duration_ns or 0 for span in spans)
    for bucket, times in told.buckets.items():
        durations_ns[histogram.value_of(bucket)] += times
    longer = sorted(durations_ns)
    reached = list(accumulate(durations_ns[each] for each in longer))
    metered = [span for span in spans if span.kind in METERED_KINDS]
    count = len(spans) + told.count
    duration_ns = sum(span.duration_ns or 0 for span in spans) + told.duration_ns

    def at(share: float) -> float:
        rank = max(1, math.ceil(share * count))
        return next((each for each, place in zip(longer, reached, strict=True) if place >= rank), 0.0) / 1e6

    return Latency(
        kind=operation.kind,
        name=operation.name,
        model=operation.model or None,
        count=count,
        errors=sum(span.status == "error" for span in spans) + told.errors,
        p50_ms=at(0.50),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        mean_ms=duration_ns / max(1, count) / 1e6,
        input_tokens=sum(span.input_tokens or 0 for span in metered) + told.input_tokens,
        output_tokens=sum(span.output_tokens or 0 for span in metered) + told.output_tokens,
        cost_usd=sum(span.cost_usd or 0.0 for span in metered) + told.cost_usd,
    )
