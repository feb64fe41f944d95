"""
Decoding in a second process, for when one core is not enough.

Python runs one thread at a time, so decoding and the store's own Python share a core however many
there are. This hands bodies to `clew.ingest.decoder` and gets back what the store needs of them.
Nothing is promised meanwhile: a body is acknowledged by the batcher, after the commit; what the
other process held when it ended goes back to the batcher, which decodes it itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Generic, NamedTuple, TypeVar

from clew.ingest import frames
from clew.store.protocol import Preparer
from clew.wire.reading import Reading

START_AGAIN_S = 30.0
"""After a process that ended, or did not start, so long goes by before the next."""

SILENT_S = 120.0
"""One that gives no answer for so long is ended. The largest body takes a few seconds."""

BACKLOG = 2
"""Bodies beside what is in the pipe already, from which on it does not keep up."""

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class _Asked(NamedTuple, Generic[T]):
    what: T
    project: str
    body: bytes
    read: Reading


class Apart(Generic[T]):
    """
    One process that decodes. For any thread.

    *made* is called on a thread of its own for each body, with whatever was handed in for it, and
    None instead of what was made of it if the batcher has to decode it itself.
    """

    def __init__(self, prepares: Preparer, made: Callable[[T, frames.Made | None], None]) -> None:
        self._prepares = prepares
        self._made = made
        self._changed = threading.Condition()
        self._unsent: deque[int] = deque()
        self._asked: dict[int, _Asked[T]] = {}
        """All that was handed in and not given back, oldest first."""
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._running = self._ready = self._closing = False
        self._started_at = float("-inf")
        self._heard_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return None if self._process is None else self._process.pid

    def __len__(self) -> int:
        """How many bodies it holds."""
        return len(self._asked)

    def start(self) -> None:
        """Start it in the background, unless it runs or ended a moment ago. Returns at once."""
        with self._changed:
            now = time.monotonic()
            if self._closing or self._running or now - self._started_at < START_AGAIN_S:
                return
            self._started_at, self._running = now, True
            self._thread = threading.Thread(target=self._run, name="clew-apart", daemon=True)
            self._thread.start()

    def take(self, what: T, project: str, body: bytes, read: Reading) -> bool:
        """Have *body* decoded; False if it cannot be now. *what* comes back with what was made of it."""
        with self._changed:
            if not self._ready or self._closing:
                return False
            if self._asked and time.monotonic() - self._heard_at > SILENT_S and self._process is not None:
                _logger.error("the second process has said nothing for %g s and is ended", SILENT_S)
                self._process.kill()
                return False
            if not self._asked:
                self._heard_at = time.monotonic()
            self._number += 1
            self._asked[self._number] = _Asked(what, project, body, read)
            self._unsent.append(self._number)
            self._changed.notify_all()
            return True

    def take_back(self) -> T | None:
        """Give back the oldest of those that it will not come to soon, for who has nothing better to do."""
        with self._changed:
            return self._asked.pop(self._unsent.popleft()).what if len(self._unsent) >= BACKLOG else None

    def close(self, timeout_s: float = 5.0) -> None:
        """End it. What it still holds is given back undone. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return
        thread.join(timeout_s)
        with self._changed:
            if self._process is not None:
                self._process.kill()
        thread.join(timeout_s)

    def _run(self) -> None:
        try:
            process = _start()
        except (OSError, ValueError) as error:
            _logger.warning("no second process to decode in: %s", error)
            with self._changed:
                self._running = False
            return
        with self._changed:
            self._process = process
        sender = threading.Thread(target=self._send, args=(process,), name="clew-apart-send", daemon=True)
        sender.start()
        self._receive(process)
        process.kill()
        self._give_back()
        sender.join()
        process.wait()

    def _send(self, process: subprocess.Popen[bytes]) -> None:
        """On a thread of its own, since a pipe that is full blocks."""
        pipe: IO[bytes] = process.stdin  # type: ignore[assignment]
        try:
            frames.send(pipe, self._prepares)
            while (asked := self._next(process)) is not None:
                number, one = asked
                frames.send(pipe, (number, one.project, one.read), one.body)
        except OSError:
            process.kill()  # it is gone, or as good as gone
        with suppress(OSError):
            pipe.close()

    def _next(self, process: subprocess.Popen[bytes]) -> tuple[int, _Asked[T]] | None:
        with self._changed:
            while not self._unsent:
                if self._closing or self._process is not process:
                    return None  # the end of its input is the end of it
                self._changed.wait()
            number = self._unsent.popleft()
            return number, self._asked[number]

    def _receive(self, process: subprocess.Popen[bytes]) -> None:
        pipe: IO[bytes] = process.stdout  # type: ignore[assignment]
        try:
            with pipe:
                while (heard := frames.receive(pipe)) is not None:
                    self._hear(heard[0])
        except Exception:
            _logger.exception("what the second process said could not be understood")

    def _hear(self, said: Any) -> None:
        if said == "ready":
            with self._changed:
                self._ready = not self._closing
                self._changed.notify_all()
            return
        number, made = frames.made(said) if len(said) > 1 else (said[0], None)
        with self._changed:
            self._heard_at = time.monotonic()
            asked = self._asked.pop(number)
        self._made(asked.what, made)

    def _give_back(self) -> None:
        with self._changed:
            left, self._asked = list(self._asked.values()), {}
            self._unsent.clear()
            self._ready, self._running, self._process = False, False, None
            closing = self._closing
            self._changed.notify_all()
        if not closing:
            _logger.warning("the second process ended; its %d bodies are decoded here", len(left))
        for asked in left:
            self._made(asked.what, None)


_NOT_ITS_BUSINESS = ("CLEW_ADMIN_KEY", "CLEW_STORE", "CLEW_EVENT_BUS")
"""It reads what anybody may send, so it is not told what opens the store."""


def _start() -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise ValueError("it is not known which Python this is")
    process = subprocess.Popen(
        [sys.executable, "-m", "clew.ingest.decoder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in _NOT_ITS_BUSINESS},
    )
    if sys.platform == "linux":
        import fcntl

        for pipe in (process.stdin, process.stdout):
            # Larger pipes, fewer turns; a system that will not give them works as well.
            with suppress(OSError):
                fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[union-attr]
    return process


def worth_it() -> bool:
    """Whether this process may use more than one core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1
