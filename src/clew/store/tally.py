"""
What `trace_metrics` counts: finished spans by minute, hour and day, kind, name and model.

Pure; the counting itself is `clew.model.tally`. A tally of an hour is the sum of its minutes, of a
day the sum of its hours, so a long window reads days in its middle, hours towards its edges and
minutes at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clew.model import Kind, Span, histogram
from clew.model.tally import MINUTE_NS, Minutes, Tally, count
from clew.store.protocol import Latency

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
RESOLUTIONS_S = (MINUTE_S, HOUR_S, DAY_S)
GROUPINGS = ("kind", "name", "model")


class Operation(NamedTuple):
    """What is counted together."""

    kind: Kind
    name: str
    model: str
    """Empty if there is none."""


def latency(operation: Operation, tally: Tally, quantiles: Sequence[float] = ()) -> Latency:
    """Say it for people: milliseconds and percentiles, those that are always given and *quantiles*."""
    p50_ns, p95_ns, p99_ns, *chosen_ns = histogram.percentiles(tally.buckets, (0.50, 0.95, 0.99, *quantiles))
    return Latency(
        kind=operation.kind,
        name=operation.name,
        model=operation.model or None,
        count=tally.count,
        errors=tally.errors,
        p50_ms=p50_ns / 1e6,
        p95_ms=p95_ns / 1e6,
        p99_ms=p99_ns / 1e6,
        mean_ms=tally.duration_ns / max(1, tally.count) / 1e6,
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cost_usd=tally.cost_usd,
        quantiles_ms={share: at_ns / 1e6 for share, at_ns in zip(quantiles, chosen_ns, strict=True)},
    )


Tallies = dict[tuple[int, int, Operation], Tally]
"""By resolution in seconds, start of the bucket in Unix seconds, and operation."""


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
    return since_ns // MINUTE_NS * MINUTE_S, -(-until_ns // MINUTE_NS) * MINUTE_S


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
