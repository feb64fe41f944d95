"""Add tallies to `trace_metrics`. Nothing here begins or ends the transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.model import histogram
from clew.model.tally import Sums
from clew.store.columns import as_json, finite, int64
from clew.store.sqlite.statements import Statements
from clew.store.tally import Operation, Tallies

_known_tallies = msgspec.json.Decoder(list[tuple[int, Sums, str]])


def put_tallies(statements: Statements, project_id: int, tallies: Tallies) -> None:
    """Add *tallies*, which afterwards hold what is stored, over the statements of `queries.sql`."""
    keys = sorted(tallies)
    asked = as_json([(resolution_s, at_s, *of) for resolution_s, at_s, of in keys])
    for index, sums, blob in _known_tallies.decode(statements.run("known_tallies", project_id=project_id, keys=asked)):
        tally = tallies[keys[index]]
        tally.add_sums(sums)
        stored = histogram.decode(bytes.fromhex(blob))
        histogram.merge(stored, tally.buckets)
        tally.buckets = stored
    rows: list[Any] = []
    for key in keys:
        rows += _tally_row(project_id, key, tallies)
    statements.put("put_tallies", rows, len(keys))


def _tally_row(project_id: int, key: tuple[int, int, Operation], tallies: Tallies) -> tuple[Any, ...]:
    resolution_s, at_s, operation = key
    tally = tallies[key]
    return (
        project_id,
        resolution_s,
        at_s,
        *operation,
        tally.count,
        tally.errors,
        int64(tally.input_tokens),
        int64(tally.output_tokens),
        finite(tally.cost_usd) or 0.0,
        int64(tally.duration_ns),
        histogram.encode(tally.buckets),
    )
