"""
What the writer does in a turn: send what ended, keep on disk what cannot be sent, replay it later.

So that what ends goes to the server in order, it stands in three places, oldest first:

    `parcels` in memory, seldom more than one  <  the disk, while the server is away or slow  <  the outbox

While anything of ours is on disk, what ends now goes behind it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from clew.sdk.backlog import LEFTOVER_S, Backlog
from clew.sdk.delivery import Delivery
from clew.sdk.exporter import Exporter, TryLater
from clew.sdk.intake import Intake
from clew.sdk.losses import LOG_INTERVAL_S, Losses
from clew.sdk.outbox import CROWD, Outbox
from clew.sdk.packing import PackedBody
from clew.sdk.parcels import DELTAS, NOTE, Flush, Parcel
from clew.sdk.spool import Spool

KEEP_AFTER_S: Final = 3.0
"""So long a server may be away before what waits in memory goes to disk..."""
KEEP_SPANS: Final = 4096
"""... or until so many spans wait, also while a slow server makes up its mind..."""
KEEP_BYTES: Final = 8 << 20
"""... or about so many bytes."""
SLOW_S: Final = 0.1
"""An answer that takes longer is waited for with an eye on the queue."""
DISK_S: Final = 10.0
"""The most that the end waits for a disk that does not answer."""
HELD_S: Final = 0.2
"""How long to wait for another process that delivers what we kept."""


class Pipeline:
    """All that is between the outbox and the server. One thread at a time: the writer sees to that."""

    def __init__(
        self, outbox: Outbox, exporter: Exporter, clock: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self.outbox = outbox
        self.clock = clock
        self.losses = Losses(outbox)
        self.intake = Intake(outbox, self.losses, pause)
        self.delivery = Delivery(exporter, self.losses, clock)
        self.backlog = Backlog(self.losses, clock)
        self.flush_traces, self.flush_interval_s = 100, 5.0
        self.flushes: set[Flush] = set()
        """Who waits now; other threads add and take away."""
        self.is_ending = False
        self._retired: list[Exporter] = []
        self._next_spool: list[Spool | None] = []
        self.connect(exporter)
        self.begin()

    def begin(self) -> None:
        """Begin with nothing: at first, and in a forked child."""
        self.parcels: deque[Parcel] = deque()
        self._reached: list[Flush] = []
        self._parked: list[Flush] = []
        """Behind what is on disk."""
        self._in_flight = False
        self._moving = threading.RLock()
        """Held while something is taken from memory, so that the end waits for that and not for a server."""
        self._sent_at = self._told_at = self.clock()
        self.flushes.clear()
        self.intake.forget()
        self.delivery.forget()
        self.backlog.forget()

    def connect(self, exporter: Exporter) -> None:
        """Send to *exporter* from now on, also what waits already."""
        if exporter is not self.delivery.exporter:
            self._retired.append(self.delivery.exporter)
        self.delivery.exporter = exporter
        # What only an exporter that talks over a network has.
        if hasattr(exporter, "while_waiting"):
            exporter.while_waiting = self.meanwhile
        if hasattr(exporter, "more_headers"):
            exporter.more_headers = self.losses.headers

    def use_spool(self, spool: Spool | None) -> None:
        """Keep in *spool* from the next turn on. From any thread."""
        self._next_spool.append(spool)

    # When.

    @property
    def is_stuck(self) -> bool:
        """Something has to go before what ends now."""
        return bool(self.parcels) or self.backlog.is_behind

    def wait_s(self) -> float:
        """How long there is nothing to do."""
        if not self.is_stuck:
            if self.backlog.is_broken_off:
                return 0.0
            return self._sent_at + self.flush_interval_s - self.clock()
        due_at = self.delivery.retry_at
        if self.backlog.spool is not None:
            due_at = min(due_at, max(self.backlog.opens_at, self._keep_at()))
        return due_at - self.clock()

    def _keep_at(self) -> float:
        if self.backlog.is_behind:
            return self._sent_at + self.flush_interval_s
        since = self.delivery.trouble_since
        return float("inf") if since is None else since + KEEP_AFTER_S

    def _is_called_for(self) -> bool:
        """What ended is to be sent, or kept, now."""
        outbox = self.outbox
        return bool(
            self.flushes
            or outbox.traces_due
            or self.intake.has_more
            or len(outbox.spans) >= CROWD
            or self.clock() - self._sent_at >= self.flush_interval_s
        )

    def _is_pressed(self) -> bool:
        return len(self.outbox.spans) >= KEEP_SPANS or self.outbox.waiting_bytes >= KEEP_BYTES

    def _should_keep(self) -> bool:
        if not self.backlog.is_open:
            return False
        return self._is_pressed() or self.clock() >= self._keep_at()

    # A turn.

    def turn(self) -> None:
        """Send, or keep, what is due."""
        self._adopt()
        self._answer()
        self.intake.tick()
        if self._is_due():
            self._work()
            self.outbox.yields = False
        self.speak()

    def _is_due(self) -> bool:
        if self.is_stuck:
            return self.clock() >= self.delivery.retry_at or self._should_keep()
        return self.backlog.is_broken_off or self._is_called_for()

    def _adopt(self) -> None:
        while self._retired:
            self._retired.pop().close()
        while self._next_spool:
            self.backlog.use(self._next_spool.pop(0))

    def _work(self) -> None:
        left = len(self.outbox.spans)
        while not self.is_ending:
            if self.is_stuck and self.clock() < self.delivery.retry_at:
                if self._should_keep():
                    self.keep()
                return
            if self.parcels:
                self._deliver_first()
            elif self.backlog.is_behind:
                self._replay()
            elif (left > 0 and self.outbox.spans) or self.intake.has_more:
                left -= self._take(len(self.outbox.spans))
            else:
                self._sent_at = self.clock()
                self._afterwards()
                return

    def _afterwards(self) -> None:
        """All is sent: there is time for sums, and for what others left."""
        deltas = self.intake.deltas()
        if deltas is not None:
            self.parcels.append(deltas)
            self._deliver_first()
        now = self.clock()
        if self.losses.total() > self.losses.known_to_server and now - self._told_at >= LOG_INTERVAL_S:
            self._told_at = now
            self._tell()
        if not self.is_stuck and self.backlog.has_leftovers():
            self.backlog.replay(self._deliver_leftover)
            self.backlog.may_have_leftovers = self.backlog.is_broken_off

    def _tell(self) -> None:
        """Send nothing but the counts of what was lost."""
        if hasattr(self.delivery.exporter, "more_headers"):
            lost = self.losses.total()
            with suppress(Exception):
                self.delivery.exporter.send(PackedBody(resource=self.intake.resource))
                self.losses.known_to_server = lost

    def _take(self, limit: int) -> int:
        """Pack up to *limit* waiting things into `parcels`; gives how many were taken, or all if none is left."""
        self.outbox.traces_due = False
        with self._moving:
            parcels, taken = self.intake.take(limit, hurried=bool(self.flushes) or self.is_ending)
            self.outbox.wake_at_root = self.intake.roots_taken + self.flush_traces
            self.parcels += parcels  # No call, between the making of them and this, that could fail.
        return taken or limit

    # Sending.

    def _deliver_first(self) -> None:
        flushes = self.parcels[0].flushes
        self._in_flight = True
        try:
            self.delivery.deliver(self.parcels, hurried=bool(self.flushes))
        finally:
            self._in_flight = False
            # Noted before anything else can fail, since somebody waits for it.
            for parcel in self.parcels:
                if parcel.flushes is flushes:
                    break
            else:
                self._reached += flushes
        self._answer()

    def _answer(self) -> None:
        """What ended before the flushes in `_reached` was sent, unless something of it is on disk still."""
        if not self._reached:
            return
        if self.backlog.is_behind:
            self._parked += self._reached
            self._reached = []
            return
        self.speak()  # Whoever waits for the flush finds it logged.
        while self._reached:
            flush = self._reached[0]
            self.flushes.discard(flush)
            flush.delivered = self.losses.none_since_asked()
            flush.done.set()
            del self._reached[0]

    def meanwhile(self, waited_s: float) -> None:
        """
        Called by the exporter while it waits for the other side, every few hundredths of a second.

        Raises:
            TryLater: it is not to wait any longer.
        """
        if self.is_ending:
            raise TryLater("the time was up")
        if waited_s >= SLOW_S and self._should_keep():
            self.keep()

    # The disk.

    def keep(self) -> None:
        """Put on disk what waits in memory, as far as there is room."""
        with self._moving:
            self._keep()

    def _keep(self) -> None:
        # What is being sent just now, or was before what is on disk, is tried from memory again.
        first = int(self._in_flight or self.backlog.is_behind) if not self.is_ending else 0
        left = len(self.outbox.spans)
        while True:
            while len(self.parcels) > first:
                if not self._keep_one(self.parcels[first]):
                    self.outbox.yields = False
                    return
                del self.parcels[first]
            if left <= 0 and not self.intake.has_more:
                break
            first = len(self.parcels)
            left -= self._take(left)
        self.outbox.yields = False
        self._sent_at = self.clock()

    def _keep_one(self, parcel: Parcel) -> bool:
        if (parcel.count or parcel.kind == DELTAS) and not self.backlog.keep(parcel):
            return False
        self._parked.extend(parcel.flushes)
        return True

    def _replay(self) -> None:
        if self.backlog.replay(self._deliver_kept):
            self._reached += self._parked
            self._parked = []
            self._answer()
        elif self.clock() >= self.delivery.retry_at:
            self.delivery.retry_at = self.clock() + HELD_S

    def _deliver_kept(self, parcel: Parcel) -> bool:
        parcels = deque([parcel])
        while parcels:
            if self.is_ending or not self.delivery.deliver(parcels, hurried=bool(self.flushes), is_kept=True):
                return False
        if self._should_keep():
            self.keep()
        return True

    def _deliver_leftover(self, parcel: Parcel) -> bool:
        """What ends now goes first: it has a reader, perhaps."""
        if self._is_called_for() or self.is_ending:
            self.backlog.is_broken_off = True
            return False
        parcels = deque([parcel])
        while parcels:
            if not self.delivery.deliver(parcels, is_kept=True):
                if self.delivery.was_denied:
                    self.delivery.forget()
                    self.backlog.leftovers_at = self.clock() + 60 * LEFTOVER_S
                else:
                    self.backlog.is_behind = True  # The server is in trouble: all goes behind it.
                return False
        return True

    # The end.

    def finish(self, *, from_another_thread: bool = False) -> None:
        """
        Keep on disk what was not sent; what cannot be kept is lost, and counted.

        *from_another_thread*: the writer's own hangs in a request, or in the resolving of a name, and may
        go on any time; what it is moving between memory and disk just now is waited for.
        """
        self.is_ending = True
        if not self._moving.acquire(timeout=DISK_S):
            self.losses.add("spool_broken", len(self.outbox.spans), "the disk does not answer")
            self.speak(last=True)
            return
        try:
            if from_another_thread:
                self.backlog = self.backlog.another()
            self._finish()
        finally:
            self._moving.release()

    def _finish(self) -> None:
        self._adopt()
        self.parcels = deque(self.parcels)  # Another thread may hang in the sending of the first.
        self.backlog.opens_at = 0.0
        self.keep()  # All that ended comes to the sampler, before that decides what is left.
        self.intake.drain()
        self.keep()
        deltas = self.intake.deltas(force=True)
        if deltas is not None and not self._keep_one(deltas):
            self.parcels.append(deltas)
        left = sum(parcel.count for parcel in self.parcels) + self.intake.ready_count
        left += sum(not isinstance(item, Flush) for item in self.outbox.spans)
        why = self.losses.last_reason or "the time was up"
        if left:
            self.losses.add(self.backlog.cause, left, why)
        if lost_deltas := sum(parcel.kind == DELTAS for parcel in self.parcels):
            self.losses.add("deltas", lost_deltas, why)
        if self.losses.total() > self.losses.known_to_server:
            self.backlog.note(Parcel(data=msgspec.msgpack.encode(self.losses.headers()), kind=NOTE))
        self.speak(last=True)
        self.parcels.clear()
        self.outbox.spans.clear()
        self.backlog.close()

    def speak(self, *, last: bool = False) -> None:
        """Log what there is to say, now and then."""
        self.losses.speak(self.clock(), trouble=self.is_stuck and self.delivery.attempts > 1, last=last)
