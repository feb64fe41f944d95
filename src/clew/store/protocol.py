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
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

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
from clew.store.retention import Erased, Expiring, Gone, Place, Policy, Whom

__all__ = [
    "Arm",
    "Condition",
    "Erased",
    "Expiring",
    "Gone",
    "GraphStore",
    "KeyRecord",
    "Keys",
    "Latency",
    "LatencyHeat",
    "LatencyStep",
    "LearnedTrace",
    "Lesson",
    "Maintenance",
    "Meanwhile",
    "MetricsReader",
    "Page",
    "Place",
    "Policy",
    "Retention",
    "SpanWriter",
    "StaleLesson",
    "Store",
    "StoredTrace",
    "SuggestionRecord",
    "TraceFilter",
    "TraceReader",
    "Unlearned",
    "Whom",
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


Preparer = Callable[[], Callable[[Batch], Batch]]
"""Can be pickled; called in another process it gives there what does the work of `SpanWriter.prepare`."""


@runtime_checkable
class PreparesApart(Protocol):
    """A store whose `prepare` can be done in another process. No store must be one."""

    def preparer(self) -> Preparer:
        """Give what does there exactly what `prepare` does here."""


class Condition(msgspec.Struct, frozen=True):
    """One thing that is asked of an attribute, or of a score: see `clew.store.conditions`."""

    key: str
    """The attribute's name, or the score's."""
    op: Literal["has", "=", "!=", ">=", "<="] = "has"
    value: str = ""
    """
    Equal are a text that is the same, a number that it reads as, and true or false in any case; of a
    score also its label. Numbers alone are more or less. `!=` wants some other value, not none.
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
    min_tokens: int | None = None
    """The trace's input and output tokens together are at least so many."""
    max_tokens: int | None = None
    min_cost_usd: float | None = None
    """The trace has a cost, and it is at least this."""
    max_cost_usd: float | None = None
    name: str | None = None
    """The trace has a span of exactly this name."""
    tags: tuple[str, ...] = ()
    """Each is a tag of some span of the trace."""
    attributes: tuple[Condition, ...] = ()
    """Those on one key hold for one span of the trace, those on different keys perhaps for different spans."""
    scores: tuple[Condition, ...] = ()
    """Those of one name hold for one score of the trace, or of a span of it."""


class Page(NamedTuple):
    """Traces, newest start first; ties by trace id, so pages neither repeat nor skip."""

    traces: list[TraceSummary]
    next_cursor: tuple[int, str] | None
    """(start_ns, trace_id) of the last trace shown, or looked at, if there are more."""
    unfinished: bool = False
    """
    What one page may cost came to its end before the page was full: there are fewer traces on it than
    were asked for, perhaps none. The cursor goes on behind those that were looked through.
    """


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

        Where traces must be looked through one by one (for a span's name, a tag, an attribute, a
        score, or common words that rarely meet), a page MAY be unfinished. Following its cursor to
        the end gives every trace once.

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
    quantiles_ms: dict[float, float] = {}
    """By quantile (0 to 1): those that were asked for. At the nearest rank, at most 1 % off."""


class LatencyStep(msgspec.Struct, kw_only=True):
    """What started within [from_ns, to_ns), Unix nanoseconds."""

    from_ns: int
    to_ns: int
    operations: list[Latency]
    """Empty if there was nothing."""


class LatencyHeat(msgspec.Struct, kw_only=True):
    """How many spans took how long, over time."""

    steps_ns: list[tuple[int, int]]
    """The columns: [from, to) of each step, Unix nanoseconds."""
    rows_ms: list[tuple[float, float]]
    """The rows, shortest first: (over, up to) so many milliseconds. (0, 0) is what took no time."""
    cells: list[tuple[int, int, int]]
    """(column, row, count) where there is anything, column by column. Counts are exact for their row."""


class MetricsReader(Protocol):
    """
    Reads latencies from histograms, never from spans.

    Counted are the finished spans that started within [since_ns, until_ns), which widens to whole
    minutes, and only those of *kind*, *name* and *model* where given. Tokens and cost are those of
    generations, embeddings and reranks. `clew.store.latencies.LatencyReader` answers all three
    from sums.
    """

    def latency(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = ("kind",),
        quantiles: Sequence[float] = (),
    ) -> list[Latency]:
        """
        Percentiles over the window, by operation.

        *group_by* names any of kind, name and model; what is not named is summed (and shown as ""
        or None). *quantiles* (0 to 1) are given beside p50, p95 and p99.

        Raises:
            BadFilter: the window ends before it begins, a grouping is not one of the three, or a
                quantile is not from 0 to 1.
        """

    def latency_steps(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = (),
        quantiles: Sequence[float] = (),
    ) -> list[LatencyStep]:
        """
        The same over time: every step of *step_s* seconds in the window, also those of nothing.

        Steps are whole minutes and begin at multiples of their length since 1970, UTC; the window
        cuts the first and the last.

        Raises:
            BadFilter: as `latency`; or a step is not of whole minutes, or the answer would have
                too many steps or points.
        """

    def latency_heat(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        rows_per_doubling: int = 1,
    ) -> LatencyHeat:
        """
        How many spans took how long in each step; rows rise so that times double in some of them.

        Raises:
            BadFilter: as `latency_steps`; or the rows are not 1, 5, 7 or 35 to a doubling.
        """


class Maintenance(Protocol):
    """What an operator asks of a store."""

    def stats(self) -> dict[str, Any]:
        """Figures for `clew doctor` and `/metrics`: traces, spans, bytes, schema, engine."""

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""


class Retention(Protocol):
    """
    How traces go, in steps that are short, so that writes go on between them. From any thread.

    What was learned of a trace stays, and so does what histograms counted of it. Spans that come
    after their trace went are stored as a trace of their own.
    """

    def expired(self, policy: Policy, *, now_ns: int, limit: int, after: Place | None = None) -> list[Expiring]:
        """
        Give at most *limit* traces whose time is over, behind *after*; by project, oldest start first.

        Also such as are still to be learned, which say so.
        """

    def earliest(self, policy: Policy, *, limit: int, after: Place | None = None, spare: bool = True) -> list[Expiring]:
        """
        Give at most *limit* traces that came first, of all projects, behind *after*: they go for lack of room.

        With *spare*, none of a flag or status that a rule of *policy* keeps longer. A store that gives
        space back by the day leaves out today's.
        """

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:
        """
        Drop the traces *found*, at most `STEP_TRACES`, with scores and search index, in one transaction.

        One that changed since it was found stays; so does, with *learned_only*, one that is to be learned.

        Raises:
            StoreBusy, StoreUnavailable: nothing was dropped; retrying is safe.
        """

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:
        """
        Drop at most *limit* histograms of a resolution (60, 3600 or 86400) that began before; gives how many.

        *before_s*, Unix seconds, is the beginning of a day. From then on a window that begins or ends
        before it is answered in whole hours, or days.
        """

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:
        """
        Drop at most *limit* suggestions that were given before and are closed, oldest first; gives how many.

        One whose outcome is still waited for stays.
        """

    def used_bytes(self) -> int:
        """Say what the store takes on the disk, less what is free in it."""

    def give_back(self, *, spare_bytes: int = 0) -> bool:
        """Do one short step of giving free space back, all but *spare_bytes*; False if there is nothing to do."""

    def erase(self, whom: Whom) -> Erased:
        """
        Erase traces so that nothing shows them: spans, scores, words, suggestions, names as exemplars.

        Numbers stay: what was learned, and what histograms counted. Names of operations stay with them.
        In steps, so that writes go on; what could not be erased since the store failed, another call erases.

        Raises:
            BadFilter: *whom* names none, or more than one.
        """

    def scrub(self) -> bool:
        """
        Rewrite what held erased traces, so that their bytes are gone; False if there was nothing to do.

        May take as long as writing all that is stored, and writes wait for it.

        Raises:
            StoreBusy: somebody still reads the old bytes; do it again.
        """


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


class Store(SpanWriter, TraceReader, MetricsReader, Maintenance, Retention, Keys, GraphStore, Protocol):
    """All of it: what `clew serve` needs."""
