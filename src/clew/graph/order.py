"""
Which of the calls of one scope had ended before which began.

Instants are doubled, so that one comparison settles what touches: a call with *finish* had ended
when one with *begin* began if finish <= begin. Clocks are coarse, so an end at the very moment of
a start counts; of two calls without length at one moment neither is before the other, and none is
before itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

RUNNING = 1 << 80
"""The finish of what has not ended."""

MOST_TRIGGERS = 64
"""
So many calls at most are followed by one.

After a fan-out of thousands, each call of a second fan-out follows each of the first: that is the
square of the trace. The last to finish are what a call waited for, so those are what it follows;
among those between whose ends nothing began, the last to begin.
"""

After = tuple[int, ...]
"""
For each call of a scope, in order, the place of the first that began when it had ended; how many
calls there are if none did. Empty if they ran one after another. It says the whole order: a call
had ended before another began if the other's place is not below this one.
"""


def moments(start_ns: int, end_ns: int | None) -> tuple[int, int]:
    """Give a call's begin and finish. An end before its start is a broken clock: it took no time."""
    if end_ns is None:
        return 2 * start_ns + 1, RUNNING
    return (2 * start_ns + 1, 2 * end_ns) if end_ns > start_ns else (2 * start_ns, 2 * start_ns + 1)


def after(begins: Sequence[int], finishes: Sequence[int]) -> After:
    """Give the order of calls that are sorted by begin."""
    return tuple([bisect_left(begins, finish) for finish in finishes])


def ranks_of(order: After) -> tuple[list[int], list[int]]:
    """
    Give for each call how many had ended when it began, and its rank by end.

    As far as it matters to who began when: calls between whose ends nothing began rank as they began.
    """
    ranks = [0] * len(order)
    ended = [0] * (len(order) + 1)
    for rank, at in enumerate(_by_end(order)):
        ranks[at] = rank
        ended[order[at]] += 1
    return list(accumulate(ended[:-1])), ranks


def follows(order: After, count: int) -> Iterator[tuple[int, int]]:
    """
    Give each (earlier, later) of *count* calls between which none ran wholly.

    Sorted by end, those that a call follows lie together: they are the ones that had ended when it
    began, but not before the latest of these began.
    """
    if not order:
        yield from pairwise(range(count))
        return
    ended = _by_end(order)
    low = high = 0
    latest = -1
    for later in range(count):
        while high < count and order[ended[high]] <= later:
            latest = max(latest, ended[high])
            high += 1
        while low < high and order[ended[low]] <= latest:
            low += 1
        for earlier in ended[max(low, high - MOST_TRIGGERS) : high]:
            yield earlier, later


def _by_end(order: After) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
