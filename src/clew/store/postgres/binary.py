"""
Rows as PostgreSQL takes them in one parameter of a statement: a binary array of records. Pure.

Made by hand, since rows are made ready before their commit and only their numbers are put in front
of them then. A record names the type of each field, and an array that of its records, which the
database gives a number of its own. Text cannot hold a zero character there, so `safe` writes it,
and the one character that it is written with, as two; `told` reads them back.

Source: PostgreSQL, array_recv, record_recv and text_recv; COPY, "Binary Format", has the same fields.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, repeat

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT8, TEXTS = 16, 17, 20, 21, 23, 25, 701, 1009
"""The types' numbers, which are the same in every database."""

_MARK = "\ufdd0"
"""No character, and never will be one: a text that has it is doubled up, and keeps its meaning."""

SHORT = 100
"""Characters. Texts that are no longer are mostly names, which come again and again."""

_length = struct.Struct("!i").pack
_field = struct.Struct("!Ii").pack
_int2 = struct.Struct("!Iih").pack
_int4 = struct.Struct("!Iii").pack
_int8 = struct.Struct("!Iiq").pack
_float8 = struct.Struct("!Iid").pack
_array = struct.Struct("!iiIii").pack
_no_array = struct.Struct("!iiI").pack

NO_BYTEA, NO_INT8, NO_TEXT, NO_FLOAT8 = (_field(of, -1) for of in (BYTEA, INT8, TEXT, FLOAT8))
TRUE, FALSE = _field(BOOL, 1) + b"\1", _field(BOOL, 1) + b"\0"


class Packed:
    """A parameter as it goes over the wire; its statement says with a cast what it is."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def array(of: int, elements: Sequence[bytes]) -> Packed:
    """An array of elements of the type *of*, each of which begins with its length."""
    return Packed(b"".join([_array_head(of, len(elements)), *elements]))


def _array_head(of: int, count: int) -> bytes:
    return _array(1, 0, of, count, 1) if count else _no_array(0, 0, of)


def int8s(values: Sequence[int]) -> Packed:
    """An array of numbers of eight bytes."""
    packed = struct.pack("!" + "iq" * len(values), *chain.from_iterable(zip(repeat(8), values)))
    return Packed(_array_head(INT8, len(values)) + packed)


def byteas(values: Iterable[bytes]) -> Packed:
    """An array of bytes."""
    return array(BYTEA, [_length(len(value)) + value for value in values])


def record(*fields: bytes) -> bytes:
    """A record, as an element of an array."""
    packed = _length(len(fields)) + b"".join(fields)
    return _length(len(packed)) + packed


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
    return NO_BYTEA if value is None else _field(BYTEA, len(value)) + value


def text(value: str | None) -> bytes:
    """Text."""
    if value is None:
        return NO_TEXT
    return short_text(value) if len(value) <= SHORT else _text(value)


def _text(value: str) -> bytes:
    encoded = safe(value).encode()
    return _field(TEXT, len(encoded)) + encoded


short_text = lru_cache(maxsize=8_192)(_text)
"""`text` of what is no longer than `SHORT`."""


def texts(values: Iterable[str]) -> bytes:
    """An array of text, as a field."""
    return _texts_of([_element(value) if len(value) <= SHORT else _new_element(value) for value in values])


def plain_texts(values: Iterable[str]) -> bytes:
    """An array of texts that are `safe` already, and mostly new."""
    return _texts_of([_length(len(encoded)) + encoded for encoded in map(str.encode, values)])


def _texts_of(elements: Sequence[bytes]) -> bytes:
    """An array of text, as a field, of elements that begin with their lengths."""
    packed = array(TEXT, elements).data
    return _field(TEXTS, len(packed)) + packed


def _new_element(value: str) -> bytes:
    encoded = safe(value).encode()
    return _length(len(encoded)) + encoded


_element = lru_cache(maxsize=8_192)(_new_element)


def int2(value: int) -> bytes:
    """A small number."""
    return _int2(INT2, 2, value)


def int4(value: int) -> bytes:
    """A number of four bytes."""
    return _int4(INT4, 4, value)


def int8(value: int | None) -> bytes:
    """A number of eight bytes."""
    return NO_INT8 if value is None else _int8(INT8, 8, value)


def float8(value: float | None) -> bytes:
    """A fraction."""
    return NO_FLOAT8 if value is None else _float8(FLOAT8, 8, value)


def boolean(value: bool) -> bytes:
    """Yes or no."""
    return TRUE if value else FALSE
