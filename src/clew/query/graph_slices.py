"""
What `diff` compares, as text: days, the last few of them, a version, another project, or all.

    now                      all that was ever learned
    2026-11-20               the traces that began on this day, UTC (also day:2026-11-20)
    2026-11-01..2026-11-07   these days, the last one too
    7d                       the last seven days, today among them
    version:1.4.2            the traces of one version of the service
    project:shop             all of another project
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from difflib import get_close_matches
from typing import NamedTuple

from clew.errors import BadFilter

DEFAULT_BEFORE = "7d"
MAX_DAYS = 3_660
_FORMS = "now, a day like 2026-11-20, days like 2026-11-01..2026-11-07, 7d, version:1.4.2 or project:name"


class Part(NamedTuple):
    """What one side of a diff is made of."""

    text: str
    """In words, for the answer."""
    project: str | None = None
    """Another project, if it is one."""
    slices: tuple[str, ...] | None = None
    """Names of slices; None for the whole graph."""


def parts(before: str | None, after: str | None, *, now_ns: int) -> tuple[Part, Part]:
    """
    Read both sides of a diff.

    Without *after*: `7d` is compared with the seven days before it, anything else with `now`.
    Without both: the last seven days with the seven before.

    Raises:
        BadFilter: a side cannot be read, or says days that do not exist.
    """
    today = datetime.fromtimestamp(now_ns // 10**9, timezone.utc).date()
    before = before or DEFAULT_BEFORE
    length = _length(before)
    if length is not None and not after:
        middle = today - timedelta(days=length)
        return _days(middle - timedelta(days=length - 1), middle), _days(middle + timedelta(days=1), today)
    return part("before", before, today), part("after", after or "now", today)


def part(field: str, text: str, today: date) -> Part:
    """
    Read one side.

    Raises:
        BadFilter: it is none of the forms.
    """
    noun, colon, name = text.partition(":")
    if text == "now":
        return Part("everything until now")
    if colon and noun == "project" and name:
        return Part(f"project {name}", project=name)
    if colon and noun == "version" and name:
        return Part(f"version {name}", slices=(text,))
    length = _length(text)
    if length is not None:
        return _days(today - timedelta(days=length - 1), today)
    first, dots, last = (name if colon and noun == "day" else text).partition("..")
    days = _day(field, first, text), _day(field, last if dots else first, text)
    if days[0] > days[1] or (days[1] - days[0]).days >= MAX_DAYS:
        raise BadFilter(field, f"{text[:60]!r} is not a first and a last day, at most {MAX_DAYS} days together")
    return _days(*days)


def refuse_unknown_version(field: str, wanted: Part, known: Sequence[str]) -> None:
    """
    Refuse a version of which nothing was learned: it is misspelt, and all would look as if it had gone.

    Raises:
        BadFilter: there is no such version; says which are like it.
    """
    for name in wanted.slices or ():
        if name.startswith("version:") and name not in known:
            versions = sorted(each.partition(":")[2] for each in known if each.startswith("version:"))
            near = get_close_matches(name[8:208], versions, n=3, cutoff=0.3) or versions[-3:]
            hint = f"there are {', '.join(near)}" if near else "no trace ever said its version (service.version)"
            raise BadFilter(field, f"no trace of version {name[8:68]!r} was learned; {hint}")


def _length(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,4})d", text)
    return int(match[1]) if match and 1 <= int(match[1]) <= MAX_DAYS else None


def _day(field: str, text: str, whole: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadFilter(field, f"{whole[:60]!r} is none of {_FORMS}")


def _days(first: date, last: date) -> Part:
    count = (last - first).days + 1
    names = tuple(f"day:{first + timedelta(days=at)}" for at in range(count))
    return Part(f"{first}" if count == 1 else f"{first}..{last}", slices=names)
