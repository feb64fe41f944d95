"""Pieces and summaries as columns of inserts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clew.errors import StoreUnavailable
from clew.model import Score, Span, TraceSummary
from clew.model.tally import Minutes, add_to
from clew.store.chunks import ChunkCoder
from clew.store.columns import bits_of, finite, int64
from clew.store.ready import RowMakers
from clew.store.text import text_of, words

PIECES = {
    "project": "String",
    "trace_id": "FixedString(16)",
    "piece": "UInt64",
    "place": "UInt32",
    "day": "Date",
    "committed_ns": "Int64",
    "span_count": "UInt32",
    "score_count": "UInt32",
    "spans": "String",
    "scores": "String",
}

_SUMMARY = {
    "name": "String",
    "start_ns": "Int64",
    "duration_ns": "Nullable(Int64)",
    "status": "LowCardinality(String)",
    "flag": "LowCardinality(String)",
    "kinds": "UInt32",
    "models": "Array(String)",
    "user_id": "String",
    "session_id": "String",
    "span_count": "UInt32",
    "error_count": "UInt32",
    "input_tokens": "Int64",
    "output_tokens": "Int64",
    "cost_usd": "Nullable(Float64)",
    "summary": "String",
}

_SPANS = {
    "names": "Array(String)",
    "users": "Array(String)",
    "sessions": "Array(String)",
}
"""What is said by any span of a trace."""

_TALLY = {
    "tally_from": "Int64",
    "tally_to": "Int64",
    "tally_minute": "Array(Int64)",
    "tally_kind": "Array(String)",
    "tally_name": "Array(String)",
    "tally_model": "Array(String)",
    "tally_count": "Array(Int64)",
    "tally_errors": "Array(Int64)",
    "tally_input_tokens": "Array(Int64)",
    "tally_output_tokens": "Array(Int64)",
    "tally_cost_usd": "Array(Float64)",
    "tally_duration_ns": "Array(Int64)",
    "tally_buckets": "Array(Array(Int32))",
    "tally_counts": "Array(Array(Int64))",
}

TRACES = {
    "project": "String",
    "trace_id": "FixedString(16)",
    "version": "UInt32",
    "mark": "UInt32",
    "base": "UInt32",
    "pieces": "Array(UInt64)",
    "day": "Date",
    "came_ns": "Int64",
    **_SUMMARY,
    **_SPANS,
    **_TALLY,
    "searchable": "UInt8",
    "words_text": "String",
}

DUE = {
    "project": "String",
    "trace_id": "FixedString(16)",
    "rank": "UInt64",
    "done": "UInt8",
    "committed_ns": "Int64",
    "rootless": "UInt8",
    "span_count": "UInt32",
}

_encode = msgspec.msgpack.Encoder().encode
_summary = msgspec.msgpack.Decoder(TraceSummary)
_scores = msgspec.msgpack.Decoder(list[Score])

_spans = msgspec.msgpack.Decoder(list[Span])

pack_scores = _encode
pack_spans = _encode
read_scores = _scores.decode
read_summary = _summary.decode


class PlainCoder(ChunkCoder):
    """
    Packs the spans of a piece.

    Not compressed: ClickHouse does that with the spans of many traces at once, which share much.
    """

    def compress(self, encoded: list[bytes]) -> list[bytes]:
        """Leave them as they are."""
        return encoded


def read_spans(body: bytes) -> list[Span]:
    """
    Read the spans of a piece.

    Raises:
        StoreUnavailable: its bytes are damaged.
    """
    try:
        return _spans.decode(body)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"a piece of a trace is damaged ({error}); restore the store from a copy") from error


def summary_values(summary: TraceSummary) -> list[Any]:
    """What `_SUMMARY` names."""
    duration_ns = summary.duration_ns
    return [
        summary.name,
        summary.start_ns,
        None if duration_ns is None else int64(duration_ns),
        summary.status,
        summary.flag.value,
        bits_of(summary.kinds),
        summary.models,
        summary.user_id or "",
        summary.session_id or "",
        summary.span_count,
        summary.error_count,
        int64(summary.input_tokens),
        int64(summary.output_tokens),
        finite(summary.cost_usd),
        _encode(summary),
    ]


def tally_values(minutes: Minutes) -> list[Any]:
    """What `_TALLY` names."""
    keys = sorted(minutes, key=lambda key: (*key[:3], key[3] or ""))
    found = [minutes[key] for key in keys]
    of_minutes = [key[0] for key in keys]
    buckets = [sorted(tally.buckets) for tally in found]
    return [
        min(of_minutes, default=0),
        max(of_minutes, default=-1),
        of_minutes,
        [key[1] for key in keys],
        [key[2] for key in keys],
        [key[3] or "" for key in keys],
        [tally.count for tally in found],
        [tally.errors for tally in found],
        [int64(tally.input_tokens) for tally in found],
        [int64(tally.output_tokens) for tally in found],
        [finite(tally.cost_usd) or 0.0 for tally in found],
        [int64(tally.duration_ns) for tally in found],
        buckets,
        [[tally.buckets[bucket] for bucket in each] for tally, each in zip(found, buckets, strict=True)],
    ]


def spans_values(spans: Iterable[Span]) -> list[Any]:
    """What `_SPANS` names, and `_TALLY` of the finished ones of *spans*."""
    several = list(spans)
    said: tuple[set[str | None], ...] = (
        {span.name for span in several},
        {span.user_id for span in several},
        {span.session_id for span in several},
    )
    minutes: Minutes = {}
    for span in several:
        if span.end_ns is not None:
            add_to(minutes, span)
    return [list(filter(None, each)) for each in said] + tally_values(minutes)


def words_of(spans: Iterable[Span]) -> str:
    """Every word of *spans*, once, a space between two; the server takes them apart."""
    return " ".join(words(text_of(spans)))


ROWS = RowMakers(summary=summary_values, spans=spans_values, words=words_of)
