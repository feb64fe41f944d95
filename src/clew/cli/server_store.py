"""A server's store as an export reads it: traces whole, page after page, with an admin key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from clew.cli.source import HttpSource
from clew.query.filters import cursor_text
from clew.query.whole import Decided, WholeTrace, decode_page
from clew.store.protocol import Arm, TraceFilter

PATH = "/api/v1/admin/export"


class _Projects(msgspec.Struct):
    projects: dict[str, Decided]


class Page(NamedTuple):
    """What `list_traces` of a store gives, as far as an export looks at it."""

    traces: Sequence[WholeTrace]
    next_cursor: tuple[int, str] | None


class ServerStore:
    """
    Answers what an export asks of a store. What is known beyond the spans stays with the server.

    Raises:
        ServerUnreachable, ServerRefused: from every method.
    """

    def __init__(self, source: HttpSource) -> None:
        self._source = source
        answer = source.succeed("GET", f"{PATH}/projects")
        self._projects = msgspec.json.decode(answer, type=_Projects).projects
        self._held: dict[str, WholeTrace] = {}

    def projects(self) -> list[str]:
        """Every project."""
        return sorted(self._projects)

    def span_count(self, projects: Sequence[str]) -> int | None:
        """How many spans they have, if the server can say it."""
        counts = [self._projects[name].spans for name in projects]
        return None if None in counts else sum(count or 0 for count in counts)

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give the declared workflows."""
        return self._projects[project].templates

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all."""
        return [arm for arm in self._projects[project].arms if question in (None, arm.question)]

    def list_traces(
        self,
        project: str,
        where: TraceFilter,
        *,
        limit: int,  # noqa: ARG002  (the server bounds its pages)
        after: tuple[int, str] | None = None,
    ) -> Page:
        """Give a page behind *after*, and hold its traces for `trace`; one without any is passed over."""
        more = True
        self._held = {}
        while more and not self._held:
            page = decode_page(self._source.succeed("GET", f"{PATH}/traces?{_query(project, where, after)}"))
            more, after = page.more, page.after
            self._held = {trace.trace_id: trace for trace in page.traces}
        return Page(list(self._held.values()), after if more else None)

    def trace(self, project: str, trace_id: str) -> WholeTrace | None:  # noqa: ARG002
        """Give a trace of the last page."""
        return self._held.get(trace_id)

    def close(self) -> None:
        """Close nothing: each request has its own connection."""


def _query(project: str, where: TraceFilter, after: tuple[int, str] | None) -> str:
    asked: dict[str, Any] = {"project": project, "cursor": cursor_text(after)}
    asked |= {"from": _seconds(where.from_ns), "to": _seconds(where.to_ns)}
    return urlencode({name: value for name, value in asked.items() if value})


def _seconds(at_ns: int | None) -> str:
    """Unix seconds, to the nanosecond."""
    return "" if at_ns is None else f"{at_ns // 10**9}.{at_ns % 10**9:09}"
