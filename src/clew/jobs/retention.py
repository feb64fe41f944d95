"""
Let traces go whose time is over, a few at a time, for as long as the process runs.

A round walks over what is to go once; each of its steps is one short transaction, and between two
of them others write. What is still to be learned is left to a later round. Nothing here raises: a
store that is busy or away is asked again in the next round.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from clew.errors import ClewError
from clew.jobs.pace import Pace
from clew.store.protocol import Expiring, Gone, Policy, Store
from clew.store.retention import STEP_TRACES

FIRST_AFTER_S = 60.0
EVERY_S = 600.0

STEP_METRICS = 2_000
"""Histograms that one step drops."""

STEP_SUGGESTIONS = 2_000

SPARE_SHARE = 20
"""Of what is in use, one part in so many is left free: what comes next would only ask for it again."""

_logger = logging.getLogger(__name__)


class Done(NamedTuple):
    """What a round did."""

    expired: Gone = Gone()
    crowded_out: Gone = Gone()
    """Dropped for lack of room."""
    waiting: int = 0
    """Traces that are to be learned first."""
    metrics: int = 0
    suggestions: int = 0
    bytes: int = 0
    """About: what went, by its share of the spans."""


class Totals:
    """What a `RetentionJob` did since it began, for whoever watches it. Written by its thread alone."""

    def __init__(self) -> None:
        self.done = Done()
        """Summed up; what waits is of the last round."""
        self.rounds = 0
        self.failures = 0
        """Rounds that broke off."""
        self.last_round_ns: int | None = None
        """When the last one ended, Unix nanoseconds."""

    @property
    def dropped_traces(self) -> int:
        """All that went, for whatever cause."""
        return self.done.expired.traces + self.done.crowded_out.traces

    def add(self, done: Done, *, failed: bool, at_ns: int) -> None:
        """Count a round."""
        self.done = summed(self.done, done)
        self.rounds, self.failures, self.last_round_ns = self.rounds + 1, self.failures + failed, at_ns


class Round:
    """One round over *store*. `steps` does it; `done` is what was done so far."""

    def __init__(self, store: Store, policy: Policy, *, now_ns: int, learned_only: bool, spare: bool = True) -> None:
        self._store = store
        self._policy = policy
        self._now_ns = now_ns
        self._learned_only = learned_only
        self._spare = spare
        self.done = Done()
        self._span_bytes: float | None = None

    def steps(self) -> Iterator[None]:
        """Do it, one step at each turn."""
        if self._policy.drops_by_age:
            yield from self._by_age()
        if self._policy.most_bytes is not None:
            yield from self._by_size(self._policy.most_bytes)
        yield from self._metrics()
        yield from self._suggestions()
        while self._store.give_back(spare_bytes=self._store.used_bytes() // SPARE_SHARE if self._spare else 0):
            yield
        if self._store.scrub():  # An erasure that was cut short.
            yield

    def _by_age(self) -> Iterator[None]:
        after = None
        while found := self._store.expired(self._policy, now_ns=self._now_ns, limit=STEP_TRACES, after=after):
            gone = self._drop(found)
            self.done = self.done._replace(expired=_sum(self.done.expired, gone))
            after = found[-1].place
            yield

    def _by_size(self, most_bytes: int) -> Iterator[None]:
        """As many spans as take the bytes that are too many; the next round measures again."""
        goal = spans_over(self._store, most_bytes)
        for spare in (True, False):
            after = None
            while self.done.crowded_out.spans < goal:
                found = self._store.earliest(self._policy, limit=STEP_TRACES, after=after, spare=spare)
                if not found:
                    break
                gone = self._drop(first_of(found, goal - self.done.crowded_out.spans))
                self.done = self.done._replace(crowded_out=_sum(self.done.crowded_out, gone))
                after = found[-1].place
                yield

    def _metrics(self) -> Iterator[None]:
        for resolution_s, before_s in self._policy.dropped_before_s(self._now_ns).items():
            while dropped := self._store.drop_metrics(resolution_s, before_s=before_s, limit=STEP_METRICS):
                self.done = self.done._replace(metrics=self.done.metrics + dropped)
                yield

    def _suggestions(self) -> Iterator[None]:
        """Those that are as old as traces may get without a rule."""
        if self._policy.keep_ns is None:
            return
        before_ns = self._now_ns - self._policy.keep_ns
        while dropped := self._store.drop_suggestions(before_ns=before_ns, limit=STEP_SUGGESTIONS):
            self.done = self.done._replace(suggestions=self.done.suggestions + dropped)
            yield

    def _drop(self, found: list[Expiring]) -> Gone:
        if self._learned_only:
            self.done = self.done._replace(waiting=self.done.waiting + sum(each.is_due for each in found))
        if self._span_bytes is None:  # Before anything goes: afterwards there may be no span to measure by.
            self._span_bytes = self._store.used_bytes() / max(1, int(self._store.stats()["spans"]))
        gone = self._store.drop_expired(found, learned_only=self._learned_only)
        self.done = self.done._replace(bytes=self.done.bytes + round(gone.spans * self._span_bytes))
        return gone


def spans_over(store: Store, most_bytes: int) -> int:
    """Say about how many spans are to go for *store* to take so many bytes, or rather a hundredth less."""
    used = store.used_bytes()
    wanted = most_bytes - most_bytes // 100
    return 0 if used <= most_bytes else -(-int(store.stats()["spans"]) * (used - wanted) // used)


def first_of(found: list[Expiring], spans: int) -> list[Expiring]:
    """Give as many of the first as have so many spans."""
    for at, each in enumerate(found):
        if spans <= 0:
            return found[:at]
        spans -= each.spans
    return found


def summed(have: Done, more: Done) -> Done:
    """Add up what two rounds did; what waits is what the second left."""
    return Done(
        _sum(have.expired, more.expired),
        _sum(have.crowded_out, more.crowded_out),
        more.waiting,
        have.metrics + more.metrics,
        have.suggestions + more.suggestions,
        have.bytes + more.bytes,
    )


def _sum(have: Gone, more: Gone) -> Gone:
    return Gone(have.traces + more.traces, have.spans + more.spans)


class RetentionJob:
    """Keeps *store* to *policy* on a thread of its own. `start` before use, `close` before the store is closed."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        *,
        learns: bool = True,
        now_ns: Callable[[], int] = time.time_ns,
        wait: Callable[[float], object] | None = None,
        pace: Pace | None = None,
    ) -> None:
        """*learns* says that traces are being learned, so that one that is to be can be waited for."""
        self._store = store
        self._policy = policy
        self._learns = learns
        self._now_ns = now_ns
        self._closing = threading.Event()
        self._wait = wait or self._closing.wait
        self._pace = pace
        self.totals = Totals()
        self._thread = threading.Thread(target=self._run, name="clew-retention", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float | None = None) -> bool:
        """End the thread after its step. Idempotent. False if that took longer than *timeout_s*."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def run_once(self) -> Done:
        """Run one round, resting between its steps; gives what it did, also if it broke off."""
        pace = self._pace or Pace()
        this = Round(self._store, self._policy, now_ns=self._now_ns(), learned_only=self._learns)
        failed = True
        try:
            steps = this.steps()
            pace.begin()
            while not self._closing.is_set() and next(steps, self) is not self:
                self._wait(pace.rest_s(more=True))
                pace.begin()
            failed = False
        except ClewError as error:
            _logger.warning("retention waits: %s", error)
        except Exception:
            _logger.exception("retention failed and will be tried again")
        self.totals.add(this.done, failed=failed, at_ns=self._now_ns())
        return this.done

    def _run(self) -> None:
        self._wait(FIRST_AFTER_S)
        while not self._closing.is_set():
            self.run_once()
            self._wait(EVERY_S)
