"""
The log of a project: changes in order, each one insert, and what they add up to.

A position is given to one writer only: each inserts with the position as its token, and the server
drops all but the first. So nothing is locked, and a writer that came too late reads on and tries the
next. What changes add up to is kept in memory, read on from where it stands, and now and then written
down, so that a new process need not read from the beginning. What stands before that can go (`shorten`),
but never the last change, which says where the log ends.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from clew.errors import StoreBusy, StoreUnavailable
from clew.model.tally import Minutes
from clew.store.clickhouse.connect import Servers, hexed
from clew.store.clickhouse.learned import State
from clew.store.clickhouse.rows import tally_values

TRIES = 50
"""So often a change is tried when others took its position."""

READS = 3
"""So often a log is read from the beginning if it is shortened meanwhile."""

SNAPSHOT_EVERY = 100
"""Positions."""

LOG: dict[str, tuple[str, Any]] = {
    "project": ("String", ""),
    "stream": ("LowCardinality(String)", ""),
    "sort": ("LowCardinality(String)", ""),
    "key": ("String", ""),
    "position": ("UInt64", 0),
    "id": ("UInt64", 0),
    "at_ns": ("Int64", 0),
    "body": ("String", b""),
    "mark": ("UInt32", 0),
    "skipped": ("UInt8", 0),
    "pieces": ("Array(UInt64)", []),
    "minute": ("Int64", 0),
    "kind": ("LowCardinality(String)", ""),
    "name": ("String", ""),
    "model": ("String", ""),
    "count": ("Int64", 0),
    "errors": ("Int64", 0),
    "input_tokens": ("Int64", 0),
    "output_tokens": ("Int64", 0),
    "cost_usd": ("Float64", 0.0),
    "duration_ns": ("Int64", 0),
    "buckets": ("Array(Int32)", []),
    "counts": ("Array(Int64)", []),
}
"""Column, type, and what stands there in rows that do not say."""

_TALLY = tuple(list(LOG)[list(LOG).index("minute") :])

LogRow = dict[str, Any]
S = TypeVar("S", bound=State)


class Change(NamedTuple):
    """What is to be added to a log in one insert."""

    body: bytes
    rows: Sequence[LogRow] = ()
    """Beside the change itself."""


def minute_rows(minutes: Minutes) -> list[LogRow]:
    """Give what an SDK counted as rows of its change."""
    return [tally_row(row) for row in zip(*tally_values(minutes)[2:], strict=True)]


def tally_row(values: Iterable[Any]) -> LogRow:
    """Give what was counted of an operation in a minute, in the order of the columns."""
    return {"sort": "minute"} | dict(zip(_TALLY, values, strict=True))


class Log(Generic[S]):
    """One log of one project, as far as it was read. From any thread."""

    def __init__(self, servers: Servers, project: str, stream: str, start: Callable[[bytes | None], S]) -> None:
        self._servers = servers
        self._project = project
        self._named: dict[str, Any] = {"project": hexed(project), "stream": stream}
        self._start = start
        self._lock = threading.RLock()
        self._position = 0
        self._state: S | None = None

    def read(self, use: Callable[[S, int], Any]) -> Any:
        """Read on to the end, and let *use* have what it adds up to, and the last position."""
        with self._lock:
            return use(self._read_on(), self._position)

    def head(self) -> int:
        """Give the last position, without reading what stands there."""
        return int(self._servers.value("head", self._named) or 0)

    def add(self, make: Callable[[S], Change | None]) -> int | None:
        """
        Add the change that *make* makes of what there is; gives its position, or None if it makes none.

        Raises:
            StoreBusy: too many others add to the same log.
        """
        with self._lock:
            for _ in range(TRIES):
                change = make(self._read_on())
                if change is None:
                    return None
                position = self._position + 1
                if self._put(position, change):
                    self._read_on()
                    if position % SNAPSHOT_EVERY == 0:
                        self._write_down()
                    return position
        raise StoreBusy(f"too many others change project {self._project!r}; nothing was saved, try again")

    def _read_on(self) -> S:
        for _ in range(READS):
            if self._state is None:
                found = self._servers.rows("snapshot", self._named)
                position, body = found[0] if found else (0, None)
                self._state, self._position = self._start(body), position
            if self._apply_changes(self._state):
                return self._state
            # What stood between was shortened away after this process had read so far.
            self._state = None
        raise StoreUnavailable(f"the log of project {self._project!r} has a gap; restore the store from a copy")

    def _apply_changes(self, state: S) -> bool:
        """Bring *state* to the end of the log; False if there is a gap before it."""
        for position, _, body in self._servers.rows("changes", self._named | {"after": self._position}):
            if position > self._position + 1:
                return False
            if position == self._position + 1:
                state.apply(body)
                self._position = position
        return True

    def _put(self, position: int, change: Change) -> bool:
        """Insert *change*; False if another one had its position."""
        mine, at_ns = secrets.randbits(64), time.time_ns()
        main = {"sort": "change", "body": change.body}
        self._insert(position, mine, at_ns, [main, *change.rows], token=f"{self._named} {position}")
        return bool(self._servers.value("taken_by", self._named | {"position": position}) == mine)

    def _insert(self, position: int, mine: int, at_ns: int, rows: Iterable[LogRow], *, token: str | None) -> None:
        head = {"project": self._project, "stream": self._named["stream"]}
        head |= {"position": position, "id": mine, "at_ns": at_ns}
        whole = [{name: of for name, (_, of) in LOG.items()} | head | row for row in rows]
        columns = [[row[name] for row in whole] for name in LOG]
        self._servers.insert("clew_log", {name: kind for name, (kind, _) in LOG.items()}, columns, token=token)

    def _write_down(self) -> None:
        state = self._read_on()
        row = {"sort": "snapshot", "body": state.snapshot()}
        token = f"{self._named} snapshot {self._position}"
        self._insert(self._position, 0, time.time_ns(), [row], token=token)

    def written_down(self, *, anew: bool = False) -> int:
        """
        Say up to which position all was written down; what stands before it is not needed any more.

        *anew* adds a change that says nothing, and writes all down with it: for when nothing of what was
        said before may be left.
        """
        if anew:
            with self._lock:
                self.add(lambda state: Change(state.nothing()))
                self._write_down()
        return int(self._servers.value("written_down", self._named) or 0)

    def note(self, position: int, row: LogRow) -> None:
        """Add a row that is no change."""
        self._insert(position, secrets.randbits(64), time.time_ns(), [row], token=None)
