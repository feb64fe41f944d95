"""
What is current inside of a generator that holds a span open across its yields.

Between the steps of such a generator its consumer must not find the span, and the next step may
run in another task or thread, or under spans that the consumer has opened since. No hook runs at a
yield, so the span is not put into the context at all: it is held by the generator's frame, and who
asks what is current looks for such frames on the running stack. While no generator holds a span
that is one look at an empty dict.

A `with` belongs to the frame that it is written in. So frames named `__enter__` and their like are
seen through, and so is a generator that is driven by one, which is what `@contextmanager` makes.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

GENERATORS: Final = 0x20 | 0x200
"""`inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR`; loading `inspect` takes long."""

ENTERING: Final = frozenset({"__enter__", "__aenter__", "enter_context", "enter_async_context"})
"""Functions that enter a context manager for the frame above: classes' own, and contextlib's."""

FIXTURES: Final = frozenset({"_pytest.fixtures", "pytest_asyncio.plugin", "anyio.pytest_plugin"})
"""Modules that drive generators as scopes, without contextlib: what they open is meant for the test."""

# From 3.11 on a frame does not keep its generator alive. In 3.10 it does, through its locals, if they
# lead to the generator; there it is known by its address alone, which is its own while it lives.
_KEEPS_FRAMES: Final = sys.version_info >= (3, 11)
_FEW: Final = 40

_DELEGATING: Final = frozenset({"YIELD_FROM", "SEND"})


class Hold:
    """
    What one frame holds as current; *below* is what the same frame held before.

    *around* is what the context held meanwhile, for the case that somebody puts *value* there too.
    """

    __slots__ = ("around", "below", "frame", "key", "value")

    # So that a span which is left looks behind it: see `_not_left_behind` in `clew.sdk.span`.
    _prev: Final = ()

    def __init__(self, frame: FrameType, value: Any) -> None:
        self.key = id(frame)
        self.frame = frame if _KEEPS_FRAMES else None
        self.value = value
        self.around: Any = None
        self.below = HELD.get(self.key)


HELD: Final[dict[int, Hold]] = {}
"""The innermost hold of each frame that has one, by the frame's address."""


class Inner:
    """Stands in the context for *value*, which was made current further in than *hold*."""

    __slots__ = ("_anchor", "_span", "_trace", "hold", "value")

    def __init__(self, value: Any, hold: Hold) -> None:
        self.value = value
        self.hold = hold
        # As a parent it is what it stands for; no parent if that is None.
        self._trace: int = getattr(value, "_trace", 0)
        self._span: int = getattr(value, "_span", 0)
        self._anchor: int = getattr(value, "_anchor", 0)

    @property
    def _prev(self) -> Any:
        return getattr(self.value, "_prev", None)


def hold(frame: FrameType, value: Any) -> Hold:
    """Make *value* current wherever *frame* is the innermost that holds something."""
    from clew.sdk.carriers import contexts

    contexts.install()
    made = HELD[id(frame)] = Hold(frame, value)
    return made


def release(gone: Hold) -> None:
    """Undo `hold`, in any order, from any frame or thread."""
    gone.frame = None
    top = HELD.get(gone.key)
    if top is gone:
        if gone.below is None:
            del HELD[gone.key]
        else:
            HELD[gone.key] = gone.below
        return
    while top is not None:
        if top.below is gone:
            top.below = gone.below
        top = top.below


def innermost() -> Hold | None:
    """Give the hold of the frame nearest to the top of the running stack that has one."""
    if _KEEPS_FRAMES and len(HELD) < _FEW and not _any_runs():
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = HELD.get(id(frame))
        if found is not None:
            return found
        frame = frame.f_back
    return _behind_this(sys.modules["greenlet"]) if "greenlet" in sys.modules else None


def _behind_this(greenlets: Any) -> Hold | None:
    """Go on in the greenlet that waits for this one, whose own frames end where it began: SQLAlchemy's asyncio."""
    if not hasattr(greenlets, "getcurrent"):  # It is just being imported.
        return None
    waiting = greenlets.getcurrent().parent
    while waiting is not None:
        frame: FrameType | None = waiting.gr_frame
        while frame is not None:
            found = HELD.get(id(frame))
            if found is not None:
                return found
            frame = frame.f_back
        waiting = waiting.parent
    return None


def _any_runs() -> bool:
    """Whether a frame that holds something runs, here or elsewhere: a suspended one has none behind it."""
    try:
        for each in HELD.values():
            frame = each.frame
            if frame is not None and frame.f_back is not None:
                return True
    except RuntimeError:  # Another thread, or a finalizer, has changed it.
        return True
    return False


def placed(value: Any) -> Any:
    """Give what has to be put into the context so that *value* is current right here."""
    if not HELD:
        return value
    found = innermost()
    return value if found is None else Inner(value, found)


def holder_of(frame: FrameType | None) -> FrameType | None:
    """Give the generator's frame whose `with` is entered from *frame*; None if that is a function's."""
    while frame is not None:
        code = frame.f_code
        if code.co_name in ENTERING:
            frame = frame.f_back
        elif not code.co_flags & GENERATORS:
            return None
        else:
            driver = _driver(frame)
            if driver is None or driver.f_code.co_name not in ENTERING:
                return None if driver is not None and driver.f_globals.get("__name__") in FIXTURES else frame
            frame = driver
    return None


def _driver(frame: FrameType) -> FrameType | None:
    """What asked the generator for its next step; a `yield from` only hands that on."""
    driver = frame.f_back
    while driver is not None and driver.f_code.co_flags & GENERATORS and _delegates(driver):
        driver = driver.f_back
    return driver


def _delegates(frame: FrameType) -> bool:
    """Whether the frame is at a `yield from` (or an `await`) just now."""
    from opcode import opname

    code, at = frame.f_code.co_code, frame.f_lasti
    # Once it is specialised, 3.12 leaves the position among the caches behind the instruction.
    while at > 0 and opname[code[at]] == "CACHE":
        at -= 2
    return opname[code[at]] in _DELEGATING
