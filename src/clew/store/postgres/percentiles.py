"""Latencies of a window, summed from `trace_metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from clew.model import Kind, histogram
from clew.model.tally import Sums, Tally
from clew.store.columns import int64
from clew.store.postgres.binary import findable, told
from clew.store.postgres.connect import Connection
from clew.store.postgres.statements import Statements, load
from clew.store.protocol import Latency
from clew.store.tally import DAY_S, Operation, grouping, latency, split, whole_minutes

QUERIES = load("queries.sql")


def read_latency(
    connection: Connection,
    project: str,
    *,
    since_ns: int,
    until_ns: int,
    kind: Kind | None,
    group_by: Sequence[str],
) -> list[Latency]:
    """Give latencies as `MetricsReader.latency` promises."""
    statements = Statements(connection, QUERIES)
    project_id = statements.value("project_id", project=findable(project))
    last_s = statements.value("last_bucket", project_id=project_id)
    if last_s is None:
        return []
    from_s, to_s = whole_minutes(int64(since_ns), int64(until_ns))
    if to_s > last_s:
        # Nothing lies behind the last minute, so the last day can be read whole.
        to_s = (last_s // DAY_S + 1) * DAY_S if last_s >= from_s else from_s
    tallies: dict[Operation, Tally] = {}
    for window in split(from_s, to_s):
        _add(tallies, statements.rows("tallies", project_id=project_id, kind=kind, **window._asdict()), group_by)
    # A lone end's is taken back when its start lies in another minute, by whichever process wrote that.
    return [latency(operation, tally) for operation, tally in sorted(tallies.items()) if tally.count > 0]


def _add(tallies: dict[Operation, Tally], rows: Iterable[tuple[Any, ...]], group_by: Sequence[str]) -> None:
    for kind, name, model, *sums, blob in rows:
        operation = grouping(Operation(kind, told(name), told(model)), group_by)
        tally = tallies.get(operation)
        if tally is None:
            tally = tallies[operation] = Tally()
        tally.add_sums(Sums(*sums))
        histogram.merge(tally.buckets, histogram.decode(blob))
