"""
Thread pools, process pools and threads carry the current span to what they run.

Only Clew's own variable is carried: the user's other context variables behave as without Clew.
Covers `loop.run_in_executor` and `Executor.map`, which end in `submit`, and the callbacks of their
futures. Installed once, by `clew.configure` or the first span.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from clew.sdk.ambient import CURRENT, current, remote
from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.faults import internal, once_more
from clew.sdk.held import placed

_start = threading.Thread.start
_installed = False
_UNKNOWN: Final[Any] = object()


class Carried:
    """A function, to be run under the span that was current when it was handed over."""

    __slots__ = ("function", "span")

    def __init__(self, function: Callable[..., Any], span: Any) -> None:
        self.function = function
        self.span = span

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, and put back what was current here."""
        return _under(self.span, self.function, args, kwargs)

    def __reduce__(self) -> Any:
        # On its way into another process, where the span is known by its ids.
        return Carried, (self.function, remote(self.span))


def _under(span: Any, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    before = _UNKNOWN
    try:
        now = CURRENT.get()
        CURRENT.set(placed(span))
        before = now
    except Exception as fault:
        internal(fault)
    try:
        return function(*args, **kwargs)
    finally:
        if before is not _UNKNOWN:
            try:
                CURRENT.set(before)
            except BaseException as fault:
                once_more(partial(CURRENT.set, before), fault)


def carrying(function: Any) -> Any:
    """Give *function*, to be run under what is current here; as it is if nothing is."""
    span = current()
    return function if span is None else Carried(function, span)


def install() -> None:
    """Teach `submit` and `Thread.start`. Does nothing the second time."""
    global _installed, _start  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    from concurrent.futures import Future, ThreadPoolExecutor

    _teach_pool(ThreadPoolExecutor)
    _teach_future(Future)
    when_loaded("concurrent.futures.process", lambda module: _teach_pool(module.ProcessPoolExecutor))
    start = _start = threading.Thread.start

    @wraps(start)
    def start_carrying(self: threading.Thread) -> None:
        try:
            span = current()
            if span is not None:
                self.run = _running(self, Carried(self.run, span))  # type: ignore[method-assign]
        except Exception as fault:
            internal(fault)
        start(self)

    threading.Thread.start = start_carrying  # type: ignore[method-assign]


def _running(thread: threading.Thread, carried: Carried) -> Callable[[], None]:
    def run_carrying() -> None:
        try:
            # First undone, so that thread and function do not keep each other alive.
            thread.__dict__.pop("run", None)
        except Exception as fault:
            internal(fault)
        carried()

    return run_carrying


def _teach_pool(pool: Any) -> None:
    submit = pool.submit

    @wraps(submit)
    def submit_carrying(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        carried = fn
        try:
            carried = carrying(fn)
        except Exception as fault:
            internal(fault)
        if carried is fn:
            return submit(self, fn, *args, **kwargs)
        # The pool may start a worker here. It outlives this span and must not inherit it.
        return with_none_current(lambda: submit(self, carried, *args, **kwargs))

    pool.submit = submit_carrying


def _teach_future(future: Any) -> None:
    """Its callbacks run in the worker, after what was submitted: where no span is current any more."""
    add = future.add_done_callback

    @wraps(add)
    def add_carrying(self: Any, fn: Any) -> None:
        carried = fn
        try:
            # That of `run_in_executor` only wakes its loop, where each callback has a context of its own.
            if getattr(fn, "__module__", "") != "asyncio.futures":
                carried = carrying(fn)
        except Exception as fault:
            internal(fault)
        add(self, carried)

    future.add_done_callback = add_carrying


def with_none_current(do: Callable[[], Any]) -> Any:
    """Call *do* where no span is current."""
    return _under(None, do, (), {})


def start_thread(thread: threading.Thread) -> None:
    """Start a thread of Clew's own, which belongs to no span."""
    _start(thread)
