"""The calls of one trace below their parents, whatever the trace says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import astuple

from clew.graph.calls import Call
from clew.graph.episodes import Names
from clew.graph.order import RUNNING, moments
from clew.graph.shapes import Was

Row = tuple[int, int, str, Was, int]
"""A call while its trace is learned: begin and finish (see `clew.graph.order`), id, what it was, how long it took."""
BEGIN: Final = 0
FINISH: Final = 1
ID: Final = 2
WAS: Final = 3
TOOK: Final = 4


class Family:
    """Who is below whom."""

    def __init__(self, calls: list[Call]) -> None:
        self._read(calls)
        if len(self.by_id) < len(calls):
            self._read(_one_of_each(calls))

    def _read(self, calls: Iterable[Call]) -> None:
        self.by_id: dict[str, Row] = {}
        self._below: dict[str | None, list[Row]] = {}
        self.fed: list[tuple[Row, Names]] = []
        """The calls that took values from others, with the ids of these."""
        self.ended_ns = 0
        by_id, below = self.by_id, self._below
        ends = []
        for call in calls:
            start_ns, end_ns = call.start_ns, call.end_ns
            # As `order.moments` has it, written out, since this is done for every span there is.
            begin, finish, took = 2 * start_ns + 1, RUNNING, 0
            if end_ns is not None:
                took = end_ns - start_ns
                if took > 0:
                    finish = 2 * end_ns
                else:
                    begin, finish, took = 2 * start_ns, 2 * start_ns + 1, 0
            ends.append(start_ns if end_ns is None else end_ns)
            was = (
                call.kind,
                call.name,
                not call.ok,
                end_ns is not None,
                call.parent_is_inferred,
                call.arguments,
                call.pending,
                call.consumed,
            )
            row = (begin, finish, call.call_id, was, took)
            by_id[call.call_id] = row
            siblings = below.get(call.parent_id)
            if siblings is None:
                below[call.parent_id] = [row]
            else:
                siblings.append(row)
            if call.provider_ids:
                self.fed.append((row, call.provider_ids))
        self.ended_ns = max(ends)

    def scopes(self) -> Iterator[tuple[Row | None, list[Row]]]:
        """Give each call that has others below it with these, in order of begin; None has the topmost ones."""
        by_id = self.by_id
        top: list[Row] = []
        below: dict[str, list[Row]] = {}
        in_doubt = False
        for parent_id, siblings in self._below.items():
            if parent_id is None or parent_id not in by_id:
                top += siblings
                continue
            siblings.sort()
            below[parent_id] = siblings
            # Of a ring of parents one has a child that began no later than itself.
            in_doubt |= siblings[0][BEGIN] <= by_id[parent_id][BEGIN]
        if in_doubt:
            top += self._break_rings(below)
        top.sort()
        yield None, top
        for parent_id, siblings in below.items():
            yield by_id[parent_id], siblings

    def _break_rings(self, below: dict[str, list[Row]]) -> list[Row]:
        """Take the earliest call of each ring of parents from its place."""
        parents = {row[ID]: of for of, rows in below.items() for row in rows if self.by_id[row[ID]] is row}
        earliest: list[Row] = []
        settled: set[str] = set()
        for start in parents:
            way: dict[str, None] = {}
            at = start
            while at in parents and at not in settled and at not in way:
                way[at] = None
                at = parents[at]
            if at in way:
                ring = list(way)
                earliest.append(min(self.by_id[each] for each in ring[ring.index(at) :]))
            settled.update(way)
        for row in earliest:
            siblings = below[parents[row[ID]]]
            siblings.remove(row)
            if not siblings:
                del below[parents[row[ID]]]
        return earliest


def _one_of_each(calls: Iterable[Call]) -> list[Call]:
    """Leave out repetitions; of those with one id the earliest comes last, so that it is found by it."""
    different = {astuple(call): call for call in calls}
    return sorted(different.values(), key=_place, reverse=True)


def _place(call: Call) -> tuple[object, ...]:
    begin, finish = moments(call.start_ns, call.end_ns)
    return begin, finish, call.kind, call.name, not call.ok, call.parent_id or "", call.arguments, call.provider_ids
