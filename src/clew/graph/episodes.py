"""
Episodes: the ways in which scopes ran, each once with its counts.

Bounded, since a capability with many parallel or optional steps may never run twice alike. What
goes is what was not seen for the longest; the edges, which are counted apart, stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from sys import intern
from typing import Any, NamedTuple

import msgspec

from clew.graph.exemplars import Exemplars, newest, without

MOST_EPISODES = 20_000
"""Different ones that a graph keeps."""

MOST_STEPS = 256
"""Longer ones are cut: nobody reads them, and their edges are counted all the same."""

MOST_STEPS_KEPT = 300_000
"""In all the episodes of a graph: some 35 megabytes."""

_KEPT_SHARE = 0.8
"""When there are too many; so that it does not happen with each new one."""

TOP = -1
"""The scope of a trace's topmost calls."""


Names = tuple[str, ...]


class Step(NamedTuple):
    """One call of an episode. Ranks say the order exactly: see `ran_before`."""

    node: int
    ok: bool
    arguments: Names
    pending: Names
    consumed: Names
    ended_before: int
    """How many siblings had ended when it began."""
    end_rank: int
    """Its place among the siblings by end; those between whose ends nothing began stand as they began."""


def ran_before(first: Step, second: Step) -> bool:
    """Say whether *first* had ended before *second*, of the same episode, began."""
    return first.end_rank < second.ended_before


class Episode(msgspec.Struct, kw_only=True):
    """
    One way in which a scope ran, and how often: the calls directly below one capability.

    The unit from which suggestions, plans and variants are derived.
    """

    scope: int
    """Node id of the capability; TOP for a trace's topmost calls."""
    steps: tuple[Step, ...]
    """By start."""
    truncated: bool = False
    count: int = 0
    failures: int = 0
    """Of the scope itself, not of its steps."""
    duration_ns: int = 0
    heat: int = 0
    last_ns: int = 0
    exemplars: Exemplars = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it this episode and no other."""
        return self.scope, self.steps, self.truncated

    @property
    def traces(self) -> tuple[str, ...]:
        """The newest few traces in which it ran so."""
        return tuple(trace_id for _, trace_id in self.exemplars)


class Episodes:
    """The episodes of one graph."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Episode] = {}
        self._steps = 0
        self._names: dict[Names, Names] = {}
        """Each list of names once: those of arguments and of what is pending come again and again."""
        self.owed: set[tuple[Any, ...]] = set()
        """Keys of those taken back oftener than counted: differences have them."""

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self._kept.values())

    def kept(self, scope: int, steps: tuple[Step, ...], truncated: bool) -> Episode:
        """Give what is kept of an episode; if it is new, it is entered, with nothing counted yet."""
        new = Episode(scope=scope, steps=steps, truncated=truncated)
        found = self._kept.setdefault((scope, steps, truncated), new)
        if found is new:
            self._steps += len(steps)
        return found

    def once(self, lists: Iterable[Names]) -> list[Names]:
        """Give lists of names as they are known already, so that each is in memory once."""
        known = self._names
        return [names and (known.get(names) or self._enter(names)) for names in lists]

    def _enter(self, names: Names) -> Names:
        return self._names.setdefault(names, tuple([intern(name) for name in names]))

    def _lean(self, step: Step) -> Step:
        arguments, pending, consumed = self.once((step.arguments, step.pending, step.consumed))
        return step._replace(arguments=arguments, pending=pending, consumed=consumed)

    def count(self, episode: Episode, times: int) -> bool:
        """Add an episode's counts to what is kept of the same; say whether it is there no longer."""
        kept = self._kept.get(episode.key)
        if kept is None:
            steps = tuple([self._lean(step) for step in episode.steps])
            kept = self.kept(episode.scope, steps, episode.truncated)
        kept.count += times * episode.count
        kept.failures += times * episode.failures
        kept.duration_ns += times * episode.duration_ns
        kept.heat += times * episode.heat
        kept.last_ns = max(kept.last_ns, episode.last_ns)
        joined = newest if times > 0 else without
        kept.exemplars = joined(kept.exemplars, episode.exemplars)
        return (kept.count <= 0 or bool(self.owed)) and self.review(kept)

    def owing(self) -> list[Episode]:
        """Those taken back oftener than counted, when last looked at."""
        return [self._kept[key] for key in self.owed]

    def review(self, kept: Episode) -> bool:
        """Drop an episode if all of it is zero, and say so; note it if something is owed."""
        if kept.count > 0:
            self.owed.discard(kept.key)
        elif kept.count or kept.failures or kept.duration_ns or kept.heat:
            self.owed.add(kept.key)
        else:
            self.drop(kept.key)
            return True
        return False

    def drop(self, key: tuple[Any, ...]) -> None:
        """Take an episode out, whatever it counts."""
        self._steps -= len(self._kept.pop(key).steps)
        self.owed.discard(key)

    def prune(self) -> bool:
        """Drop what was not seen for the longest, if there is too much; say whether there was."""
        if len(self._kept) <= MOST_EPISODES and self._steps <= MOST_STEPS_KEPT:
            return False
        oldest_first = sorted(self._kept.items(), key=lambda item: (item[1].last_ns, item[1].count))
        for key, _ in oldest_first:
            if len(self._kept) <= MOST_EPISODES * _KEPT_SHARE and self._steps <= MOST_STEPS_KEPT * _KEPT_SHARE:
                break
            self.drop(key)
        self._names.clear()
        return True
