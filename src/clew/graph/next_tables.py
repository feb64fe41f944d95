"""
Counts of what came next: by context, by each earlier sibling, and by the output paths it consumed.

Exact whole numbers, so that episodes are taken out again as they were taken in, in any order. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clew.graph.episodes import Episode
from clew.graph.next_contexts import Walk

TOTAL = -1
"""Stands in each table of counts for their sum: no node has this id."""

_SHIFT = 32
_NODE = (1 << _SHIFT) - 1

Counts = Mapping[int, int]


class Tables:
    """
    What came next, counted.

    Most contexts have one outcome only: that is one number (count and node) and not a dict.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Any] = {}
        self.company: dict[int, dict[int, int]] = {}
        """Of each node: what came next while it was among the earlier siblings."""
        self.feeds: dict[int, dict[str, int]] = {}
        """Of each node: the output paths that it consumed; '' stands for their sum."""
        self.positions = 0

    def learn(self, episode: Episode, times: int) -> None:
        """Count each call of an episode *times*; a negative number takes it out."""
        walk = Walk(episode.scope)
        rows, company = self._rows, self.company
        once = times << _SHIFT
        for step in episode.steps:
            node = step.node
            for key in walk.contexts(step.pending):
                row = rows.get(key)
                if row is None:
                    rows[key] = once + node
                elif row.__class__ is int:
                    self._add(key, row, node, times)
                else:
                    _shift(row, node, times)
                    if times < 0 and not row[TOTAL]:
                        del rows[key]
            for companion in walk.companions():
                counts = company.get(companion)
                if counts is None:
                    company[companion] = {node: times, TOTAL: times}
                else:
                    _shift(counts, node, times)
                    if times < 0 and not counts[TOTAL]:
                        del company[companion]
            for path in step.consumed:
                _feed(self.feeds, node, path, times)
            walk.take(step)
        self.positions += times * len(episode.steps)

    def at(self, key: int) -> Counts | None:
        """Give what came next in a context, with its TOTAL; None if it was never seen."""
        row: Counts | int | None = self._rows.get(key)
        if isinstance(row, int):
            count = row >> _SHIFT
            return {row & _NODE: count, TOTAL: count}
        return row

    def __len__(self) -> int:
        return len(self._rows)

    def _add(self, key: int, row: int, node: int, times: int) -> None:
        """Count in a context that had one outcome so far."""
        if row & _NODE == node:
            row += times << _SHIFT
            if row >> _SHIFT:
                self._rows[key] = row
            else:
                del self._rows[key]
        else:
            count = row >> _SHIFT
            self._rows[key] = {row & _NODE: count, node: times, TOTAL: count + times}


def outcomes(counts: Counts) -> Iterator[tuple[int, int]]:
    """Give each node with its count, without the total."""
    return ((node, count) for node, count in counts.items() if node != TOTAL)


def _shift(counts: dict[int, int], node: int, times: int) -> None:
    count = counts.get(node, 0) + times
    if count:
        counts[node] = count
    else:
        del counts[node]
    counts[TOTAL] += times


def _feed(feeds: dict[int, dict[str, int]], node: int, path: str, times: int) -> None:
    paths = feeds.setdefault(node, {"": 0})
    count = paths.get(path, 0) + times
    if count:
        paths[path] = count
    else:
        del paths[path]
    paths[""] += times
    if not paths[""]:
        del feeds[node]
