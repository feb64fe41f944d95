"""
Which traces show an edge: the newest three, as places in one table that all edges share.

A trace is kept once however many edges name it, in 24 bytes; an edge keeps three places of 21 bits
in eight bytes, the newest highest. What no edge names any more goes when the table has grown so
much that a look at every edge is cheap beside it.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

KEPT_TRACES = 3
"""Exemplars of an edge or a variant: the newest."""

Exemplar = tuple[int, str]
"""When the trace ended (Unix nanoseconds), trace id."""

Exemplars = tuple[Exemplar, ...]
"""Newest first."""

PLACE_BITS = 21
NEWEST = PLACE_BITS * (KEPT_TRACES - 1)
"""How far left the newest place stands."""

MOST_TRACES = (1 << PLACE_BITS - 1) - 1
"""In the table after a clearing: room for as many more. Of more, the oldest are no longer named."""

_ID_BYTES = 16
_LEAST_FULL = 1_024
_PLACE = (1 << PLACE_BITS) - 1


class TraceTable:
    """The exemplars of every edge, by its row. Place 0 is no trace."""

    def __init__(self) -> None:
        self.ended_ns = array("q", [0])
        self.ids = bytearray(_ID_BYTES)
        """Sixteen bytes for each trace, as W3C has it."""
        self.odd_ids: dict[int, str] = {}
        """Those that are not 32 hex digits, by place."""
        self.packed = array("q")
        """Three places, by row."""
        self._full_at = _LEAST_FULL

    def make_room(self, count: int) -> None:
        """See to it that so many traces can be entered. Until it is called again, places hold."""
        if len(self.ended_ns) + count > self._full_at:
            self._clear_up(count)

    def enter(self, exemplar: Exemplar) -> int:
        """Enter a trace, for which there is room, and give its place."""
        ended_ns, trace_id = exemplar
        place = len(self.ended_ns)
        self.ended_ns.append(ended_ns)
        packed = _packed_id(trace_id)
        if packed is None:
            self.odd_ids[place] = trace_id
        self.ids += packed or bytes(_ID_BYTES)
        return place

    def copy(self, other: TraceTable, place: int) -> int:
        """Enter a trace of another table, for which there is room, and give its place."""
        self.ended_ns.append(other.ended_ns[place])
        self.ids += other.ids[place * _ID_BYTES : (place + 1) * _ID_BYTES]
        if place in other.odd_ids:
            self.odd_ids[len(self.ended_ns) - 1] = other.odd_ids[place]
        return len(self.ended_ns) - 1

    def note(self, row: int, places: Sequence[int]) -> None:
        """Let an edge name traces, newest first and three at most, as far as they are among its newest."""
        packed, ended_ns = self.packed[row], self.ended_ns
        first, third = packed >> NEWEST, packed & _PLACE
        if not first or ended_ns[places[-1]] > ended_ns[first]:
            self.packed[row] = packed >> PLACE_BITS * len(places) | pack(places)
        elif not third or ended_ns[places[0]] >= ended_ns[third]:
            known = {self._entry(place): place for place in (*places, *self.places(row))}
            self.packed[row] = pack([known[entry] for entry in sorted(known, reverse=True)[:KEPT_TRACES]])

    def forget(self, row: int, exemplars: Exemplars) -> None:
        """Let an edge name certain traces no longer."""
        gone = {trace_id for _, trace_id in exemplars}
        self.packed[row] = pack([place for place in self.places(row) if self._entry(place)[1] not in gone])

    def of(self, row: int) -> Exemplars:
        """Give the traces that an edge names."""
        return tuple([self._entry(place) for place in self.places(row)])

    def _entry(self, place: int) -> Exemplar:
        if place in self.odd_ids:
            return self.ended_ns[place], self.odd_ids[place]
        return self.ended_ns[place], self.ids[place * _ID_BYTES : (place + 1) * _ID_BYTES].hex()

    def places(self, row: int) -> list[int]:
        """Give the places of the traces that an edge names, newest first."""
        packed = self.packed[row]
        return [place for place in (packed >> NEWEST, packed >> PLACE_BITS & _PLACE, packed & _PLACE) if place]

    def _clear_up(self, count: int) -> None:
        """Drop what no edge names; do so again when as much has come anew, or as many as a quarter of the edges."""
        rows = range(len(self.packed))
        named = {place: self._entry(place) for row in rows for place in self.places(row)}
        kept = sorted(sorted(named, key=named.__getitem__, reverse=True)[:MOST_TRACES])
        moved = {place: at for at, place in enumerate(kept, start=1)}
        for row in rows:
            self.packed[row] = pack([moved[place] for place in self.places(row) if place in moved])
        del self.ended_ns[1:], self.ids[_ID_BYTES:]
        self.odd_ids.clear()
        for place in kept:
            self.enter(named[place])
        self._full_at = len(kept) + max(_LEAST_FULL, len(kept), len(self.packed) // 4, count) + 1


def _packed_id(trace_id: str) -> bytes | None:
    """Give 32 hex digits as bytes; None for anything else, which would not come back the same."""
    if len(trace_id) != 2 * _ID_BYTES:
        return None
    try:
        packed = bytes.fromhex(trace_id)
    except ValueError:
        return None
    return packed if packed.hex() == trace_id else None


def pack(places: Sequence[int]) -> int:
    """Put up to three places into one number, the first highest."""
    packed = 0
    for at, place in enumerate(places):
        packed |= place << NEWEST - PLACE_BITS * at
    return packed


def newest(kept: Exemplars, more: Exemplars) -> Exemplars:
    """The newest few of both; ties by id, so that any order gives the same."""
    return tuple(sorted({*kept, *more}, reverse=True)[:KEPT_TRACES])


def without(kept: Exemplars, gone: Exemplars) -> Exemplars:
    """*kept* without the traces of *gone*."""
    names = {trace_id for _, trace_id in gone}
    return tuple(each for each in kept if each[1] not in names)
