"""Runs named statements, and puts rows in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from clew.store import sql
from clew.store.postgres.binary import array
from clew.store.postgres.connect import Connection

Queries = Mapping[str, bytes]
Cursor = psycopg.Cursor[tuple[Any, ...]]


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

    def ask(self, name: str, /, **values: Any) -> Cursor:
        """Run a named statement, and read its rows later: in a pipeline others go with it."""
        return self._connection.execute(self._queries[name], values, binary=True)

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

    def put(self, name: str, of: int, rows: Sequence[bytes]) -> None:
        """Run a named statement that inserts *rows*, which are records of the type *of*."""
        if rows:
            self._connection.execute(self._queries[name], {"rows": array(of, rows)})
