"""
How traces go: by rule, for lack of room, and anybody's on demand.

`expiry_log` makes them gone in one insert, which keeps what they counted; `expiry_clean` deletes what is
left of them on the disk, between other writes; `erasure` takes out their names. `?keep_days=30` in the URL
is another way, by ClickHouse itself and a whole day at a time, which takes the histograms along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from clew.model import Flag
from clew.store.clickhouse import erasure
from clew.store.clickhouse.commit import Commit
from clew.store.clickhouse.connect import hexed
from clew.store.clickhouse.expiry_clean import Cleaner
from clew.store.clickhouse.expiry_log import (
    STREAM,
    Nothing,
    Present,
    Went,
    change_of,
    read_bases,
    read_present,
    read_waiting,
)
from clew.store.clickhouse.expiry_sums import COARSER_S, Summing, delete_summed, put_kept, read_kept
from clew.store.clickhouse.graph_store import ClickhouseGraph
from clew.store.clickhouse.log import Change, Log
from clew.store.clickhouse.tallies import text_of
from clew.store.clickhouse.traces import TraceKey, read_pieces
from clew.store.columns import int64
from clew.store.protocol import Erased, Expiring, Gone, Place, Policy, Whom
from clew.store.retention import STEP_TRACES, KeptMetrics, check_whom, unchanged
from clew.store.tally import MINUTE_S

_NEVER_NS = -(2**63)
_DAY = timedelta(days=1)


class ClickhouseExpiry(ClickhouseGraph):
    """Keeps what `clew.store.protocol.Retention` promises, but for `used_bytes`."""

    _text_search: bool

    def __init__(self, url: str, *, read_only: bool) -> None:
        self._went: dict[str, Log[Nothing]] = {}
        self._cleaning = threading.Lock()
        super().__init__(url, read_only=read_only)
        self._cleaner = Cleaner(self._servers, self._target, finish=self._finish, forget=self._forget)

    # What is to go.

    def expired(self, policy: Policy, *, now_ns: int, limit: int, after: Place | None = None) -> list[Expiring]:
        """Give traces whose time is over; see `clew.store.protocol.Retention`."""
        found: list[Expiring] = []
        for project in sorted(project.decode() for (project,) in self._servers.rows("projects")):
            cutoffs = policy.cutoffs(project, now_ns)
            if len(found) == limit or not cutoffs or (after is not None and project < after.project):
                continue
            start = after if after is not None and after.project == project else Place(project, _NEVER_NS, "")
            asked: dict[str, Any] = {
                "project": hexed(project),
                "latest_ns": int64(max(cutoffs.values())),
                "classes": list(cutoffs),
                "cutoffs": [int64(cutoff_ns) for cutoff_ns in cutoffs.values()],
                "never": _NEVER_NS,
                "after_ns": start.number,
                "after_id": start.trace_id,
                "limit": limit - len(found),
            }
            rows = [(project, *row) for row in self._servers.rows("expired", asked)]
            found += self._expiring([(*row, row[2]) for row in rows])
        return found

    def earliest(self, policy: Policy, *, limit: int, after: Place | None = None, spare: bool = True) -> list[Expiring]:
        """Give traces that came first; see `clew.store.protocol.Retention`."""
        place = after or Place("", 0, "")
        asked: dict[str, Any] = {
            "spared": policy.spared() if spare else [],
            "after_ns": place.number,
            "after_project": hexed(place.project),
            "after_id": place.trace_id,
        }
        found: list[Expiring] = []
        since = datetime.fromtimestamp(place.number / 1e9, tz=timezone.utc).date()
        while len(found) < limit and (day := self._first_day(since)) is not None:
            rows = self._servers.rows("earliest", asked | {"day": day.isoformat(), "limit": limit - len(found)})
            found += self._expiring(
                [(project.decode(), trace_id, *row, came_ns) for project, trace_id, came_ns, *row in rows]
            )
            since = day + _DAY
        return found

    def _first_day(self, since: date) -> date | None:
        [(day, count)] = self._servers.rows("first_day", {"day": since.isoformat()})
        return day if count else None

    def _expiring(self, rows: Iterable[tuple[Any, ...]]) -> list[Expiring]:
        """Make them of rows of project, trace id, start, flag, status, spans and the number of their place."""
        rows = list(rows)
        waiting = read_waiting(self._servers, [(project, trace_id) for project, trace_id, *_ in rows])
        return [
            Expiring(
                project,
                trace_id.hex(),
                start_ns,
                Flag(text_of(flag)),
                text_of(status),  # type: ignore[arg-type]
                spans,
                (project, trace_id) in waiting,
                Place(project, number, trace_id.hex()),
            )
            for project, trace_id, start_ns, flag, status, spans, number in rows
        ]

    # How it goes.

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:
        """Drop traces; see `clew.store.protocol.Retention`."""
        found = found[:STEP_TRACES]
        traces = spans = 0
        for project in sorted({each.project for each in found}):
            was = {bytes.fromhex(each.trace_id): each for each in found if each.project == project}
            keys = [(project, trace_id) for trace_id in was]

            def same(was: dict[bytes, Expiring] = was, keys: list[TraceKey] = keys) -> tuple[list[Went], list[Present]]:
                waiting = read_waiting(self._servers, keys) if learned_only else set()
                present = [
                    each
                    for each in read_present(self._servers, keys)
                    if unchanged(was[each.trace_id], each.flag, each.status, each.start_ns, each.spans)
                    and (was[each.trace_id].project, each.trace_id) not in waiting
                ]
                return [Went(each.trace_id, each.base, frozenset(each.pieces), False) for each in present], present

            gone = self._drop(project, same)
            traces, spans = traces + len(gone), spans + sum(each.spans for each in gone)
        return Gone(traces, spans)

    def _drop(self, project: str, choose: Callable[[], tuple[list[Went], list[Present]]]) -> list[Present]:
        """Let go what *choose* gives, all at once; gives what of it was shown."""
        dropped: list[tuple[list[Went], list[Present]]] = []

        def make(_: Nothing) -> Change | None:
            dropped[:] = [choose()]
            went, present = dropped[0]
            return change_of(went, present) if went else None

        self._write_alone(lambda: self._went_log(project).add(make))
        went, present = dropped[0]
        # What another process wrote meanwhile, and did not see that the rest went, has a row that is dead.
        counts = read_bases(self._servers, [(project, each.trace_id) for each in went])
        self._finish([key for key, (pieces, _) in counts.items() if pieces])
        return present

    def _went_log(self, project: str) -> Log[Nothing]:
        known: Any = self._went.get(project)
        return known or self._went.setdefault(project, Log(self._servers, project, STREAM, Nothing))

    def _finish(self, keys: Collection[TraceKey]) -> None:
        if keys:
            self._write_alone(lambda: Commit(self._servers, text_search=self._text_search).finish(keys))

    # Histograms.

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:  # noqa: ARG002  a day at a time
        """
        Drop histograms; see `clew.store.protocol.Retention`.

        Here coarser ones are not there beside the minutes, but are made of them as they go, a day at each
        call. Traces that are there are counted by the minute as before.
        """
        self._check_writable()
        step_s = COARSER_S.get(resolution_s)
        for project in self._counted_projects() if step_s else ():
            summing = Summing(self._servers, project, self._went_log(project))
            day = summing.day_of_finer(step_s or 0, before_s)
            if day is not None:
                # First, so that nobody asks for minutes that went.
                put_kept(self._servers, resolution_s, before_s)
                summing.sum_up(day, step_s or 0)
                return 1
        return 0

    def _counted_projects(self) -> list[str]:
        return sorted(project.decode() for (project,) in self._servers.rows("counted_projects"))

    def _kept_metrics(self) -> KeptMetrics:
        """Say from when on there are minutes, and hours; for `clew.store.latencies.LatencyReader`."""
        return read_kept(self._servers)

    def _sum_some(self) -> bool:
        for project in self._counted_projects():
            summing = Summing(self._servers, project, self._went_log(project))
            day = summing.day_of_many()
            if day is not None:
                summing.sum_up(day, MINUTE_S)
                return True
        return False

    # Suggestions.

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:
        """Drop closed suggestions; see `clew.store.protocol.Retention`."""
        return self._write_alone(lambda: erasure.forget_closed_suggestions(self._servers, before_ns, limit))

    # Space.

    def give_back(self, *, spare_bytes: int = 0) -> bool:  # noqa: ARG002  what is masked is of no use to anyone
        """Delete some of what went, or write a day without it; see `clew.store.protocol.Retention`."""
        self._check_writable()
        cleaner = self._cleaner
        with self._cleaning:
            return (
                cleaner.delete_some()
                or cleaner.forget_some()
                or cleaner.shorten_some()
                or self._sum_some()
                or delete_summed(self._servers, cleaner)
                or erasure.delete_suggestions(self._servers, cleaner)
                or cleaner.fill_some()
            )

    # Erasure.

    def erase(self, whom: Whom) -> Erased:
        """Erase traces; see `clew.store.protocol.Retention`."""
        check_whom(whom)
        self._check_writable()
        keys = erasure.keys_of(self._servers, whom)
        named = erasure.graphs_that_may_name(self._servers, whom)
        erasure.ask_to_scrub(self._servers, {*named, *(project for project, _ in keys)})
        shown: list[tuple[str, Present]] = []
        for project in sorted({project for project, _ in keys}):
            mine = [key for key in keys if key[0] == project]
            for at in range(0, len(mine), STEP_TRACES):
                shown += [(project, each) for each in self._erase(project, mine[at : at + STEP_TRACES])]
        for project in named:
            erasure.forget_exemplars(self._graph(project), [str(whom.trace_id).lower()])
            erasure.forget_suggestions(self._servers, project, [str(whom.trace_id).lower()])
        spans = sum(each.spans for _, each in shown)
        projects = sorted({project for project, _ in shown})
        return Erased(len(shown), spans, projects, sorted({each.trace_id.hex() for _, each in shown}))

    def _erase(self, project: str, keys: Sequence[TraceKey]) -> list[Present]:
        def choose() -> tuple[list[Went], list[Present]]:
            present = {each.trace_id: each for each in read_present(self._servers, keys)}
            bases = {trace_id: base for (_, trace_id), (_, base) in read_bases(self._servers, keys).items()}
            bases |= {trace_id: max(each.base, bases.get(trace_id, 0)) for trace_id, each in present.items()}
            pieces = read_pieces(self._servers, keys)
            return [
                Went(trace_id, bases.get(trace_id, 0), frozenset(piece.piece for piece in of), True)
                for (_, trace_id), of in pieces.items()
            ], list(present.values())

        shown = self._drop(project, choose)
        self._forget(project, [trace_id.hex() for _, trace_id in keys])
        return shown

    def _forget(self, project: str, trace_ids: Collection[str]) -> None:
        """Let nothing name traces that were erased."""
        erasure.forget_suggestions(self._servers, project, trace_ids)
        erasure.forget_exemplars(self._graph(project), trace_ids)

    def scrub(self) -> bool:
        """Rewrite what held erased traces; see `clew.store.protocol.Retention`."""
        self._check_writable()
        with self._cleaning:
            return erasure.scrub(self._servers, self._cleaner, self._graph)

    def _check_writable(self) -> None:
        self._write_alone(lambda: None)
