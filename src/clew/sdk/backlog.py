"""
What waits on disk, seen from the writer: keeps parcels, gives them back in order, and never raises.

A folder that cannot be written is said once and left alone for a while; meanwhile all goes on as
without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from clew.sdk.losses import Losses
from clew.sdk.parcels import Parcel
from clew.sdk.spool import Spool, SpoolBroken

log: Final = logging.getLogger("clew")

CLOSED_S: Final = 5.0
"""How long a spool that is full, or cannot be written, is left alone."""
LEFTOVER_S: Final = 5.0
"""How often to look for what other processes left."""


class Postponed(Exception):
    """Replay stops here; the rest stays on disk."""


class Backlog:
    """The spool of this process, if there is one. For the writer's thread."""

    def __init__(self, losses: Losses, clock: Callable[[], float]) -> None:
        self.losses = losses
        self.clock = clock
        self.spool: Spool | None = None
        self.is_behind = False
        """Something that is older than what ends now waits on disk; so that goes behind it."""
        self.cause = "shutdown"
        """Of the losses at the end, if there are any: why nothing is kept."""
        self._said = False
        self.forget()

    def forget(self) -> None:
        """Begin with nothing: at first, and in a forked child, whose parent has it."""
        self.is_behind = False
        self.opens_at = 0.0
        """When something may be kept again."""
        self.leftovers_at = 0.0
        """When to look again for what others left."""
        self.may_have_leftovers = False
        """They were not looked for yet, or are being sent."""
        self.is_broken_off = False
        """Their sending made way for what ended meanwhile."""
        if self.spool is not None:
            self.spool.after_fork()

    def use(self, spool: Spool | None) -> None:
        """Keep in *spool* from now on; what the last one holds is for whoever opens that next."""
        if self.spool is not None:
            self.spool.close()
        self.spool, self.is_behind, self.opens_at, self.leftovers_at = spool, False, 0.0, 0.0
        self.may_have_leftovers, self._said = spool is not None, False

    def another(self) -> Backlog:
        """The same folder for another thread, while this one hangs."""
        other = Backlog(self.losses, self.clock)
        if self.spool is not None:
            other.spool = self.spool.twin()
        return other

    @property
    def is_open(self) -> bool:
        """Something may be kept now."""
        return self.spool is not None and self.clock() >= self.opens_at

    def keep(self, parcel: Parcel) -> bool:
        """Put *parcel* on disk; False if it could not be, and is the caller's still."""
        if self.spool is None:
            self.cause = "shutdown"
            return False
        try:
            if self.spool.append(parcel.record(), parcel.count):
                self.is_behind = True
                return True
            self.cause = "spool_full"
            self._shut(f"the spool is full: {self.spool.folder} holds {self.spool.limit_bytes} bytes")
        except SpoolBroken as broken:
            self._break(broken)
        except Exception as error:  # Nothing that a disk does ends the writer.
            self._break(SpoolBroken(f"{error!r:.300}"))
        return False

    def note(self, parcel: Parcel) -> None:
        """Leave *parcel*, which is small, even where nothing else fits."""
        if self.spool is not None:
            with suppress(SpoolBroken):  # Then the log alone has it.
                self.spool.append(parcel.record(), 0, is_note=True)

    def replay(self, deliver: Callable[[Parcel], bool]) -> bool:
        """
        Deliver what waits, oldest first, until it is all gone or *deliver* gives False.

        True: nothing that this process kept waits any more.
        """
        spool = self.spool
        if spool is None:
            self.is_behind = False
            return True

        def hand_over(record: bytes, count: int) -> None:
            if not deliver(Parcel.of_record(record, count)):
                raise Postponed

        damaged = spool.damaged_count
        try:
            spool.replay(hand_over)
            self.is_behind = spool.waits_for_us()
        except Postponed:
            return False
        except SpoolBroken as broken:
            self.is_behind = False  # What lies there cannot be reached: it must not hold up the rest.
            self.leftovers_at = self.clock() + 12 * LEFTOVER_S
            self._break(broken)
        finally:
            if spool.damaged_count > damaged:
                self.losses.add("damaged", spool.damaged_count - damaged, f"{spool.folder} did not give it back whole")
        return not self.is_behind

    def has_leftovers(self) -> bool:
        """Whether others left something, if it is time to look."""
        now = self.clock()
        if self.spool is None or (now < self.leftovers_at and not self.is_broken_off):
            return False
        self.is_broken_off = False
        self.leftovers_at = now + LEFTOVER_S
        self.may_have_leftovers = self.spool.waits()
        return self.may_have_leftovers

    def close(self) -> None:
        """Let go of the folder, and say what waits there."""
        if self.spool is None:
            return
        count = self.spool.own_spans()
        self.spool.close()
        if count:
            log.warning(
                "clew: %d spans or scores wait in %s and are sent by the next process", count, self.spool.folder
            )

    def _break(self, broken: SpoolBroken) -> None:
        self.cause = "spool_broken"
        self._shut(f"the spool cannot be used: {broken}")

    def _shut(self, why: str) -> None:
        self.opens_at = self.clock() + CLOSED_S
        if not self._said:
            self._said = True
            log.warning("clew: %s", why)
