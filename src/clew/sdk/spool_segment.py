"""
One file of the spool: records with a CRC, held by a file lock while it is written or read.

A record is found again behind damage by its mark.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

try:
    import fcntl
except ImportError:  # Not on Windows, where there is no spool.
    fcntl = None  # type: ignore[assignment]

MARK: Final = b"\xc1ew\x01"
"""Begins each record. 0xc1 is the one byte that MessagePack never writes."""

HEAD: Final = struct.Struct(">4sIIII")
"""Mark, number within the segment, spans, bytes, CRC of these three and the payload."""

SUFFIX: Final = ".spool"


class Record(NamedTuple):
    """One batch."""

    number: int
    span_count: int
    payload: bytes
    end: int
    """Where in the segment it ends."""


class Segment:
    """A file being written, and held."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.file = file
        self._number = 0
        self.size_bytes = 0

    @classmethod
    def begin(cls, folder: Path) -> Segment:
        """
        Make a file in *folder*, and the folder if need be, and hold it.

        Raises:
            OSError: it cannot be made.
        """
        if fcntl is None:
            raise OSError(0, "this system has no file locks for it")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.geteuid():
            raise OSError(0, "it belongs to another user, who could read what is kept")
        # By the clock first, so that names sort by age.
        path = folder / f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        # Payloads are what users said: nobody else may read them.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_folder(folder)
        except OSError:
            os.close(file)
            raise
        return cls(path, file)

    def append(self, payload: bytes, span_count: int) -> None:
        """Write a record and have it on disk. Raises OSError; then it is not there."""
        checked = struct.pack(">III", self._number, span_count, len(payload))
        head = MARK + checked + struct.pack(">I", crc32(payload, crc32(checked)))
        whole = memoryview(head + payload)
        try:
            while whole:
                whole = whole[os.write(self.file, whole) :]
            os.fsync(self.file)
        except OSError:
            # A full disk leaves half a record, which is none, and would be counted as damage.
            with suppress(OSError):
                os.ftruncate(self.file, self.size_bytes)
            raise
        self._number += 1
        self.size_bytes += HEAD.size + len(payload)

    def close(self) -> None:
        """Let go: others may read it."""
        let_go(self.file)


def records_of(data: bytes) -> Iterator[Record]:
    """Give the records of a segment that are whole, wherever in it they lie."""
    at = data.find(MARK)
    while at >= 0:
        record = _record_at(data, at)
        if record is not None:
            yield record
        at = data.find(MARK, record.end if record else at + 1)


def _record_at(data: bytes, at: int) -> Record | None:
    if at + HEAD.size > len(data):
        return None
    _, number, span_count, size, crc = HEAD.unpack_from(data, at)
    payload = data[at + HEAD.size : at + HEAD.size + size]
    if len(payload) < size or crc32(payload, crc32(data[at + len(MARK) : at + HEAD.size - 4])) != crc:
        return None
    return Record(number, span_count, payload, at + HEAD.size + size)


def hold(path: Path) -> int | None:
    """Open and lock a segment; None if somebody holds it, or it has gone."""
    if fcntl is None:
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before may have delivered and deleted it.
        if os.fstat(file).st_nlink:
            return file
    except BlockingIOError:
        pass
    except OSError:
        os.close(file)
        raise
    os.close(file)
    return None


def let_go(file: int) -> None:
    """Unlock and close. Said to the lock itself, since a forked child may hold the same file."""
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)
    with suppress(OSError):
        os.close(file)


def read_all(file: int) -> bytes:
    """All of the file."""
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
