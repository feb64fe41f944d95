"""
Copies of the context carry what a generator holds as current.

A generator's own span is not in the context (see `clew.sdk.held`), so a task, a callback or a
`copy_context` made inside of one would miss it. While a generator holds one, it is put into the
context for the moment of the copy. Installed with the first such generator.

Not covered: contexts copied in C behind Python's back: `asyncio.Task(...)` called directly, and
`call_soon` and its like on uvloop. What they run belongs to what was current around the generator.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from clew.sdk.ambient import CURRENT, current
from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.held import HELD

T = TypeVar("T")

_copy_context = contextvars.copy_context
_installed = False


def install() -> None:
    """Teach `copy_context` and the event loops. Does nothing the second time."""
    global _installed  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    # asyncio's handles (call_soon, call_later) and to_thread take it from here.
    _teach_copying(contextvars)
    when_loaded("anyio._backends._asyncio", _teach_copying)
    when_loaded("asyncio.base_events", lambda module: _teach_loop(module.BaseEventLoop))
    when_loaded("uvloop", lambda module: _teach_loop(module.Loop))


@wraps(_copy_context)
def copy_context() -> contextvars.Context:
    """Take the place of `contextvars.copy_context`."""
    return with_true_current(_copy_context)


def with_true_current(copy: Callable[[], T]) -> T:
    """Call *copy* while the context says what is truly current."""
    if not HELD:
        return copy()
    before, true = CURRENT.get(), current()
    if true is before:
        return copy()
    CURRENT.set(true)
    try:
        return copy()
    finally:
        CURRENT.set(before)


def _teach_copying(module: Any) -> None:
    """`contextvars`, and who took the function from it by name."""
    if getattr(module, "copy_context", None) is _copy_context:
        module.copy_context = copy_context


def _teach_loop(loop: Any) -> None:
    create_task = loop.create_task

    @wraps(create_task)
    def create_task_carrying(self: Any, coro: Any, **options: Any) -> Any:
        if not HELD or options.get("context") is not None:
            return create_task(self, coro, **options)
        return with_true_current(lambda: create_task(self, coro, **options))

    loop.create_task = create_task_carrying
