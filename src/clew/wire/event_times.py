"""
The times of events: ISO 8601, Unix time in any of four units, or a mere order.

A number is read by its magnitude: as seconds, milliseconds, microseconds or nanoseconds, whichever
puts it between the years 2000 and 2100. The four ranges lie far apart, so at most one fits. A
number under all of them (0, 1, 2, or the seconds since a run began) is no date but an order: it
counts from a base that whoever reads the events names, whole numbers in units, fractions in seconds.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from clew.wire.mend import EARLIEST_NS, LATEST_NS

UNITS_NS: Final = (10**9, 10**6, 10**3, 1)
MILLISECOND_NS: Final = 1_000_000

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Unreadable(ValueError):
    """What an event says makes no sense; the text says why."""


class Base(NamedTuple):
    """What times that are no dates count from."""

    at_ns: int
    unit_ns: int = MILLISECOND_NS


class Time(NamedTuple):
    """A time, and whether it was an order rather than a date."""

    ns: int
    is_ordinal: bool


def read_time(value: Any, base: Base) -> Time:
    """
    Give *value* as Unix nanoseconds.

    Raises:
        Unreadable: it is no time, or none of this century.
    """
    if isinstance(value, str):
        return _text_time(value.strip(), base)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"a time is ISO 8601 or a number, not {type(value).__name__}")
    return _number_time(value, base)


def _number_time(value: float, base: Base) -> Time:
    if not math.isfinite(value):
        raise Unreadable(f"{value} is no time")
    if abs(value) * UNITS_NS[0] < EARLIEST_NS:
        # As in `clew.graph.recorded`.
        offset_ns = round(value * 10**9) if isinstance(value, float) else value * base.unit_ns
        return Time(base.at_ns + offset_ns, True)
    for unit_ns in UNITS_NS:
        if EARLIEST_NS <= value * unit_ns < LATEST_NS:
            return Time(round(value * unit_ns), False)
    raise Unreadable(f"{value:.17g} is no Unix time between the years 2000 and 2100, in whatever unit")


def _text_time(text: str, base: Base) -> Time:
    match = _ISO.fullmatch(text)
    if match is None:
        return _number_time(_number(text), base)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        when = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=_zone(zone))
        seconds = (when - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"{text[:40]!r} is no time: {error}") from None
    return Time(seconds * 10**9 + int((fraction or "0").ljust(9, "0")), False)


def _number(text: str) -> float:
    if len(text) <= 40:
        try:
            return int(text)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:
            pass
    raise Unreadable(f"{text[:40]!r} is neither ISO 8601 nor a number")


def _zone(text: str | None) -> timezone:
    """The zone of an ISO time; one that names none is in UTC."""
    if not text or text in "Zz":
        return timezone.utc
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
