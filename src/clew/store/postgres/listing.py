"""
A page of traces, newest first, for any filter.

The planner picks the index: the user's, the session's, a bad flag's or an error's order traces as
the page does, so it walks the one that fits. Words are looked up by `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clew.model import Flag
from clew.store.check import check_cursor, check_limit
from clew.store.columns import KIND_BITS, int64
from clew.store.postgres.binary import findable, told
from clew.store.postgres.connect import Connection
from clew.store.postgres.rows import SUMMARY_COLUMNS, summary_of
from clew.store.postgres.search import Search
from clew.store.postgres.statements import Statements, load
from clew.store.protocol import Page, TraceFilter
from clew.store.sieve import Candidate, Cursor, Sieve, sift

QUERIES = load("queries.sql")

WINDOWS = (256, 1_024, 4_096, 8_192)
"""How many of the newest traces are searched for common words, at first and then; after that the page ends."""

_PLACE = "start_ns, trace_id, seq"

_TOKENS = "input_tokens::numeric + output_tokens"
"""Of absurd values the sum is over what a bigint holds."""


class Query:
    """Puts a listing's SQL together from fixed parts; values are only ever bound."""

    def __init__(self, project_id: int, where: TraceFilter) -> None:
        self.terms = ["project_id = %(project_id)s"]
        self.values: dict[str, Any] = {"project_id": project_id}
        for term, name, value in _ranges(where):
            if value is not None:
                self._add(term, name, int64(value))
        if where.min_cost_usd is not None:
            self._add("cost_usd >= %(min_cost_usd)s", "min_cost_usd", where.min_cost_usd)
        if where.max_cost_usd is not None:
            self._add("cost_usd <= %(max_cost_usd)s", "max_cost_usd", where.max_cost_usd)
        self._choices(where)

    def _choices(self, where: TraceFilter) -> None:
        if where.kind:
            self._add("kinds & %(kind)s <> 0", "kind", KIND_BITS[where.kind])
        if where.model:
            self._add("models @> %(models)s", "models", [findable(where.model)])
        if where.status == "error":
            self.terms.append("status = 'error'")  # said literally, as its index says it
        elif where.status:
            self._add("status = %(status)s", "status", where.status)
        if where.flag:
            self._add("flag = %(flag)s", "flag", where.flag.value)
        if where.flag and where.flag is not Flag.NORMAL:
            self.terms.append("flag <> 'NORMAL'")
        for name, value in (("user_id", where.user_id), ("session_id", where.session_id)):
            if value:
                self._add(f"md5({name}) = md5(%({name})s) AND {name} = %({name})s", name, findable(value))

    def _add(self, term: str, name: str, value: Any) -> None:
        self.terms.append(term)
        self.values[name] = value

    def after(self, cursor: tuple[int, str]) -> None:
        """Go on behind *cursor*, and no longer behind an earlier one."""
        start_ns, trace_id = cursor
        if "after_ns" not in self.values:
            self.terms.append("(start_ns, trace_id) < (%(after_ns)s, %(after_id)s)")
        self.values |= {"after_ns": int64(start_ns), "after_id": bytes.fromhex(trace_id)}

    def only(self, seqs: Iterable[int]) -> None:
        """Choose among these traces, which are few."""
        self._add("seq = ANY(%(seqs)s::bigint[])", "seqs", sorted(seqs))

    def run(self, connection: Connection, columns: str, *, limit: int) -> list[tuple[Any, ...]]:
        """Give *columns* of at most *limit* traces, newest first."""
        template = QUERIES["list_traces"].decode()
        statement = template.format(columns=columns, where="\n   AND ".join(self.terms))
        values = self.values | {"limit": int64(limit)}
        return connection.execute(statement.encode(), values, binary=True).fetchall()


def _ranges(where: TraceFilter) -> list[tuple[str, str, int | None]]:
    return [
        ("start_ns >= %(from_ns)s", "from_ns", where.from_ns),
        ("start_ns < %(to_ns)s", "to_ns", where.to_ns),
        ("duration_ns >= %(min_duration_ns)s", "min_duration_ns", where.min_duration_ns),
        ("duration_ns <= %(max_duration_ns)s", "max_duration_ns", where.max_duration_ns),
        (f"{_TOKENS} >= %(min_tokens)s", "min_tokens", where.min_tokens),
        (f"{_TOKENS} <= %(max_tokens)s", "max_tokens", where.max_tokens),
    ]


def list_page(
    connection: Connection, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None
) -> Page:
    """Give a page as `TraceReader.list_traces` promises; the caller has checked that text can be searched."""
    check_limit(limit)
    check_cursor(after)
    # Words are checked before all else: a search for none is refused also where nothing is stored.
    search = Search(connection, where.text) if where.text else None
    project_id = Statements(connection, QUERIES).value("project_id", project=findable(project))
    if project_id is None:
        return Page([], None)
    if Sieve.is_needed(where):
        return _sifted_page(connection, project, project_id, where, search, limit=limit, after=after)
    query = Query(project_id, where)
    if after is not None:
        query.after(after)
    cut = None
    if search is not None:
        seqs, cut = _with_words(connection, project_id, where, after, search, wanted=limit + 1)
        query.only(seqs)
    rows = query.run(connection, SUMMARY_COLUMNS, limit=limit + 1)
    traces = [summary_of(project, row) for row in rows[:limit]]
    if len(rows) > limit:
        return Page(traces, (traces[-1].start_ns, traces[-1].trace_id))
    return Page(traces, cut, unfinished=cut is not None)


def _sifted_page(
    connection: Connection,
    project: str,
    project_id: int,
    where: TraceFilter,
    search: Search | None,
    *,
    limit: int,
    after: Cursor | None,
) -> Page:
    """A page for what no index answers."""
    cut: Cursor | None = None

    def candidates(behind: Cursor | None, wanted: int) -> list[Candidate]:
        nonlocal cut
        query = Query(project_id, where)
        if behind is not None:
            query.after(behind)
        if search is not None:
            seqs, cut = _with_words(connection, project_id, where, behind, search, wanted=wanted)
            query.only(seqs)
        rows = query.run(connection, _PLACE, limit=wanted)
        return [Candidate(start_ns, trace_id.hex(), seq) for start_ns, trace_id, seq in rows]

    sifted = sift(where, candidates, PostgresLooks(connection, project_id), limit=limit, after=after)
    query = Query(project_id, where)
    query.only([each.seq for each in sifted.found])
    rows = query.run(connection, SUMMARY_COLUMNS, limit=limit) if sifted.found else []
    traces = [summary_of(project, row) for row in rows]
    if sifted.next_cursor is None:
        # Everything that the words gave was looked through, which is not all there is if they were cut short.
        return Page(traces, cut, unfinished=cut is not None)
    return Page(traces, sifted.next_cursor, sifted.unfinished)


class PostgresLooks:
    """What is looked up of candidates: `clew.store.sieve.Looks`."""

    def __init__(self, connection: Connection, project_id: int) -> None:
        self._sql = Statements(connection, QUERIES)
        self._project_id = project_id

    def with_name(self, candidates: Sequence[Candidate], name: str) -> set[int]:
        """Give the seqs of those that have a span of this name."""
        rows = self._sql.rows("seqs_with_name", seqs=_seqs_of(candidates), name=findable(name))
        return {seq for (seq,) in rows}

    def scores(self, candidates: Sequence[Candidate], name: str) -> Iterator[tuple[str, float, str]]:
        """Give (trace id, value, label) of their scores of this name."""
        trace_ids = [bytes.fromhex(each.trace_id) for each in candidates]
        rows = self._sql.rows("scores_with_name", project_id=self._project_id, trace_ids=trace_ids, name=findable(name))
        for trace_id, value, label in rows:
            yield trace_id.hex(), value, told(label)

    def chunks(self, candidates: Sequence[Candidate]) -> Iterator[Any]:
        """Give (chunk id, chunk) of all their chunks."""
        return self._sql.stream("chunks", seqs=_seqs_of(candidates))


def _seqs_of(candidates: Sequence[Candidate]) -> list[int]:
    return sorted(each.seq for each in candidates)


def _with_words(
    connection: Connection,
    project_id: int,
    where: TraceFilter,
    after: tuple[int, str] | None,
    search: Search,
    *,
    wanted: int,
) -> tuple[set[int], Cursor | None]:
    """
    Give the traces to choose a page from, and where the search for them was cut short.

    A rare word is looked up, and all that have the words are given. Common ones are looked for among
    the newest that match all else, a growing window at a time, until there are *wanted*. Where they
    rarely meet that has an end, too: the page is unfinished, and the next goes on from there.
    """
    if search.is_rare:
        return search.everywhere(), None
    walk = Query(project_id, where)
    if after is not None:
        walk.after(after)
    found: set[int] = set()
    for window in WINDOWS:
        candidates = walk.run(connection, _PLACE, limit=window)
        found |= search.among([seq for _, _, seq in candidates])
        if len(found) >= wanted or len(candidates) < window:
            return found, None
        start_ns, trace_id, _ = candidates[-1]
        after = start_ns, trace_id.hex()
        walk.after(after)
    return found, after
