"""
What is slow: slower than 95 % of the last requests of the same operation.

Pure. The history of an operation is two histograms of durations (buckets of 2 %): the last full
thousand requests, and those since. With fewer than a hundred nothing is called slow. A duration in
the very bucket of the P95 is not slower than it, so where all take equally long none is slow.
"""

from __future__ import annotations

from typing import Final

from clew.model import histogram
from clew.model.histogram import Histogram

SHARE: Final = 0.95

NEEDED: Final = 100
"""Requests of an operation that must have ended before one of them can be called slow."""

WINDOW: Final = 1_000
"""The history is the last one to two times so many."""

LOOK_EVERY: Final = 50
"""Requests after which the P95 is worked out again."""

MOST_OPERATIONS: Final = 1_000
"""Those that come later share one history."""


class _History:
    """Of one operation."""

    __slots__ = ("before", "before_count", "count", "limit", "now")

    def __init__(self) -> None:
        self.now: Histogram = {}
        self.count = 0
        self.before: Histogram = {}
        self.before_count = 0
        self.limit: int | None = None
        """The bucket of the P95; None while there is too little history."""

    def note(self, bucket: int) -> None:
        self.now[bucket] = self.now.get(bucket, 0) + 1
        self.count += 1
        if self.count % LOOK_EVERY == 0 and self.count + self.before_count >= NEEDED:
            both = dict(self.before)
            histogram.merge(both, self.now)
            self.limit = histogram.bucket_at(both, SHARE)
        if self.count >= WINDOW:
            self.before, self.before_count = self.now, self.count
            self.now, self.count = {}, 0


class Slowness:
    """The histories of all operations, bounded."""

    def __init__(self) -> None:
        self._histories: dict[str, _History] = {}

    def judge(self, operation: str, duration_ns: int) -> bool:
        """Say whether a request was slow by what came before it, and count it."""
        history = self._histories.get(operation)
        if history is None:
            history = self._enter(operation)
        bucket = histogram.bucket_of(duration_ns)
        limit = history.limit
        history.note(bucket)
        return limit is not None and bucket > limit

    def _enter(self, operation: str) -> _History:
        name = operation if len(self._histories) < MOST_OPERATIONS else ""
        return self._histories.setdefault(name, _History())
