"""
Query strings -> filters. What makes no sense is refused and never guessed at.

An unknown parameter is an error: a misspelt filter that is ignored would show every trace
as if it had matched. An empty value means "not given", since that is what forms send.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, TypeVar

from clew.errors import BadFilter
from clew.model import KINDS, Flag, Kind, Status
from clew.model.ids import ZERO_TRACE
from clew.query.conditions import MAX_CONDITIONS, conditions_of
from clew.store.protocol import TraceFilter

T = TypeVar("T")
C = TypeVar("C", bound=str)

DEFAULT_PROJECT = "default"
DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_TEXT_CHARS = 1_000
MAX_TIME_NS = 2**63 - 1
"""Stores keep times as signed 64-bit nanoseconds: until the year 2262."""

STATUSES: tuple[Status, ...] = ("unset", "ok", "error")

Params = Iterable[tuple[str, str]]
"""The pairs of a query string, in order, repeats included."""

TRACE_PARAMS: Mapping[str, str] = {
    "project": "The project to read; `default` if not given.",
    "user_id": "Traces of this user.",
    "session_id": "Traces of this session.",
    "from": "Traces that started at or after this: ISO 8601, or Unix seconds.",
    "to": "Traces that started before this: ISO 8601, or Unix seconds.",
    "min_latency_ms": "Traces that took at least so long, in milliseconds.",
    "max_latency_ms": "Traces that took at most so long, in milliseconds.",
    "quality_flag": "USER_NEGATIVE, EMPTY, LOW_CONFIDENCE or NORMAL.",
    "status": "unset, ok or error.",
    "kind": "Traces with a span of this kind, such as retrieval.",
    "model": "Traces with a span of exactly this model.",
    "text": "Every word of it occurs in the trace's names, errors, inputs or outputs.",
    "name": "Traces with a span of exactly this name.",
    "tag": "Traces with a span that has this tag; may be repeated.",
    "min_tokens": "Traces whose input and output tokens together are at least so many.",
    "max_tokens": "Traces whose input and output tokens together are at most so many.",
    "min_cost_usd": "Traces that have a cost of at least this, in US dollars.",
    "max_cost_usd": "Traces that have a cost of at most this, in US dollars.",
    "attr.KEY": "Traces with this attribute: attr.tier=gold, attr.top_k>=5, attr.tier!=gold, attr.tier=*.",
    "score.NAME": "Traces with such a score: score.rating<=2, score.fit=good, score.fit=*.",
    "limit": f"Traces on a page, 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} if not given.",
    "cursor": "The `next_cursor` of the page before.",
}


class TraceQuery(NamedTuple):
    """One page of traces to ask a store for."""

    project: str
    where: TraceFilter
    limit: int
    after: tuple[int, str] | None


def parse_trace_query(params: Params) -> TraceQuery:
    """
    Read the filters of `GET /api/v1/admin/traces/`.

    Raises:
        BadFilter: a parameter is unknown, repeated, malformed, or contradicts another.
    """
    plain, listed = _apart(params)
    given = only_known(plain, TRACE_PARAMS)
    where = TraceFilter(
        user_id=optional(given, "user_id", text_of),
        session_id=optional(given, "session_id", text_of),
        from_ns=optional(given, "from", time_of),
        to_ns=optional(given, "to", time_of),
        min_duration_ns=optional(given, "min_latency_ms", latency_of),
        max_duration_ns=optional(given, "max_latency_ms", latency_of),
        flag=optional(given, "quality_flag", flag_of),
        status=optional(given, "status", status_of),
        kind=optional(given, "kind", kind_of),
        model=optional(given, "model", text_of),
        text=optional(given, "text", text_of),
        name=optional(given, "name", text_of),
        min_tokens=optional(given, "min_tokens", tokens_of),
        max_tokens=optional(given, "max_tokens", tokens_of),
        min_cost_usd=optional(given, "min_cost_usd", cost_of),
        max_cost_usd=optional(given, "max_cost_usd", cost_of),
        tags=_tags_of(listed["tag"]),
        attributes=conditions_of("attr.", listed["attr."]),
        scores=conditions_of("score.", listed["score."]),
    )
    _refuse_contradictions(where)
    return TraceQuery(
        project=optional(given, "project", text_of) or DEFAULT_PROJECT,
        where=where,
        limit=optional(given, "limit", limit_of) or DEFAULT_LIMIT,
        after=optional(given, "cursor", cursor_of),
    )


def _apart(params: Params) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """Put aside the parameters that may come more than once, or have a name of the user's in theirs."""
    plain: list[tuple[str, str]] = []
    listed: dict[str, list[tuple[str, str]]] = {"tag": [], "attr.": [], "score.": []}
    for name, value in params:
        prefix = next((each for each in listed if name == each or (each[-1] == "." and name.startswith(each))), None)
        (plain if prefix is None else listed[prefix]).append((name, value))
    return plain, listed


def _tags_of(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    tags = dict.fromkeys(text_of(name, value.strip()) for name, value in pairs if value.strip())
    if len(tags) > MAX_CONDITIONS:
        raise BadFilter("tag", f"there are {len(tags)}; ask for at most {MAX_CONDITIONS}")
    return tuple(tags)


def only_known(params: Params, known: Iterable[str]) -> dict[str, str]:
    """Give the parameters that say something. Refuses unknown and repeated ones."""
    allowed = list(known)
    given: dict[str, str] = {}
    for name, value in params:
        if name not in allowed:
            raise BadFilter(name[:80], f"there is no such parameter; there are {', '.join(allowed)}")
        if name in given:
            raise BadFilter(name, "it is given more than once")
        given[name] = value.strip()
    return {name: value for name, value in given.items() if value}


def optional(given: Mapping[str, str], name: str, parse: Callable[[str, str], T]) -> T | None:
    """Parse parameter *name*, or give None where it is not given."""
    value = given.get(name)
    return None if value is None else parse(name, value)


def text_of(name: str, value: str) -> str:
    """Give text that a store can compare with what it keeps."""
    if len(value) > MAX_TEXT_CHARS:
        raise BadFilter(name, f"it is longer than {MAX_TEXT_CHARS} characters")
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in value):
        raise BadFilter(name, "it has control characters")
    return value


def time_of(name: str, value: str) -> int:
    """Read ISO 8601 (without a zone: UTC) or Unix seconds as Unix nanoseconds."""
    time_ns = _unix_seconds(value)
    if time_ns is None:
        time_ns = _iso_8601(value)
    if time_ns is None:
        raise BadFilter(name, f"{value[:60]!r} is neither ISO 8601, like 2026-11-20T08:30:00Z, nor Unix seconds")
    if not 0 <= time_ns <= MAX_TIME_NS:
        raise BadFilter(name, f"{value[:60]!r} is outside 1970 to 2262; Unix times are in seconds here")
    return time_ns


def _unix_seconds(value: str) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", value):
        return None
    try:
        # Decimal, since a float would lose nanoseconds.
        return int(Decimal(value) * 1_000_000_000)
    except InvalidOperation:
        return None


def _iso_8601(value: str) -> int | None:
    text = re.sub(r"[zZ]$", "+00:00", value)
    # A "+" that was not escaped in the URL arrives as a space.
    text = re.sub(r"(T.*) (\d\d:?\d\d)$", r"\1+\2", text)
    # Before Python 3.11 only 3 or 6 digits of a fraction are read.
    text = re.sub(r"\.(\d+)", lambda match: "." + (match[1] + "000000")[:6], text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    since = when - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def number_of(name: str, value: str) -> float:
    """Read a finite number; NaN and infinities compare with nothing, so they are refused."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadFilter(name, f"{value[:60]!r} is not a number")
    return number


def latency_of(name: str, value: str) -> int:
    """Read milliseconds as nanoseconds."""
    duration_ms = number_of(name, value)
    if duration_ms < 0:
        raise BadFilter(name, "it is negative; nothing takes less than no time")
    return min(round(duration_ms * 1_000_000), MAX_TIME_NS)


def tokens_of(name: str, value: str) -> int:
    """Read a number of tokens."""
    if not re.fullmatch(r"[0-9]{1,15}", value):
        raise BadFilter(name, f"{value[:60]!r} is not a whole number of tokens")
    return int(value)


def cost_of(name: str, value: str) -> float:
    """Read US dollars."""
    cost_usd = number_of(name, value)
    if cost_usd < 0:
        raise BadFilter(name, "it is negative; nothing costs less than nothing")
    return cost_usd


def flag_of(name: str, value: str) -> Flag:
    """Read a quality flag, in any case."""
    return Flag(one_of(name, value.upper(), [flag.value for flag in Flag]))


def status_of(name: str, value: str) -> Status:
    """Read a status, in any case."""
    return one_of(name, value.lower(), STATUSES)


def kind_of(name: str, value: str) -> Kind:
    """Read a kind of span, in any case."""
    return one_of(name, value.lower(), KINDS)


def one_of(name: str, value: str, choices: Sequence[C]) -> C:
    """Give the one of *choices* that *value* is."""
    found = next((choice for choice in choices if choice == value), None)
    if found is None:
        raise BadFilter(name, f"{value[:60]!r} is none of {', '.join(choices)}")
    return found


def limit_of(name: str, value: str) -> int:
    """Read the size of a page."""
    if not re.fullmatch(r"[0-9]{1,9}", value) or not 1 <= int(value) <= MAX_LIMIT:
        raise BadFilter(name, f"it must be a whole number from 1 to {MAX_LIMIT}")
    return int(value)


def cursor_of(name: str, value: str) -> tuple[int, str]:
    """Read what `cursor_text` wrote."""
    match = re.fullmatch(r"([0-9]{1,19})-([0-9a-f]{32})", value)
    if match is None or int(match[1]) > MAX_TIME_NS or match[2] == ZERO_TRACE:
        raise BadFilter(name, "it is no cursor of ours; take `next_cursor` from the page before as it is")
    return int(match[1]), match[2]


def cursor_text(cursor: tuple[int, str] | None) -> str | None:
    """Write a store's cursor for a URL."""
    return None if cursor is None else f"{cursor[0]}-{cursor[1]}"


def _refuse_contradictions(where: TraceFilter) -> None:
    """A filter that nothing can match is a mistake, and an empty page would hide it."""
    if where.from_ns is not None and where.to_ns is not None and where.from_ns >= where.to_ns:
        raise BadFilter("from", "it is not before `to`, so no trace can match")
    for field, low, high in (
        ("latency_ms", where.min_duration_ns, where.max_duration_ns),
        ("tokens", where.min_tokens, where.max_tokens),
        ("cost_usd", where.min_cost_usd, where.max_cost_usd),
    ):
        if low is not None and high is not None and low > high:
            raise BadFilter(f"min_{field}", f"it is over `max_{field}`, so no trace can match")
