"""
What Clew does when it fails itself: say so once, and let the user's code go on.

Proved by `tests/unit/sdk/fault_injection.py`, which raises at every internal call, one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar

from clew.sdk.outbox import outbox

F = TypeVar("F", bound=Callable[..., Any])


def internal(error: Exception) -> None:
    """Clew failed; the user's code must not. Even this is allowed to fail (out of memory, stack)."""
    with suppress(Exception):
        outbox.complain(f"internal:{type(error).__name__}", f"tracing failed and the span was lost: {error!r:.500}")


def harmless(otherwise: Callable[[], Any]) -> Callable[[F], F]:
    """Make a public function give what *otherwise* makes when Clew fails in it. For what nobody calls often."""

    def guard(function: F) -> F:
        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as fault:
                internal(fault)
                return otherwise()

        return guarded  # type: ignore[return-value]

    return guard


def nothing() -> None:
    """Give None."""


def once_more(do: Callable[[], object], fault: BaseException) -> None:
    """
    Try again what has failed with *fault*, because it must not be left undone.

    A Ctrl-C that came just then is the user's, and goes on afterwards.
    """
    if isinstance(fault, Exception):
        internal(fault)
    with suppress(Exception):
        do()
    if not isinstance(fault, Exception):
        raise fault
