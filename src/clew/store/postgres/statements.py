"""Runs named statements, and copies rows in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clew.store import sql
from clew.store.postgres.binary import HEADER, TRAILER
from clew.store.postgres.connect import Connection

Queries = Mapping[str, bytes]


def load(filename: str) -> dict[str, bytes]:
    """Read the named statements of *filename*."""
    return {name: text.encode() for name, text in sql.load("clew.store.postgres", filename).items()}


class Statements:
    """The statements *queries* over *connection*. Values are only ever bound."""

    def __init__(self, connection: Connection, queries: Queries) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, name: str, /, **values: Any) -> int:
        """Run a named statement; gives how many rows it touched."""
        return self._connection.execute(self._queries[name], values).rowcount

    def row(self, name: str, /, **values: Any) -> tuple[Any, ...] | None:
        """Run a named statement; its first row, or None."""
        return self._connection.execute(self._queries[name], values, binary=True).fetchone()

    def value(self, name: str, /, **values: Any) -> Any:
        """Run a named statement; the first value of its first row, or None."""
        row = self.row(name, **values)
        return None if row is None else row[0]

    def rows(self, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a named statement; its rows."""
        return self._connection.execute(self._queries[name], values, binary=True).fetchall()

    def stream(self, name: str, /, **values: Any) -> Iterator[tuple[Any, ...]]:
        """Run a named statement; its rows one by one, so that large ones are not held together."""
        with self._connection.cursor(binary=True) as cursor:
            yield from cursor.stream(self._queries[name], values)

    def each(self, name: str, values: Sequence[Mapping[str, Any]]) -> None:
        """Run a named statement for each of *values*."""
        if values:
            with self._connection.cursor() as cursor:
                cursor.executemany(self._queries[name], values)

    def copy(self, name: str, rows: Sequence[bytes]) -> None:
        """Run a named COPY over *rows*, which `clew.store.postgres.rows` made."""
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(self._queries[name]) as copying:
                copying.write(b"".join([HEADER, *rows, TRAILER]))
