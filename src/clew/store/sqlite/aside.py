"""
A second thread for what SQLite does, in order.

SQLite and zstd work without Python's lock, so on two cores their work and Python's can go on side
by side, within one commit. The connection is still used by one thread at a time: whoever wants it
on the caller's thread joins first.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Job = Callable[[], Any]


class Aside:
    """Jobs in order, at once: what is written with nobody to use the time needs no second thread."""

    def do(self, job: Job) -> None:
        """Have *job* done; it may raise here or at the next `join`."""
        job()

    def join(self) -> None:
        """
        Wait until all is done.

        Raises:
            Exception: what the first job that failed raised.
        """

    def close(self) -> None:
        """End the thread, if there is one."""


class ThreadAside(Aside):
    """Jobs in order on a thread of their own. After one that failed the others are left out."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="clew-sqlite")
        self._jobs: list[Future[Any]] = []
        self._failed = False

    def do(self, job: Job) -> None:
        """Have *job* done after those before it."""
        self._jobs.append(self._pool.submit(self._run, job))

    def join(self) -> None:
        """Wait until all is done; raise what the first that failed raised."""
        jobs, self._jobs = self._jobs, []
        errors = [error for job in jobs if (error := job.exception()) is not None]
        self._failed = False
        if errors:
            raise errors[0]

    def is_busy(self) -> bool:
        """Something is still to be done."""
        return any(not job.done() for job in self._jobs)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()

    def _run(self, job: Job) -> None:
        if self._failed:
            return
        try:
            job()
        except BaseException:
            self._failed = True
            raise
