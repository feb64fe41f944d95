"""A page of traces, newest first, for any filter. Values are only ever bound."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.store.check import check_cursor, check_limit
from clew.store.clickhouse.connect import Servers, hexed, wanted
from clew.store.clickhouse.looks import ClickhouseLooks
from clew.store.clickhouse.rows import read_summary
from clew.store.columns import KIND_BITS, int64
from clew.store.protocol import Page, TraceFilter
from clew.store.sieve import Candidate, Cursor, Sieve, sift
from clew.store.text import check_words, words

_MOST = 1 << 40
"""More traces than any page has."""

_RANGES = (
    ("start_ns >= {from_ns:Int64}", "from_ns"),
    ("start_ns < {to_ns:Int64}", "to_ns"),
    ("duration_ns >= {min_duration_ns:Int64}", "min_duration_ns"),
    ("duration_ns <= {max_duration_ns:Int64}", "max_duration_ns"),
    ("input_tokens + output_tokens >= {min_tokens:Int64}", "min_tokens"),
    ("input_tokens + output_tokens <= {max_tokens:Int64}", "max_tokens"),
)
_COSTS = (
    ("cost_usd >= {min_cost_usd:Float64}", "min_cost_usd"),
    ("cost_usd <= {max_cost_usd:Float64}", "max_cost_usd"),
)


class Terms:
    """Puts together what must hold, from fixed parts."""

    def __init__(self, project: str, where: TraceFilter) -> None:
        self.terms = ["project = unhex({project:String})"]
        self.values: dict[str, Any] = {"project": hexed(project)}
        for term, name in _RANGES:
            value = getattr(where, name)
            if value is not None:
                self._add(term, name, int64(value))
        for term, name in _COSTS:
            value = getattr(where, name)
            if value is not None:
                self._add(term, name, float(value))
        self._choices(where)
        if where.text:
            for at, word in enumerate(check_words(words(where.text))):
                self._add(f"has(words, unhex({{word{at}:String}}))", f"word{at}", hexed(word))

    def _choices(self, where: TraceFilter) -> None:
        if where.kind:
            self._add("bitAnd(kinds, {kind:UInt32}) != 0", "kind", KIND_BITS[where.kind])
        if where.model:
            self._add("has(models, unhex({model:String}))", "model", hexed(where.model))
        if where.name:
            self._add("has(names, unhex({name:String}))", "name", hexed(where.name))
        if where.status:
            self._add("status = {status:String}", "status", where.status)
        if where.flag:
            self._add("flag = {flag:String}", "flag", where.flag.value)
        if where.user_id:
            self._add("user_id = unhex({user_id:String})", "user_id", hexed(where.user_id))
        if where.session_id:
            self._add("session_id = unhex({session_id:String})", "session_id", hexed(where.session_id))

    def _add(self, term: str, name: str, value: Any) -> None:
        self.terms.append(term)
        self.values[name] = value

    def run(self, servers: Servers, name: str, *, after: Cursor | None, limit: int) -> list[tuple[Any, ...]]:
        """Run `list_traces` or `list_candidates` behind *after*."""
        terms, values = list(self.terms), self.values | {"limit": min(limit, _MOST)}
        if after is not None:
            terms.append("(start_ns, hex(trace_id)) < ({after_ns:Int64}, upper({after_id:String}))")
            values |= {"after_ns": int64(after[0]), "after_id": after[1]}
        return servers.rows(name, values, terms="\n   AND ".join(terms))


def list_page(servers: Servers, project: str, where: TraceFilter, *, limit: int, after: Cursor | None) -> Page:
    """Give a page as `TraceReader.list_traces` promises; the caller has checked that text can be searched."""
    check_limit(limit)
    check_cursor(after)
    asked = Terms(project, where)
    looked_up = msgspec.structs.replace(where, name=None)
    if Sieve.is_needed(looked_up):
        return _sifted_page(servers, project, looked_up, asked, limit=limit, after=after)
    rows = asked.run(servers, "list_traces", after=after, limit=min(limit, _MOST) + 1)
    traces = [read_summary(summary) for (summary,) in rows[:limit]]
    return Page(traces, (traces[-1].start_ns, traces[-1].trace_id) if len(rows) > limit else None)


def _sifted_page(
    servers: Servers, project: str, where: TraceFilter, asked: Terms, *, limit: int, after: Cursor | None
) -> Page:
    """A page for what no column answers."""
    looks = ClickhouseLooks(servers, project)

    def candidates(behind: Cursor | None, count: int) -> list[Candidate]:
        rows = asked.run(servers, "list_candidates", after=behind, limit=count)
        return [looks.candidate(start_ns, trace_id.decode()) for start_ns, trace_id in rows]

    sifted = sift(where, candidates, looks, limit=limit, after=after)
    keys = [(project, bytes.fromhex(each.trace_id)) for each in sifted.found]
    rows = servers.rows("summaries", data=wanted(keys)) if keys else []
    return Page([read_summary(summary) for (summary,) in rows], sifted.next_cursor, sifted.unfinished)
