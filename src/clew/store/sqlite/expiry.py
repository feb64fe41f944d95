"""
How traces go from the file: old ones by rule, anybody's on demand; and how the space comes back.

Each step is one short transaction. Freed pages go back to the disk a few at a time, for which the
file must be made with auto_vacuum = INCREMENTAL, as all are. Only `scrub` takes long: the bytes of
erased rows stay in half-empty pages, in the search index, in free pages and in the write-ahead log
until the whole file is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import apsw
import msgspec

from clew.errors import StoreBusy
from clew.model import Flag, Status
from clew.store import sql
from clew.store.columns import as_json
from clew.store.exemplars import without
from clew.store.retention import (
    STEP_TRACES,
    Erased,
    Expiring,
    Gone,
    Place,
    Policy,
    Whom,
    check_whom,
    metrics_fact,
    unchanged,
)
from clew.store.sqlite.graph_store import SqliteGraph
from clew.store.sqlite.search import storable
from clew.store.sqlite.statements import Statements

QUERIES = sql.load("clew.store.sqlite", "expiry.sql") | {
    name: sql.load("clew.store.sqlite", source)[name]
    for source, name in (
        ("queries.sql", "project_id"),
        ("queries.sql", "count_in_project"),
        ("queries.sql", "fact"),
        ("queries.sql", "put_fact"),
        ("graph.sql", "next_version"),
    )
}

SCRUB_FACT = "scrub_due"
"""Traces were erased whose bytes are still in the file."""

_DROP_BLOCKS = ("drop_blocks", "drop_block_models")

VACUUM_BYTES = 2 << 20
"""What one step gives back, in some milliseconds."""

MERGE_PAGES = 16
"""Of the search index: what one step of merging it writes."""

HOLLOW = 4
"""The search index is merged once one in so many of its rows is of a trace that went."""

DROPPED_FACT, MERGING_FACT = "words_dropped", "words_merging"
"""Rows of the search index that were dropped and still lie in it; that it is being merged."""


class _Row(NamedTuple):
    """One row of the queries `expired`, `earliest` and `as_they_are`."""

    seq: int
    project: str
    trace_id: str
    start_ns: int
    flag: Flag
    status: Status
    spans: int
    is_due: int

    def found(self, place: Place) -> Expiring:
        return Expiring(
            self.project, self.trace_id, self.start_ns, self.flag, self.status, self.spans, bool(self.is_due), place
        )


_rows = msgspec.json.Decoder(list[_Row])
_projects = msgspec.json.Decoder(list[tuple[int, str]])
_traces = msgspec.json.Decoder(list[tuple[int, str]])


class SqliteExpiry(SqliteGraph):
    """What `clew.store.protocol.Retention` promises, but for `drop_metrics`' readers."""

    # What is to go.

    def expired(self, policy: Policy, *, now_ns: int, limit: int, after: Place | None = None) -> list[Expiring]:
        """Give traces whose time is over; see `clew.store.protocol.Retention`."""
        found: list[Expiring] = []
        with self._readers.lend() as connection:
            for project_id, project in _projects.decode(connection.execute(QUERIES["all_projects"]).get):
                cutoffs = policy.cutoffs(project, now_ns)
                if len(found) == limit or not cutoffs or (after is not None and project < after.project):
                    continue
                start = after if after is not None and after.project == project else Place(project, -(2**63), "")
                values = {
                    "project_id": project_id,
                    "project": project,
                    "latest_ns": max(cutoffs.values()),
                    "cutoffs": as_json(cutoffs),
                    "after_ns": start.number,
                    "after_id": start.trace_id,
                    "limit": limit - len(found),
                }
                rows = _rows.decode(connection.execute(QUERIES["expired"], values).get)
                found += [row.found(Place(project, row.start_ns, row.trace_id)) for row in rows]
        return found

    def earliest(self, policy: Policy, *, limit: int, after: Place | None = None, spare: bool = True) -> list[Expiring]:
        """Give traces that came first; see `clew.store.protocol.Retention`."""
        values = {
            "after_seq": 0 if after is None else after.number,
            "spared": as_json(policy.spared() if spare else []),
            "limit": limit,
        }
        with self._readers.lend() as connection:
            rows = _rows.decode(connection.execute(QUERIES["earliest"], values).get)
        return [row.found(Place(row.project, row.seq, row.trace_id)) for row in rows]

    # How it goes.

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:
        """Drop traces; see `clew.store.protocol.Retention`."""
        wanted = {(each.project, each.trace_id): each for each in found[:STEP_TRACES]}

        def drop(connection: apsw.Connection) -> Gone:
            dropping = Dropping(connection)
            gone = Gone()
            for project in dict.fromkeys(project for project, _ in wanted):
                rows = dropping.as_they_are(project, [trace_id for of, trace_id in wanted if of == project])
                same = [
                    row
                    for row in rows
                    if not (learned_only and row.is_due)
                    and unchanged(wanted[project, row.trace_id], row.flag, row.status, row.start_ns, row.spans)
                ]
                dropped = dropping.drop(project, same)
                gone = Gone(gone.traces + dropped.traces, gone.spans + dropped.spans)
            return gone

        return self._transact(drop)

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:
        """Drop histograms; see `clew.store.protocol.Retention`."""

        def drop(connection: apsw.Connection) -> int:
            statements = Statements(connection, QUERIES)
            statements.run("drop_metrics", resolution_s=resolution_s, before_s=before_s, limit=limit)
            dropped = statements.changes()
            if dropped:
                statements.run("put_later_fact", name=metrics_fact(resolution_s), value=str(before_s))
            return dropped

        return self._transact(drop)

    # Space.

    def used_bytes(self) -> int:
        """Say what is in use; see `clew.store.protocol.Retention`."""
        with self._readers.lend() as connection:
            return _used_pages(connection) * int(connection.pragma("page_size"))

    def give_back(self, *, spare_bytes: int = 0) -> bool:
        """Give some free pages back; see `clew.store.protocol.Retention`."""

        def step(connection: apsw.Connection) -> bool:
            page_bytes, free = int(connection.pragma("page_size")), int(connection.pragma("freelist_count"))
            spare = -(-spare_bytes // page_bytes)
            if free > spare and int(connection.pragma("auto_vacuum")):
                pages = min(max(1, VACUUM_BYTES // page_bytes), free - spare)
                connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
                return int(connection.pragma("freelist_count")) < free
            return _merge_some_words(Statements(connection, QUERIES))

        done = self._transact(step)
        if not done:
            # What was given back leaves the file when the log is written into it.
            with self._exclusively() as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return done

    # Erasure.

    def erase(self, whom: Whom) -> Erased:
        """Erase traces; see `clew.store.protocol.Retention`."""
        check_whom(whom)
        gone = Gone()
        projects: set[str] = set()
        went: set[str] = set()
        for project, trace_ids in self._of(whom):
            for at in range(0, len(trace_ids), STEP_TRACES):
                part = trace_ids[at : at + STEP_TRACES]
                erased = self._transact(partial(_erase, project=project, trace_ids=part))
                gone = Gone(gone.traces + erased.traces, gone.spans + erased.spans)
                went.update(part if erased.traces else ())
                projects.update([project] if erased.traces else ())
        return Erased(gone.traces, gone.spans, sorted(projects), sorted(went))

    def _of(self, whom: Whom) -> list[tuple[str, list[str]]]:
        """Ids of traces by project. A trace that is named is sought everywhere, stored or not."""
        with self._readers.lend() as connection:
            names = dict(_projects.decode(connection.execute(QUERIES["all_projects"]).get))
            wanted = {at: name for at, name in names.items() if whom.project in (None, name)}
            if whom.trace_id is not None:
                return [(name, [whom.trace_id.lower()]) for name in wanted.values()]
            query, value = ("of_user", whom.user_id) if whom.user_id is not None else ("of_session", whom.session_id)
            only = next(iter(wanted), -1) if whom.project is not None else None
            name = storable(value or "")
            asked = {"project_id": only, "value": name, "quoted": as_json(name)}
            found = _traces.decode(connection.execute(QUERIES[query], asked).get)
        return [(name, [trace_id for of, trace_id in found if of == at]) for at, name in wanted.items()]

    def scrub(self) -> bool:
        """Write the file anew; see `clew.store.protocol.Retention`."""
        with self._readers.lend() as connection:
            if connection.execute(QUERIES["fact"], {"name": SCRUB_FACT}).get is None:
                return False
        # The index keeps erased words until its parts are merged; a few pages at a time, since it may be large.
        more = self._transact(lambda connection: _merge_words(Statements(connection, QUERIES), -MERGE_PAGES))
        while more:
            more = self._transact(lambda connection: _merge_words(Statements(connection, QUERIES), MERGE_PAGES))
        with self._exclusively() as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
                raise StoreBusy("somebody still reads what was erased; ask again and the file is cleaned")
        self._transact(lambda connection: Statements(connection, QUERIES).run("drop_fact", name=SCRUB_FACT))
        return True


class Dropping:
    """Drops traces over *connection*, which is inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._sql = Statements(connection, QUERIES)

    def as_they_are(self, project: str, trace_ids: Sequence[str]) -> list[_Row]:
        """Read what traces are now; those that are not there are left out."""
        project_id = self._sql.run("project_id", project=project)
        asked = as_json(list(dict.fromkeys(trace_ids)))
        return _rows.decode(self._sql.run("as_they_are", project_id=project_id, trace_ids=asked))

    def drop(self, project: str, rows: Sequence[_Row], *, exactly: bool = False) -> Gone:
        """Drop all but what was learned and counted; *exactly*: also what their blocks tell of them."""
        if not rows:
            return Gone()
        project_id = self._sql.run("project_id", project=project)
        seqs = as_json([row.seq for row in rows])
        for name in ("drop_words", "drop_spans", "drop_chunks", "drop_due", "drop_traces"):
            self._sql.run(name, seqs=seqs)
        for name in ("drop_blocks", "forget_block_models", "put_models_left") if exactly else _DROP_BLOCKS:
            self._sql.run(name, project_id=project_id, seqs=seqs)
        self._sql.run("add_to_fact", name=DROPPED_FACT, more=len(rows))
        self._sql.run("drop_scores", project_id=project_id, trace_ids=as_json([row.trace_id for row in rows]))
        gone = Gone(len(rows), sum(row.spans for row in rows))
        self._sql.run("count_in_project", project_id=project_id, traces=-gone.traces, spans=-gone.spans)
        return gone

    def erase(self, project: str, trace_ids: Sequence[str]) -> Gone:
        """Drop traces and all that names them, also of such as never came."""
        project_id = self._sql.run("project_id", project=project)
        gone = self.drop(project, self.as_they_are(project, trace_ids), exactly=True)
        asked = as_json(list(trace_ids))
        for name in ("drop_scores", "drop_suggestions"):
            self._sql.run(name, project_id=project_id, trace_ids=asked)
        self._forget_exemplars(project_id, frozenset(trace_ids))
        self._sql.run("put_fact", name=SCRUB_FACT, value="1")
        return gone

    def _forget_exemplars(self, project_id: int, trace_ids: frozenset[str]) -> None:
        changed = 0
        for *edge, exemplars in list(self._sql.rows("edge_exemplars", project_id=project_id)):
            if (left := without(exemplars, trace_ids)) != exemplars:
                key = dict(zip(("origin_id", "target_id", "type"), edge, strict=True))
                self._sql.run("put_edge_exemplars", project_id=project_id, exemplars=left, **key)
                changed += 1
        for variant_id, exemplars in list(self._sql.rows("variant_exemplars", project_id=project_id)):
            if (left := without(exemplars, trace_ids)) != exemplars:
                self._sql.run("put_variant_exemplars", variant_id=variant_id, exemplars=left)
                changed += 1
        if changed:
            # Whoever has the graph in memory reads it anew.
            self._sql.run("next_version", project_id=project_id, traces=0, variants=0)


def _erase(connection: apsw.Connection, *, project: str, trace_ids: Sequence[str]) -> Gone:
    return Dropping(connection).erase(project, trace_ids)


def _used_pages(connection: apsw.Connection) -> int:
    return int(connection.pragma("page_count")) - int(connection.pragma("freelist_count"))


def _merge_some_words(statements: Statements) -> bool:
    """
    Merge some of the search index, from which dropped rows go only so; False if it is not worth it.

    SQLite would do it by itself (`deletemerge`), but at the next commit, and for seconds.
    """
    if statements.run("fact", name=MERGING_FACT) is None:
        dropped = int(statements.run("fact", name=DROPPED_FACT) or 0)
        if not dropped or dropped * HOLLOW < int(statements.run("trace_count")):
            return False
        statements.run("drop_fact", name=DROPPED_FACT)
        statements.run("put_fact", name=MERGING_FACT, value="1")
        return _merge_words(statements, -MERGE_PAGES)
    more = _merge_words(statements, MERGE_PAGES)
    if not more:
        statements.run("drop_fact", name=MERGING_FACT)
    return more


def _merge_words(statements: Statements, pages: int) -> bool:
    """Merge some of the search index; False if nothing is left to merge. Source: SQLite FTS5, section 6.10."""
    before = statements.total_changes()
    statements.run("merge_words", pages=pages)
    return statements.total_changes() - before >= 2
