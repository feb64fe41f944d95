"""
The one background thread: takes ended spans and has them delivered.

It sends when so many traces have ended or so many seconds have passed, whichever is first, when
many spans wait, and when somebody flushes. What it does then is `clew.sdk.pipeline`; here are the
thread and the doors for other threads: `flush`, `stop`, and the fork.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from clew.sdk.ambient import CURRENT, SUPPRESSED
from clew.sdk.carriers.executors import start_thread
from clew.sdk.exporter import Exporter
from clew.sdk.outbox import CROWD, Outbox
from clew.sdk.parcels import Flush
from clew.sdk.pipeline import Pipeline
from clew.sdk.sampler import Sampler
from clew.sdk.spool import Spool

log: Final = logging.getLogger("clew")

JOIN_S: Final = 1.0
"""How long the end waits for the thread, which looks up every few hundredths of a second."""

STUMBLE_S: Final = 0.1
"""After a turn that failed the next one waits so long, and longer each time it fails again."""


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
        self.pipeline = Pipeline(outbox, exporter, clock, pause)
        self.pipeline.flush_traces, self.pipeline.flush_interval_s = flush_traces, flush_interval_s
        self.pipeline.intake.resource = resource or {}
        self.stopped = False
        self._renew()

    def _renew(self) -> None:
        """No thread, and locks that nobody holds."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._turn = threading.Lock()
        self.outbox.empty(wake_at_root=self.pipeline.flush_traces)

    def after_fork(self) -> None:
        """In a forked child: begin with nothing. The parent sends what waited."""
        self.exporter.after_fork()
        self.pipeline.losses.forget()
        self.pipeline.begin()
        self._renew()

    def redirect(
        self, exporter: Exporter, *, flush_traces: int, flush_interval_s: float, resource: dict[str, Any]
    ) -> None:
        """Send to somewhere else from now on, also what waits already."""
        pipeline = self.pipeline
        pipeline.connect(exporter)
        pipeline.flush_traces, pipeline.flush_interval_s = flush_traces, flush_interval_s
        pipeline.intake.resource = resource
        self.outbox.wake_at_root = pipeline.intake.roots_taken + flush_traces
        pipeline.delivery.retry_at = 0.0
        self.outbox.ring()

    @property
    def exporter(self) -> Exporter:
        """Where everything goes."""
        return self.pipeline.delivery.exporter

    @property
    def sampler(self) -> Sampler | None:
        """Decides which traces are stored; None: all."""
        return self.pipeline.intake.sampler

    @sampler.setter
    def sampler(self, sampler: Sampler | None) -> None:
        self.pipeline.intake.sampler = sampler

    @property
    def spool(self) -> Spool | None:
        """Keeps what cannot be delivered; None: memory alone."""
        return self.pipeline.backlog.spool

    @spool.setter
    def spool(self, spool: Spool | None) -> None:
        self.pipeline.use_spool(spool)

    @property
    def drops(self) -> Counter[str]:
        """Spans and scores that were lost, by cause; `queue_full` is the outbox's own count."""
        return self.pipeline.losses.drops

    def lost(self) -> int:
        """How many spans and scores were lost so far, whatever the cause."""
        return self.pipeline.losses.total()

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
        stumbles = 0
        while not self.stopped:
            try:
                # What we do here is never traced, whatever else in this process is instrumented.
                CURRENT.set(SUPPRESSED)
                self.outbox.wait(self.wait_s())
                self.turn()
                stumbles = 0
            except BaseException:
                # Also what a __repr__ of the user's may raise: this thread outlives everything.
                log.exception("clew: the writer stumbled and goes on")
                time.sleep(min(STUMBLE_S * 2**stumbles, 5.0))
                stumbles = min(stumbles + 1, 10)
                self.outbox.ring()  # Whoever waited for this turn waits still.

    def wait_s(self) -> float:
        """How long there is nothing to do."""
        return self.pipeline.wait_s()

    def turn(self) -> None:
        """Send what is due."""
        with self._turn:
            self.pipeline.turn()

    # From other threads.

    def rest(self, timeout_s: float) -> bool:
        """Have no turn taken until `go_on`; False if the one that is being taken lasts longer than *timeout_s*."""
        return self._turn.acquire(timeout=timeout_s)

    def go_on(self) -> None:
        """End the rest."""
        self._turn.release()
        self.outbox.ring()

    def flush(self, timeout_s: float, *, patience_s: float | None = None) -> bool:
        """
        Deliver everything that ended before; True if all of it was, and nothing lost since the last.

        Gives up after *timeout_s*; if nobody is there at all, after *patience_s*. What could not
        be delivered stays where it is, in memory or on disk.
        """
        pipeline = self.pipeline
        if not self.is_running and not self.outbox.spans and not pipeline.is_stuck:
            pipeline.speak(last=True)
            return pipeline.losses.none_since_asked()
        mark = Flush()
        pipeline.flushes.add(mark)
        if not pipeline.delivery.waits_as_told:
            pipeline.delivery.retry_at = 0.0
        self.outbox.spans.append(mark)
        self.ensure_running()
        began = time.monotonic()
        try:
            self._await(mark, began + timeout_s, began + (timeout_s if patience_s is None else patience_s))
        finally:
            pipeline.flushes.discard(mark)
        return mark.delivered

    def _await(self, mark: Flush, until: float, patient_until: float) -> None:
        self.outbox.ring()
        while not mark.done.is_set():
            now = time.monotonic()
            if now >= until or self.stopped or (self.pipeline.delivery.unreachable and now >= patient_until):
                return
            if self.is_running:
                mark.done.wait(min(until - now, 0.05))
            else:
                before = CURRENT.get()
                CURRENT.set(SUPPRESSED)
                self.turn()
                CURRENT.set(before)
                mark.done.wait(max(0.0, min(until - now, self.wait_s(), 0.05)))

    def linger(self, timeout_s: float) -> None:
        """Let the thread send what earlier processes left: a program that always ends soon would never do it."""
        until = time.monotonic() + timeout_s
        while self.is_running and self.pipeline.backlog.may_have_leftovers and time.monotonic() < until:
            time.sleep(0.005)

    def stop(self) -> None:
        """End the thread and let go of the exporter. What still waits goes to disk, or is lost and counted."""
        self.stopped = self.pipeline.is_ending = True
        # Whatever ends from now on has nobody to take it, and is counted as lost.
        self.outbox.limit = self.outbox.crowded_at = 0
        self.outbox.ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=JOIN_S)
        if self._turn.acquire(timeout=0.1):
            try:
                self.pipeline.finish()
                self.exporter.close()
            finally:
                self._turn.release()
        else:
            self.pipeline.finish(from_another_thread=True)
