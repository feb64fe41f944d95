"""
Whose call an event was that named no parent: the innermost capability around it, where that is plain.

Exact however the intervals overlap, in n log n: a sweep over the starts, with trees over the ends
that say which of the capabilities begun so far begins last of those that end late enough, and how
many of them end within a range.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

Interval = tuple[int, int]
"""Start and end. It is around another if that neither begins earlier nor ends later, and is shorter."""


def innermost(inner: Sequence[Interval], outer: Sequence[Interval]) -> list[int | None]:
    """
    For each of *inner*, give the place in *outer* of the nearest interval around it.

    None if there is none, and if it is not plain: the nearest must lie within all others around.
    """
    around = _Around(outer)
    found: list[int | None] = [None] * len(inner)
    steps = [(*each, False, at) for at, each in enumerate(inner)] + [(*each, True, at) for at, each in enumerate(outer)]
    # At one start the longest comes first, and of what is alike none is around another.
    steps.sort(key=lambda step: (step[0], -step[1], step[2]))
    for start, end, is_outer, at in steps:
        if is_outer:
            around.enter(start, end, at)
        else:
            found[at] = around.nearest(end)
    return found


class _Around:
    """Intervals that have begun, by their ends."""

    def __init__(self, outer: Sequence[Interval]) -> None:
        self.alike = Counter(outer)
        self.ends = sorted({end for _, end in outer})
        size = len(self.ends) + 1
        self.latest: list[tuple[int, int, int]] = [_NOTHING] * size
        """Fenwick tree from the last end to the first: the latest (start, -end, place)."""
        self.counts = [0] * size
        """Fenwick tree from the first end to the last: how many."""

    def enter(self, start: int, end: int, at: int) -> None:
        """Let an interval begin."""
        rank = bisect_left(self.ends, end)
        place = len(self.ends) - rank
        while place < len(self.latest):
            self.latest[place] = max(self.latest[place], (start, -end, at))
            place += place & -place
        place = rank + 1
        while place < len(self.counts):
            self.counts[place] += 1
            place += place & -place

    def nearest(self, end: int) -> int | None:
        """Give the interval that is nearest around one that begins now and ends at *end*."""
        place = len(self.ends) - bisect_left(self.ends, end)
        latest = _NOTHING
        while place > 0:
            latest = max(latest, self.latest[place])
            place -= place & -place
        if latest is _NOTHING:
            return None
        start, minus_end, at = latest
        overlapping = self._ended_before(-minus_end) - self._ended_before(end)
        return None if overlapping or self.alike[start, -minus_end] > 1 else at

    def _ended_before(self, end: int) -> int:
        place = bisect_left(self.ends, end)
        total = 0
        while place > 0:
            total += self.counts[place]
            place -= place & -place
        return total


_NOTHING = (-(1 << 200), 0, 0)
