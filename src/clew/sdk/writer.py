"""
The one background thread: takes ended spans, packs them, sends them.

It sends when so many traces have ended or so many seconds have passed, whichever is first, when
many spans wait, and when somebody flushes. It works in small pieces and pauses between them,
because whatever it computes the caller's threads wait for (they share the interpreter): an
exporter that works in one go is what gives tracing its long tails.

What it cannot deliver it keeps and tries again, later and later. The queue behind it is bounded;
each span that is lost is counted by cause, and the log says so at most once a minute.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from clew.errors import SchemaTooNew, StoreBusy, StoreUnavailable
from clew.model import Score
from clew.sdk.ambient import CURRENT, SUPPRESSED
from clew.sdk.carriers.executors import start_thread
from clew.sdk.exporter import Denied, Exporter, Refused, TryLater
from clew.sdk.outbox import CROWD, Outbox
from clew.sdk.packing import PackedBody, encoded_size, pack, strip_packed
from clew.sdk.span import ActiveSpan

log: Final = logging.getLogger("clew")

BATCH_SPANS: Final = 512
BATCH_BYTES: Final = 4 << 20
PIECE: Final = 8
"""Spans packed between two pauses."""
PAUSE_S: Final = 0.0002
LOG_INTERVAL_S: Final = 60.0
BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
HURRIED_BACKOFF_S: Final = 0.05
HURRIED_BACKOFF_MAX_S: Final = 0.5
FAILURES: Final = 6
"""So often a batch may make the other side fail (500), which is not the same as being busy."""


class Flush:
    """Stands in the queue behind everything that ended before it, until that is delivered."""

    __slots__ = ("delivered", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.delivered = False


class Batch:
    """What one request carries, and who waits for it."""

    __slots__ = ("body", "flushes", "is_bare")

    def __init__(self, body: PackedBody, flushes: list[Flush], *, is_bare: bool = False) -> None:
        self.body = body
        self.flushes = flushes
        self.is_bare = is_bare
        """Sent without payload already: refused again, it is lost."""

    def __len__(self) -> int:
        return len(self.body.spans) + len(self.body.scores)


class Writer:
    """Owns the outbox's other end. `turn` is one look at the queue; the thread takes turns forever."""

    def __init__(
        self,
        outbox: Outbox,
        exporter: Exporter,
        *,
        flush_traces: int = 100,
        flush_interval_s: float = 5.0,
        resource: dict[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.outbox = outbox
        self.exporter = exporter
        self.flush_traces = flush_traces
        self.flush_interval_s = flush_interval_s
        self.resource = resource or {}
        self.clock = clock
        self.pause = pause
        self.drops: Counter[str] = Counter()
        """Spans and scores that were lost, by cause; `queue_full` is the outbox's own count."""
        self.unreachable = False
        """Nobody was there when we last tried."""
        self.stopped = False
        self._retired: list[Exporter] = []
        self._flushes: set[Flush] = set()
        self._logged_at = -LOG_INTERVAL_S
        self._logged_drops = 0
        self._told_drops = 0
        self._last_reason = ""
        self.reset()

    def reset(self) -> None:
        """Begin with nothing, no thread, and locks that nobody holds: at first, and after a fork."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._turn = threading.Lock()
        self._batches: deque[Batch] = deque()
        self._flushes.clear()
        self._attempts = 0
        self._retry_at = 0.0
        self._waits_as_told = False
        self._sent_at = self.clock()
        self._roots_taken = 0
        self.outbox.empty(wake_at_root=self.flush_traces)

    def redirect(
        self, exporter: Exporter, *, flush_traces: int, flush_interval_s: float, resource: dict[str, Any]
    ) -> None:
        """Send to somewhere else from now on, also what waits already."""
        self._retired.append(self.exporter)
        self.exporter = exporter
        self.flush_traces = flush_traces
        self.flush_interval_s = flush_interval_s
        self.resource = resource
        self.outbox.wake_at_root = self._roots_taken + flush_traces
        self._retry_at = 0.0
        self.outbox.ring()

    # The thread.

    def ensure_running(self) -> None:
        """Start the thread if there is none, or if it has died. Never blocks, never raises."""
        thread = self._thread
        if self.stopped:
            return
        if thread is not None and thread.is_alive():
            self.outbox.crowded_at = CROWD
            return
        if not self._starting.acquire(blocking=False):
            return  # Somebody else is starting it.
        try:
            self._thread = threading.Thread(target=self._run, name="clew-writer", daemon=True)
            start_thread(self._thread)
            self.outbox.crowded_at = CROWD
        except RuntimeError:
            self._thread = None  # No more threads, or the interpreter is going: `flush` does the work.
            self.outbox.crowded_at = CROWD
        finally:
            self._starting.release()

    @property
    def is_running(self) -> bool:
        """The thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        # What we do here is never traced, whatever else in this process is instrumented.
        CURRENT.set(SUPPRESSED)
        while not self.stopped:
            try:
                self.outbox.wait(self.wait_s())
                self.turn()
            except BaseException:
                # Also what a __repr__ of the user's may raise: this thread outlives everything.
                log.exception("clew: the writer stumbled and goes on")
                time.sleep(0.1)

    def wait_s(self) -> float:
        """How long there is nothing to do."""
        due_at = self._retry_at if self._batches else self._sent_at + self.flush_interval_s
        return due_at - self.clock()

    def turn(self) -> None:
        """Send what is due."""
        with self._turn:
            while self._retired:
                self._retired.pop().close()
            if self._is_due():
                self._send_waiting()
            self._speak()

    def _is_due(self) -> bool:
        now = self.clock()
        if self._batches:
            return now >= self._retry_at
        outbox = self.outbox
        return bool(
            self._flushes
            or outbox.traces_due
            or len(outbox.spans) >= CROWD
            or now - self._sent_at >= self.flush_interval_s
        )

    # Packing.

    def _send_waiting(self) -> None:
        """Send everything that waits now, until the other side says "later"."""
        self.outbox.traces_due = False
        left = len(self.outbox.spans)
        while self._batches or left > 0:
            if not self._batches:
                left -= self._take(left)
            if not self._deliver(self._batches[0]):
                return
        self._sent_at = self.clock()

    def _take(self, limit: int) -> int:
        """Pack up to *limit* waiting things into one batch; gives how many were taken."""
        batch = Batch(PackedBody(resource=self.resource), [])
        waiting, size, taken = self.outbox.spans, 0, 0
        while taken < limit and waiting and len(batch) < BATCH_SPANS and size < BATCH_BYTES:
            item = waiting.popleft()
            self.outbox.taken(item)
            taken += 1
            if isinstance(item, Flush):
                batch.flushes.append(item)
                break  # What ended after the flush is not to delay it.
            size += self._add(batch.body, item)
            if taken % PIECE == 0 and not self._flushes and len(waiting) < self.outbox.limit // 2:
                self.pause(PAUSE_S)
        self.outbox.wake_at_root = self._roots_taken + self.flush_traces
        self._batches.append(batch)
        return taken

    def _add(self, body: PackedBody, item: ActiveSpan | Score) -> int:
        try:
            if isinstance(item, Score):
                size = encoded_size(item)
                body.scores.append(item)
                return size
            self._roots_taken += item._is_root
            native, packed = pack(item)
            item.shed()
        except Exception as error:
            self._lose("unsendable", 1, f"{error!r:.200}")
            return 0
        body.spans.append(native)
        body.packed.append(packed)
        return len(packed)

    # Sending.

    def _deliver(self, batch: Batch) -> bool:
        """Send the first batch; False if it has to be sent again later."""
        try:
            rejected = self.exporter.send(batch.body) if len(batch) else None
        except TryLater as later:
            return self._postpone(batch, later)
        except (StoreBusy, StoreUnavailable) as error:
            if not isinstance(error, SchemaTooNew):
                away = isinstance(error, StoreUnavailable)
                return self._postpone(batch, TryLater(str(error), unreachable=away))
            self._give_up(batch, "denied", str(error))
        except Denied as error:
            self._give_up(batch, "denied", str(error))
        except Exception as error:
            self._divide(batch, str(error) if isinstance(error, Refused) else f"{error!r:.300}")
        else:
            if rejected:
                self._lose("rejected", len(rejected), rejected[0])
            self._done(batch)
        return True

    def _postpone(self, batch: Batch, later: TryLater) -> bool:
        self._attempts += 1
        self.unreachable = later.unreachable
        self._last_reason = str(later)
        if not later.is_overload and self._attempts >= FAILURES:
            self._give_up(batch, "failed", str(later))
            return True
        if later.after_s is None:
            base, most = (BACKOFF_S, BACKOFF_MAX_S) if not self._flushes else (HURRIED_BACKOFF_S, HURRIED_BACKOFF_MAX_S)
            wait_s = min(base * 2 ** min(self._attempts - 1, 10), most) * random.uniform(0.8, 1.2)  # noqa: S311
        else:
            wait_s = later.after_s
        self._waits_as_told = later.after_s is not None
        self._retry_at = self.clock() + wait_s
        return False

    def _divide(self, batch: Batch, why: str) -> None:
        """Refused: find what it is that is refused, and send the rest."""
        spans, scores = batch.body.spans, batch.body.scores
        if len(batch) == 1:
            if spans and not batch.is_bare:
                native, packed = strip_packed(spans[0], why)
                bare = PackedBody(spans=[native], packed=[packed], resource=self.resource)
                self._batches[0] = Batch(bare, batch.flushes, is_bare=True)
            else:
                self._give_up(batch, "rejected", why)
            return
        self._batches.popleft()
        half = (len(spans) + 1) // 2
        half_scores = len(scores) // 2 if not spans else 0
        first = PackedBody(
            spans=spans[:half], packed=batch.body.packed[:half], scores=scores[:half_scores], resource=self.resource
        )
        rest = PackedBody(
            spans=spans[half:], packed=batch.body.packed[half:], scores=scores[half_scores:], resource=self.resource
        )
        self._batches.extendleft((Batch(rest, batch.flushes), Batch(first, [])))

    def _give_up(self, batch: Batch, cause: str, why: str) -> None:
        self._lose(cause, len(batch), why)
        self._done(batch)

    def _done(self, batch: Batch) -> None:
        self._batches.popleft()
        self._attempts = 0
        self._waits_as_told = False
        self.unreachable = False
        if batch.flushes:
            self._speak()  # Whoever waits for the flush finds it logged.
        for flush in batch.flushes:
            lost = self.lost()
            flush.delivered = lost == self._told_drops
            self._told_drops = lost
            flush.done.set()

    # Losses.

    def _lose(self, cause: str, count: int, why: str) -> None:
        self.drops[cause] += count
        self._last_reason = why

    def lost(self) -> int:
        """How many spans and scores were lost so far, whatever the cause."""
        return sum(self.drops.values()) + self.outbox.full.value()

    def _speak(self, *, last: bool = False) -> None:
        """Log complaints as they come, and losses and trouble at most once a minute."""
        while self.outbox.complaints:
            log.warning("clew: %s", self.outbox.complaints.pop(0))
        now = self.clock()
        if not last and now - self._logged_at < LOG_INTERVAL_S:
            return
        lost = self.lost()
        if lost > self._logged_drops:
            self._logged_at, self._logged_drops = now, lost
            causes = {"queue_full": self.outbox.full.value(), **self.drops}
            said = ", ".join(f"{cause} {count}" for cause, count in causes.items() if count)
            log.warning("clew: %d spans or scores were lost so far (%s); last: %s", lost, said, self._last_reason)
        elif self._batches and self._attempts > 1 and not last:
            self._logged_at = now
            log.warning("clew: spans wait and sending is tried again; last: %s", self._last_reason)

    # From other threads.

    def flush(self, timeout_s: float, *, patience_s: float | None = None) -> bool:
        """
        Deliver everything that ended before; True if all of it was, and nothing lost since the last.

        Gives up after *timeout_s*; if nobody is there at all, after *patience_s*. What could not
        be delivered stays in the queue.
        """
        if not self.is_running and not self.outbox.spans and not self._batches:
            self._speak(last=True)
            return self._nothing_lost()
        mark = Flush()
        self._flushes.add(mark)
        if not self._waits_as_told:
            self._retry_at = 0.0
        self.outbox.spans.append(mark)
        self.ensure_running()
        began = time.monotonic()
        try:
            self._await(mark, began + timeout_s, began + (timeout_s if patience_s is None else patience_s))
        finally:
            self._flushes.discard(mark)
        return mark.delivered

    def _await(self, mark: Flush, until: float, patient_until: float) -> None:
        self.outbox.ring()
        while not mark.done.is_set():
            now = time.monotonic()
            if now >= until or (self.unreachable and now >= patient_until):
                return
            if self.is_running:
                mark.done.wait(min(until - now, 0.05))
            else:
                before = CURRENT.get()
                CURRENT.set(SUPPRESSED)
                self.turn()
                CURRENT.set(before)
                mark.done.wait(max(0.0, min(until - now, self.wait_s(), 0.05)))

    def _nothing_lost(self) -> bool:
        lost, told = self.lost(), self._told_drops
        self._told_drops = lost
        return lost == told

    def stop(self) -> None:
        """End the thread and let go of the exporter. What still waits is lost, and counted."""
        self.stopped = True
        # Whatever ends from now on has nobody to take it, and is counted as lost.
        self.outbox.limit = self.outbox.crowded_at = 0
        self.outbox.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=0.5)
        if self._turn.acquire(timeout=0.1):  # Not held unless the thread hangs in a request.
            try:
                left = sum(len(batch) for batch in self._batches)
                left += sum(not isinstance(item, Flush) for item in self.outbox.spans)
                if left:
                    self._lose("shutdown", left, self._last_reason or "the time was up")
                self._speak(last=True)
                self._batches.clear()
                self.outbox.spans.clear()
                self.exporter.close()
            finally:
                self._turn.release()
