"""Spans, summaries and words as records for PostgreSQL, and summaries back. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from clew.model import Flag, Span, TraceSummary
from clew.store.columns import bits_of, finite, int64, kinds_of
from clew.store.postgres.binary import (
    BYTEA,
    INT4,
    INT8,
    NO_BYTEA,
    NO_INT8,
    boolean,
    bytea,
    float8,
    int4,
    int8,
    record,
    safe,
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
_TRACE_HEAD_BYTES, _SPAN_HEAD_BYTES = 32, 20

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
    return record(int8(chunk_id), bytea(chunk))


def text_row(chunk_id: int, found: Sequence[str]) -> bytes:
    """A record of `trace_text`."""
    return record(int8(chunk_id), texts(sorted(found)))


def summary_row(summary: TraceSummary) -> bytes:
    """A record of `traces`, but for what it begins with, seq and project."""
    duration_ns = summary.duration_ns
    score_value, score_best = summary.worst_user_score or (None, None)
    return b"".join(
        [
            bytea(bytes.fromhex(summary.trace_id)),
            text(summary.name),
            int8(summary.start_ns),
            int8(summary.end_ns),
            NO_INT8 if duration_ns is None else int8(int64(duration_ns)),
            text(summary.status),
            boolean(summary.has_root),
            int4(summary.span_count),
            int4(summary.error_count),
            int4(summary.orphan_count),
            int4(bits_of(summary.kinds)),
            texts(summary.models),
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
            text(summary.flag.value),
            text(summary.flag_reason),
        ]
    )


def spans_of(spans: Iterable[Span]) -> list[bytes]:
    """Records of `trace_spans`, but for what each begins with, and seq."""
    return list(map(_span_row, spans))


def _span_row(span: Span) -> bytes:
    parent_id, end_ns = span.parent_id, span.end_ns
    return b"".join(
        [
            _span_id(BYTEA, 8, bytes.fromhex(span.span_id)),
            NO_BYTEA if parent_id is None else _span_id(BYTEA, 8, bytes.fromhex(parent_id)),
            text(span.name),
            text(span.kind),
            int8(span.start_ns) + NO_INT8 if end_ns is None else _times(INT8, 8, span.start_ns, INT8, 8, end_ns),
            text(span.status),
            text(span.status_message or None),
            text(span.model),
            text(span.strategy),
            _meter(span),
            text(span.user_id),
            text(span.session_id),
            int8(span.response_chars),
        ]
    )


def _meter(span: Span) -> bytes:
    """Tokens, cost, confidence and the first token: of most spans nothing."""
    return b"".join(
        [
            int8(span.input_tokens),
            int8(span.output_tokens),
            float8(span.cost_usd),
            float8(span.confidence),
            float8(span.first_token_ms),
        ]
    )


def words_of(spans: Iterable[Span]) -> list[str]:
    """The words of some spans, as they are kept."""
    return list(map(lexeme, words(text_of(spans))))


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
