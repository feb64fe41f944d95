"""
Keeps tables of counts in step with a graph: after a change only the episodes that changed are counted.

Bounded: of too many episodes the newest are counted. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import is_

from clew.graph.next_tables import Tables
from clew.graph.state import Episode, Graph

MOST_PLACES = 100_000
"""Calls in all the different episodes that are counted."""

_SLACK = MOST_PLACES // 20
"""So many more may gather before the oldest are taken out."""


class Intake:
    """Which episodes of one graph the tables count, and how often."""

    def __init__(self) -> None:
        self.tables = Tables()
        self._counted: dict[int, tuple[Episode, int]] = {}
        self._places = 0
        self._met: Sequence[Episode] = ()
        self._met_counts: Sequence[int] = ()

    def episodes(self) -> Iterator[Episode]:
        """The episodes that are counted."""
        return (episode for episode, _ in self._counted.values())

    def follow(self, graph: Graph) -> None:
        """Take in what changed since last time."""
        episodes = list(graph.episodes())
        counts = [episode.count for episode in episodes]
        changed = self._changed(episodes, counts)
        self._met, self._met_counts = episodes, counts
        room = MOST_PLACES
        for episode in _newest_first(changed):
            room -= len(episode.steps)
            if room >= 0 or id(episode) in self._counted:
                self._count(episode, max(0, episode.count))
        if self._places > MOST_PLACES + _SLACK:
            self._make_room()

    def _changed(self, episodes: Sequence[Episode], counts: Sequence[int]) -> list[Episode]:
        """The episodes whose counts are not as last time. Those that went are taken out."""
        met, was = self._met, self._met_counts
        if len(met) <= len(episodes) and all(map(is_, met, episodes)):
            new = list(episodes[len(met) :])
            return [met[at] for at, (one, other) in enumerate(zip(was, counts)) if one != other] + new  # noqa: B905
        there = set(map(id, episodes))
        for gone in [episode for episode in self.episodes() if id(episode) not in there]:
            self._count(gone, 0)
        before = dict(zip(map(id, met), was, strict=True))
        return [episode for episode, count in zip(episodes, counts, strict=True) if before.get(id(episode), 0) != count]

    def _count(self, episode: Episode, count: int) -> None:
        _, was = self._counted.get(id(episode), (episode, 0))
        if count != was:
            self.tables.learn(episode, count - was)
            self._places += len(episode.steps) * ((count > 0) - (was > 0))
        if count:
            self._counted[id(episode)] = (episode, count)
        else:
            self._counted.pop(id(episode), None)

    def _make_room(self) -> None:
        for episode in reversed(_newest_first(self.episodes())):
            if self._places <= MOST_PLACES:
                break
            self._count(episode, 0)


def _newest_first(episodes: Iterable[Episode]) -> list[Episode]:
    """By when they were last seen; ties by trace, so that the order is the same however they came."""
    return sorted(episodes, key=lambda each: (each.last_ns, each.exemplars, len(each.steps)), reverse=True)
