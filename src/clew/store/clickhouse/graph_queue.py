"""Which traces are due to be learned, and what was learned of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from clew.errors import StoreUnavailable
from clew.model import Span
from clew.store.clickhouse.connect import Servers, wanted
from clew.store.clickhouse.log import LogRow
from clew.store.clickhouse.rows import DUE
from clew.store.clickhouse.traces import Stored, TraceKey, fold, only, read_rows, read_stored
from clew.store.columns import int64
from clew.store.graph_protocol import LearnedTrace, Lesson, StaleLesson, Unlearned

AGAIN_NS = 60 * 10**9
"""After so long what is unfinished is looked at again."""

_LAST = 1 << 63
"""Behind every position of a log."""


class _DueRow(NamedTuple):
    """One row of the query `due`."""

    project: bytes
    trace_id: bytes
    rank: int
    committed_ns: int
    rootless: int
    span_count: int

    @property
    def key(self) -> TraceKey:
        """Project and trace id."""
        return self.project.decode(), self.trace_id


class Past(NamedTuple):
    """How far a trace was learned."""

    mark: int = 0
    """Up to here it was learned, or set aside."""
    pieces: frozenset[int] = frozenset()
    """Of these it was learned."""


def read_due(
    servers: Servers, *, quiet_since_ns: int, rootless_quiet_since_ns: int, limit: int, most_spans: int
) -> list[Unlearned]:
    """Give traces as `GraphLearning.unlearned` promises."""
    asked = {
        "quiet_since_ns": int64(quiet_since_ns),
        "rootless_quiet_since_ns": int64(rootless_quiet_since_ns),
        "limit": int64(limit),
    }
    while True:
        rows = [_DueRow(*row) for row in servers.rows("due", asked)]
        looked = _look_at(servers, _within(rows, most_spans))
        put_done(servers, looked.done)
        _put_back(servers, looked.unfinished)
        # What turned out to teach nothing is off the list now, and may have hidden something that does.
        if looked.found or not looked.done:
            return looked.found


def _within(rows: list[_DueRow], most_spans: int) -> list[_DueRow]:
    """As many of the first as have so many spans together, and one at least."""
    total = 0
    for at, row in enumerate(rows):
        total += row.span_count
        if at and total > most_spans:
            return rows[:at]
    return rows


class _Looked(NamedTuple):
    """What became of some traces that may be due."""

    found: list[Unlearned]
    done: list[tuple[TraceKey, int]]
    """There is nothing to be learned of them, up to a mark."""
    unfinished: list[_DueRow]
    """The trace's row is not made yet of all that is due: a write is under way, or was broken off."""


def _look_at(servers: Servers, rows: Sequence[_DueRow]) -> _Looked:
    stored = read_stored(servers, [row.key for row in rows])
    past = read_past(servers, [row.key for row in rows])
    looked = _Looked([], [], [])
    for row in rows:
        trace = stored.get(row.key)
        if trace is None or trace.row is None or trace.row.mark < row.rank // 2:
            looked.unfinished.append(row)
            continue
        one = _unlearned(row.key, trace, past.get(row.key, Past()))
        if one is None:
            looked.done.append((row.key, trace.row.mark))
        else:
            looked.found.append(one)
    return looked


def _unlearned(key: TraceKey, trace: Stored, past: Past) -> Unlearned | None:
    """None if there is nothing to be learned of it."""
    assert trace.row is not None
    if trace.row.mark <= past.mark:
        return None
    project, trace_id = key
    try:
        now = fold(only(trace.pieces, trace.row.pieces)).spans
        before = fold(only(trace.pieces, past.pieces)).spans
    except StoreUnavailable:
        return Unlearned(project, trace_id.hex(), [], frozenset(), trace.row.mark)
    learned = {span_id: span for span_id, span in before.items() if span.end_ns is not None}
    changed = tuple(span for span_id, span in learned.items() if now.get(span_id) != span)
    if past.pieces and not changed and not _finished(now).keys() - learned.keys():
        return None
    return Unlearned(project, trace_id.hex(), list(now.values()), frozenset(learned), trace.row.mark, changed)


def _finished(spans: dict[str, Span]) -> dict[str, Span]:
    return {span_id: span for span_id, span in spans.items() if span.end_ns is not None}


def read_past(servers: Servers, keys: Collection[TraceKey], *, until: int = _LAST) -> dict[TraceKey, Past]:
    """Read how far some traces were learned, up to a position of the log."""
    past: dict[TraceKey, Past] = {}
    rows = servers.rows("learned", {"until": until}, data=wanted(keys)) if keys else ()
    for project, trace_id, mark, skipped, pieces, _ in rows:
        key = project.decode(), bytes.fromhex(trace_id.decode())
        before = past.get(key, Past())
        past[key] = Past(mark, before.pieces if skipped else frozenset(pieces))
    return past


def put_done(servers: Servers, done: Sequence[tuple[TraceKey, int]]) -> None:
    """Take traces off the list of those that may be due, up to their marks."""
    if done:
        rows = [(*key, 2 * mark + 1, 1, 0, 0, 0) for key, mark in done]
        servers.insert("clew_due", DUE, list(zip(*rows, strict=True)))


def _put_back(servers: Servers, unfinished: Sequence[_DueRow]) -> None:
    """Look again later at what is unfinished, or what is never sent again would hide all that is due after it."""
    if unfinished:
        later_ns = time.time_ns() + AGAIN_NS
        rows = [(*row.key, row.rank, 0, later_ns, row.rootless, row.span_count) for row in unfinished]
        servers.insert("clew_due", DUE, list(zip(*rows, strict=True)))


def check_lesson(servers: Servers, lesson: Lesson) -> list[LogRow]:
    """
    Give the rows that say what of its traces is learned then.

    Raises:
        StaleLesson: one was written to, or learned, after it was read.
    """
    keys = [key_of(lesson, trace) for trace in lesson.traces]
    rows, past = read_rows(servers, keys), read_past(servers, keys)
    stale, made = [], []
    for trace, key in zip(lesson.traces, keys, strict=True):
        row = rows.get(key)
        if row is None or row.mark != trace.mark or past.get(key, Past()).mark >= trace.mark:
            stale.append(trace.trace_id)
        else:
            said = {"mark": trace.mark, "skipped": int(trace.skipped), "pieces": sorted(row.pieces)}
            made.append({"sort": "trace", "key": trace.trace_id} | said)
    if stale:
        raise StaleLesson(stale)
    return made


def key_of(lesson: Lesson, trace: LearnedTrace) -> TraceKey:
    """Project and id of a trace of a lesson."""
    return lesson.project, bytes.fromhex(trace.trace_id)
