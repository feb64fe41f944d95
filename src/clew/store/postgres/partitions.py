"""
A partition for each day of arrival, made ahead of time, so that a day is forgotten at once.

The day is in the number of a trace, `seq`, which it keeps for ever: whatever comes of a trace later
lies beside what came first. A partition is made as a table and then attached, which blocks neither
readers nor writers.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import NamedTuple

from clew.store.chunks import PER_TRACE
from clew.store.postgres import locks
from clew.store.postgres.connect import Connection

PER_DAY = 1 << 36
"""Numbers of traces."""

AHEAD_DAYS = 3
DAY_NS = 86_400 * 10**9

_A_DAY = re.compile(r"(\d{4})(\d\d)(\d\d)")
_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date(9999, 1, 1) - _EPOCH).days


class _Table(NamedTuple):
    name: str
    per_day: int
    options: str


# A chunk of one trace takes some kilobytes: kept in the row, it is read and written in one step.
_TABLES = (
    _Table("traces", PER_DAY, "fillfactor = 100"),
    _Table("trace_spans", PER_DAY, "fillfactor = 100"),
    _Table("trace_payloads", PER_DAY * PER_TRACE, "toast_tuple_target = 8160"),
    _Table("trace_text", PER_DAY * PER_TRACE, "fillfactor = 100"),
    _Table("trace_text_blocks", PER_DAY, "fillfactor = 100"),
)

TABLE_NAMES = tuple(table.name for table in _TABLES)

_MADE = b"""
SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = ANY(%(tables)s::regclass[])
"""


def day_of(now_ns: int) -> int:
    """Give the day, counted from 1970; a clock that is far off stays within what a calendar holds."""
    return max(0, min(_LAST_DAY, now_ns // DAY_NS))


def first_seq(day: int) -> int:
    """The least number of a trace that arrives on *day*."""
    return day * PER_DAY


def make(connection: Connection, first_day: int, days: int = 1 + AHEAD_DAYS) -> None:
    """Make the partitions of some days that are not there. Outside a transaction."""
    wanted = range(first_day, first_day + days)
    if _missing(connection, wanted):
        locks.lock(connection, "partitions")
        try:
            # Asked again: another process may have made them while we waited.
            for day in _missing(connection, wanted):
                with connection.transaction():
                    for table in _TABLES:
                        _make_one(connection, table, day)
        finally:
            if not connection.broken:
                locks.unlock(connection, "partitions")


def _missing(connection: Connection, days: range) -> list[int]:
    rows = connection.execute(_MADE, {"tables": [table.name for table in _TABLES]}, prepare=False).fetchall()
    made = {name for (name,) in rows}
    return [day for day in days if any(name_of(table.name, day) not in made for table in _TABLES)]


def days_of(connection: Connection, table: str) -> list[int]:
    """Give the days of which *table* has a partition."""
    rows = connection.execute(_MADE, {"tables": [table]}).fetchall()
    names = [name[len(table) + 1 :] for (name,) in rows]
    dates = [
        date(int(name[:4]), int(name[4:6]), int(name[6:])) for name in names if name.isdecimal() and len(name) == 8
    ]
    return [(each - _EPOCH).days for each in dates]


def name_of(table: str, day: int) -> str:
    """What a day's partition is called."""
    return f"{table}_{_EPOCH + timedelta(days=day):%Y%m%d}"


def _make_one(connection: Connection, table: _Table, day: int) -> None:
    name = name_of(table.name, day)
    statement = f"""
        CREATE TABLE IF NOT EXISTS {name} (LIKE {table.name} INCLUDING ALL) WITH ({table.options});
        ALTER TABLE {table.name} ATTACH PARTITION {name}
          FOR VALUES FROM ({day * table.per_day}) TO ({(day + 1) * table.per_day})
    """
    connection.execute(statement.encode(), prepare=False)
