"""
Values that every store can keep: bounded in length, depth and number, finite, and clean UTF-8.

What is changed is marked in the value, and told to whoever asked for it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from datetime import date, datetime
from typing import Any

MAX_KEY_CHARS = 500
MAX_ATTRIBUTES = 2_000
MAX_DEPTH = 32
"""Of lists and objects in each other: what lies deeper is cut."""

MAX_ITEMS = 100_000
"""Of all lists and objects in one value together. It also bounds the work on a value that holds itself."""

_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1

Note = Callable[[str], None]


def is_plain(attributes: dict[str, Any], max_chars: int, trusted_text: bool) -> bool:
    """
    Say whether *attributes* can stay as they are: the quick look that every span gets.

    *trusted_text* says that they were decoded from bytes, so that no text holds a lone surrogate
    and no value holds itself.
    """
    try:
        return len(attributes) <= MAX_ATTRIBUTES and _is_plain_mapping(attributes, max_chars, trusted_text, MAX_DEPTH)
    except TypeError:  # a key that is no text
        return False


def is_plain_value(value: Any, max_chars: int, trusted_text: bool) -> bool:
    """Say whether *value* can stay as it is."""
    if type(value) is str:
        return "\0" not in value and len(value) <= max_chars and (trusted_text or value.isascii())
    try:
        return _are_plain((value,), max_chars, trusted_text, MAX_DEPTH)
    except TypeError:
        return False


def _is_plain_mapping(mapping: dict[str, Any], max_chars: int, trusted_text: bool, depth: int) -> bool:
    # One scan over all keys; only if they are long together can one of them be too long.
    keys = "".join(mapping)
    if "\0" in keys or not (trusted_text or keys.isascii()):
        return False
    if len(keys) > MAX_KEY_CHARS and max(map(len, mapping)) > MAX_KEY_CHARS:
        return False
    return _are_plain(mapping.values(), max_chars, trusted_text, depth)


def _are_plain(values: Collection[Any], max_chars: int, trusted_text: bool, depth: int) -> bool:
    for value in values:
        kind = type(value)
        if kind is str:
            plain = "\0" not in value and len(value) <= max_chars and (trusted_text or value.isascii())
        elif kind is int:
            plain = _INT_MIN <= value <= _INT_MAX
        elif kind is float:
            plain = value - value == 0.0  # not so NaN and the infinities
        elif kind is dict or kind is list:
            inner = _is_plain_mapping if kind is dict else _are_plain
            plain = trusted_text and depth > 0 and len(value) <= MAX_ITEMS and inner(value, max_chars, True, depth - 1)
        else:
            plain = kind is bool or value is None
        if not plain:
            return False
    return True


def clean_text(text: str, max_chars: int) -> str:
    """Give *text* without NUL and lone surrogates, and at most about *max_chars* long."""
    cut = text if len(text) <= max_chars else f"{text[:max_chars]}… [cut: {len(text)} characters in all]"
    return cut.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


class Cleaner:
    """Cleans one value and all in it."""

    def __init__(self, note: Note, max_chars: int) -> None:
        self._note = note
        self._max_chars = max_chars
        self._room = MAX_ITEMS

    def attributes(self, attributes: dict[str, Any], where: str) -> dict[str, Any]:
        """Clean a mapping of attributes, at most `MAX_ATTRIBUTES` of them."""
        kept = list(attributes.items())
        if len(kept) > MAX_ATTRIBUTES:
            self._note(f"{where}: {len(kept) - MAX_ATTRIBUTES} of {len(kept)} were cut")
            del kept[MAX_ATTRIBUTES:]
        return {self._key(key, where): self.value(value, f"{where}.{str(key)[:80]}") for key, value in kept}

    def value(self, value: Any, where: str, depth: int = 0) -> Any:
        """Clean one value and all in it; *where* names it in what is noted."""
        kind = type(value)
        if kind is bool or value is None:
            return value
        clean = _CLEAN.get(kind)
        return clean(self, value, where, depth) if clean else self._other(value, where)

    def _text(self, text: str, where: str, _depth: int = 0) -> str:
        if len(text) <= self._max_chars and "\0" not in text and (text.isascii() or is_utf8(text)):
            return text
        if len(text) > self._max_chars:
            self._note(f"{where}: cut from {len(text)} to {self._max_chars} characters")
        if "\0" in text or not is_utf8(text):
            self._note(f"{where}: NUL characters or lone surrogates were replaced")
        return clean_text(text, self._max_chars)

    def _integer(self, value: int, where: str, _depth: int) -> int | str:
        if _INT_MIN <= value <= _INT_MAX:
            return value
        self._note(f"{where}: an integer of more than 64 bits became text")
        return hex(value) if value.bit_length() > 4096 else str(value)

    def _number(self, value: float, where: str, _depth: int) -> float | str:
        if value - value == 0.0:
            return value
        text = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
        self._note(f"{where}: {text} became text, since JSON has no such number")
        return text

    def _mapping(self, value: dict[Any, Any], where: str, depth: int) -> Any:
        if depth == MAX_DEPTH:
            return self._too_deep(where)
        items = self._bounded(list(value.items()), where)
        return {self._key(key, where): self.value(item, where, depth + 1) for key, item in items}

    def _items(self, value: Collection[Any], where: str, depth: int) -> Any:
        if depth == MAX_DEPTH:
            return self._too_deep(where)
        items = self._bounded(list(value), where)
        cleaned = [self.value(item, where, depth + 1) for item in items]
        if len(items) < len(value):
            cleaned.append(f"… [cut: {len(value) - len(items)} more items]")
        return cleaned

    def _too_deep(self, where: str) -> str:
        self._note(f"{where}: nested deeper than {MAX_DEPTH} levels, cut there")
        return f"… [cut: nested deeper than {MAX_DEPTH} levels]"

    def _bounded(self, items: list[Any], where: str) -> list[Any]:
        room, self._room = self._room, max(0, self._room - len(items))
        if len(items) <= room:
            return items
        self._note(f"{where}: {len(items) - room} of {len(items)} items were cut")
        return items[:room]

    def _key(self, key: Any, where: str) -> str:
        text = key if type(key) is str else str(key)
        if len(text) <= MAX_KEY_CHARS and "\0" not in text and (text.isascii() or is_utf8(text)):
            return text
        self._note(f"{where}: a key was cut or had characters replaced")
        return clean_text(text, MAX_KEY_CHARS)

    def _other(self, value: Any, where: str) -> Any:
        """MessagePack brings bytes, timestamps and extensions, which JSON has not."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(base64.b64encode(value).decode("ascii"), where)
        if isinstance(value, (datetime, date)):
            return value.isoformat()
        self._note(f"{where}: a value of type {type(value).__name__} became text")
        return self._text(repr(value), where)


_CLEAN: dict[type, Callable[[Cleaner, Any, str, int], Any]] = {
    str: Cleaner._text,
    int: Cleaner._integer,
    float: Cleaner._number,
    dict: Cleaner._mapping,
    list: Cleaner._items,
    tuple: Cleaner._items,
    set: Cleaner._items,
    frozenset: Cleaner._items,
}


def is_utf8(text: str) -> bool:
    """Say whether *text* can be written as UTF-8: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
