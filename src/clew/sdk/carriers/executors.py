"""
Thread pools and threads carry the current span to what they run.

Only Clew's own variable is carried: the user's other context variables behave as without Clew.
Covers `loop.run_in_executor` and `Executor.map`, which end in `submit`. Installed once, by
`clew.configure` or the first span.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from clew.sdk.ambient import CURRENT

_start = threading.Thread.start
_installed = False


class _Carried:
    """A function, to be run under the span that was current when it was handed over."""

    __slots__ = ("function", "span")

    def __init__(self, function: Callable[..., Any], span: Any) -> None:
        self.function = function
        self.span = span

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = CURRENT.get()
        CURRENT.set(self.span)
        try:
            return self.function(*args, **kwargs)
        finally:
            CURRENT.set(before)


def install() -> None:
    """Teach `ThreadPoolExecutor.submit` and `Thread.start`. Does nothing the second time."""
    global _installed, _start  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    from concurrent.futures import ThreadPoolExecutor

    submit = ThreadPoolExecutor.submit
    start = _start = threading.Thread.start

    @wraps(submit)  # type: ignore[arg-type]
    def submit_carrying(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        span = CURRENT.get()
        if span is None:
            return submit(self, fn, *args, **kwargs)
        # The pool may start a worker here. It outlives this span and must not inherit it.
        CURRENT.set(None)
        try:
            return submit(self, _Carried(fn, span), *args, **kwargs)
        finally:
            CURRENT.set(span)

    @wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        span = CURRENT.get()
        if span is not None:
            run = self.run

            def run_carrying() -> None:
                # First undone, so that thread and function do not keep each other alive.
                self.__dict__.pop("run", None)
                _Carried(run, span)()

            self.run = run_carrying  # type: ignore[method-assign]
        start(self)

    ThreadPoolExecutor.submit = submit_carrying  # type: ignore[method-assign]
    threading.Thread.start = start_carrying  # type: ignore[method-assign]


def start_thread(thread: threading.Thread) -> None:
    """Start a thread of Clew's own, which belongs to no span."""
    _start(thread)
