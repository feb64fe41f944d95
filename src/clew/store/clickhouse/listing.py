"""A page of traces, newest first, for any filter. Values are only ever bound."""

from __future__ import annotations

from typing import Any

from clew.store.check import check_cursor, check_limit
from clew.store.clickhouse.connect import Servers, hexed
from clew.store.clickhouse.rows import read_summary
from clew.store.columns import KIND_BITS, int64
from clew.store.protocol import Page, TraceFilter
from clew.store.text import check_words, words


_MOST = 1 << 40
"""More traces than any page has."""


class Terms:
    """Puts together what must hold, from fixed parts."""

    def __init__(self, project: str, where: TraceFilter) -> None:
        self.terms = ["project = unhex({project:String})"]
        self.values: dict[str, Any] = {"project": hexed(project)}
        self._ranges(where)
        self._choices(where)
        if where.text:
            self._words(check_words(words(where.text)))

    def _ranges(self, where: TraceFilter) -> None:
        for term, name in (
            ("start_ns >= {from_ns:Int64}", "from_ns"),
            ("start_ns < {to_ns:Int64}", "to_ns"),
            ("duration_ns >= {min_duration_ns:Int64}", "min_duration_ns"),
            ("duration_ns <= {max_duration_ns:Int64}", "max_duration_ns"),
        ):
            value = getattr(where, name)
            if value is not None:
                self._add(term, name, int64(value))

    def _choices(self, where: TraceFilter) -> None:
        if where.kind:
            self._add("bitAnd(kinds, {kind:UInt32}) != 0", "kind", KIND_BITS[where.kind])
        if where.model:
            self._add("has(models, unhex({model:String}))", "model", hexed(where.model))
        if where.status:
            self._add("status = {status:String}", "status", where.status)
        if where.flag:
            self._add("flag = {flag:String}", "flag", where.flag.value)
        if where.user_id:
            self._add("user_id = unhex({user_id:String})", "user_id", hexed(where.user_id))
        if where.session_id:
            self._add("session_id = unhex({session_id:String})", "session_id", hexed(where.session_id))

    def _words(self, wanted: list[str]) -> None:
        for at, word in enumerate(wanted):
            self._add(f"has(words, unhex({{word{at}:String}}))", f"word{at}", hexed(word))

    def _add(self, term: str, name: str, value: Any) -> None:
        self.terms.append(term)
        self.values[name] = value

    def after(self, cursor: tuple[int, str]) -> None:
        """Go on behind *cursor*."""
        start_ns, trace_id = cursor
        self.terms.append("(start_ns, hex(trace_id)) < ({after_ns:Int64}, upper({after_id:String}))")
        self.values |= {"after_ns": int64(start_ns), "after_id": trace_id}


def list_page(servers: Servers, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None) -> Page:
    """Give a page as `TraceReader.list_traces` promises; the caller has checked that text can be searched."""
    check_limit(limit)
    check_cursor(after)
    asked = Terms(project, where)
    if after is not None:
        asked.after(after)
    terms = "\n   AND ".join(asked.terms)
    values = asked.values | {"limit": min(limit, _MOST) + 1}
    rows = servers.rows("list_traces", values, terms=terms)
    traces = [read_summary(summary) for (summary,) in rows[:limit]]
    return Page(traces, (traces[-1].start_ns, traces[-1].trace_id) if len(rows) > limit else None)
