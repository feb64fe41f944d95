"""Latencies of a window, summed from `trace_metrics`."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from clew.model import Kind, histogram
from clew.model.tally import Sums, Tally
from clew.store import sql
from clew.store.columns import int64
from clew.store.protocol import Latency
from clew.store.tally import DAY_S, Operation, grouping, latency, split, whole_minutes

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_rows = msgspec.json.Decoder(list[tuple[Operation, Sums, str]])


def read_latency(
    connection: apsw.Connection,
    project: str,
    *,
    since_ns: int,
    until_ns: int,
    kind: Kind | None,
    group_by: Sequence[str],
) -> list[Latency]:
    """Give latencies as `MetricsReader.latency` promises."""
    project_id = connection.execute(QUERIES["project_id"], {"project": project}).get
    last_s = connection.execute(QUERIES["last_bucket"], {"project_id": project_id}).get
    if last_s is None:
        return []
    from_s, to_s = whole_minutes(int64(since_ns), int64(until_ns))
    if to_s > last_s:
        # Nothing lies behind the last minute, so the last day can be read whole.
        to_s = (last_s // DAY_S + 1) * DAY_S if last_s >= from_s else from_s
    tallies: dict[Operation, Tally] = {}
    for window in split(from_s, to_s):
        values = {"project_id": project_id, "kind": kind, **window._asdict()}
        _add(tallies, connection.execute(QUERIES["tallies"], values).get, group_by)
    return [latency(operation, tallies[operation]) for operation in sorted(tallies) if tallies[operation].count > 0]


def _add(tallies: dict[Operation, Tally], answer: str, group_by: Sequence[str]) -> None:
    for row_operation, sums, blob in _rows.decode(answer):
        operation = grouping(row_operation, group_by)
        tally = tallies.get(operation)
        if tally is None:
            tally = tallies[operation] = Tally()
        tally.add_sums(sums)
        histogram.merge(tally.buckets, histogram.decode(bytes.fromhex(blob)))
