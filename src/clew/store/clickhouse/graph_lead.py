"""
Which of several processes that share a store learns, so that the others need not read the same for nothing.

No truth stands on it: what two learn at once is kept once all the same (`graph_queue.check_lesson`, and
positions of the log). So it may be wrong for a moment, and compares no clocks. Whoever leads says so every
few seconds, in one insert under the token of the next term, which one process gets; if for some time, by
its own clock, another one has seen no new term, it takes the next.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from clew.errors import ClewError
from clew.store.clickhouse.connect import Servers

RENEW_S = 5.0
LEASE_S = 15.0
"""After a leader was killed, nothing is learned for so long."""

_NOBODY = 0
_LEADS = {"name": "String", "term": "UInt64", "holder": "UInt64"}


class Lead:
    """Says whether this process learns. From any thread."""

    def __init__(self, servers: Servers, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = servers
        self._clock = clock
        self._lock = threading.Lock()
        self._me = 1 + secrets.randbelow(1 << 63)
        self._leads = False
        self._ask_at_s = 0.0
        self._seen = 0, 0.0
        """The last term, and when it was first seen."""

    def leads(self) -> bool:
        """
        Take the lead if nobody has it, or keep it.

        Raises:
            StoreBusy, StoreUnavailable: it cannot be asked; who led before leads until it can.
        """
        with self._lock:
            now_s = self._clock()
            if now_s >= self._ask_at_s:
                term, holder = self._newest()
                self._leads = self._may_take(term, holder, now_s) and self._take(term + 1, self._me)
                self._ask_at_s = now_s + RENEW_S
            return self._leads

    def give_up(self) -> None:
        """Let another process lead at once. Raises nothing: it will notice by itself."""
        with self._lock, suppress(ClewError):
            # Whoever asks again is told by the store whether it is still open.
            self._ask_at_s = float("-inf")
            if self._leads:
                self._leads = False
                term, holder = self._newest()
                if holder == self._me:
                    self._take(term + 1, _NOBODY)

    def _may_take(self, term: int, holder: int, now_s: float) -> bool:
        if term != self._seen[0]:
            self._seen = term, now_s
        return holder in (self._me, _NOBODY) or now_s - self._seen[1] >= LEASE_S

    def _newest(self) -> tuple[int, int]:
        """Term and holder."""
        rows = self._servers.rows("lead")
        return rows[0] if rows else (0, _NOBODY)

    def _take(self, term: int, holder: int) -> bool:
        """Begin a term; False if another one was there first."""
        self._servers.insert("clew_leads", _LEADS, [["learn"], [term], [holder]], token=f"learn {term}")
        return self._newest() == (term, holder)
