"""Runs named statements, those of many rows in few steps: see `connect` on what a step may cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from clew.store import sql

ROWS_A_STEP = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Few sizes, so that every statement is prepared once..."""

VALUES_AT_ONCE = 3_000
"""... but so few values as these are prepared in any number: it costs less than a step more, after which the lock
of Python has to be waited for. These are a hundred traces."""

_LONGEST = 16_000
"""In characters: apsw keeps no longer one prepared."""


class Statements:
    """The statements *queries* over *connection*."""

    def __init__(self, connection: apsw.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, name: str, /, **values: Any) -> Any:
        """Run a named statement; its first row (bare, if of one value), or None."""
        return self._connection.execute(self._queries[name], values).get

    def rows(self, name: str, /, **values: Any) -> Iterable[Any]:
        """Run a named statement; its rows."""
        return self._connection.execute(self._queries[name], values)

    def changes(self) -> int:
        """How many rows the last statement changed."""
        return self._connection.changes()

    def total_changes(self) -> int:
        """How many rows were changed over this connection, ever."""
        return self._connection.total_changes()

    def put(self, name: str, values: Sequence[Any], count: int) -> None:
        """Run a statement of rows over *values*, the flat values of *count* rows, in few steps."""
        done = 0
        width = len(values) // max(1, count)
        sizes = (count,) if 0 < len(values) <= VALUES_AT_ONCE else ROWS_A_STEP
        for size in sizes:
            if count - done >= size and len(statement := sql.of_rows(self._queries[name], size)) <= _LONGEST:
                while count - done >= size:
                    self._connection.execute(statement, values[done * width : (done + size) * width])
                    done += size
