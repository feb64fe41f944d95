"""Read a file of events, or standard input: plain or gzip, line by line, with the numbers of the lines."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from clew.errors import ClewError
from clew.wire.event_times import Unreadable
from clew.wire.events import Item, Loose, from_line, split

GZIP = b"\x1f\x8b"
LINE_BYTES = 64 << 20
"""A longer line is no event, and is skipped without being held in memory."""

LIST_BYTES = 256 << 20
"""A file that is one JSON list is read whole, up to here."""

_DAMAGED = (EOFError, OSError, zlib.error)


class UnreadableFile(ClewError):
    """The file is not there, damaged, or of another format. Exit status 1."""


class EventFile:
    """An opened file, and how far it was read."""

    def __init__(self, raw: BinaryIO, size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        """As it lies on the disk; None for a pipe."""
        self._raw = raw
        self._counted = _Counted(raw)
        buffered = io.BufferedReader(self._counted, 1 << 16)
        is_gzip = buffered.peek(2)[:2] == GZIP
        self._lines: Any = io.BufferedReader(gzip.GzipFile(fileobj=buffered), 1 << 16) if is_gzip else buffered

    @property
    def read_bytes(self) -> int:
        """Bytes that were read so far, of what lies on the disk."""
        return self._counted.count_bytes

    def items(self) -> Iterator[Item]:
        """
        Give each line with its number, from 1, as JSON or as the reason why it is none.

        Raises:
            UnreadableFile: the gzip is damaged here; what came before it was given.
        """
        number = 0
        try:
            if self._lines.peek(1)[:1] == b"[":
                yield from ((index + 1, raw) for index, raw in split(self._whole()))
                return
            for number, line in enumerate(self._each_line(), start=1):
                if line is None:
                    yield number, Unreadable(f"it is longer than {LINE_BYTES >> 20} MiB")
                elif line.strip():
                    yield from _events_in(number, line)
        except _DAMAGED as error:
            raise UnreadableFile(f"damaged after line {number}: {error}; what came before was imported") from None

    def _each_line(self) -> Iterator[bytes | None]:
        while line := self._lines.readline(LINE_BYTES):
            if line.endswith(b"\n") or len(line) < LINE_BYTES:
                yield line
                continue
            while rest := self._lines.readline(LINE_BYTES):
                if rest.endswith(b"\n"):
                    break
            yield None

    def _whole(self) -> bytes:
        whole: bytes = self._lines.read(LIST_BYTES + 1)
        if len(whole) > LIST_BYTES:
            raise UnreadableFile(f"a JSON list of more than {LIST_BYTES >> 20} MiB; write one event a line instead")
        return whole


class _Counted(io.RawIOBase):
    """Counts what is read through it."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self.count_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.count_bytes += len(data)
        return len(data)


@contextmanager
def open_events(path: str) -> Iterator[EventFile]:
    """
    Open *path*, or standard input for "-".

    Raises:
        UnreadableFile: it cannot be opened.
    """
    if path == "-":
        yield EventFile(sys.stdin.buffer, None)
        return
    try:
        # Held open for the whole `with` of the caller.
        raw = Path(path).open("rb")  # noqa: SIM115
        size_bytes = Path(path).stat().st_size if Path(path).is_file() else None
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}") from None
    with raw:
        yield EventFile(raw, size_bytes)


def _events_in(number: int, line: bytes) -> Iterator[Item]:
    """What one line holds: an event, or several as they are posted."""
    item = from_line(line)
    raw = item.value if isinstance(item, Loose) else item
    if isinstance(raw, dict):
        foreign = _foreign(raw)
        if foreign:
            yield number, Unreadable(foreign)
            return
        events = raw.get("events")
        if isinstance(events, list) and "type" not in raw:
            yield from ((number, event) for event in events)
            return
    yield number, item


def _foreign(raw: dict[str, Any]) -> str:
    """What another known format is called, and where it goes; "" for an event."""
    if "resourceSpans" in raw or "resource_spans" in raw:
        return "it is OTLP JSON, which this version does not import; send OTLP as protobuf to /v1/traces"
    if "run_type" in raw and "dotted_order" in raw:
        return "it is a LangSmith run, which this version does not import"
    return ""
