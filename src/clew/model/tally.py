"""
What finished spans add up to: counts, sums and a histogram, by minute, kind, name and model.

Pure. Tallies add up in any order, and with a minus they are taken back: that is how the store counts
what it is sent, and how an SDK tells of what it does not send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from clew.model import histogram
from clew.model.histogram import Histogram
from clew.model.span import METERED_KINDS, Kind, Span

MINUTE_NS = 60 * 10**9


class Sums(msgspec.Struct, array_like=True):
    """What a tally adds up, in the order of the columns of `trace_metrics`."""

    count: int
    errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    duration_ns: int


class Tally:
    """Counts, sums and the histogram of one operation over some time."""

    __slots__ = ("buckets", "cost_usd", "count", "duration_ns", "errors", "input_tokens", "output_tokens")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost_usd = 0.0
        self.duration_ns = 0
        self.buckets: Histogram = {}

    @classmethod
    def of(cls, spans: Sequence[Span], *, metered: bool) -> Tally:
        """Count finished spans of one operation."""
        tally = cls()
        durations_ns = [(span.end_ns or 0) - span.start_ns for span in spans]
        tally.buckets = dict(Counter(map(histogram.bucket_of, durations_ns)))
        tally.count = len(spans)
        tally.duration_ns = sum(durations_ns)
        tally.errors = [span.status for span in spans].count("error")
        if metered:
            tally.input_tokens = sum([span.input_tokens or 0 for span in spans])
            tally.output_tokens = sum([span.output_tokens or 0 for span in spans])
            tally.cost_usd = sum([span.cost_usd or 0.0 for span in spans])
        return tally

    def add(self, span: Span, *, metered: bool) -> None:
        """Count one finished span more."""
        duration_ns = (span.end_ns or 0) - span.start_ns
        bucket = histogram.bucket_of(duration_ns)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.duration_ns += duration_ns
        self.errors += span.status == "error"
        if metered:
            self.input_tokens += span.input_tokens or 0
            self.output_tokens += span.output_tokens or 0
            self.cost_usd += span.cost_usd or 0.0

    def merge(self, other: Tally) -> None:
        """Add what *other* counted."""
        self.add_sums(other.sums)
        if self.buckets:
            histogram.merge(self.buckets, other.buckets)
        else:
            self.buckets = dict(other.buckets)

    def negative(self) -> Tally:
        """Give what takes this one back when it is merged."""
        tally = Tally()
        for name in ("count", "errors", "input_tokens", "output_tokens", "cost_usd", "duration_ns"):
            setattr(tally, name, -getattr(self, name))
        tally.buckets = {bucket: -count for bucket, count in self.buckets.items()}
        return tally

    @property
    def sums(self) -> Sums:
        """Everything but the histogram."""
        return Sums(self.count, self.errors, self.input_tokens, self.output_tokens, self.cost_usd, self.duration_ns)

    def add_sums(self, sums: Sums) -> None:
        """Add everything but a histogram."""
        self.count += sums.count
        self.errors += sums.errors
        self.input_tokens += sums.input_tokens
        self.output_tokens += sums.output_tokens
        self.cost_usd += sums.cost_usd
        self.duration_ns += sums.duration_ns


Minutes = dict[tuple[int, Kind, str, str | None], Tally]
"""By minute, kind, name and model. Plain tuples, since a named one for every span would take a fifth of the time."""


def count(finished: Iterable[Span]) -> Minutes:
    """Count *finished* spans by the minute of their start."""
    alike: dict[tuple[int, Kind, str, str | None], list[Span]] = {}
    for span in finished:
        key = span.start_ns // MINUTE_NS, span.kind, span.name, span.model
        if key in alike:
            alike[key].append(span)
        else:
            alike[key] = [span]
    return {key: Tally.of(spans, metered=key[1] in METERED_KINDS) for key, spans in alike.items()}


def add_to(minutes: Minutes, span: Span) -> None:
    """Count one finished span more: for those that come one by one."""
    kind = span.kind
    key = span.start_ns // MINUTE_NS, kind, span.name, span.model
    tally = minutes.get(key)
    if tally is None:
        tally = minutes[key] = Tally()
    tally.add(span, metered=kind in METERED_KINDS)


def merge(several: Iterable[Minutes]) -> Minutes:
    """Add up *several*; what they held may be changed by it."""
    merged: Minutes = {}
    for minutes in several:
        for key, tally in minutes.items():
            have = merged.get(key)
            if have is None:
                merged[key] = tally
            else:
                have.merge(tally)
    return merged
