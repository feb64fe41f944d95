"""
A page of traces, newest first, for any filter.

What columns answer is found by `newest`, words by `search`, and what no index answers by looking
through the traces that are left (`clew.store.sieve`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

import apsw
import msgspec

from clew.model import TraceSummary
from clew.store import sql
from clew.store.check import check_cursor, check_limit
from clew.store.columns import as_json
from clew.store.protocol import Page, TraceFilter
from clew.store.sieve import Candidate, Cursor, Sieve, sift
from clew.store.sqlite.newest import Query
from clew.store.sqlite.reading import read_chunks
from clew.store.sqlite.rows import SUMMARY_COLUMNS, SummaryRow
from clew.store.sqlite.search import Search, storable

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

WINDOWS = (256, 1_024, 4_096)
"""How many of the newest traces are searched for common words, at first, then, and at last."""

_rows = msgspec.json.Decoder(list[SummaryRow])
_seqs = msgspec.json.Decoder(set[int])
_scores = msgspec.json.Decoder(list[tuple[str, float, str]])
_json = msgspec.json.Encoder()


def list_page(
    connection: apsw.Connection,
    project: str,
    where: TraceFilter,
    *,
    limit: int,
    after: tuple[int, str] | None,
) -> Page:
    """Give a page as `TraceReader.list_traces` promises; the caller has checked that text can be searched."""
    check_limit(limit)
    check_cursor(after)
    # Words are checked before all else: a search for none is refused also where nothing is stored.
    search = Search(connection, storable(where.text)) if where.text else None
    project_id = connection.execute(QUERIES["project_id"], {"project": storable(project)}).get
    if project_id is None:
        return Page([], None)
    if Sieve.is_needed(where):
        return _sifted_page(connection, project, project_id, where, search, limit=limit, after=after)
    query = Query(project_id, where)
    if after is not None:
        query.after(after)
    if search is not None:
        query.only(_with_words(connection, query, search, wanted=limit + 1))
    found = query.newest(connection, limit + 1)
    traces = _summaries(connection, project, found[:limit])
    return Page(traces, found[limit - 1][:2] if len(found) > limit else None)


def _summaries(connection: apsw.Connection, project: str, found: Sequence[Candidate]) -> list[TraceSummary]:
    """Read the summaries of some traces, in their order."""
    statement = QUERIES["traces"].format(columns=SUMMARY_COLUMNS)
    rows = _rows.decode(connection.execute(statement, {"seqs": _seqs_of(found)}).get)
    rows.sort(key=lambda row: (row.start_ns, row.trace_id), reverse=True)
    return [row.summary(project) for row in rows]


def _sifted_page(
    connection: apsw.Connection,
    project: str,
    project_id: int,
    where: TraceFilter,
    search: Search | None,
    *,
    limit: int,
    after: Cursor | None,
) -> Page:
    """A page for what no index answers."""

    def candidates(behind: Cursor | None, wanted: int) -> list[Candidate]:
        query = Query(project_id, where)
        if behind is not None:
            query.after(behind)
        if search is not None:
            query.only(_with_words(connection, query, search, wanted=wanted))
        return query.newest(connection, wanted)

    sifted = sift(where, candidates, SqliteLooks(connection, project_id), limit=limit, after=after)
    return Page(_summaries(connection, project, sifted.found), sifted.next_cursor, sifted.unfinished)


class SqliteLooks:
    """What is looked up of candidates: `clew.store.sieve.Looks`."""

    def __init__(self, connection: apsw.Connection, project_id: int) -> None:
        self._connection = connection
        self._project_id = project_id

    def with_name(self, candidates: Sequence[Candidate], name: str) -> set[int]:
        """Give the seqs of those that have a span of this name."""
        values = {"seqs": _seqs_of(candidates), "name": storable(name), "quoted": as_json(storable(name))}
        return _seqs.decode(self._connection.execute(QUERIES["seqs_with_name"], values).get)

    def scores(self, candidates: Sequence[Candidate], name: str) -> list[tuple[str, float, str]]:
        """Give (trace id, value, label) of their scores of this name."""
        trace_ids = _json.encode([each.trace_id for each in candidates]).decode()
        values = {"project_id": self._project_id, "trace_ids": trace_ids, "name": storable(name)}
        return _scores.decode(self._connection.execute(QUERIES["scores_with_name"], values).get)

    def chunks(self, candidates: Sequence[Candidate]) -> Iterable[tuple[int, bytes]]:
        """Give (chunk id, chunk) of all their chunks."""
        for _, chunk_id, chunk in read_chunks(self._connection, {each.seq for each in candidates}):
            yield chunk_id, chunk


def _seqs_of(candidates: Sequence[Candidate]) -> str:
    return _json.encode(sorted(each.seq for each in candidates)).decode()


def _with_words(connection: apsw.Connection, query: Query, search: Search, *, wanted: int) -> set[int]:
    """
    Give the traces to choose a page from: all that have the words, or the newest *wanted* and more.

    A rare word is looked up first. Common ones are looked for among the newest that match all
    else, a growing window at a time; where they rarely meet, everything is intersected at last.
    """
    if not search.is_rare:
        found: set[int] = set()
        walk = deepcopy(query)
        for window in WINDOWS:
            candidates = walk.newest(connection, window)
            found |= search.among({seq for _, _, seq in candidates})
            if len(found) >= wanted or len(candidates) < window:
                return found
            walk.after(candidates[-1][:2])
    return search.everywhere()
