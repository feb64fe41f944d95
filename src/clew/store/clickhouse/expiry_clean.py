"""
What is left on the disk of what went: it is deleted, forgotten, and its room given back.

All of it may break off anywhere and be done again, by anyone, also by several at once: it only deletes
what no question shows. A shard that is away makes it fail, and nothing counts as deleted until every
shard has done it.

Rows are masked (a lightweight DELETE), which is cheap and at once; their bytes go when parts are merged,
or are written without them where a fifth of a day is masked. No partition is dropped: a late piece
of a trace may come to the day at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence

from clew.store.clickhouse.connect import Servers, hexed, wanted
from clew.store.clickhouse.expiry_log import GRACE_NS, STREAM, Nothing, Went, read_went
from clew.store.clickhouse.log import Log
from clew.store.clickhouse.target import Target
from clew.store.clickhouse.traces import TraceKey
from clew.store.graph_protocol import DELTAS_KEPT_NS
from clew.store.tally import DAY_S

POSITIONS_AT_ONCE = 10
"""Of a log of what went: some 2,000 traces."""

OLD_ROWS = 1_000
"""So many are deleted together."""

HOLLOW = 5
"""A day is written anew once one in so many of its rows is masked."""

DELETION_S, REWRITING_S = 600, 6 * 3_600
"""So long one statement may take."""

TABLES = ("clew_pieces", "clew_traces", "clew_due", "clew_log", "clew_suggestions")

_SYNC = "SETTINGS mutations_sync = 2"
_AT_ONCE = f"{_SYNC}, lightweight_deletes_sync = 2"


class Cleaner:
    """Cleans the tables of a store. From one thread."""

    def __init__(
        self,
        servers: Servers,
        target: Target,
        *,
        finish: Callable[[Collection[TraceKey]], None],
        forget: Callable[[str, Collection[str]], None],
    ) -> None:
        """*finish* writes the rows of traces of which something is left; *forget* finishes erasures."""
        self._servers = servers
        self._target = target
        self._finish = finish
        self._forget = forget

    # Steps. Each says whether it did anything.

    def delete_some(self) -> bool:
        """Delete the rows of some that went."""
        for project, gone, cleaned in self._servers.rows("went_heads"):
            if gone > cleaned:
                name, until = project.decode(), min(gone, cleaned + POSITIONS_AT_ONCE)
                self._sweep(name, read_went(self._servers, name, cleaned, until))
                Log(self._servers, name, STREAM, Nothing).note(until, {"sort": "cleaned"})
                return True
        return False

    def forget_some(self) -> bool:
        """Forget that some went, so long ago that no write can have begun before. All rows must be deleted."""
        for project, first, last in self._servers.rows("went_before", {"before_ns": time.time_ns() - GRACE_NS}):
            name, until = project.decode(), min(last, first + POSITIONS_AT_ONCE - 1)
            self._sweep(name, read_went(self._servers, name, first - 1, until))
            of_log = f"{_is(name)} AND stream = '{STREAM}'"
            self._delete(
                [
                    ("clew_log", f"{of_log} AND sort = 'gone' AND position <= {until}", ""),
                    ("clew_log", f"{of_log} AND sort = 'cleaned' AND position < {until}", ""),
                ]
            )
            return True
        return False

    def shorten_some(self) -> bool:
        """Delete from logs what is summed up, and ids of deltas that nobody sends again."""
        for project, stream, summed in self._servers.rows("long_logs"):
            self.shorten(project.decode(), stream if isinstance(stream, str) else stream.decode(), summed)
            return True
        kept_ns = {"delta": DELTAS_KEPT_NS}
        if self._target.keep_days is not None:
            # A trace came before it was learned, so all of it has gone.
            kept_ns["trace"] = (self._target.keep_days + 2) * DAY_S * 10**9
        for sort, sort_kept_ns in kept_ns.items():
            before_ns = time.time_ns() - sort_kept_ns
            if int(self._servers.value("old_rows", {"sort": sort, "before_ns": before_ns})) >= OLD_ROWS:
                self._delete([("clew_log", f"sort = '{sort}' AND at_ns < {before_ns}", "")])
                return True
        return False

    def shorten(self, project: str, stream: str, summed: int) -> None:
        """Delete from a log what stands before a sum."""
        before = f"sort IN ('change', 'snapshot') AND position < {summed}"
        self._delete([("clew_log", f"{_is(project)} AND stream = '{stream}' AND {before}", "")])

    def fill_some(self) -> bool:
        """Write a day of a table without what is deleted of it, if that is much."""
        for table in TABLES:
            for partition, rows, deleted in self._servers.rows("hollow", terms=table):
                if deleted * HOLLOW >= rows:
                    self.rewrite([table], f" IN PARTITION ID '{partition.decode()}'")
                    return True
        return False

    def rewrite(self, tables: Iterable[str], where: str = "") -> None:
        """Write tables without what is deleted of them."""
        statements = [f"ALTER TABLE {self._local(table)} APPLY DELETED MASK{where} {_SYNC}" for table in tables]
        self._servers.on_each_host(statements, timeout_s=REWRITING_S)

    def delete(self, table: str, where: str) -> None:
        """Delete rows of a table on all shards."""
        self._delete([(table, where, "")])

    # How rows are deleted.

    def _sweep(self, project: str, went: Sequence[Went]) -> None:
        """Delete what is on the disk of some that went; what came late of them gets a row of its own."""
        erased = [each.trace_id.hex() for each in went if each.erased]
        if erased:
            self._forget(project, erased)
        keys = sorted({(project, each.trace_id) for each in went})
        pieces = self._servers.rows("pieces_on_disk", data=wanted(keys))
        dead = {piece for each in went for piece in each.pieces}
        late = sorted({(project, trace_id) for trace_id, piece, _ in pieces if piece not in dead})
        if late:
            self._finish(late)
        deletions = self._of_rows(keys, _bases(went))
        for day in sorted({day for _, piece, day in pieces if piece in dead}):
            mine = [(trace_id, piece) for trace_id, piece, of in pieces if of == day and piece in dead]
            numbers = ", ".join(str(piece) for _, piece in mine)
            where = f"trace_id IN ({_texts(trace_id for trace_id, _ in mine)}) AND piece IN ({numbers})"
            deletions.append(("clew_pieces", where, day.decode()))
        self._delete([(table, f"{_is(project)} AND {where}", day) for table, where, day in deletions])

    def _of_rows(self, keys: Sequence[TraceKey], bases: dict[bytes, int]) -> list[tuple[str, str, str]]:
        """Table, condition and day (if the table has such) of what is dead, but for pieces."""
        data, found = wanted(keys), []
        rows = [row for row in self._servers.rows("rows_on_disk", data=data) if row[1] < bases[row[0]]]
        for day in sorted({day for _, _, day in rows}):
            mine = {trace_id: bases[trace_id] for trace_id, _, of in rows if of == day}
            found.append(("clew_traces", _below("trace_id", "base < {}", mine), day.decode()))
        due = [row for row in self._servers.rows("due_on_disk", data=data) if row[1] <= 2 * bases[row[0]] + 1]
        if due:
            marks = {trace_id: 2 * bases[trace_id] + 1 for trace_id, _ in due}
            found.append(("clew_due", _below("trace_id", "rank <= {}", marks), ""))
        learned = [
            (key, mark, bases[bytes.fromhex(key.decode())])
            for key, mark in self._servers.rows("learned_on_disk", data=data)
        ]
        of_keys = {key: base for key, mark, base in learned if mark <= base}
        if of_keys:
            where = f"stream = 'graph' AND sort = 'trace' AND {_below('key', 'mark <= {}', of_keys)}"
            found.append(("clew_log", where, ""))
        return found

    def _delete(self, deletions: Iterable[tuple[str, str, str]]) -> None:
        statements = [
            f"DELETE FROM {self._local(table)}{f' IN PARTITION {day}' if day else ''} WHERE {where} {_AT_ONCE}"  # noqa: S608  names, numbers and hex
            for table, where, day in deletions
        ]
        if statements:
            self._servers.on_each_host(statements, timeout_s=DELETION_S)

    def _local(self, table: str) -> str:
        return f"{table}_local" if self._target.cluster else table


def _is(project: str) -> str:
    return f"project = unhex('{hexed(project)}')"


def _below(column: str, condition: str, bounds: dict[bytes, int]) -> str:
    """Say which names have a number below some bound each: few bounds, so lists of plain names, which are quick."""
    several = []
    for bound in sorted(set(bounds.values())):
        names = _texts(name for name, of in bounds.items() if of == bound)
        several.append(f"{column} IN ({names}) AND {condition.format(bound)}")
    return f"({' OR '.join(several)})"


def _texts(names: Iterable[bytes]) -> str:
    """Bytes as ClickHouse reads them: as literals, since it works out functions one by one."""
    return ", ".join("'" + "".join(f"\\x{byte:02x}" for byte in name) + "'" for name in names)


def _bases(went: Iterable[Went]) -> dict[bytes, int]:
    """The base of what may come after, by trace."""
    bases: dict[bytes, int] = {}
    for each in went:
        bases[each.trace_id] = max(each.next_base, bases.get(each.trace_id, 0))
    return bases
