"""What a pattern is, and the register of them all: one small function for each way of handing work on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from matrix_subjects import Subject

Parents = dict[str, str]
"""Who is whose child: {child: parent}."""


class Pattern(NamedTuple):
    title: str
    group: str
    run: Callable[[Subject], Any]
    needs: Callable[[], object]


PATTERNS: dict[str, Pattern] = {}


def pattern(title: str, group: str, *, needs: Callable[[], object] = lambda: True) -> Any:
    """Register a function, sync or async, under its name."""

    def register(function: Any) -> Any:
        PATTERNS[function.__name__] = Pattern(title, group, function, needs)
        return function

    return register


def leaf(s: Subject, name: str, parent: Any) -> str:
    """One step: a span in which nothing happens."""
    with s.step(name, parent):
        pass
    return name


async def async_leaf(s: Subject, name: str, parent: Any) -> None:
    """One step that lets the event loop turn."""
    with s.step(name, parent):
        await asyncio.sleep(0)
