"""
Thread pools, process pools and threads carry the current span to what they run.

Only Clew's own variable is carried: the user's other context variables behave as without Clew.
Covers `loop.run_in_executor` and `Executor.map`, which end in `submit`. Installed once, by
`clew.configure` or the first span.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from clew.sdk.ambient import CURRENT, current, remote
from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.held import placed

_start = threading.Thread.start
_installed = False


class Carried:
    """A function, to be run under the span that was current when it was handed over."""

    __slots__ = ("function", "span")

    def __init__(self, function: Callable[..., Any], span: Any) -> None:
        self.function = function
        self.span = span

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and put back what was current here."""
        before = CURRENT.get()
        CURRENT.set(placed(self.span))
        try:
            return self.function(*args, **kwargs)
        finally:
            CURRENT.set(before)

    def __reduce__(self) -> Any:
        # On its way into another process, where the span is known by its ids.
        return Carried, (self.function, remote(self.span))


def install() -> None:
    """Teach `submit` and `Thread.start`. Does nothing the second time."""
    global _installed, _start  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    from concurrent.futures import ThreadPoolExecutor

    _teach_pool(ThreadPoolExecutor)
    when_loaded("concurrent.futures.process", lambda module: _teach_pool(module.ProcessPoolExecutor))
    start = _start = threading.Thread.start

    @wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        span = current()
        if span is not None:
            run = self.run

            def run_carrying() -> None:
                # First undone, so that thread and function do not keep each other alive.
                self.__dict__.pop("run", None)
                Carried(run, span)()

            self.run = run_carrying  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_carrying  # type: ignore[method-assign]


def _teach_pool(pool: Any) -> None:
    submit = pool.submit

    @wraps(submit)
    def submit_carrying(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        span = current()
        if span is None:
            return submit(self, fn, *args, **kwargs)
        # The pool may start a worker here. It outlives this span and must not inherit it.
        return with_none_current(lambda: submit(self, Carried(fn, span), *args, **kwargs))

    pool.submit = submit_carrying


def with_none_current(do: Callable[[], Any]) -> Any:
    """Call *do* where no span is current."""
    before = CURRENT.get()
    CURRENT.set(placed(None))
    try:
        return do()
    finally:
        CURRENT.set(before)


def start_thread(thread: threading.Thread) -> None:
    """Start a thread of Clew's own, which belongs to no span."""
    _start(thread)
