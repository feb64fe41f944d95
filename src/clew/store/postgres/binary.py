"""
Rows as PostgreSQL's binary COPY wants them. Pure.

Made by hand, since rows are made ready before their commit and only their numbers are put in front
of them then. Text cannot hold a zero character there, so `safe` writes it, and the one character
that it is written with, as two; `told` reads them back.

Source: PostgreSQL documentation, COPY, "Binary Format"; array_send, text_send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"

_MARK = "\ufdd0"
"""No character, and never will be one: a text that has it is doubled up, and keeps its meaning."""

_SHORT = 100
"""Characters. Texts that are no longer are mostly names, which come again and again."""

_TEXT_OID = 25

_length = struct.Struct("!i").pack
_int2 = struct.Struct("!ih").pack
_int4 = struct.Struct("!ii").pack
_int8 = struct.Struct("!iq").pack
_float8 = struct.Struct("!id").pack
_array = struct.Struct("!iiiii").pack

TRUE, FALSE = b"\0\0\0\1\1", b"\0\0\0\1\0"


def columns(count: int) -> bytes:
    """What a row of so many columns begins with."""
    return struct.pack("!h", count)


def safe(text: str) -> str:
    """Write *text* without the zero character."""
    if "\0" not in text and _MARK not in text:
        return text
    return text.replace(_MARK, _MARK + "1").replace("\0", _MARK + "0")


def told(text: str) -> str:
    """Give what `safe` was given."""
    if _MARK not in text:
        return text
    return text.replace(_MARK + "0", "\0").replace(_MARK + "1", _MARK)


def findable(text: str) -> str:
    """`safe`, with lone surrogates replaced, which no store holds: so nothing is found instead of failing."""
    return safe(text.encode("utf-8", "replace").decode())


def digest(*parts: str) -> bytes:
    """Sixteen bytes that stand for *parts*, which may be longer than an index entry."""
    return blake2b("\0".join([str(len(parts[0])), *parts]).encode(), digest_size=16).digest()


def bytea(value: bytes | None) -> bytes:
    """Bytes."""
    return NULL if value is None else _length(len(value)) + value


def text(value: str | None) -> bytes:
    """Text."""
    if value is None:
        return NULL
    return _short_text(value) if len(value) <= _SHORT else bytea(safe(value).encode())


@lru_cache(maxsize=8_192)
def _short_text(value: str) -> bytes:
    return bytea(safe(value).encode())


def texts(values: Iterable[str]) -> bytes:
    """An array of text."""
    elements = [text(value) for value in values]
    if not elements:
        return bytea(struct.pack("!iii", 0, 0, _TEXT_OID))
    return bytea(_array(1, 0, _TEXT_OID, len(elements), 1) + b"".join(elements))


def int2(value: int) -> bytes:
    """A small number."""
    return _int2(2, value)


def int4(value: int) -> bytes:
    """A number of four bytes."""
    return _int4(4, value)


def int8(value: int | None) -> bytes:
    """A number of eight bytes."""
    return NULL if value is None else _int8(8, value)


def float8(value: float | None) -> bytes:
    """A fraction."""
    return NULL if value is None else _float8(8, value)


def boolean(value: bool) -> bytes:
    """Yes or no."""
    return TRUE if value else FALSE
