"""
What went of a project, as a log: the one insert by which traces are gone, and what they counted stays.

ClickHouse cannot delete rows of several tables at once, nor together with adding to a sum. So a step that
drops traces is one change of a log (`clew.store.clickhouse.log`): which pieces of which traces went, and
the minutes that they counted. Every question leaves out what it names, so all of it is gone with that
insert, and the rows may be deleted in peace, and again if that breaks off.

A trace that went can come again, late. Each trace has a base, which grows by two for each piece that
went; a row says of which base it was made, and what was written in ignorance of a drop is dead, whenever it
comes. Rows are numbered (`version`, `mark`) from their base on, so whoever knows more still wins: by
that, and by looking at what went after adding a piece (`commit`), and at pieces after dropping them here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from clew.model.tally import Minutes, Sums, Tally, merge
from clew.store.clickhouse.connect import Servers, hexed, wanted
from clew.store.clickhouse.log import Change, LogRow, minute_rows
from clew.store.clickhouse.tallies import text_of
from clew.store.clickhouse.traces import TraceKey

STREAM = "gone"

GRACE_NS = 900 * 10**9
"""So long it is remembered what went, for writes that began before. They may take four minutes."""


class Nothing:
    """What a log adds up to of which only the rows are read."""

    def __init__(self, snapshot: bytes | None = None) -> None:
        """Whatever was written down."""

    def apply(self, body: bytes) -> None:
        """Nothing."""

    def snapshot(self) -> bytes:
        """Nothing."""
        return b""

    def nothing(self) -> bytes:
        """Nothing."""
        return b""


class Went(NamedTuple):
    """What went of a trace at one time."""

    trace_id: bytes
    base: int
    """Rows of this base, or a lower one, are dead."""
    pieces: frozenset[int]
    erased: bool

    @property
    def next_base(self) -> int:
        """That of what comes after."""
        return self.base + 2 * len(self.pieces)

    def row(self) -> LogRow:
        """For the log."""
        said = {"mark": self.base, "pieces": sorted(self.pieces), "skipped": int(self.erased)}
        return {"sort": "gone", "key": self.trace_id.hex()} | said


class Present(NamedTuple):
    """A trace as it is: a row of the query `as_they_are`."""

    trace_id: bytes
    start_ns: int
    flag: str
    status: str
    spans: int
    base: int
    pieces: Sequence[int]
    counted: Sequence[Sequence[Any]]
    """Its tally, column by column."""

    def minutes(self) -> Minutes:
        """What was counted of it."""
        minutes: Minutes = {}
        for minute, kind, name, model, *sums, buckets, counts in zip(*self.counted, strict=True):
            tally = Tally()
            tally.add_sums(Sums(*sums))
            tally.buckets = dict(zip(buckets, counts, strict=True))
            minutes[minute, text_of(kind), text_of(name), text_of(model) or None] = tally  # type: ignore[index]
        return minutes


def read_present(servers: Servers, keys: Collection[TraceKey]) -> list[Present]:
    """Read what some traces are. Of those that are not there, nothing."""
    found = servers.rows("as_they_are", data=wanted(keys)) if keys else []
    return [
        Present(trace_id, start_ns, text_of(flag), text_of(status), spans, base, pieces, counted)
        for trace_id, start_ns, flag, status, spans, base, pieces, *counted in found
    ]


def read_waiting(servers: Servers, keys: Collection[TraceKey]) -> set[TraceKey]:
    """Say which of some traces may be to be learned."""
    found = servers.rows("waiting", data=wanted(keys)) if keys else []
    return {(project.decode(), trace_id) for project, trace_id in found}


def read_bases(servers: Servers, keys: Collection[TraceKey]) -> dict[TraceKey, tuple[int, int]]:
    """Say of traces how many pieces there are, and what is their base, as far as something went."""
    found = servers.rows("piece_counts", data=wanted(keys)) if keys else []
    return {(project.decode(), trace_id): (count, base) for project, trace_id, count, base in found}


def change_of(went: Iterable[Went], present: Iterable[Present]) -> Change:
    """Give the change by which traces go; those that are *present* leave what was counted of them."""
    minutes = merge(each.minutes() for each in present)
    return Change(b"", [*(each.row() for each in went), *minute_rows(minutes)])


def read_went(servers: Servers, project: str, after: int, until: int) -> list[Went]:
    """Read what went at the positions from behind *after* up to *until*."""
    asked = {"project": hexed(project), "after": after, "until": until}
    return [
        Went(bytes.fromhex(key.decode()), mark, frozenset(pieces), bool(skipped))
        for key, mark, pieces, skipped in servers.rows("went", asked)
    ]
