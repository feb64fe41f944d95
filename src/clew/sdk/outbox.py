"""
Where ended spans wait for the writer: a bounded deque and a bell.

The caller's side takes no lock: appending to a deque, drawing from an `itertools.count` and
releasing a raw lock are each one step of the interpreter, so a signal handler or a finalizer
that ends a span in the middle of another's end cannot deadlock.
"""

from __future__ import annotations

import itertools
import logging
import os
from _thread import RLock, allocate_lock
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import sleep
from typing import Any, Final

from clew.sdk.calls import Call

CROWD: Final = 512
"""So many waiting spans wake the writer, whatever the clock says."""

QUEUE_BYTES: Final = 48 << 20
"""About so many bytes may wait, beside the first `WEIGHED_AT` spans."""

WEIGHED_AT: Final = 2048
"""Spans are weighed only while so many wait: weighing costs more than the rest of a span."""

SPAN_BYTES: Final = 600
"""What a span takes without its strings."""

RING_EVERY: Final = 64
"""Beyond that, one of so many spans wakes it: a writer that cannot send is not to be woken by each."""

YIELD_EVERY: Final = 128
YIELD_S: Final = 0.0001
"""
While the writer is behind and catching up, one of so many spans pauses its caller so long. Threads that only
compute do not let another in for 5 ms at a time, and the writer would get too little of the interpreter.
"""

COMPLAINTS: Final = 100
"""So many different complaints are kept; a program that earns more has read the first ones."""


class Counter:
    """Counts from any thread, without a lock for those who add."""

    __slots__ = ("_draws", "_peeks", "_reading", "add")

    def __init__(self) -> None:
        self._draws = itertools.count()
        self._peeks = 0
        self._reading = allocate_lock()
        self.add: Callable[[], int] = self._draws.__next__

    def value(self) -> int:
        """How often `add` was called. Looking draws once too, and that is taken off."""
        with self._reading:
            seen = next(self._draws) - self._peeks
            self._peeks += 1
            return seen


class Outbox:
    """Both ends of the queue. There is one for each process: `outbox`."""

    __slots__ = (
        "_bell",
        "_said",
        "complaints",
        "crowded_at",
        "ensure_writer",
        "full",
        "limit",
        "processing",
        "recording",
        "roots",
        "settled",
        "spans",
        "token_spans",
        "traces_due",
        "waiting_bytes",
        "wake_at_root",
        "yields",
    )

    def __init__(self) -> None:
        self.limit = 100_000
        self._said: set[str] = set()
        self.complaints: list[str] = []
        """What the writer is to log: the caller's thread does no I/O, and handlers do."""
        self.ensure_writer: Callable[[], None] = lambda: None
        self.recording = False
        """Spans are made. False before the first one, when disabled and after shutdown."""
        self.settled = False
        """`recording` was decided; before that, the first span decides it."""
        self.processing: Any = None
        """What payloads go through before they leave: `clew.sdk.processing.Processing` or None."""
        self.token_spans = False
        """Each token of a stream becomes a span."""
        self.empty(wake_at_root=100)

    def empty(self, *, wake_at_root: int) -> None:
        """Forget everything that waits: at first, and in a forked child, whose parent sends it."""
        self.spans: deque[Any] = deque()
        self._bell = allocate_lock()
        self._bell.acquire()
        self.full = Counter()
        self.roots: Callable[[], int] = itertools.count(1).__next__
        self.wake_at_root = wake_at_root
        self.traces_due = False
        self.waiting_bytes = 0
        self.yields = False
        """The writer is behind and catching up: callers are to let it."""
        self.crowded_at = 0
        """Zero makes the first put take the slow way, which starts the writer."""

    def put(self, item: Any, *, is_root: bool) -> None:
        """Hand *item* to the writer; counted and dropped when the queue is full."""
        if len(self.spans) < self.crowded_at:
            self.spans.append(item)
        elif not self._put_crowded(item):
            return
        if is_root and self.roots() >= self.wake_at_root:
            self.traces_due = True
            self.ring()

    def _put_crowded(self, item: Any) -> bool:
        self.ensure_writer()
        waiting = len(self.spans)
        weight = weight_of(item) if waiting >= WEIGHED_AT else 0
        if waiting >= self.limit or self.waiting_bytes + weight > QUEUE_BYTES:
            self.full.add()
            self.ring()
            return False
        self.waiting_bytes += weight
        self.spans.append(item)
        if waiting >= CROWD and waiting % RING_EVERY == 0:
            self.ring()
            if self.yields and waiting % YIELD_EVERY == 0 and waiting >= self.limit // 2:
                sleep(YIELD_S)
        return True

    def taken(self, item: Any) -> None:
        """The writer has *item* now."""
        if self.waiting_bytes:
            weighed = len(self.spans) >= WEIGHED_AT
            self.waiting_bytes = max(0, self.waiting_bytes - weight_of(item)) if weighed else 0

    def ring(self) -> None:
        """Wake the writer; ringing twice is ringing once."""
        if self._bell.locked():
            with suppress(RuntimeError):  # Somebody else may have rung in between.
                self._bell.release()

    def wait(self, timeout_s: float) -> None:
        """Sleep until the bell rings, or so long. The writer's side."""
        self._bell.acquire(True, max(0.0, min(timeout_s, 3600.0)))

    def complain(self, about: str, text: str) -> None:
        """Have *text* logged by the writer, once for each *about* in the life of the process."""
        if about not in self._said and len(self._said) < COMPLAINTS:
            self._said.add(about)
            self.complaints.append(text)

    def forget_complaints(self) -> None:
        """Let each complaint be made again."""
        self._said.clear()
        self.complaints.clear()


def weight_of(item: Any) -> int:
    """About how many bytes *item* keeps in memory: its strings, two levels deep, and a flat sum."""
    inputs = getattr(item, "_inputs", None)
    if type(inputs) is Call:
        inputs = (inputs.args, inputs.kwargs)
    weight = SPAN_BYTES
    with suppress(RuntimeError):  # The user may be changing a dict just now.
        for value in (getattr(item, "_attributes", None), inputs, getattr(item, "_outputs", None)):
            weight += _strings(value, 3)
    return weight


def _strings(value: Any, levels: int) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if levels and kind in (dict, list, tuple):
        # A sample: the first items speak for the rest, so that a long list costs no long look.
        items = value.values() if kind is dict else value
        return sum(_strings(item, levels - 1) for item in itertools.islice(items, 50)) * max(1, len(value) // 50)
    return 0


outbox: Final = Outbox()


# Its `with` is one step of the interpreter, which nothing can interrupt.
_RLock: Any = RLock


class Settling(_RLock):  # type: ignore[misc]
    """
    Held while tracing is being set up, which loads modules, and across each fork.

    A child that was forked while another thread loads a module would wait for that thread for ever.
    """

    WAIT_S: Final = 5.0

    def __init__(self) -> None:
        self._held_by_fork = False
        # Python runs these in reverse order of registration, so logging must have come first:
        # its lock is wanted while this one is held, and never the other way round.
        logging.getLogger("clew")
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork_in_parent, after_in_child=self._at_fork_reinit
        )

    def is_mine(self) -> bool:
        """
        Whether this thread is at it already, further up its stack.

        So a signal handler or a finalizer came in between, and must not load the same modules.
        """
        return bool(self._is_owned())

    def _before_fork(self) -> None:
        # Bounded: better a child without tracing than a parent that hangs.
        self._held_by_fork = self.acquire(timeout=self.WAIT_S)

    def _after_fork_in_parent(self) -> None:
        if self._held_by_fork:
            self.release()


settling: Final = Settling()
