"""
Copies of the context carry what a generator holds as current: asyncio's, anyio's, trio's, asgiref's.

A generator's own span is not in the context (see `clew.sdk.held`), so a task, a callback or a
`copy_context` made inside of one would miss it. While a generator holds one, it is put into the
context for the moment of the copy. Installed with the first such generator.

Not covered: contexts copied in C behind Python's back: `asyncio.Task(...)` called directly, and
`call_soon` and its like on uvloop. What they run belongs to what was current around the generator.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from clew.sdk.ambient import CURRENT, current
from clew.sdk.carriers.arrivals import when_loaded
from clew.sdk.faults import internal, once_more
from clew.sdk.held import HELD

T = TypeVar("T")

_copy_context = contextvars.copy_context
_installed = False

beside: list[tuple[contextvars.ContextVar[Any], Callable[[], Any]]] = []
"""Other variables that generators hold likewise, each with what gives its true value: `clew.sdk.run_context`."""


def install() -> None:
    """Teach `copy_context` and the event loops. Does nothing the second time."""
    global _installed  # noqa: PLW0603  a patch is one for the process
    if _installed:
        return
    _installed = True
    # asyncio's handles (call_soon, call_later) and to_thread take it from `contextvars`. Others have
    # taken it from there by name: anyio, trio, LangChain. Who is imported later gets the taught one.
    for module in list(sys.modules.values()):
        _teach_copying(module)
    when_loaded("asgiref.sync", _teach_bringing_back)
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
    changed: list[tuple[contextvars.ContextVar[Any], Any, Any]] = []
    try:
        found = [(variable, variable.get(), true()) for variable, true in ((CURRENT, current), *beside)]
        changed = [each for each in found if each[1] is not each[2]]
        for variable, _, true_value in changed:
            variable.set(true_value)
    except Exception as fault:
        internal(fault)
    try:
        return copy()
    finally:
        for variable, before, _ in changed:
            try:
                variable.set(before)
            except BaseException as fault:
                once_more(partial(variable.set, before), fault)


def _teach_copying(module: Any) -> None:
    try:
        names = vars(module)
        if names.get("copy_context") is _copy_context:
            names["copy_context"] = copy_context
    except Exception as fault:  # Anything may stand among the modules.
        internal(fault)


def _teach_loop(loop: Any) -> None:
    create_task = loop.create_task

    @wraps(create_task)
    def create_task_carrying(self: Any, coro: Any, **options: Any) -> Any:
        if not HELD or ("context" in options and options["context"] is not None):
            return create_task(self, coro, **options)
        return with_true_current(lambda: create_task(self, coro, **options))

    loop.create_task = create_task_carrying


def _teach_bringing_back(module: Any) -> None:
    """Teach asgiref not to set here, coming back, what its copy of the context took from a generator."""
    restore = module._restore_context

    @wraps(restore)
    def restore_without_held(context: contextvars.Context) -> None:
        before = held = None
        try:
            if HELD:
                before, held = CURRENT.get(), current()
        except Exception as fault:
            internal(fault)
        restore(context)
        try:
            if held is not before and CURRENT.get() is held:
                CURRENT.set(before)
        except Exception as fault:
            internal(fault)

    module._restore_context = restore_without_held
