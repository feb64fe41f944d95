"""
How far a run of calls goes along several known ways at once.

A way is a row of steps, each a set of nodes. Within a step its nodes may come in any order and come
again; a step must be whole before the next one begins, or before the one before it begins again,
which is a loop of two steps going round. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

Place = tuple[int, frozenset[int]]
"""The number of the step that a run is in, and the nodes of it that have come; (-1, empty) before the first."""

START: Place = (-1, frozenset())

MOST_PLACES = 16
"""Where a run may be in one way: a node can belong to this step and to the next."""


class Walk(NamedTuple):
    """How far it went."""

    length: int
    """Calls until no way went on."""
    followed: tuple[int, ...]
    """The numbers of the ways that went so far, in the order in which they were given."""
    expected: tuple[tuple[int, ...], ...]
    """What each of those has next; empty if it ends there."""
    ends: bool
    """One of them ends there."""


Way = list[frozenset[int]]


def sets_of(ways: Iterable[Iterable[Iterable[int]]]) -> list[Way]:
    """Make ways ready to be walked along, oftener than once."""
    return [[frozenset(step) for step in way] for way in ways]


def walk(nodes: Sequence[int], sets: Sequence[Way]) -> Walk:
    """Follow *nodes* along some ways for as long as one of them goes on."""
    places: dict[int, set[Place]] = {at: {START} for at in range(len(sets))}
    length = 0
    for node in nodes:
        after = {at: there for at, here in places.items() if (there := _next(sets[at], here, node))}
        if not after:
            break
        places = after
        length += 1
    nexts = [_expected(sets[at], here) for at, here in places.items()]
    return Walk(length, tuple(places), tuple(nexts), any(_ends(sets[at], here) for at, here in places.items()))


def _next(way: Sequence[frozenset[int]], places: Iterable[Place], node: int) -> set[Place]:
    found: set[Place] = set()
    for at, seen in places:
        if at >= 0 and node in way[at]:
            found.add((at, seen | {node}))
        if at < 0 or len(seen) == len(way[at]):
            for other in (at + 1, at - 1):
                if 0 <= other < len(way) and node in way[other]:
                    found.add((other, frozenset((node,))))
        if len(found) >= MOST_PLACES:
            break
    return found


def _expected(way: Sequence[frozenset[int]], places: Iterable[Place]) -> tuple[int, ...]:
    """What the way has next where the run is furthest along it."""
    at, seen = max(places, key=lambda place: (place[0], len(place[1])))
    rest = way[at] - seen if at >= 0 else frozenset[int]()
    if not rest and at + 1 < len(way):
        rest = way[at + 1]
    return tuple(sorted(rest))


def _ends(way: Sequence[frozenset[int]], places: Iterable[Place]) -> bool:
    last = len(way) - 1
    return any(at == last and (at < 0 or len(seen) == len(way[at])) for at, seen in places)
