"""
What stands before a call, seen in a dozen ways: the contexts by which the next call is predicted.

A context is a number: equal for equal pasts, different (but for one in 10**19) for others. The same
walk makes them for calls that were learned and for the call that is asked for. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from clew.graph.episodes import TOP

KINDS: tuple[str, ...] = (
    "anything",
    "scope",
    "position",
    "last",
    "scope and last",
    "outcome",
    "failure",
    "one but last",
    "last two",
    "last three",
    "last four",
    "all in order",
    "all in any order",
    "pending",
    "last and pending",
    "pending tools",
    "last and pending tools",
)
"""What each context looks at. Orders and sets are of siblings: the calls directly below the same scope."""

(
    ANYTHING,
    SCOPE,
    POSITION,
    LAST,
    SCOPE_LAST,
    OUTCOME,
    FAILURE,
    SKIP,
    TWO,
    THREE,
    FOUR,
    ORDERED,
    UNORDERED,
    PENDING,
    LAST_PENDING,
    GIVERS,
    LAST_GIVERS,
) = range(len(KINDS))

MOST_POSITION = 64
"""From here on it does not matter how many calls there were."""

MOST_COMPANY = 4
"""So many different earlier siblings are looked at one by one: the latest."""


class Before(Protocol):
    """A call that came before: what of it matters."""

    @property
    def node(self) -> int:
        """What was called."""

    @property
    def ok(self) -> bool:
        """Whether it went well."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of its arguments."""


class Walk:
    """One scope as it runs: takes its calls one by one, and at each place gives the contexts there."""

    __slots__ = ("_all", "_set", "company", "count", "last", "nodes", "scope")

    def __init__(self, scope: int) -> None:
        self.scope = scope
        self.nodes: list[int] = []
        self.count = 0
        self.last: Before | None = None
        self.company: dict[int, None] = {}
        """The different calls so far, the latest last."""
        self._all = hash((ORDERED, scope))
        self._set = 0

    def take(self, call: Before) -> None:
        """Go on past one call."""
        node = call.node
        self.nodes.append(node)
        self.count += 1
        self.last = call
        self._all = hash((self._all, node))
        if node in self.company:
            del self.company[node]
        else:
            self._set ^= hash((UNORDERED, node))
        self.company[node] = None

    def contexts(self, pending: tuple[str, ...]) -> list[int]:
        """Give the contexts here, in the order of `kinds`."""
        scope, count, nodes, call = self.scope, self.count, self.nodes, self.last
        keys = [
            ANYTHING,
            hash((SCOPE, scope)),
            hash((POSITION, scope, count if count < MOST_POSITION else MOST_POSITION)),
        ]
        last = TOP
        if call is not None:
            last = nodes[-1]
            keys += (
                hash((LAST, last)),
                hash((SCOPE_LAST, scope, last)),
                hash((OUTCOME, last, call.ok, call.arguments)),
                self._all,
                hash((UNORDERED, scope, self._set)),
            )
            if count > 1:
                two = nodes[-2]
                keys += (hash((SKIP, two)), hash((TWO, two, last)))
                if count > 2:
                    three = nodes[-3]
                    keys.append(hash((THREE, three, two, last)))
                    if count > 3:
                        keys.append(hash((FOUR, nodes[-4], three, two, last)))
            if not call.ok:
                keys.append(hash((FAILURE, last)))
        if pending:
            givers = givers_of(pending)
            keys += (
                hash((PENDING, pending)),
                hash((LAST_PENDING, last, pending)),
                hash((GIVERS, givers)),
                hash((LAST_GIVERS, last, givers)),
            )
        return keys

    def kinds(self, pending: tuple[str, ...]) -> tuple[int, ...]:
        """Give the kinds of context that there are here."""
        failed = self.last is not None and not self.last.ok
        return _kinds(min(self.count, 4), failed, bool(pending))

    def companions(self) -> Sequence[int]:
        """Give the latest few different siblings."""
        company = list(self.company)
        return company[-MOST_COMPANY:]


@cache
def _kinds(count: int, failed: bool, pending: bool) -> tuple[int, ...]:
    after = (LAST, SCOPE_LAST, OUTCOME, ORDERED, UNORDERED) if count else ()
    late = ((), (), (SKIP, TWO), (SKIP, TWO, THREE), (SKIP, TWO, THREE, FOUR))[count]
    dataflow = (PENDING, LAST_PENDING, GIVERS, LAST_GIVERS) if pending else ()
    return (ANYTHING, SCOPE, POSITION, *after, *late, *((FAILURE,) if failed else ()), *dataflow)


_GIVERS: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_REMEMBERED = 4096


def givers_of(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Give the tools of output paths ('get_user.reservations[]'), each once."""
    found = _GIVERS.get(paths)
    if found is None:
        if len(_GIVERS) >= _MOST_REMEMBERED:
            _GIVERS.clear()
        found = _GIVERS[paths] = tuple(sorted({path.partition(".")[0].partition("[")[0] for path in paths}))
    return found
