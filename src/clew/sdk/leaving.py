"""
How a process ends: at its exit, by SIGTERM, and in the children that it forks.

SIGTERM by default ends a process without running anything, and an orchestrator sends it at each
deployment. So where nobody else handles it, what waits is sent, or kept on disk, first; then the
process ends by the signal as it would have.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

log: Final = logging.getLogger("clew")

EXIT_S: Final = 3.5
"""The most that leaving the interpreter waits for the server; writing the rest to disk comes on top."""
EXIT_PATIENCE_S: Final = 1.0
"""The same if nobody listens at the endpoint: a script without a server should not hang."""
TERM_S: Final = 5.0
"""The most that the end by SIGTERM waits, whatever hangs."""


class Leaving:
    """What is done when the process ends: *drain* for good, *flush* if it may go on."""

    def __init__(self, drain: Callable[[], Any], flush: Callable[[], Any]) -> None:
        self._drain = drain
        self._flush = flush
        self._is_hooked = False
        self._is_draining = False
        self._is_terminated = False

    def hook(self, after_fork: Callable[[], Any]) -> None:
        """Take part in the end of the process, and have *after_fork* run in its children. May be called again."""
        self._hook_sigterm()
        if self._is_hooked:
            return
        self._is_hooked = True
        atexit.register(self.at_exit)
        os.register_at_fork(after_in_child=lambda: self._in_child(after_fork))
        # A child of `multiprocessing` may leave by os._exit, past atexit, but not past its finalizers.
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self.at_exit, exitpriority=0)

    def _in_child(self, after_fork: Callable[[], Any]) -> None:
        self._is_draining = self._is_terminated = False
        after_fork()
        # A child of `multiprocessing` leaves by os._exit, past atexit; it has finalizers of its own,
        # which it clears before it runs these.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, lambda _: util.Finalize(None, self.at_exit, exitpriority=0))

    def at_exit(self) -> None:
        """Drain; then end by the signal that came in meanwhile, if one did."""
        self._is_draining = True
        try:
            self._drain()
        except Exception:
            log.exception("clew: the last spans may not have been sent")
        self._is_draining = False
        if self._is_terminated:
            self._die(signal.SIGTERM)

    def _hook_sigterm(self) -> None:
        """Handle SIGTERM if nobody does. Only the main thread can; another leaves it as it is."""
        if threading.current_thread() is threading.main_thread():
            with suppress(ValueError, OSError):  # Not in a sub-interpreter.
                if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
                    signal.signal(signal.SIGTERM, self.on_sigterm)

    def on_sigterm(self, number: int, _frame: Any) -> None:
        """
        Drain; then end by the signal, if it is ours to handle.

        A handler that was set after ours may call this one: then only what waits is sent, and what
        becomes of the process is for that handler to say.
        """
        is_ours = signal.getsignal(number) == self.on_sigterm
        if is_ours and self._is_draining:
            self._is_terminated = True  # It came in while this thread is leaving anyway.
            return
        # The kernel ignores it for the first process of a container, which then goes on as without us.
        self._in_a_thread(self._drain if is_ours and os.getpid() != 1 else self._flush)
        if is_ours:
            self._die(number)

    def _die(self, number: int) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        self._hook_sigterm()

    @staticmethod
    def _in_a_thread(act: Callable[[], Any]) -> None:
        """
        Run *act*, but wait at most `TERM_S` for it.

        The handler came in between two steps of the main thread, which may hold a lock that *act* wants.
        So another thread does it, and that is begun without any lock of `threading`'s.
        """
        done = allocate_lock()
        done.acquire()

        def run() -> None:
            try:
                act()
            except Exception:
                log.exception("clew: the last spans may not have been sent")
            finally:
                done.release()

        with suppress(RuntimeError):  # No thread can be started any more.
            start_new_thread(run, ())
            done.acquire(timeout=TERM_S)
