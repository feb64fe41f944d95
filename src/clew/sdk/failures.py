"""
Exceptions as spans keep them: facts taken on the caller's thread, text made on the writer's.

The exception itself is not kept, because that would keep every frame and every local variable
that it passed through, and formatting it reads source files, which is I/O.

Source: OpenTelemetry semantic conventions, "Exceptions on spans": event `exception` with
`exception.type`, `exception.message`, `exception.stacktrace`.
"""

from __future__ import annotations

import linecache
from types import TracebackType
from typing import Any, Final, NamedTuple

MESSAGE_CHARS: Final = 4_096
FRAMES: Final = 60
CHAIN: Final = 5
"""Causes shown of one exception."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


class Raised(NamedTuple):
    """One exception, without the frames and objects that it holds."""

    type: str
    message: str
    frames: list[tuple[str, int, str]]
    """(file, line, function), outermost first; of a deep stack the innermost."""
    before: Raised | None
    """The exception that this one was raised from, or while handling it."""
    link: str
    attributes: dict[str, Any] | None = None
    """What whoever recorded it said besides; it wins over what is found here."""


def capture(exc: BaseException, *, chain: int = CHAIN) -> Raised:
    """Take down what a reader needs of *exc*: no I/O, bounded, and no reference kept."""
    before = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return Raised(
        type=type_name(exc),
        message=message_of(exc),
        frames=_frames(exc.__traceback__),
        before=capture(before, chain=chain - 1) if before is not None and chain > 0 else None,
        link=_CAUSE if exc.__cause__ is not None else _CONTEXT,
    )


def type_name(exc: BaseException) -> str:
    """`ValueError`, or `package.module.Error` for what is not built in."""
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def message_of(exc: BaseException) -> str:
    """`str(exc)`, cut; also when that raises."""
    try:
        text = str(exc)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"<{type(exc).__name__} whose message cannot be read>"
    return text if len(text) <= MESSAGE_CHARS else f"{text[:MESSAGE_CHARS]}… [{len(text)} characters]"


def stacktrace(raised: Raised) -> str:
    """Write it as Python prints a traceback. Reads source files: the writer's work."""
    lines = []
    if raised.before is not None:
        lines += [stacktrace(raised.before), raised.link]
    lines.append("Traceback (most recent call last):\n")
    for file, line, function in raised.frames:
        source = linecache.getline(file, line).strip()
        lines.append(f'  File "{file}", line {line}, in {function}\n' + (f"    {source}\n" if source else ""))
    lines.append(f"{raised.type}: {raised.message}\n" if raised.message else f"{raised.type}\n")
    return "".join(lines)


def is_cancellation(exc: BaseException) -> bool:
    """Whether asyncio or trio cancelled it: by name, since neither may be imported here."""
    return not isinstance(exc, Exception) and type(exc).__name__ in ("CancelledError", "Cancelled")


def is_plain_end(exc: BaseException) -> bool:
    """A generator closed early or a `sys.exit(0)`: the way out, not a failure."""
    return isinstance(exc, GeneratorExit) or (isinstance(exc, SystemExit) and exc.code in (None, 0))


def _frames(traceback: TracebackType | None) -> list[tuple[str, int, str]]:
    frames: list[Any] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    return frames[-FRAMES:]
