"""Latencies of a window, summed from `trace_metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clew.model.tally import Sums
from clew.store.latencies import Asked, Row, Tallied, sum_up
from clew.store.postgres.binary import findable, told
from clew.store.postgres.connect import Connection
from clew.store.postgres.statements import Statements, load
from clew.store.tally import Operation

QUERIES = load("queries.sql")


def read_tallies(connection: Connection, project: str, asked: Asked) -> Tallied:
    """
    Sum up what `LatencyReader` asks for.

    A lone end's is taken back when its start lies in another minute, by whichever process wrote that.
    """
    statements = Statements(connection, QUERIES)
    project_id = statements.value("project_id", project=findable(project))
    last_s = statements.value("last_bucket", project_id=project_id)
    tallied: Tallied = {}
    if last_s is None:
        return tallied
    of = {name: findable(value) if value else None for name, value in (("name", asked.name), ("model", asked.model))}
    for window in asked.windows(last_s):
        rows = statements.rows("tallies", project_id=project_id, kind=asked.kind, **of, **window._asdict())
        sum_up(asked, _read(rows), tallied)
    return tallied


def _read(rows: Iterable[tuple[Any, ...]]) -> Iterator[Row]:
    for bucket_s, kind, name, model, *sums, blob in rows:
        yield bucket_s, Operation(kind, told(name), told(model)), Sums(*sums), blob
