"""
The least that a pure-Python span can be, to say how far from it a real SDK is.

A slots object that is its own context manager, one context variable, two clock reads, a
private id generator, one append. It exports nothing.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from time import time_ns
from typing import Any

_current: ContextVar[Span | None] = ContextVar("current", default=None)
_finished: deque[Span] = deque(maxlen=1_000)
_bits = random.Random().getrandbits


class Span:
    """One step: ids, a parent, two times."""

    __slots__ = ("attributes", "end_ns", "name", "parent", "span_id", "start_ns", "trace_id")

    def __init__(self, name: str, attributes: dict[str, Any] | None = None) -> None:
        self.name = name
        self.attributes = attributes

    def __enter__(self) -> Span:
        self.parent = parent = _current.get()
        self.trace_id: int = _bits(128) if parent is None else parent.trace_id
        self.span_id = _bits(64)
        _current.set(self)
        self.start_ns = time_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_ns = time_ns()
        # Restores by set, since a token is worthless in another context.
        _current.set(self.parent)
        _finished.append(self)


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A span around each call of a function or coroutine function."""
    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with Span(function.__name__):
                return await function(*args, **kwargs)

    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with Span(function.__name__):
                return function(*args, **kwargs)

    return wrapper
