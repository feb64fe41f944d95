"""Latencies of a window, summed from `trace_metrics`."""

from __future__ import annotations

import apsw
import msgspec

from clew.model.tally import Sums
from clew.store import sql
from clew.store.latencies import Asked, Tallied, sum_up
from clew.store.sqlite.search import storable
from clew.store.tally import Operation

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_rows = msgspec.json.Decoder(list[tuple[int, Operation, Sums, str]])


def read_tallies(connection: apsw.Connection, project: str, asked: Asked) -> Tallied:
    """Sum up what `LatencyReader` asks for."""
    project_id = connection.execute(QUERIES["project_id"], {"project": storable(project)}).get
    last_s = connection.execute(QUERIES["last_bucket"], {"project_id": project_id}).get
    tallied: Tallied = {}
    if last_s is None:
        return tallied
    of = {name: storable(value) if value else None for name, value in (("name", asked.name), ("model", asked.model))}
    for window in asked.windows(last_s):
        values = {"project_id": project_id, "kind": asked.kind, **of, **window._asdict()}
        found = _rows.decode(connection.execute(QUERIES["tallies"], values).get)
        sum_up(asked, [(at_s, who, sums, bytes.fromhex(blob)) for at_s, who, sums, blob in found], tallied)
    return tallied
