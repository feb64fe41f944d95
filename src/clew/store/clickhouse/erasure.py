"""
Whom to erase, and what is left of them beside their traces: suggestions, and names as exemplars in the graph.

What must still be rewritten, so that no bytes are left, stands as a fact of its own for each erasure and
project; whoever scrubs takes it away. Ids of erased traces stay in the log for a while, against
writes that began before (`expiry_log`), so scrubbing comes in two parts.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from clew.store.clickhouse.connect import Servers, hexed
from clew.store.clickhouse.expiry_clean import TABLES, Cleaner
from clew.store.clickhouse.expiry_log import GRACE_NS
from clew.store.clickhouse.learned import Learned, forgetting
from clew.store.clickhouse.log import Change, Log
from clew.store.clickhouse.traces import TraceKey
from clew.store.columns import int64
from clew.store.retention import Whom

_FACTS = {"name": "String", "value": "String"}
_NOW, _LATER = "now", "later"

ERASED = 9
"""The state of a suggestion of which nothing is left."""

_SUGGESTIONS = {"project": "String", "suggestion_id": "String", "state": "UInt8"}


class Scrub(NamedTuple):
    """What is to be rewritten."""

    name: str
    """Of its fact."""
    project: str
    not_before_ns: int
    """0: all of it, now. Else only the ids of traces that the log still has, then."""


def keys_of(servers: Servers, whom: Whom) -> list[TraceKey]:
    """Find whose traces they are."""
    project = hexed(whom.project or "")
    if whom.trace_id is not None:
        query, value = "of_trace", whom.trace_id.lower() if _is_id(whom.trace_id) else "00" * 16
    elif whom.user_id is not None:
        query, value = "of_user", hexed(whom.user_id)
    else:
        query, value = "of_session", hexed(whom.session_id or "")
    found = servers.rows(query, {"project": project, "value": value})
    return sorted((name.decode(), trace_id) for name, trace_id in found)


def graphs_that_may_name(servers: Servers, whom: Whom) -> list[str]:
    """Projects in which a trace that is named may be an exemplar, stored or not."""
    if whom.trace_id is None:
        return []
    projects = [project.decode() for (project,) in servers.rows("learned_projects")]
    return sorted(project for project in projects if whom.project in (None, project))


def _is_id(text: str) -> bool:
    return len(text) == 32 and all(each in "0123456789abcdefABCDEF" for each in text)


def forget_suggestions(servers: Servers, project: str, trace_ids: Collection[str]) -> None:
    """Let nothing be left of the suggestions that were made for some traces."""
    asked: dict[str, Any] = {"project": hexed(project), "trace_ids": sorted(trace_ids)}
    _forget_suggestions(servers, [(project, each) for (each,) in servers.rows("suggested", asked)])


def forget_closed_suggestions(servers: Servers, before_ns: int, limit: int) -> int:
    """Let nothing be left of some that were given before and are closed, oldest first; gives how many."""
    rows = servers.rows("closed_suggestions", {"before_ns": int64(before_ns), "limit": limit})
    _forget_suggestions(servers, rows)
    return len(rows)


def _forget_suggestions(servers: Servers, ids: Collection[Sequence[Any]]) -> None:
    if ids:
        rows = [(*each, ERASED) for each in ids]
        servers.insert("clew_suggestions", _SUGGESTIONS, list(zip(*rows, strict=True)))


def delete_suggestions(servers: Servers, cleaner: Cleaner) -> bool:
    """Delete those of which nothing is to be left; what replaced them last, or they would be there again."""
    rows = servers.rows("erased_suggestions")
    if rows:
        ids = ", ".join(
            f"(unhex('{project.hex()}'), unhex('{suggestion_id.hex()}'))" for project, suggestion_id in rows
        )
        for those in ("<", "="):
            cleaner.delete("clew_suggestions", f"state {those} {ERASED} AND (project, suggestion_id) IN ({ids})")
    return bool(rows)


def forget_exemplars(graph: Log[Learned], trace_ids: Collection[str]) -> None:
    """Let the graph of a project name some traces no longer."""

    def make(learned: Learned) -> Change | None:
        named = learned.named(trace_ids)
        return Change(forgetting(named)) if named else None

    graph.add(make)


def ask_to_scrub(servers: Servers, projects: Collection[str]) -> None:
    """Note that traces of some projects are being erased."""
    rows = [(f"scrub:{secrets.token_hex(8)}", f"{_NOW} {hexed(project)}") for project in sorted(projects)]
    if rows:
        servers.insert("clew_facts", _FACTS, list(zip(*rows, strict=True)))


def read_scrubs(servers: Servers) -> list[Scrub]:
    """Read what is to be rewritten by now."""
    found = []
    for name, value in servers.rows("scrubs"):
        when, project, *not_before_ns = value.decode().split(" ")
        named = bytes.fromhex(project).decode()
        found.append(Scrub(name.decode(), named, int(not_before_ns[0]) if when == _LATER else 0))
    return [each for each in found if each.not_before_ns <= time.time_ns()]


def scrub(servers: Servers, cleaner: Cleaner, graph_of: Callable[[str], Log[Learned]]) -> bool:
    """Rewrite what held erased traces; False if there was nothing to do."""
    scrubs = read_scrubs(servers)
    if not scrubs:
        return False
    while cleaner.delete_some():
        pass
    first = [each for each in scrubs if not each.not_before_ns]
    for project in sorted({each.project for each in first}):
        # Changes and sums hold exemplars: only a new sum, and an end that says nothing, are left.
        cleaner.shorten(project, "graph", graph_of(project).written_down(anew=True))
    while cleaner.forget_some():
        pass
    delete_suggestions(servers, cleaner)
    cleaner.rewrite(TABLES if first else ["clew_log"])
    _put_off(servers, first)
    done = [f"'{each.name}'" for each in scrubs if each.not_before_ns]
    if done:
        cleaner.delete("clew_facts", f"name IN ({', '.join(done)})")
    return True


def _put_off(servers: Servers, scrubs: Collection[Scrub]) -> None:
    later_ns = time.time_ns() + GRACE_NS
    rows = [(each.name, f"{_LATER} {hexed(each.project)} {later_ns}") for each in scrubs]
    if rows:
        servers.insert("clew_facts", _FACTS, list(zip(*rows, strict=True)))
