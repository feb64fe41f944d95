"""
What `trace_metrics` counts: finished spans by minute, kind, name and model.

Pure. A tally of an hour is the sum of its minutes, of a day the sum of its hours, so a long
window reads days in its middle, hours towards its edges and minutes at them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from clew.model import Kind, Span
from clew.model.span import METERED_KINDS
from clew.store import histogram
from clew.store.histogram import Histogram
from clew.store.protocol import Latency

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
RESOLUTIONS_S = (MINUTE_S, HOUR_S, DAY_S)
GROUPINGS = ("kind", "name", "model")

_MINUTE_NS = MINUTE_S * 1_000_000_000


class Operation(NamedTuple):
    """What is counted together."""

    kind: Kind
    name: str
    model: str
    """Empty if there is none."""


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

    def latency(self, operation: Operation) -> Latency:
        """Say it for people: milliseconds and percentiles."""
        p50_ns, p95_ns, p99_ns = histogram.percentiles(self.buckets, (0.50, 0.95, 0.99))
        return Latency(
            kind=operation.kind,
            name=operation.name,
            model=operation.model or None,
            count=self.count,
            errors=self.errors,
            p50_ms=p50_ns / 1e6,
            p95_ms=p95_ns / 1e6,
            p99_ms=p99_ns / 1e6,
            mean_ms=self.duration_ns / max(1, self.count) / 1e6,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd,
        )


Tallies = dict[tuple[int, int, Operation], Tally]
"""By resolution in seconds, start of the bucket in Unix seconds, and operation."""


Minutes = dict[tuple[int, Kind, str, str | None], Tally]
"""By minute, kind, name and model. Plain tuples, since a named one for every span would take a fifth of the time."""


def count(finished: Iterable[Span]) -> Minutes:
    """Count *finished* spans by the minute of their start."""
    alike: dict[tuple[int, Kind, str, str | None], list[Span]] = {}
    for span in finished:
        key = span.start_ns // _MINUTE_NS, span.kind, span.name, span.model
        if key in alike:
            alike[key].append(span)
        else:
            alike[key] = [span]
    return {key: Tally.of(spans, metered=key[1] in METERED_KINDS) for key, spans in alike.items()}


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


def spread(minutes: Minutes) -> Tallies:
    """Count by minute, hour and day what was counted by minute."""
    tallies: Tallies = {}
    for (minute, kind, name, model), tally in minutes.items():
        operation = Operation(kind, name, model or "")
        for resolution_s in RESOLUTIONS_S:
            start_s = minute * MINUTE_S // resolution_s * resolution_s
            tallies.setdefault((resolution_s, start_s, operation), Tally()).merge(tally)
    return tallies


def fold(finished: Iterable[Span]) -> Tallies:
    """Count *finished* spans by minute, hour and day of their start."""
    return spread(count(finished))


def take_back(tallies: Tallies, finished: Sequence[Span]) -> None:
    """Count *finished*, which were counted before and have changed, no longer."""
    for key, tally in fold(finished).items() if finished else ():
        tallies.setdefault(key, Tally()).merge(tally.negative())


class Window(NamedTuple):
    """Whole buckets of one resolution: from *from_s* up to but without *to_s*, Unix seconds."""

    resolution_s: int
    from_s: int
    to_s: int


def whole_minutes(since_ns: int, until_ns: int) -> tuple[int, int]:
    """Widen a window in nanoseconds to whole minutes, in Unix seconds."""
    return since_ns // _MINUTE_NS * MINUTE_S, -(-until_ns // _MINUTE_NS) * MINUTE_S


def split(from_s: int, to_s: int, resolutions_s: Sequence[int] = RESOLUTIONS_S) -> Iterator[Window]:
    """Cover [from_s, to_s), both on whole minutes, with as few buckets as there are, each time once."""
    if from_s >= to_s or not resolutions_s:
        return
    finer, coarsest_s = resolutions_s[:-1], resolutions_s[-1]
    first_s, last_s = -(-from_s // coarsest_s) * coarsest_s, to_s // coarsest_s * coarsest_s
    if first_s >= last_s:
        yield from split(from_s, to_s, finer)
        return
    yield from split(from_s, first_s, finer)
    yield Window(coarsest_s, first_s, last_s)
    yield from split(last_s, to_s, finer)


def grouping(operation: Operation, group_by: Sequence[str]) -> Operation:
    """Blank out of *operation* what *group_by* does not name."""
    return Operation(
        operation.kind if "kind" in group_by else "",  # type: ignore[arg-type]
        operation.name if "name" in group_by else "",
        operation.model if "model" in group_by else "",
    )
