"""What `clew.store.protocol.Retention` promises, over a database: the front of `expiry` and `expiry_space`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from clew.store.postgres import connect, expiry, expiry_space, partitions
from clew.store.postgres.connect import Connection
from clew.store.postgres.expiry import Dropping, Found
from clew.store.postgres.graph_store import PostgresGraph
from clew.store.postgres.numbers import Numbers
from clew.store.postgres.statements import Statements
from clew.store.retention import STEP_TRACES, Erased, Expiring, Gone, Place, Policy, Whom, check_whom


class PostgresExpiry(PostgresGraph):
    """How traces go."""

    _numbers: Numbers
    _hollow: list[int] | None = None
    """Days that are being emptied; None: not looked for yet."""

    # What is to go.

    def expired(self, policy: Policy, *, now_ns: int, limit: int, after: Place | None = None) -> list[Expiring]:
        """Give traces whose time is over; see `clew.store.protocol.Retention`."""
        found: list[Expiring] = []
        with self._reading() as connection:
            for project_id, project in expiry.projects_of(connection).items():
                cutoffs = policy.cutoffs(project, now_ns)
                if len(found) == limit or not cutoffs or (after is not None and project < after.project):
                    continue
                start = after if after is not None and after.project == project else Place(project, -(2**63), "")
                left = limit - len(found)
                rows = expiry.expired_of(connection, project_id, cutoffs, start.number, start.trace_id, left)
                found += [
                    _expiring(row, project, Place(project, row.start_ns or 0, row.trace_id.hex())) for row in rows
                ]
        return found

    def earliest(self, policy: Policy, *, limit: int, after: Place | None = None, spare: bool = True) -> list[Expiring]:
        """Give traces that came first, none of today's; see `clew.store.protocol.Retention`."""
        spared = policy.spared() if spare else []
        after_seq = 0 if after is None else after.number
        with self._reading() as connection:
            rows = expiry.earliest_of(connection, spared, after_seq, time.time_ns(), limit)
        return [_expiring(row, project, Place(project, row.seq, row.trace_id.hex())) for row, project in rows]

    # How it goes.

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:
        """Drop traces; see `clew.store.protocol.Retention`."""
        found = found[:STEP_TRACES]

        def drop(connection: Connection) -> Gone:
            parts = []
            for project in sorted({each.project for each in found}):
                mine = [each for each in found if each.project == project]
                parts.append(Dropping(connection, project, part=self._part).expired(mine, learned_only=learned_only))
            return Gone(sum(part.traces for part in parts), sum(part.spans for part in parts))

        return self._transact(drop)

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:
        """Drop histograms; see `clew.store.protocol.Retention`."""
        return self._transact(lambda connection: expiry.drop_metrics(connection, resolution_s, before_s, limit))

    def erase(self, whom: Whom) -> Erased:
        """Erase traces; see `clew.store.protocol.Retention`."""
        check_whom(whom)
        traces = spans = 0
        projects: set[str] = set()
        went: set[str] = set()
        for project, trace_ids in self._of(whom):
            for at in range(0, len(trace_ids), STEP_TRACES):
                part = trace_ids[at : at + STEP_TRACES]
                gone = self._transact(partial(_erase, project=project, trace_ids=part, part=self._part))
                traces, spans = traces + gone.traces, spans + gone.spans
                went.update(part if gone.traces else ())
                projects.update([project] if gone.traces else ())
        return Erased(traces, spans, sorted(projects), sorted(went))

    def _of(self, whom: Whom) -> list[tuple[str, list[str]]]:
        """Ids of traces by project. A trace that is named is sought everywhere, stored or not."""
        with self._reading() as connection:
            wanted = {at: name for at, name in expiry.projects_of(connection).items() if whom.project in (None, name)}
            if whom.trace_id is not None:
                return [(name, [whom.trace_id.lower()]) for name in wanted.values()]
            only = next(iter(wanted), -1) if whom.project is not None else None
            query, value = ("of_user", whom.user_id) if whom.user_id is not None else ("of_session", whom.session_id)
            found = expiry.ids_of(connection, query, only, value or "")
        return [(name, [trace_id for of, trace_id in found if of == at]) for at, name in wanted.items()]

    # Space.

    def used_bytes(self) -> int:
        """Say what all tables take; see `clew.store.protocol.Retention`."""
        with self._reading() as connection:
            return int(Statements(connection, expiry.QUERIES).value("bytes"))

    def give_back(self, *, spare_bytes: int = 0) -> bool:  # noqa: ARG002  whole days only, so nothing is spared
        """Drop a day that is empty, or move some of what is left of one that is nearly; see `Retention`."""
        closed = partitions.day_of(time.time_ns()) - expiry_space.STILL_OPEN_DAYS + 1
        with self._reading() as connection:
            old = [day for day in expiry_space.days_made(connection) if day < closed]
            empty = [day for day in old if expiry_space.is_empty(connection, day)]
            if self._hollow is None:
                self._hollow = [day for day in expiry_space.hollow_days(connection, closed) if day in old]
        for day in empty:
            if self._transact(partial(expiry_space.forget_ids, day=day)):
                return True
            if self._transact(partial(expiry_space.drop_day, day=day)):
                return True
        while self._hollow:
            if self._transact(partial(expiry_space.move_some, day=self._hollow[0], numbers=self._numbers)):
                return True
            self._hollow.pop(0)
        self._hollow = None
        return False

    def scrub(self) -> bool:
        """Write anew what held erased traces; see `clew.store.protocol.Retention`."""
        with self._reading() as connection:
            names = expiry_space.days_to_scrub(connection)
        if not names:
            return False
        with connect.translated(self._place):
            connection = connect.open_connection(self._info, to_write=True)
            with connection:
                expiry_space.scrub(connection, names)
        return True


def _erase(connection: Connection, *, project: str, trace_ids: Sequence[str], part: int) -> Gone:
    return Dropping(connection, project, part=part).erase(trace_ids)


def _expiring(row: Found, project: str, place: Place) -> Expiring:
    flag, start_ns = row.flag, row.start_ns or 0
    return Expiring(project, row.trace_id.hex(), start_ns, flag, row.status, row.spans, row.is_due, place)
