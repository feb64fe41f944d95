"""
The plain reference: a store in dicts, for tests and for looking around.

Nothing is durable and nothing is fast; every answer is computed from all that is kept, in the
plainest way, so that other backends can be compared with it. Percentiles are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec

from clew.errors import BadFilter, StoreUnavailable
from clew.model import Batch, Score, Span, TraceSummary, in_tree_order, summarise
from clew.model.halves import keep
from clew.store.check import check_batch, check_cursor, check_limit
from clew.store.conditions import grouped, score_meets, span_has_tag, span_meets
from clew.store.memory_expiry import MemoryExpiry
from clew.store.memory_graph import TraceKey
from clew.store.memory_snapshot import MemorySnapshot
from clew.store.protocol import KeyRecord, Meanwhile, Page, StoredTrace, TraceFilter, Written
from clew.store.text import check_words, text_of, words


class MemoryStore(MemoryExpiry):
    """A `clew.store.protocol.Store` that forgets everything when it is closed."""

    def __init__(self, *, text_search: bool = True) -> None:
        super().__init__()
        self._text_search = text_search
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
                if of == project
                and _matches(summary := self._summary(project, trace_id), where)
                and _holds(spans.values(), self._scores.get((of, trace_id), {}).values(), where)
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

    @contextmanager
    def snapshot(self) -> Iterator[MemorySnapshot]:
        """Look at one moment; see `clew.store.snapshot`."""
        with self._open():
            yield MemorySnapshot(self)

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""
        with self._open():
            return sorted({project for project, _ in self._spans})

    def close(self) -> None:
        """Forget everything. Idempotent."""
        with self._lock:
            self._closed = True
            for kept in (
                self._spans,
                self._scores,
                self._keys,
                self._projects,
                self._due,
                self._learned,
                self._numbers,
            ):
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


def _holds(spans: Collection[Span], scores: Collection[Score], where: TraceFilter) -> bool:
    return (
        (not where.name or any(span.name == where.name for span in spans))
        and all(any(span_has_tag(span, tag) for span in spans) for tag in where.tags)
        and all(any(span_meets(span, group) for span in spans) for group in grouped(where.attributes))
        and all(
            any(score.name == name and score_meets(score.value, score.label, wanted) for score in scores)
            for name, wanted in grouped(where.scores)
        )
    )


def _place(summary: TraceSummary) -> tuple[int, str]:
    return summary.start_ns, summary.trace_id


def _matches(summary: TraceSummary, where: TraceFilter) -> bool:
    duration_ns, cost_usd = summary.duration_ns, summary.cost_usd
    tokens = summary.input_tokens + summary.output_tokens
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
        (where.min_tokens, lambda: tokens >= where.min_tokens),  # type: ignore[operator]
        (where.max_tokens, lambda: tokens <= where.max_tokens),  # type: ignore[operator]
        (where.min_cost_usd, lambda: cost_usd is not None and cost_usd >= where.min_cost_usd),  # type: ignore[operator]
        (where.max_cost_usd, lambda: cost_usd is not None and cost_usd <= where.max_cost_usd),  # type: ignore[operator]
    )
    return all(check() for given, check in checks if given is not None)
