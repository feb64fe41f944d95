"""
A trace as the learner reads it: calls with their parents, times and what they exchanged.

Spans become calls here, and so do recorded event lines (`{trace, id, parent, type, name, start,
end, args}`), so that the learner sees one form. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from clew.graph.order import moments
from clew.model.graph import Node

MOST_NAME_CHARS = 200
"""Longer names of nodes and arguments are cut: see `short`."""


class Call(msgspec.Struct, kw_only=True):
    """One call: a span of any kind."""

    call_id: str
    parent_id: str | None = None
    kind: str
    name: str
    start_ns: int
    """Unix nanoseconds, or any other unit in which all calls of the trace agree."""
    end_ns: int | None = None
    """None while it runs."""
    ok: bool = True
    arguments: tuple[str, ...] = ()
    """The names of its arguments, sorted."""
    pending: tuple[str, ...] = ()
    """Output paths ('get_user.reservations[]') of earlier calls that nothing had used before this call."""
    consumed: tuple[str, ...] = ()
    """Output paths that its arguments came from."""
    provider_ids: tuple[str, ...] = ()
    """The earlier calls whose output values its arguments hold."""
    parent_is_inferred: bool = False
    """The event named no parent; it was inferred from the intervals."""

    @property
    def node(self) -> Node:
        """What was called."""
        return Node(self.kind, self.name)


class TraceCalls(msgspec.Struct, kw_only=True):
    """One trace, for the learner. Calls may come in any order."""

    trace_id: str
    calls: list[Call]
    version: str | None = None
    """The version of the service that ran it, if it says so."""

    @property
    def ended_ns(self) -> int:
        """The last time that the trace speaks of; 0 if it is empty."""
        return max((call.end_ns or call.start_ns for call in self.calls), default=0)


class Context(msgspec.Struct, kw_only=True):
    """
    Where a run stands: what it has called so far, and inside of what the next call will be.

    *calls* are in order of start. *parent_id* is the call id of the capability that is running,
    None for the top of the trace.
    """

    calls: Sequence[Call] = ()
    parent_id: str | None = None
    pending: tuple[str, ...] | None = None
    """Output paths that nothing has used yet; None if that is not known."""


def short(name: str) -> str:
    """
    Cut a very long name; a digest of the whole at its end keeps names apart that begin alike.

    Also replaces what UTF-8 cannot hold, so that every name can travel.
    """
    if not name.isascii():
        name = name.encode("utf-8", "replace").decode()
    if len(name) <= MOST_NAME_CHARS:
        return name
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[: MOST_NAME_CHARS - len(digest) - 1]}~{digest}"


def runs_before(first: Call, second: Call) -> bool:
    """
    Say whether *first* had ended before *second* began, so that they cannot have run side by side.

    Clocks are coarse, so an end at the very moment of a start counts as before; of two calls
    without length at one moment neither is before the other.
    """
    return moments(first.start_ns, first.end_ns)[1] <= moments(second.start_ns, second.end_ns)[0]


def in_order(calls: Iterable[Call]) -> list[Call]:
    """Sort by start; ties by end, then by id, so that the order is the same however they came."""
    return sorted(calls, key=_place)


def _place(call: Call) -> tuple[int, int, str]:
    return *moments(call.start_ns, call.end_ns), call.call_id
