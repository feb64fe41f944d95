"""
Which values of a payload are worth looking for in another, and where in the payload they stand.

A value is worth it if finding it again says something: an id, an address, a title; not `true`, not
`1`, not "en". Bounded: of a payload of any size so much is looked at as takes about a millisecond,
nearest to the top first.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import islice
from typing import Any

import msgspec

from clew.graph.calls import short

MOST_VALUES = 500
"""Values that are taken from one payload."""
MOST_CHARS = 65_536
"""Characters of text that are looked at in one payload."""
MOST_ITEMS = 100
"""Elements that are looked at in one list, and keys in one mapping."""
MOST_VISITS = 5_000
"""Mappings, lists and scalars that are looked at in one payload."""
MOST_DEPTH = 24
KNOWN_CHARS = 256
"""Longer texts are known by their beginning."""

LEAST_CHARS = 4
LEAST_NUMBER = 1_000
_LEAST_DIGITS = 5
_YEARS = range(1_900, 2_101)

COMMON = frozenset(
    """
    true false null none nan undefined unknown default empty other
    success succeeded successful error errors failed failure okay done ready
    active inactive enabled disabled pending completed complete cancelled canceled confirmed available unavailable
    open closed high medium normal low
    text json html markdown string number integer float boolean object array list dict type name value data
    user assistant system tool function message messages content role query question answer input output result results
    """.split()  # noqa: SIM905 (one word a line would be a page)
)
"""Words of states, formats and roles: they turn up everywhere, whoever said them first."""

_MOST_COMMON_CHARS = 40
"""Longer texts are neither common words nor numbers that say nothing."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_ORDINARY = re.compile(r"(?!(?:\D*\d){3})[A-Za-z_$@][\w$@:. -]{0,39}", re.ASCII)
"""A key that says what its value is. Others are data: an id or a date has three digits, a title is long."""
_CLOSING = {"{": "}", "[": "]"}


def leaves(name: str, payload: Any) -> list[tuple[str, str]]:
    """
    Give the values of *payload* that are worth matching as text, each with its path; within the limits above.

    Paths begin with *name*, as in 'get_user.payment_methods.*.id' and 'search[].flight_number'; where
    the keys of a mapping are data they are values too, at '.{key}'. Text that is JSON is read as JSON.
    """
    found: list[tuple[str, str]] = []
    chars = MOST_CHARS
    queue: deque[tuple[str, Any, int]] = deque([(name, payload, 0)])
    for _ in range(MOST_VISITS):
        if not queue or len(found) >= MOST_VALUES:
            break
        path, value, depth = queue.popleft()
        if isinstance(value, str):
            text = value[:chars]
            chars -= len(text)
            value = parsed(text)
        if isinstance(value, (dict, list, tuple)):
            if depth < MOST_DEPTH and len(queue) < MOST_VISITS:
                queue.extend([(at, each, depth + 1) for at, each in _below(path, value)])
        else:
            worthy = worth(value)
            if worthy is not None:
                found.append((path, worthy))
    return found


def worth(value: Any) -> str | None:
    """Give a scalar as the text by which it is matched; None if finding it again would say nothing."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _MOST_COMMON_CHARS:
            return text
        if len(text) < LEAST_CHARS or text.lower() in COMMON:
            return None
        return None if _NUMBER.fullmatch(text) and not _telling(float(text)) else text
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _telling(value):
        return None
    return str(int(value)) if value == int(value) else repr(value)


def _telling(number: float) -> bool:
    """Say whether a number is more than a count, a share, a flag or a year."""
    if not abs(number) < 1e40:
        return False
    if number == int(number):
        return abs(number) >= LEAST_NUMBER and int(number) not in _YEARS
    return len(repr(number).lstrip("-0.").replace(".", "")) >= _LEAST_DIGITS


def parsed(text: str) -> Any:
    """Give what a text says as JSON if that is a mapping or a list; otherwise the text."""
    inside = text.strip()
    if inside[-1:] == _CLOSING.get(inside[:1]):
        try:
            return msgspec.json.decode(inside)
        except (msgspec.DecodeError, RecursionError, ValueError):
            pass
    return text


def _below(path: str, value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        path += "[]"
        return [(path, each) for each in value[:MOST_ITEMS]]
    items = list(islice(value.items(), MOST_ITEMS))
    if any(isinstance(key, str) and _ORDINARY.fullmatch(key) for key, _ in items):
        return [(short(f"{path}.{key}"), each) for key, each in items]
    return [each for key, below in items for each in ((f"{path}.{{key}}", key), (f"{path}.*", below))]
