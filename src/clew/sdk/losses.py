"""
What was lost, counted by cause: for the log, for `flush`, and for the server, which shows it to others.

| cause | when |
| --- | --- |
| queue_full | more ended than fits in memory |
| shutdown | the time was up at exit, and there is no spool |
| spool_full, spool_broken | the same, and the spool could not keep it |
| denied | the server takes nothing from us: a wrong key, a wrong address |
| rejected | the server does not take this one |
| failed | this one makes the server fail, each time |
| unsendable | it could not be packed |
| damaged | the disk did not give it back; counted in batches, since nobody can read how many spans they held |
| deltas | a sum over unstored traffic that the server did not take; counted in sums |
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Final

from clew.sdk.outbox import Outbox

log: Final = logging.getLogger("clew")

LOG_INTERVAL_S: Final = 60.0
INSTANCE_HEADER: Final = "X-Clew-Instance"
DROPS_HEADER: Final = "X-Clew-Drops"


class Losses:
    """The losses of one process. `queue_full` is the outbox's own count."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._logged_at = -LOG_INTERVAL_S
        self.last_reason = ""
        self.forget()

    def forget(self) -> None:
        """Begin at zero, under another name: at first, and in a forked child."""
        self.drops: Counter[str] = Counter()
        self.instance = os.urandom(8).hex()
        self._logged = self._told = 0
        self.known_to_server = 0

    def add(self, cause: str, count: int, why: str) -> None:
        """Count what is lost now."""
        self.drops[cause] += count
        self.last_reason = why

    def total(self) -> int:
        """How much was lost so far, whatever the cause."""
        return sum(self.drops.values()) + self._outbox.full.value()

    def by_cause(self) -> dict[str, int]:
        """Each cause that occurred, and how much it cost."""
        causes = {"queue_full": self._outbox.full.value(), **self.drops}
        return {cause: count for cause, count in causes.items() if count}

    def none_since_asked(self) -> bool:
        """Whether nothing was lost since this was asked before: what a flush says."""
        lost, told = self.total(), self._told
        self._told = lost
        return lost == told

    def headers(self) -> dict[str, str]:
        """What goes with each request once something was lost: who we are, and all the counts so far."""
        causes = self.by_cause()
        if not causes:
            return {}
        return {
            INSTANCE_HEADER: self.instance,
            DROPS_HEADER: ",".join(f"{cause}={count}" for cause, count in causes.items()),
        }

    def speak(self, now: float, *, trouble: bool, last: bool = False) -> None:
        """Log complaints as they come, and losses and *trouble* at most once a minute. *now* is in seconds."""
        while self._outbox.complaints:
            log.warning("clew: %s", self._outbox.complaints.pop(0))
        if not last and now - self._logged_at < LOG_INTERVAL_S:
            return
        lost = self.total()
        if lost > self._logged:
            self._logged_at, self._logged = now, lost
            said = ", ".join(f"{cause} {count}" for cause, count in self.by_cause().items())
            log.warning("clew: %d spans or scores were lost so far (%s); last: %s", lost, said, self.last_reason)
        elif trouble and not last:
            self._logged_at = now
            log.warning("clew: spans wait and sending is tried again; last: %s", self.last_reason)
