"""
The bytes of one part, compressed with zstd.

Spans are OTLP's ExportTraceServiceRequest, and what is known beyond them is MessagePack: messages, each
after its length, a varint, as protobuf's own libraries write it (`writeDelimitedTo`,
`google.protobuf.proto.serialize_length_prefixed`). Everything else is lines of JSON.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import zstandard

from clew.errors import ClewError

LEVEL = 3
MOST_MESSAGE_BYTES = 1 << 30
_READ_BYTES = 1 << 20


class DamagedPart(ClewError):
    """A part is not there, cut short, or not what was written. Exit status 1; the other parts are imported."""


class PartWriter:
    """Writes one part to *file*, which stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._hashed = _Hashed(file)
        self._stream: Any = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).stream_writer(
            cast("BinaryIO", self._hashed), closefd=False
        )
        self.raw_bytes = 0
        """Before compression."""

    def add(self, message: bytes) -> None:
        """Add one message."""
        self._stream.write(_varint(len(message)))
        self._stream.write(message)
        self.raw_bytes += len(message)

    def add_line(self, line: bytes) -> None:
        """Add one line of JSON."""
        self._stream.write(line + b"\n")
        self.raw_bytes += len(line) + 1

    def finish(self) -> tuple[int, str]:
        """Write what is left; gives how many bytes there are, and their SHA-256 in hex."""
        self._stream.close()
        return self._hashed.count_bytes, self._hashed.digest.hexdigest()


class _Hashed:
    """Counts and hashes what is written through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.count_bytes = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.digest.update(data)
        self.count_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        pass


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def check(file: BinaryIO, *, size_bytes: int, sha256: str) -> None:
    """
    Read *file* to its end and back, and say whether it is what was written.

    Raises:
        DamagedPart: it is shorter or longer, or some of it is different.
    """
    digest, found = hashlib.sha256(), 0
    try:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            found += len(data)
        file.seek(0)
    except OSError as error:
        raise DamagedPart(f"it cannot be read: {error.strerror or error}") from None
    if found != size_bytes:
        raise DamagedPart(f"it has {found:,} bytes, {size_bytes:,} were written")
    if digest.hexdigest() != sha256:
        raise DamagedPart("its checksum is wrong: some of its bytes have changed")


def messages(file: BinaryIO) -> Iterator[bytes]:
    """
    Give the messages of a part, one at a time.

    Raises:
        DamagedPart: it is no part, or ends in the middle of a message.
    """
    stream = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
    try:
        while (size := _read_varint(stream)) is not None:
            yield _exactly(stream, size)
    except zstandard.ZstdError as error:
        raise DamagedPart(f"it cannot be decompressed: {error}") from None


def lines(file: BinaryIO) -> Iterator[bytes]:
    """
    Give the lines of a part, one at a time.

    Raises:
        DamagedPart: it cannot be decompressed.
    """
    with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as stream:
        try:
            yield from io.BufferedReader(stream)
        except (zstandard.ZstdError, OSError) as error:
            raise DamagedPart(f"it cannot be decompressed: {error}") from None


def _read_varint(stream: Any) -> int | None:
    number: int = 0
    shift = 0
    while byte := stream.read(1):
        number |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return number
        shift += 7
        if shift > 35:
            break
    if shift == 0:
        return None
    raise DamagedPart("it ends in the middle of a message's length")


def _exactly(stream: Any, size: int) -> bytes:
    if size > MOST_MESSAGE_BYTES:
        raise DamagedPart(f"a message of {size:,} bytes is none")
    pieces = []
    while size and (data := stream.read(size)):
        pieces.append(data)
        size -= len(data)
    if size:
        raise DamagedPart("it ends in the middle of a message")
    return b"".join(pieces)


def make_durable(file: BinaryIO) -> None:
    """Have *file* on the disk before returning."""
    file.flush()
    os.fsync(file.fileno())
