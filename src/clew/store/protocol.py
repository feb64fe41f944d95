"""
What a store promises, split by noun. A backend keeps all of it or says so in `capabilities`.

MUST: what `write` returned for is durable (committed and fsync'd) and visible to every later
read. MUST: a span is stored once for its (project, trace, span), however often and in whatever
order it comes; histograms count it once. MUST: a filter that cannot be answered exactly is
refused (`BadFilter`), never approximated. MUST: what one project wrote is never shown to another.
What is promised of the execution graph stands in `graph_protocol`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from clew.model import Batch, Flag, Kind, Score, Span, Status, TraceSummary
from clew.store.graph_protocol import (
    Arm,
    GraphStore,
    LearnedTrace,
    Lesson,
    StaleLesson,
    SuggestionRecord,
    Unlearned,
)

__all__ = [
    "Arm",
    "GraphStore",
    "KeyRecord",
    "Keys",
    "Latency",
    "LearnedTrace",
    "Lesson",
    "Maintenance",
    "Meanwhile",
    "MetricsReader",
    "Page",
    "SpanWriter",
    "StaleLesson",
    "Store",
    "StoredTrace",
    "SuggestionRecord",
    "TraceFilter",
    "TraceReader",
    "Unlearned",
    "Written",
]


class Written(NamedTuple):
    """What a write did."""

    spans: int
    """Spans that are new in the store, or made a whole one of a half that was there."""
    duplicates: int
    """Spans that were stored already, and so changed nothing."""


Meanwhile = Callable[[Callable[[], bool]], None]


class SpanWriter(Protocol):
    """The only way in which spans and scores enter a store. One thread at a time."""

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        """
        Make *batches* durable in one commit before returning; all of them or none.

        *meanwhile* MAY be called, once and on the caller's thread, while the backend waits for its
        database: to get the next batches ready. It is given a function that says whether the
        database is still busy, and must not raise.

        A finished span replaces a running one of the same id, and one that is only an end is joined
        with it, in whatever order they come (`clew.model.halves`); otherwise what came first stays.
        Each touched trace's summary is computed anew, in the same commit, from all of its spans
        and scores. A score for a trace that has not come is kept and counts when it comes.

        Raises:
            StoreBusy: over capacity. Nothing was written; retrying is safe.
            StoreUnavailable: the disk is full or failing, or the database is away. Nothing was
                written; retrying is safe.
            MalformedBody: a score means nothing (NaN, or a best that is not over zero).
        """

    def prepare(self, batch: Batch) -> Batch:
        """
        Do beforehand what writing *batch* does without the database. From any thread.

        What it gives is for `write` of the same store, once. MAY give back just what it got.

        Raises:
            MalformedBody: as `write` does.
        """


class TraceFilter(msgspec.Struct, kw_only=True, frozen=True):
    """What to list. None or empty means "any"; everything given must hold."""

    user_id: str | None = None
    session_id: str | None = None
    from_ns: int | None = None
    """The trace started at or after this, Unix nanoseconds."""
    to_ns: int | None = None
    """The trace started before this."""
    min_duration_ns: int | None = None
    max_duration_ns: int | None = None
    flag: Flag | None = None
    status: Status | None = None
    kind: Kind | None = None
    """The trace has a span of this kind."""
    model: str | None = None
    """The trace has a span of exactly this model."""
    text: str | None = None
    """
    Every word of it occurs in the inputs, outputs, names or errors of the trace's spans, of long
    inputs and outputs in the first 20,000 characters: see `clew.store.text`.
    """


class Page(NamedTuple):
    """Traces, newest start first; ties by trace id, so pages neither repeat nor skip."""

    traces: list[TraceSummary]
    next_cursor: tuple[int, str] | None
    """(start_ns, trace_id) of the last trace shown, if there are more."""


class StoredTrace(NamedTuple):
    """One trace, whole: summary, spans with payloads in tree order, scores by time."""

    summary: TraceSummary
    spans: list[Span]
    scores: list[Score]


class TraceReader(Protocol):
    """Reads traces. From any thread, also while a write runs."""

    def list_traces(
        self, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> Page:
        """
        Give at most *limit* traces, newest first, that come after the cursor *after*.

        Raises:
            BadFilter: this backend cannot answer the filter exactly (text search is off, or was
                while some traces were stored), or limit, cursor or text make no sense.
        """

    def trace(self, project: str, trace_id: str) -> StoredTrace | None:
        """Give one trace with its payloads; None if nothing of it is stored."""


class Latency(msgspec.Struct, kw_only=True):
    """How long one operation took, over a window. Percentiles are at most 1 % off, in ms."""

    kind: Kind
    name: str
    model: str | None
    count: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    input_tokens: int
    output_tokens: int
    cost_usd: float


class MetricsReader(Protocol):
    """Reads latencies from histograms, never from spans."""

    def latency(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        kind: Kind | None = None,
        group_by: Sequence[str] = ("kind",),
    ) -> list[Latency]:
        """
        Percentiles of the finished spans that started within [since_ns, until_ns).

        The window widens to whole minutes. *group_by* names any of kind, name and model; what is
        not named is summed (and shown as "" or None). Tokens and cost are those of generations,
        embeddings and reranks.

        Raises:
            BadFilter: the window ends before it begins, or a grouping is not one of the three.
        """


class Maintenance(Protocol):
    """What an operator asks of a store."""

    def stats(self) -> dict[str, Any]:
        """Figures for `clew doctor` and `/metrics`: traces, spans, bytes, schema, engine."""

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""


class KeyRecord(msgspec.Struct, kw_only=True, frozen=True):
    """An API key as it is kept: by its hash, never by itself."""

    key_hash: str
    """SHA-256 of the key, hex."""
    scope: str
    """ingest, read or admin."""
    project: str
    """The project that it writes to or reads; "*" for admin."""
    label: str
    created_ns: int


class Keys(Protocol):
    """Keeps API keys."""

    def add_key(self, key: KeyRecord) -> None:
        """Keep a key; the same hash again replaces it."""

    def find_key(self, key_hash: str) -> KeyRecord | None:
        """Give the key of that hash."""

    def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""

    def remove_key(self, key_hash_prefix: str) -> int:
        """Forget the keys whose hash starts so; returns how many there were."""


class Store(SpanWriter, TraceReader, MetricsReader, Maintenance, Keys, GraphStore, Protocol):
    """All of it: what `clew serve` needs."""
