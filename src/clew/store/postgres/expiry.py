"""
How traces go from the database: old ones by rule, anybody's on demand.

Each step is one short transaction. It takes the traces that nobody else is at, as writes do, so that
a span that comes meanwhile finds its trace either as it was or gone. How the space comes back is in
`expiry_space`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from clew.model import Flag, Status
from clew.store.columns import as_json
from clew.store.exemplars import without
from clew.store.postgres import partitions
from clew.store.postgres.binary import findable, told
from clew.store.postgres.commit import QUERIES as TRACE_QUERIES
from clew.store.postgres.commit import record_types
from clew.store.postgres.connect import Connection
from clew.store.postgres.graph_statements import QUERIES as GRAPH_QUERIES
from clew.store.postgres.partitions import PER_DAY
from clew.store.postgres.statements import Statements, load
from clew.store.postgres.words import Block, block_row
from clew.store.retention import Expiring, Gone, metrics_fact, unchanged

QUERIES = load("expiry.sql") | {
    name: TRACE_QUERIES[name]
    for name in ("project_id", "count_in_project", "lock_traces", "bytes", "record_types", "add_word_blocks")
}
QUERIES |= {"next_version": GRAPH_QUERIES["next_version"]}

DROPPED_FACT = "dropped:"
"""With a day: how many of its traces went, so that what is left may be worth moving."""

SCRUB_FACT = "scrub_due:"
"""With a day: traces were erased whose bytes may still be in its tables."""


class Found(NamedTuple):
    """One row of the queries `expired` and `as_they_are`."""

    seq: int
    trace_id: bytes
    start_ns: int | None
    """None of one that only has scores."""
    flag: Flag
    status: Status
    spans: int
    is_due: bool

    @classmethod
    def read(cls, row: Sequence[Any]) -> Found:
        """Read a row."""
        seq, trace_id, start_ns, flag, *rest = row
        return cls(seq, trace_id, start_ns, Flag.NORMAL if flag is None else Flag(flag), *rest)


class Dropping:
    """Drops traces of one project over *connection*, which is inside a transaction."""

    def __init__(self, connection: Connection, project: str, *, part: int) -> None:
        self._sql = Statements(connection, QUERIES)
        self._project_id = self._sql.value("project_id", project=findable(project))
        self._part = part

    def expired(self, found: Sequence[Expiring], *, learned_only: bool) -> Gone:
        """Drop what is still as it was found, and nobody is at."""
        was = {bytes.fromhex(each.trace_id): each for each in found}
        seqs = [seq for (seq,) in self._sql.rows("lock_idle", project_id=self._project_id, trace_ids=list(was))]
        rows = self._as_they_are(list(was), seqs)
        return self._drop(
            [
                row
                for row in rows
                if row.start_ns is not None
                and not (learned_only and row.is_due)
                and unchanged(was[row.trace_id], row.flag, row.status, row.start_ns, row.spans)
            ]
        )

    def _as_they_are(self, trace_ids: Sequence[bytes], seqs: Sequence[int]) -> list[Found]:
        asked = {"project_id": self._project_id, "trace_ids": list(trace_ids), "seqs": list(seqs)}
        return [Found.read(row) for row in self._sql.rows("as_they_are", **asked)] if seqs else []

    def erase(self, trace_ids: Sequence[str]) -> Gone:
        """Drop traces and all that names them, also of such as never came. Waits for who is at them."""
        if self._project_id is None:
            return Gone()
        ids = [bytes.fromhex(trace_id) for trace_id in trace_ids]
        seqs = [seq for (seq,) in self._sql.rows("lock_traces", project_id=self._project_id, trace_ids=ids)]
        rows = self._as_they_are(ids, seqs)
        self._rewrite_blocks({row.seq for row in rows})
        gone = self._drop(rows)
        self._sql.run("drop_scores", project_id=self._project_id, trace_ids=ids)
        self._sql.run("drop_suggestions", project_id=self._project_id, names=list(trace_ids))
        self._forget_exemplars(frozenset(trace_ids))
        for day in {row.seq // PER_DAY for row in rows} | {-1}:
            self._sql.run("put_fact", name=f"{SCRUB_FACT}{day}", value="1")
        return gone

    def _drop(self, rows: Sequence[Found]) -> Gone:
        """Drop all but what was learned and counted."""
        if not rows:
            return Gone()
        for day, count in sorted(Counter(row.seq // PER_DAY for row in rows).items()):
            seqs = sorted(row.seq for row in rows if row.seq // PER_DAY == day)
            for name in ("drop_words", "drop_chunks", "drop_spans", "drop_traces"):
                self._sql.run(name, seqs=seqs, first=seqs[0], last=seqs[-1])
            self._sql.run("count_dropped", name=f"{DROPPED_FACT}{day}", count=count)
        for name in ("drop_due", "drop_void"):
            self._sql.run(name, seqs=[row.seq for row in rows])
        ids = [row.trace_id for row in rows]
        for name in ("drop_scores", "drop_ids"):
            self._sql.run(name, project_id=self._project_id, trace_ids=ids)
        stored = [row for row in rows if row.start_ns is not None]
        gone = Gone(len(stored), sum(row.spans for row in stored))
        counts = {"traces": -gone.traces, "spans": -gone.spans}
        self._sql.run("count_in_project", project_id=self._project_id, part=self._part, **counts)
        return gone

    def _rewrite_blocks(self, seqs: set[int]) -> None:
        """Blocks hold the words of many traces: write those anew without these."""
        found = self._sql.rows("blocks_with", seqs=sorted(seqs))
        blocks = [(first, words, Block(places)) for first, words, places in found]
        with_them = [each for each in blocks if seqs.intersection(each[2].seqs)]
        if not with_them:
            return
        self._sql.run("drop_blocks", first_seqs=[first for first, _, _ in with_them])
        left = [block.without(words, seqs) for _, words, block in with_them]
        of = record_types(self._sql)["trace_text_blocks"]
        self._sql.put("add_word_blocks", of, [block_row(traces) for traces in left if traces])

    def _forget_exemplars(self, trace_ids: frozenset[str]) -> None:
        changed = 0
        for *edge, exemplars in self._sql.rows("edge_exemplars", project_id=self._project_id):
            if (left := without(exemplars, trace_ids)) != exemplars:
                key = dict(zip(("origin_id", "target_id", "type"), edge, strict=True))
                self._sql.run("put_edge_exemplars", project_id=self._project_id, exemplars=left, **key)
                changed += 1
        for variant_id, exemplars in self._sql.rows("variant_exemplars", project_id=self._project_id):
            if (left := without(exemplars, trace_ids)) != exemplars:
                self._sql.run("put_variant_exemplars", variant_id=variant_id, exemplars=left)
                changed += 1
        if changed:
            # Whoever has the graph in memory reads it anew.
            self._sql.run("next_version", project_id=self._project_id, traces=0, variants=0)


def projects_of(connection: Connection) -> dict[int, str]:
    """Every project's id and name, by name."""
    rows = Statements(connection, QUERIES).rows("all_projects")
    return dict(sorted([(at, told(name)) for at, name in rows], key=lambda row: row[1]))


def expired_of(  # noqa: PLR0917
    connection: Connection, project_id: int, cutoffs: dict[str, int], after_ns: int, after_id: str, limit: int
) -> list[Found]:
    """Traces of one project whose time is over."""
    values = {"project_id": project_id, "latest_ns": max(cutoffs.values()), "cutoffs": as_json(cutoffs)}
    place = {"after_ns": after_ns, "after_id": bytes.fromhex(after_id), "limit": limit}
    return [Found.read(row) for row in Statements(connection, QUERIES).rows("expired", **values, **place)]


def earliest_of(
    connection: Connection, spared: list[str], after_seq: int, now_ns: int, limit: int
) -> list[tuple[Found, str]]:
    """Traces that came first, and their projects; none of today's, whose space would not come back."""
    before = partitions.first_seq(partitions.day_of(now_ns))
    values = {"after_seq": after_seq, "before_seq": before, "spared": spared, "limit": limit}
    rows = Statements(connection, QUERIES).rows("earliest", **values)
    return [(Found.read(row[:-1]), told(row[-1])) for row in rows]


def drop_metrics(connection: Connection, resolution_s: int, before_s: int, limit: int) -> int:
    """Drop histograms, and keep in mind from when on they are there."""
    statements = Statements(connection, QUERIES)
    dropped = statements.run("drop_metrics", resolution_s=resolution_s, before_s=before_s, limit=limit)
    if dropped:
        statements.run("put_later_fact", name=metrics_fact(resolution_s), value=str(before_s))
    return dropped


def ids_of(connection: Connection, query: str, project_id: int | None, value: str) -> list[tuple[int, str]]:
    """Project and id of each trace of a user or a session."""
    asked = {"project_id": project_id, "value": findable(value)}
    return [(at, trace_id.hex()) for at, trace_id in Statements(connection, QUERIES).rows(query, **asked)]
