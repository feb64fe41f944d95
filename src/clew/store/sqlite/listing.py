"""
A page of traces, newest first, for any filter.

Which index leads is decided here and not by SQLite's planner, which does not know how rare a
value is: the user, then the session, a bad flag, an error, and else the start with everything
else that is cheap to check inside that index. Words are looked up by `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import apsw
import msgspec

from clew.model import Flag
from clew.store import sql
from clew.store.check import check_cursor, check_limit
from clew.store.columns import KIND_BITS, int64
from clew.store.protocol import Page, TraceFilter
from clew.store.sieve import Candidate, Cursor, Sieve, sift
from clew.store.sqlite.rows import SUMMARY_COLUMNS, SummaryRow, model_pattern
from clew.store.sqlite.search import Search, storable

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

WINDOWS = (256, 1_024, 4_096)
"""How many of the newest traces are searched for common words, at first, then, and at last."""

_rows = msgspec.json.Decoder(list[SummaryRow])
_candidates = msgspec.json.Decoder(list[Candidate])
_seqs = msgspec.json.Decoder(set[int])
_scores = msgspec.json.Decoder(list[tuple[str, float, str]])
_json = msgspec.json.Encoder()


class Query:
    """Puts a listing's SQL together from fixed parts; values are only ever bound."""

    def __init__(self, project_id: int, where: TraceFilter) -> None:
        self.source = "traces INDEXED BY traces_by_start"
        self.terms = ["project_id = :project_id"]
        self.values: dict[str, Any] = {"project_id": project_id}
        self._ranges(where)
        self._choices(where)

    def _ranges(self, where: TraceFilter) -> None:
        for term, value in (
            ("start_ns >= :from_ns", where.from_ns),
            ("start_ns < :to_ns", where.to_ns),
            ("duration_ns >= :min_duration_ns", where.min_duration_ns),
            ("duration_ns <= :max_duration_ns", where.max_duration_ns),
            ("input_tokens + output_tokens >= :min_tokens", where.min_tokens),
            ("input_tokens + output_tokens <= :max_tokens", where.max_tokens),
        ):
            if value is not None:
                self._add(term, int64(value))
        if where.min_cost_usd is not None:
            self._add("cost_usd >= :min_cost_usd", where.min_cost_usd)
        if where.max_cost_usd is not None:
            self._add("cost_usd <= :max_cost_usd", where.max_cost_usd)

    def _choices(self, where: TraceFilter) -> None:
        """The last index named leads, so the most selective comes last."""
        if where.kind:
            self._add("kinds & :kind", KIND_BITS[where.kind])
        if where.model:
            self._add("instr(models, :model)", model_pattern(storable(where.model)))
        if where.status:
            self._add("status = :status", where.status)
        if where.status == "error":
            self._lead("traces_by_error", "status = 'error'")
        if where.flag:
            self._add("flag = :flag", where.flag.value)
        if where.flag and where.flag is not Flag.NORMAL:
            self._lead("traces_by_flag", "flag <> 'NORMAL'")
        if where.session_id:
            self._add("session_id = :session_id", storable(where.session_id))
            self._lead("traces_by_session")
        if where.user_id:
            self._add("user_id = :user_id", storable(where.user_id))
            self._lead("traces_by_user")

    def _add(self, term: str, value: Any) -> None:
        self.terms.append(term)
        self.values[term.rsplit(":", 1)[1].rstrip(")")] = value

    def _lead(self, index: str, condition: str | None = None) -> None:
        """Walk *index*; SQLite wants the *condition* of a partial index said literally."""
        self.source = f"traces INDEXED BY {index}"
        if condition:
            self.terms.append(condition)

    def after(self, cursor: tuple[int, str]) -> None:
        """Go on behind *cursor*, and no longer behind an earlier one."""
        start_ns, trace_id = cursor
        if "after_ns" not in self.values:
            self.terms.append("(start_ns, trace_id) < (:after_ns, :after_id)")
        self.values |= {"after_ns": int64(start_ns), "after_id": bytes.fromhex(trace_id)}

    def only(self, seqs: Iterable[int]) -> None:
        """Choose among these traces, which are few."""
        self.values["seqs"] = _json.encode(sorted(seqs)).decode()
        self.terms.append("seq IN (SELECT value FROM json_each(:seqs))")
        self.source = "traces NOT INDEXED"

    def statement(self, name: str) -> str:
        """The SQL of `list_traces` or `list_candidates`."""
        return QUERIES[name].format(
            columns=SUMMARY_COLUMNS, source=self.source, where="\n           AND ".join(self.terms)
        )

    def run(self, connection: apsw.Connection, name: str, *, limit: int) -> Any:
        """Run that statement; its JSON."""
        return connection.execute(self.statement(name), self.values | {"limit": int64(limit)}).get


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
    rows = _rows.decode(query.run(connection, "list_traces", limit=limit + 1))
    rows.sort(key=lambda row: (row.start_ns, row.trace_id), reverse=True)
    traces = [row.summary(project) for row in rows[:limit]]
    return Page(traces, (traces[-1].start_ns, traces[-1].trace_id) if len(rows) > limit else None)


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
        return sorted(_candidates.decode(query.run(connection, "list_candidates", limit=wanted)), reverse=True)

    sifted = sift(where, candidates, SqliteLooks(connection, project_id), limit=limit, after=after)
    query = Query(project_id, where)
    query.only([each.seq for each in sifted.found])
    rows = _rows.decode(query.run(connection, "list_traces", limit=limit))
    rows.sort(key=lambda row: (row.start_ns, row.trace_id), reverse=True)
    return Page([row.summary(project) for row in rows], sifted.next_cursor, sifted.unfinished)


class SqliteLooks:
    """What is looked up of candidates: `clew.store.sieve.Looks`."""

    def __init__(self, connection: apsw.Connection, project_id: int) -> None:
        self._connection = connection
        self._project_id = project_id

    def with_name(self, candidates: Sequence[Candidate], name: str) -> set[int]:
        """Give the seqs of those that have a span of this name."""
        values = {"seqs": _seqs_of(candidates), "name": storable(name)}
        return _seqs.decode(self._connection.execute(QUERIES["seqs_with_name"], values).get)

    def scores(self, candidates: Sequence[Candidate], name: str) -> list[tuple[str, float, str]]:
        """Give (trace id, value, label) of their scores of this name."""
        trace_ids = _json.encode([each.trace_id for each in candidates]).decode()
        values = {"project_id": self._project_id, "trace_ids": trace_ids, "name": storable(name)}
        return _scores.decode(self._connection.execute(QUERIES["scores_with_name"], values).get)

    def chunks(self, candidates: Sequence[Candidate]) -> Iterable[tuple[int, bytes]]:
        """Give (chunk id, chunk) of all their chunks."""
        return self._connection.execute(QUERIES["chunks"], {"seqs": _seqs_of(candidates)})


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
            candidates = _candidates.decode(walk.run(connection, "list_candidates", limit=window))
            found |= search.among({seq for _, _, seq in candidates})
            if len(found) >= wanted or len(candidates) < window:
                return found
            start_ns, trace_id, _ = min(candidates)
            walk.after((start_ns, trace_id))
    return search.everywhere()
