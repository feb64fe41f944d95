"""
Conditions in a query string -> what a store is asked. Pure.

`attr.user_tier=gold`, `attr.top_k>=5` (in a URL the name is `attr.top_k>`), `attr.region!=eu`; a value
of `*` asks only whether there is one. A name or a value in double quotes is a JSON string, for those
that would be read otherwise. `score.rating<=2` asks scores in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from clew.errors import BadFilter
from clew.store.conditions import number_of
from clew.store.protocol import Condition

MAX_CONDITIONS = 10
MAX_CHARS = 1_000

_OPERATORS = {"": "=", ">": ">=", "<": "<=", "!": "!="}
_NAME = re.compile(r'("(?:[^"\\]|\\.)*"|(?!")[^<>!]*)([<>!]?)', re.DOTALL)
_LINE = re.compile(r'("(?:[^"\\]|\\.)*"|(?!")[^<>!=]*)(?:([<>!]?)=(.*))?', re.DOTALL)


def conditions_of(prefix: str, pairs: Iterable[tuple[str, str]]) -> tuple[Condition, ...]:
    """
    Read the parameters whose names begin with *prefix*, such as `attr.`.

    Raises:
        BadFilter: one cannot be read, or there are over `MAX_CONDITIONS`.
    """
    # An empty value means "not given", as everywhere; but one behind ">" was meant as `attr.k>5`.
    found = [_condition(prefix, name, value) for name, value in pairs if value.strip() or re.search("[<>]", name)]
    if len(found) > MAX_CONDITIONS:
        raise BadFilter(f"{prefix}*", f"there are {len(found)} conditions; ask for at most {MAX_CONDITIONS}")
    return tuple(found)


def pair_of(prefix: str, line: str) -> tuple[str, str]:
    """
    Read one condition as it is typed, such as `top_k>=5`, as a parameter; a name alone asks whether there is one.

    Raises:
        BadFilter: it cannot be read.
    """
    match = _LINE.fullmatch(line)
    if match is None or not match[1].strip():
        raise BadFilter(f"{prefix}*", f"{line[:80]!r} is not like name=value, name>=5, name<=5, name!=value or name")
    return f"{prefix}{match[1].strip()}{match[2] or ''}", "*" if match[3] is None else match[3]


def _condition(prefix: str, name: str, value: str) -> Condition:
    field = name[:80]
    match = _NAME.fullmatch(name[len(prefix) :])
    if match is None:
        raise BadFilter(
            field, "write name=value, name>=5, name<=5 or name!=value; a name with <, > or ! in double quotes"
        )
    key, operator = _unquoted(field, match[1]), _OPERATORS[match[2]]
    value = value.strip()
    if not key or len(key) > MAX_CHARS or len(value) > MAX_CHARS:
        raise BadFilter(field, f"a name has 1 to {MAX_CHARS} characters, a value at most {MAX_CHARS}")
    if value == "*" and operator == "=":
        return Condition(key)
    value = _unquoted(field, value)
    if operator in (">=", "<=") and number_of(value) is None:
        raise BadFilter(field, f"{value[:60]!r} is not a number; only numbers are more or less")
    return Condition(key, operator, value)  # type: ignore[arg-type]


def _unquoted(field: str, text: str) -> str:
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        raise BadFilter(field, f"{text[:60]} is not a JSON string") from None
