"""
How long to rest after a round of learning.

Python runs one thread at a time, so what learns takes from what ingests. While the rest of the
process is busy, learning takes a twentieth of the time, and once it has lagged for a minute a
fifth; when nobody else works it hardly rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

BUSY_SHARE = 0.3
"""Of one core: from here on the rest of the process counts as busy."""

RESTS = 19.0
RESTS_WHEN_LATE = 4.0
RESTS_WHEN_ALONE = 0.1
"""Times as long as the round took."""

LATE_AFTER_S = 60.0
SHORTEST_S, LONGEST_S = 0.01, 10.0


class Clocks(NamedTuple):
    """Where the clocks stand, in seconds."""

    wall_s: float
    process_s: float
    """CPU of all threads."""
    thread_s: float
    """CPU of this thread."""


def read_clocks() -> Clocks:
    """Read the clocks, on the thread that learns."""
    return Clocks(time.perf_counter(), time.process_time(), time.thread_time())


class Pace:
    """Says how long to rest. For one thread, which asks after each round."""

    def __init__(self, clocks: Callable[[], Clocks] = read_clocks) -> None:
        self._clocks = clocks
        self._last = clocks()
        self._began = self._last
        self._behind_since_s: float | None = None

    def begin(self) -> None:
        """A round begins."""
        self._began = self._clocks()

    def rest_s(self, *, more: bool) -> float:
        """A round is over: give the seconds to rest if there is *more* to do; without, it has caught up."""
        now = self._clocks()
        busy = self._others_share(now) > BUSY_SHARE
        took_s = now.wall_s - self._began.wall_s
        self._last = now
        if not more:
            self._behind_since_s = None
            return 0.0
        if self._behind_since_s is None:
            self._behind_since_s = now.wall_s
        late = now.wall_s - self._behind_since_s > LATE_AFTER_S
        rests = (RESTS_WHEN_LATE if late else RESTS) if busy else RESTS_WHEN_ALONE
        return max(SHORTEST_S, min(LONGEST_S, rests * took_s))

    def _others_share(self, now: Clocks) -> float:
        """The CPU that other threads took since the last round, as a share of one core."""
        others_s = (now.process_s - self._last.process_s) - (now.thread_s - self._last.thread_s)
        return others_s / max(1e-6, now.wall_s - self._last.wall_s)
