"""Say what a round of retention would drop, and drop nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from clew.jobs.retention import first_of, spans_over
from clew.store.protocol import Expiring, Place, Policy, Store
from clew.store.retention import CROWDED, name_of

PAGE = 1_000


class Planned(NamedTuple):
    """What would go of one project by one rule."""

    project: str
    rule: str
    traces: int
    spans: int
    bytes: int
    """About: its share of what the store takes, by spans."""
    waiting: int
    """Of the traces, those that are to be learned first."""


def plan(store: Store, policy: Policy, *, now_ns: int) -> list[Planned]:
    """Give what would go, by project and rule."""
    sums: dict[tuple[str, str], list[int]] = {}
    old: set[tuple[str, str]] = set()
    if policy.drops_by_age:
        for found in _pages(lambda after: store.expired(policy, now_ns=now_ns, limit=PAGE, after=after)):
            for each in found:
                _count(sums, name_of(policy.decides(each.project, each.flag, each.status)), each)
                old.add((each.project, each.trace_id))
    if policy.most_bytes is not None:
        gone = sum(spans for _, spans, _ in sums.values())
        for each in _crowded_out(store, policy, spans_over(store, policy.most_bytes) - gone, old):
            _count(sums, CROWDED, each)
    per_span = store.used_bytes() / max(1, int(store.stats()["spans"]))
    return [
        Planned(project, rule, traces, spans, round(spans * per_span), waiting)
        for (project, rule), (traces, spans, waiting) in sorted(sums.items())
    ]


def _crowded_out(store: Store, policy: Policy, goal: int, old: set[tuple[str, str]]) -> Iterator[Expiring]:
    """What goes for lack of room, once what is old has gone."""
    for spare in (True, False):
        for found in _pages(
            lambda after, spare=spare: store.earliest(policy, limit=PAGE, after=after, spare=spare)  # type: ignore[misc]
        ):
            rest = [each for each in found if (each.project, each.trace_id) not in old]
            going = first_of(rest, goal)
            yield from going
            old.update((each.project, each.trace_id) for each in going)
            goal -= sum(each.spans for each in going)
            if goal <= 0:
                return


def _pages(read: Callable[[Place | None], list[Expiring]]) -> Iterator[list[Expiring]]:
    after = None
    while found := read(after):
        yield found
        after = found[-1].place


def _count(sums: dict[tuple[str, str], list[int]], rule: str, each: Expiring) -> None:
    counts = sums.setdefault((each.project, rule), [0, 0, 0])
    counts[0] += 1
    counts[1] += each.spans
    counts[2] += each.is_due
