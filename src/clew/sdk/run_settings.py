"""
Where the settings of LangSmith's `tracing_context` stand: in a context variable, or held by a generator.

As with spans (`clew.sdk.held`): what is set by a `with` inside of a generator is for its steps, in
whichever task or thread they run, and not for its consumer between them. So it is kept by the
generator's frame, under the same key as the span that is current there.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, NamedTuple

from clew.sdk.carriers import contexts
from clew.sdk.held import Hold


class Settings(NamedTuple):
    """What one `tracing_context` says."""

    metadata: dict[str, Any]
    tags: list[str]
    enabled: bool | None
    project: str | None
    span: Any
    """What was current right inside of it: runs under that inherit from here."""


class Placed:
    """One `tracing_context`'s settings, where they stand."""

    __slots__ = ("before", "hold", "settings", "within")

    def __init__(self, settings: Settings, hold: Hold | None) -> None:
        self.settings = settings
        self.hold = hold
        """The generator's; None if they stand in the context variable."""
        self.before: Placed | None = None
        """What they took the place of, in the variable or with the same frame."""
        self.within: Placed | None = None
        """Of those in the variable: the innermost that a generator around held when they were set."""


SETTINGS: Final[ContextVar[Placed | None]] = ContextVar("clew_langsmith", default=None)
_HELD: Final[dict[int, Placed]] = {}
"""The innermost of each generator's frame that has some."""


def settings_here() -> Settings | None:
    """Give the settings that count where this is called."""
    found = _placed_here()
    return found.settings if found is not None else None


def place(settings: Settings, hold: Hold | None) -> Placed:
    """Have *settings* count from now on; *hold* is the span's, if a generator holds that."""
    made = Placed(settings, hold)
    if hold is None:
        made.before, made.within = SETTINGS.get(), _innermost()
        SETTINGS.set(made)
    else:
        made.before = _HELD.get(hold.key)
        _HELD[hold.key] = made
    return made


def take_away(gone: Placed) -> None:
    """
    Undo `place`.

    Like a span: in the variable, what somebody else has set since then is not ours to undo. With a
    generator in any order, as nothing may stay of a frame that is gone.
    """
    if gone.hold is None:
        if SETTINGS.get() is gone:
            SETTINGS.set(gone.before)
        return
    key = gone.hold.key
    top = _HELD.get(key)
    if top is gone and gone.before is None:
        del _HELD[key]
    elif top is gone:
        _HELD[key] = gone.before  # type: ignore[assignment]
    while top is not None:
        if top.before is gone:
            top.before = gone.before
        top = top.before


def _placed_here() -> Placed | None:
    found = SETTINGS.get()
    held = _innermost()
    return found if held is None or (found is not None and found.within is held) else held


def _innermost() -> Placed | None:
    """Give what the frame nearest to the top of the running stack holds."""
    if not _HELD:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = _HELD.get(id(frame))
        if found is not None:
            return found
        frame = frame.f_back
    return None


# Tasks and callbacks that are made in a generator's step carry what it holds.
contexts.beside.append((SETTINGS, _placed_here))
