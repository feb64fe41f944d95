"""Add tallies to `trace_metrics`. Nothing here begins or ends the transaction."""

from __future__ import annotations

from collections.abc import Iterable

from clew.model.histogram import decode, encode, merge
from clew.model.tally import Minutes, Sums, Tally
from clew.store.columns import finite, int64
from clew.store.postgres.binary import bytea, byteas, digest, float8, int2, int4, int8, int8s, record, text
from clew.store.postgres.statements import Cursor, Statements
from clew.store.tally import MINUTE_S, RESOLUTIONS_S, Operation, Tallies

Key = tuple[int, int, Operation]
"""As in `Tallies`."""


def keys_of(minutes: Minutes) -> set[Key]:
    """What `clew.store.tally.spread` would count *minutes* under."""
    return {
        (resolution_s, minute * MINUTE_S // resolution_s * resolution_s, Operation(kind, name, model or ""))
        for minute, kind, name, model in minutes
        for resolution_s in RESOLUTIONS_S
    }


class PartTallies:
    """The counts of one project in *part*, which nobody else adds to."""

    def __init__(self, statements: Statements, project_id: int, part: int) -> None:
        self._sql = statements
        self._project_id = project_id
        self._part = part
        self._asked: list[tuple[list[Key], Cursor]] = []

    def ask(self, keys: Iterable[Key]) -> None:
        """Ask what is stored under *keys*, ahead of `add`, so that it need not wait for the answer."""
        wanted = sorted(keys)
        if not wanted:
            return
        cursor = self._sql.ask(
            "known_tallies",
            project_id=self._project_id,
            part=self._part,
            resolutions_s=int8s([resolution_s for resolution_s, _, _ in wanted]),
            buckets_s=int8s([at_s for _, at_s, _ in wanted]),
            operations=byteas([digest(*operation) for _, _, operation in wanted]),
        )
        self._asked.append((wanted, cursor))

    def add(self, tallies: Tallies, of: int) -> None:
        """Add *tallies*, which afterwards hold what is stored. Records of the table are of the type *of*."""
        self.ask(tallies.keys() - {key for keys, _ in self._asked for key in keys})
        for keys, cursor in self._asked:
            for place, *sums, blob in cursor.fetchall():
                tally = tallies.get(keys[place - 1])
                if tally is not None:
                    tally.add_sums(Sums(*sums))
                    stored = decode(blob)
                    merge(stored, tally.buckets)
                    tally.buckets = stored
        self._sql.put("put_tallies", of, [self._row(key, tallies[key]) for key in sorted(tallies)])

    def _row(self, key: Key, tally: Tally) -> bytes:
        resolution_s, at_s, operation = key
        return record(
            int4(self._project_id),
            int4(resolution_s),
            int8(at_s),
            bytea(digest(*operation)),
            int2(self._part),
            *map(text, operation),
            int8(tally.count),
            int8(tally.errors),
            int8(int64(tally.input_tokens)),
            int8(int64(tally.output_tokens)),
            float8(finite(tally.cost_usd) or 0.0),
            int8(int64(tally.duration_ns)),
            bytea(encode(tally.buckets)),
        )
