"""
Learn traces once they are quiet, a few at a time, for as long as the process runs.

One round reads what is due, folds it (`lessons`) and saves it with the marks that say so, in one
transaction for each project. What changed meanwhile, or was learned by another process, is left to
a later round. Nothing here raises: a store that is busy or away is asked again, later and later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from clew.errors import StoreBusy, StoreUnavailable
from clew.graph import Graph
from clew.jobs.lessons import Reading, lesson_of, read
from clew.jobs.pace import Pace
from clew.jobs.scoring import scored
from clew.store.protocol import GraphStore, LearnedTrace, Lesson, StaleLesson, Unlearned

ROUND_TRACES = 200
ROUND_SPANS = 20_000
"""A round reads so much at most; a longer trace is a round alone."""

ROOTLESS_TIMES = 30
"""A trace whose root has not come is left in peace for so many times as long."""

POLL_S = 1.0
LONGEST_BACKOFF_S = 60.0

CLOSE_EVERY_NS = 600 * 10**9
OPEN_FOR_NS = 86_400 * 10**9
"""A suggestion whose outcome is not known after a day is closed without one."""

OnLearned = Callable[[str, Graph, int], None]
"""Told of each save: the project, what was added to its graph, and the graph's version with it."""

_logger = logging.getLogger(__name__)


class LearnJob:
    """Learns from *store* on a thread of its own. `start` before use, `close` before the store is closed."""

    def __init__(
        self,
        store: GraphStore,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        on_learned: OnLearned | None = None,
        quiet_s: float = 2.0,
        wait: Callable[[float], object] | None = None,
        pace: Pace | None = None,
    ) -> None:
        """*wait* sleeps for some seconds, shorter if the job is being closed."""
        self._store = store
        self._now_ns = now_ns
        self._on_learned = on_learned
        self._quiet_ns = round(quiet_s * 1e9)
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._pace = pace
        self._failures = 0
        self._close_suggestions_at_ns = 0
        self._thread = threading.Thread(target=self._run, name="clew-learn", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """End the thread after what it is saving now. Idempotent. False if that took longer than *timeout_s*."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def learn_once(self) -> int:
        """Run one round; gives how many traces it learned, 0 also if the store could not be used."""
        try:
            return self._round()
        except (StoreBusy, StoreUnavailable) as error:
            self._failures += 1
            _logger.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "learning waits: %s", error)
        except Exception:
            self._failures += 1
            _logger.exception("learning failed and will be tried again")
        return 0

    def _run(self) -> None:
        pace = self._pace or Pace()
        while not self._closing.is_set():
            pace.begin()
            learned = self.learn_once()
            rest_s = pace.rest_s(more=learned > 0)
            self._wait(self._backoff_s() if self._failures else rest_s if learned else POLL_S)

    def _backoff_s(self) -> float:
        return float(min(LONGEST_BACKOFF_S, POLL_S * 2 ** min(self._failures, 10)))

    def _round(self) -> int:
        now_ns = self._now_ns()
        due = self._store.unlearned(
            quiet_since_ns=now_ns - self._quiet_ns,
            rootless_quiet_since_ns=now_ns - ROOTLESS_TIMES * self._quiet_ns,
            limit=ROUND_TRACES,
            most_spans=ROUND_SPANS,
        )
        learned = 0
        for project in dict.fromkeys(trace.project for trace in due):
            if self._closing.is_set():
                break
            learned += self._learn([trace for trace in due if trace.project == project])
        if now_ns >= self._close_suggestions_at_ns:
            self._store.close_suggestions(now_ns - OPEN_FOR_NS)
            self._close_suggestions_at_ns = now_ns + CLOSE_EVERY_NS
        self._failures = 0
        return learned

    def _learn(self, traces: Sequence[Unlearned]) -> int:
        """Learn traces of one project, those that nobody changed meanwhile."""
        readings = read(traces)
        while traces:
            lesson = lesson_of(traces[0].project, traces, readings)
            try:
                version = self._store.save_lesson(lesson)
            except StaleLesson as stale:
                traces = [trace for trace in traces if trace.trace_id not in stale.trace_ids]
                readings = [reading for reading in readings if reading.trace.trace_id not in stale.trace_ids]
                continue
            except (StoreBusy, StoreUnavailable):
                raise
            except Exception:
                return self._learn_apart(traces)
            self._tell(lesson, version)
            self._score(lesson, readings)
            return sum(not trace.skipped for trace in lesson.traces)
        return 0

    def _learn_apart(self, traces: Sequence[Unlearned]) -> int:
        """The store cannot keep what some trace of these teaches, which is a bug: find it, and set it aside."""
        if len(traces) > 1:
            middle = len(traces) // 2
            return self._learn(traces[:middle]) + self._learn(traces[middle:])
        [trace] = traces
        _logger.exception("trace %s of project %r is left out of the graph", trace.trace_id, trace.project)
        aside = Lesson(
            project=trace.project, delta=Graph(), traces=[LearnedTrace(trace.trace_id, trace.mark, skipped=True)]
        )
        with suppress(StaleLesson):  # More of it has come, and may mend it.
            self._store.save_lesson(aside)
        return 0

    def _tell(self, lesson: Lesson, version: int) -> None:
        if self._on_learned is None:
            return
        try:
            self._on_learned(lesson.project, lesson.delta, version)
        except Exception:
            _logger.exception("what was learned is saved, but who was told of it failed")

    def _score(self, lesson: Lesson, readings: Sequence[Reading]) -> None:
        """Score the suggestions that these traces were given."""
        calls = {reading.trace.trace_id: reading.now for reading in readings}
        waiting = self._store.open_suggestions(lesson.project, list(calls))
        known = [done for record in waiting if (done := scored(record, calls[record.trace_id])) is not None]
        if known:
            self._store.score_suggestions(known)
