"""Spans, summaries and words as records for PostgreSQL, and summaries back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from clew.model import Flag, Span, TraceSummary
from clew.store.columns import bits_of, finite, int64, kinds_of
from clew.store.postgres.binary import (
    BOOL,
    BYTEA,
    INT4,
    INT8,
    NO_BYTEA,
    NO_FLOAT8,
    NO_INT8,
    NO_TEXT,
    SHORT,
    boolean,
    bytea,
    float8,
    int8,
    record,
    safe,
    short_text,
    text,
    texts,
    told,
)
from clew.store.ready import RowMakers
from clew.store.text import text_of, words

TRACE_COLUMNS = (
    "seq, project_id, trace_id, name, start_ns, end_ns, duration_ns, status, has_root, span_count, error_count, "
    "orphan_count, kinds, models, user_id, session_id, strategy, input_tokens, output_tokens, cost_usd, confidence, "
    "response_chars, input_preview, output_preview, score_value, score_best, flag, flag_reason"
)
SPAN_COLUMNS = (
    "trace_seq, span_id, parent_id, name, kind, start_ns, end_ns, status, status_message, model, strategy, "
    "input_tokens, output_tokens, cost_usd, confidence, first_token_ms, user_id, session_id, response_chars"
)
SUMMARY_COLUMNS = (
    "trace_id, name, start_ns, end_ns, status, has_root, span_count, error_count, orphan_count, kinds, models, "
    "user_id, session_id, strategy, input_tokens, output_tokens, cost_usd, confidence, response_chars, "
    "input_preview, output_preview, score_value, score_best, flag, flag_reason"
)
"""What `summary_of` reads, in its order."""

LONGEST_WORD_BYTES = 200
"""Of a longer word a digest is kept: an entry of the index has an end, and nobody types such a word."""

_TRACE_FIELDS = TRACE_COLUMNS.count(",") + 1
_SPAN_FIELDS = SPAN_COLUMNS.count(",") + 1

# What a record begins with: its length, how many fields it has, and the first of them.
_trace_head = struct.Struct("!iiIiqIii").pack
_span_head = struct.Struct("!iiIiq").pack
_chunk_head = struct.Struct("!iiIiqIi").pack
_due = struct.Struct("!iiIiqIiqIi?").pack
_NOTHING_LEARNED = NO_BYTEA * 2
_TRACE_HEAD_BYTES, _SPAN_HEAD_BYTES, _CHUNK_HEAD_BYTES = 32, 20, 28
_DUE_BYTES = 61

_counts = struct.Struct("!" + 4 * "Iii").pack
_span_id = struct.Struct("!Ii8s").pack
_times = struct.Struct("!IiqIiq").pack


def trace_row(seq: int, project_id: int, row: bytes) -> bytes:
    """A record of `traces`, of which `summary_row` made *row*."""
    size = _TRACE_HEAD_BYTES + len(row)
    return _trace_head(size, _TRACE_FIELDS, INT8, 8, seq, INT4, 4, project_id) + row


def span_rows(seq: int, rows: Sequence[bytes]) -> list[bytes]:
    """Records of `trace_spans`, of which `spans_of` made *rows*."""
    return [_span_head(_SPAN_HEAD_BYTES + len(row), _SPAN_FIELDS, INT8, 8, seq) + row for row in rows]


def chunk_row(chunk_id: int, chunk: bytes) -> bytes:
    """A record of `trace_payloads`."""
    size = len(chunk)
    return _chunk_head(_CHUNK_HEAD_BYTES + size, 2, INT8, 8, chunk_id, BYTEA, size) + chunk


def due_row(seq: int, committed_ns: int, *, rootless: bool) -> bytes:
    """A record of `graph_due`, of a trace that is new."""
    return _due(_DUE_BYTES, 5, INT8, 8, seq, INT8, 8, committed_ns, BOOL, 1, rootless) + _NOTHING_LEARNED


def text_row(chunk_id: int, found: Sequence[str]) -> bytes:
    """A record of `trace_text`."""
    return record(int8(chunk_id), texts(sorted(found)))


def summary_row(summary: TraceSummary) -> bytes:
    """A record of `traces`, but for what it begins with, seq and project."""
    score_value, score_best = summary.worst_user_score or (None, None)
    counts = (summary.span_count, summary.error_count, summary.orphan_count, bits_of(summary.kinds))
    return b"".join(
        [
            bytea(bytes.fromhex(summary.trace_id)),
            text(summary.name),
            _lasted(summary),
            short_text(summary.status),
            boolean(summary.has_root),
            _counts(*[part for count in counts for part in (INT4, 4, count)]),
            _names(tuple(summary.models)),
            text(summary.user_id),
            text(summary.session_id),
            text(summary.strategy),
            int8(int64(summary.input_tokens)),
            int8(int64(summary.output_tokens)),
            float8(finite(summary.cost_usd)),
            float8(finite(summary.confidence)),
            int8(summary.response_chars),
            text(summary.input_preview),
            text(summary.output_preview),
            float8(score_value),
            float8(score_best),
            short_text(summary.flag.value),
            text(summary.flag_reason),
        ]
    )


def _lasted(summary: TraceSummary) -> bytes:
    """Start, end and duration."""
    end_ns, duration_ns = summary.end_ns, summary.duration_ns
    if end_ns is None or duration_ns is None:
        return int8(summary.start_ns) + int8(end_ns) + int8(duration_ns)
    return _times(INT8, 8, summary.start_ns, INT8, 8, end_ns) + int8(int64(duration_ns))


def _names(models: tuple[str, ...]) -> bytes:
    """An array of texts, which mostly are those of the trace before."""
    return _short_names(models) if sum(map(len, models)) <= SHORT else texts(models)


_short_names = lru_cache(maxsize=1_024)(texts)


def spans_of(spans: Iterable[Span]) -> list[bytes]:
    """Records of `trace_spans`, but for what each begins with, and seq."""
    return list(map(_span_row, spans))


def _span_row(span: Span) -> bytes:
    # In few steps, since there are so many: what is alike in many spans comes in one piece.
    parent_id, end_ns, model, strategy = span.parent_id, span.end_ns, span.model, span.strategy
    own_id = _span_id(BYTEA, 8, bytes.fromhex(span.span_id))
    user_id, session_id = span.user_id, span.session_id
    return b"".join(
        [
            own_id + NO_BYTEA if parent_id is None else own_id + _span_id(BYTEA, 8, bytes.fromhex(parent_id)),
            text(span.name),
            short_text(span.kind),
            int8(span.start_ns) + NO_INT8 if end_ns is None else _times(INT8, 8, span.start_ns, INT8, 8, end_ns),
            short_text(span.status),
            text(span.status_message or None),
            NO_TEXT + NO_TEXT if model is None and strategy is None else text(model) + text(strategy),
            _meter(span),
            NO_TEXT + NO_TEXT if user_id is None and session_id is None else text(user_id) + text(session_id),
            int8(span.response_chars),
        ]
    )


def _meter(span: Span) -> bytes:
    """Tokens, cost, confidence and the first token: of most spans nothing."""
    read, written, cost_usd = span.input_tokens, span.output_tokens, span.cost_usd
    confidence, first_token_ms = span.confidence, span.first_token_ms
    if read is None and written is None and cost_usd is None and confidence is None and first_token_ms is None:
        return _NO_METER
    fractions = float8(cost_usd) + float8(confidence) + float8(first_token_ms)
    return int8(read) + int8(written) + fractions


_NO_METER = NO_INT8 * 2 + NO_FLOAT8 * 3


def words_of(spans: Iterable[Span]) -> list[str]:
    """The words of some spans, as they are kept."""
    text = text_of(spans)
    found = words(text)
    if text.isascii() and max(map(len, found), default=0) * 4 <= LONGEST_WORD_BYTES:
        return list(found)
    return list(map(lexeme, found))


def lexeme(word: str) -> str:
    """A word as it is kept; no word begins with what stands before a digest."""
    if len(word) * 4 <= LONGEST_WORD_BYTES:
        return word if word.isascii() else safe(word)
    if len(encoded := word.encode()) <= LONGEST_WORD_BYTES:
        return safe(word)
    return "#" + blake2b(encoded, digest_size=16).hexdigest()


def summary_of(project: str, row: Sequence[Any]) -> TraceSummary:
    """Give the summary whose `SUMMARY_COLUMNS` are *row*."""
    (trace_id, name, start_ns, end_ns, status, has_root, span_count, error_count, orphan_count, kinds, models,
     user_id, session_id, strategy, input_tokens, output_tokens, cost_usd, confidence, response_chars,
     input_preview, output_preview, score_value, score_best, flag, flag_reason) = row  # fmt: skip
    return TraceSummary(
        project=project,
        trace_id=trace_id.hex(),
        name=told(name),
        start_ns=start_ns,
        end_ns=end_ns,
        status=status,
        has_root=has_root,
        span_count=span_count,
        error_count=error_count,
        orphan_count=orphan_count,
        kinds=kinds_of(kinds),
        models=list(map(told, models)),
        user_id=_told(user_id),
        session_id=_told(session_id),
        strategy=_told(strategy),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=cost_usd,
        confidence=confidence,
        response_chars=response_chars,
        input_preview=_told(input_preview),
        output_preview=_told(output_preview),
        worst_user_score=None if score_value is None or score_best is None else (score_value, score_best),
        flag=Flag(flag),
        flag_reason=told(flag_reason),
    )


def _told(value: str | None) -> str | None:
    return None if value is None else told(value)


ROWS = RowMakers(summary=summary_row, spans=spans_of, words=words_of)
