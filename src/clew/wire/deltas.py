"""
What an SDK learned from traffic that it did not send: `POST /api/v1/graph/deltas`, MessagePack.

    {"delta_id": "…", "graph": …, "slices": {"day:2026-11-21": …}, "metrics": [row, …],
     "less": {"graph": …, "slices": …, "metrics": …}}

Graphs are bytes, as `clew.graph.packing` packs them; an empty slice is the same as `graph`. `less` is
taken back: traces that an earlier delta counted, and which were sent after all. The same `delta_id`
again changes nothing. What comes may come from anyone, so sizes and numbers are checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from clew.errors import MalformedBody
from clew.model import Kind, histogram
from clew.model.tally import MINUTE_NS, Minutes, Sums, Tally
from clew.wire.mend import EARLIEST_NS, LATEST_NS, MAX_NAME_CHARS
from clew.wire.readers import MAX_ID_CHARS

MOST_ROWS = 200_000
MOST_SLICES = 100
MAX_SLICE_CHARS = 250
MAX_DELTA_ID_CHARS = 200

_MOST_COUNT = 10**9
_MOST_TOKENS = 1 << 53
_MOST_COST_USD = 1e12
_MOST_NS = (1 << 63) - 1
_LAST_BUCKET = histogram.bucket_of(_MOST_NS)

Count = Annotated[int, Meta(ge=0, le=_MOST_COUNT)]
Tokens = Annotated[int, Meta(ge=0, le=_MOST_TOKENS)]
Minute = Annotated[int, Meta(ge=EARLIEST_NS // MINUTE_NS, lt=LATEST_NS // MINUTE_NS)]


class MetricRow(msgspec.Struct, array_like=True):
    """Finished spans of one operation that began in one minute."""

    minute: Minute
    """Unix minutes."""
    kind: Kind
    name: Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
    model: Annotated[str, Meta(max_length=MAX_ID_CHARS)]
    """Empty if there is none."""
    count: Annotated[int, Meta(ge=1, le=_MOST_COUNT)]
    errors: Count
    input_tokens: Tokens
    output_tokens: Tokens
    cost_usd: Annotated[float, Meta(ge=0, le=_MOST_COST_USD)]
    duration_ns: Annotated[int, Meta(ge=0, le=_MOST_NS)]
    buckets: bytes
    """Their durations, as `clew.model.histogram` encodes them."""


class Learned(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What some traces taught."""

    graph: bytes
    slices: Annotated[dict[Annotated[str, Meta(max_length=MAX_SLICE_CHARS)], bytes], Meta(max_length=MOST_SLICES)] = {}
    metrics: Annotated[list[MetricRow], Meta(max_length=MOST_ROWS)] = []


class DeltaBody(Learned, kw_only=True, omit_defaults=True):
    """The body of `POST /api/v1/graph/deltas`."""

    delta_id: Annotated[str, Meta(min_length=1, max_length=MAX_DELTA_ID_CHARS)]
    less: Learned | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeltaBody)


def encode(body: DeltaBody) -> bytes:
    """Give *body* as MessagePack."""
    return _encoder.encode(body)


def decode(raw: bytes) -> DeltaBody:
    """
    Read a body.

    Raises:
        MalformedBody: it is none, or over a limit; says where.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(f"this body cannot be read: {error}") from None


def rows_of(minutes: Minutes) -> list[MetricRow]:
    """Give what was counted as rows; of sums over a limit only so much as it allows."""
    return [
        MetricRow(
            minute,
            kind,
            name,
            model or "",
            tally.count,
            tally.errors,
            min(tally.input_tokens, _MOST_TOKENS),
            min(tally.output_tokens, _MOST_TOKENS),
            min(tally.cost_usd, _MOST_COST_USD),
            min(tally.duration_ns, _MOST_NS),
            histogram.encode(tally.buckets),
        )
        for (minute, kind, name, model), tally in minutes.items()
    ]


def minutes_of(rows: Iterable[MetricRow]) -> Minutes:
    """
    Give *rows* as they are counted.

    Raises:
        MalformedBody: an operation comes twice in a minute, or a row contradicts itself.
    """
    minutes: Minutes = {}
    for at, row in enumerate(rows):
        key = row.minute, row.kind, row.name, row.model or None
        if key in minutes:
            raise MalformedBody(f"metrics[{at}]: {row.kind} {row.name[:100]!r} comes twice in minute {row.minute}")
        minutes[key] = _tally_of(row, at)
    return minutes


def _tally_of(row: MetricRow, at: int) -> Tally:
    if not row.name or "\0" in row.name or "\0" in row.model:
        raise MalformedBody(f"metrics[{at}]: a name is empty or has NUL in it")
    # Neither bound of a range holds off NaN.
    if row.errors > row.count or not math.isfinite(row.cost_usd):
        raise MalformedBody(f"metrics[{at}]: {row.errors} errors of {row.count} calls at {row.cost_usd} USD")
    tally = Tally()
    tally.add_sums(Sums(row.count, row.errors, row.input_tokens, row.output_tokens, row.cost_usd, row.duration_ns))
    tally.buckets = _buckets_of(row, at)
    return tally


def _buckets_of(row: MetricRow, at: int) -> histogram.Histogram:
    try:
        buckets = histogram.decode(row.buckets)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedBody(f"metrics[{at}]: its histogram cannot be read: {error}") from None
    if not all(histogram.ZERO <= bucket <= _LAST_BUCKET for bucket in buckets):
        raise MalformedBody(f"metrics[{at}]: its histogram has buckets beyond {histogram.ZERO} to {_LAST_BUCKET}")
    if min(buckets.values(), default=0) < 1 or sum(buckets.values()) != row.count:
        raise MalformedBody(f"metrics[{at}]: its histogram does not hold {row.count} calls")
    return buckets
