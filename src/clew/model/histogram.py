"""
Durations as log buckets: percentiles at most 1 % off, in a blob of some dozen bytes.

Pure. A histogram is a dict from bucket to count, so merging two is adding, in any order.
Bucket i holds the nanoseconds in (GAMMA^(i-1), GAMMA^i]; bucket ZERO holds what took no time.

Source: Masson, Rim, Lee: DDSketch, VLDB 2019, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from operator import sub

import msgspec

_ERROR = 0.0099
"""A little under the promised 1 %, which leaves room for rounding."""

GAMMA = (1 + _ERROR) / (1 - _ERROR)
_BUCKETS_PER_E = 1 / math.log(GAMMA)
_MIDDLE = 2 / (GAMMA + 1)
"""From the upper bound of a bucket to the value that is equally wrong for both its ends."""

ZERO = -1

Histogram = dict[int, int]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[int], list[int]])


def bucket_of(duration_ns: int) -> int:
    """Give the bucket that holds *duration_ns*; what is not positive counts as nothing."""
    return math.ceil(math.log(duration_ns) * _BUCKETS_PER_E) if duration_ns > 0 else ZERO


def value_of(bucket: int) -> float:
    """Give the nanoseconds that stand for *bucket*."""
    return _MIDDLE * GAMMA**bucket if bucket > ZERO else 0.0


def merge(into: Histogram, other: Histogram) -> None:
    """Add the counts of *other*, which may be negative, to *into*; quickest if *other* is the smaller."""
    for bucket, count in other.items():
        into[bucket] = into.get(bucket, 0) + count


def percentiles(histogram: Histogram, shares: Sequence[float]) -> list[float]:
    """
    Give, for each of *shares* (0 to 1, rising), the value in nanoseconds at its nearest rank.

    All 0 for an empty histogram.
    """
    total = sum(histogram.values())
    ranks = [rank_of(share, total) for share in shares]
    buckets = sorted(histogram)
    reached = list(accumulate(histogram[bucket] for bucket in buckets))
    return [value_of(_at_rank(buckets, reached, rank)) for rank in ranks]


def bucket_at(histogram: Histogram, share: float) -> int:
    """Give the bucket at the nearest rank of *share* (0 to 1); `ZERO` for an empty histogram."""
    buckets = sorted(histogram)
    reached = list(accumulate(histogram[bucket] for bucket in buckets))
    return _at_rank(buckets, reached, rank_of(share, sum(histogram.values())))


def rank_of(share: float, total: int) -> int:
    """
    Give the nearest rank, from 1, of *share* (0 to 1) among *total*.

    Of the share as it is written: as floats, 0.07 * 100 is a little over 7, and would give the 8th.
    """
    return max(1, math.ceil(_written(share) * total))


@lru_cache(maxsize=256)
def _written(share: float) -> Fraction:
    return Fraction(repr(float(share)))


def _at_rank(buckets: Sequence[int], reached: Sequence[int], rank: int) -> int:
    return next((bucket for bucket, count in zip(buckets, reached, strict=True) if count >= rank), ZERO)


def encode(histogram: Histogram) -> bytes:
    """Pack into msgpack: the steps from bucket to bucket, then the counts. Mostly two bytes a bucket."""
    buckets = sorted(histogram)
    steps = list(map(sub, buckets, [0, *buckets]))
    return _encoder.encode((steps, list(map(histogram.__getitem__, buckets))))


def decode(blob: bytes) -> Histogram:
    """Unpack what `encode` packed."""
    steps, counts = _decoder.decode(blob)
    return dict(zip(accumulate(steps), counts, strict=True))


def of(durations_ns: Iterable[int]) -> Histogram:
    """Count *durations_ns* into buckets."""
    histogram: Histogram = {}
    for duration_ns in durations_ns:
        bucket = bucket_of(duration_ns)
        histogram[bucket] = histogram.get(bucket, 0) + 1
    return histogram
