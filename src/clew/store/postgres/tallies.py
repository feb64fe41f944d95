"""Add tallies to `trace_metrics`. Nothing here begins or ends the transaction."""

from __future__ import annotations

from clew.model.histogram import decode, encode, merge
from clew.model.tally import Sums
from clew.store.columns import finite, int64
from clew.store.postgres.binary import digest, safe
from clew.store.postgres.statements import Statements
from clew.store.tally import Tallies


def put_tallies(statements: Statements, project_id: int, part: int, tallies: Tallies) -> None:
    """Add *tallies*, which afterwards hold what is stored, to *part*, over the statements of `queries.sql`."""
    keys = sorted(tallies)
    if not keys:
        return
    named = {
        "resolutions_s": [resolution_s for resolution_s, _, _ in keys],
        "buckets_s": [at_s for _, at_s, _ in keys],
        "operations": [digest(*operation) for _, _, operation in keys],
    }
    for place, *sums, blob in statements.rows("known_tallies", project_id=project_id, part=part, **named):
        tally = tallies[keys[place - 1]]
        tally.add_sums(Sums(*sums))
        stored = decode(blob)
        merge(stored, tally.buckets)
        tally.buckets = stored
    found = [tallies[key] for key in keys]
    statements.run(
        "put_tallies",
        project_id=project_id,
        part=part,
        **named,
        kinds=[operation.kind for _, _, operation in keys],
        names=[safe(operation.name) for _, _, operation in keys],
        models=[safe(operation.model) for _, _, operation in keys],
        counts=[tally.count for tally in found],
        errors=[tally.errors for tally in found],
        input_tokens=[int64(tally.input_tokens) for tally in found],
        output_tokens=[int64(tally.output_tokens) for tally in found],
        costs_usd=[finite(tally.cost_usd) or 0.0 for tally in found],
        durations_ns=[int64(tally.duration_ns) for tally in found],
        histograms=[encode(tally.buckets) for tally in found],
    )
