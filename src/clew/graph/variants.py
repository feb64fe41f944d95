"""
The usual ways in which a capability runs: what it called, in which order, how often, how well.

A way is a row of steps. Calls that overlapped in time, each with the one before or with an earlier
one, are one step, in which order and number do not count; every call of a step had ended before the
next step began. What repeats is shown once: a step that follows itself, and a round of two steps.
So runs that differ in their arguments, in what failed, or in how often they went round a loop, went
the same way. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from clew.errors import BadFilter
from clew.graph.episodes import MOST_EPISODES, MOST_STEPS_KEPT
from clew.graph.state import TOP, Episode, Exemplars, Graph, newest
from clew.model.graph import Node, Variant, Variants

Steps = tuple[tuple[int, ...], ...]
"""Node ids, step by step; those of one step sorted."""

LONGEST_ROUND = 2
"""Steps of a loop that is shown once. Measured on traced services: rounds of three steps add nothing."""

_NEVER_FULL = 0.75
"""A graph that holds less of what it may has never let go of an episode: what is not among them called nothing."""


class Way(msgspec.Struct):
    """One way of running, with its counts."""

    steps: Steps
    count: int = 0
    failures: int = 0
    duration_ns: int = 0
    exemplars: Exemplars = ()

    @property
    def traces(self) -> tuple[str, ...]:
        """The newest few traces that went so."""
        return tuple(trace_id for _, trace_id in self.exemplars)


def variants(graph: Graph, capability: str | Node | None, *, k: int = 10) -> Variants:
    """
    Give the *k* commonest ways in which a capability runs; None asks for the topmost calls of whole traces.

    A capability that called nothing in some of its runs has a way without steps.

    Raises:
        UnknownNode: there is no such capability; says what is near.
        BadFilter: *k* is below 1.
    """
    if k < 1:
        raise BadFilter("k", "must be at least 1")
    scope = TOP if capability is None else graph.find(capability)
    ways = ways_of(graph, scope)
    runs = sum(way.count for way in ways.values())
    shown = sorted(ways.values(), key=lambda way: (-way.count, named(graph, way.steps)))[:k]
    return Variants(
        capability=None if scope == TOP else graph.nodes[scope],
        runs=runs,
        variants=tuple(variant_of(graph, scope, way, runs) for way in shown),
    )


def variant_of(graph: Graph, scope: int, way: Way, runs: int) -> Variant:
    """Give a way as people read it."""
    return Variant(
        steps=named(graph, way.steps),
        count=way.count,
        share=way.count / runs,
        failures=way.failures,
        mean_duration_ms=None if scope == TOP else way.duration_ns / way.count / 1e6,
        traces=way.traces,
    )


def named(graph: Graph, steps: Steps) -> tuple[tuple[Node, ...], ...]:
    """Give steps by their nodes; those of one step in the order of their names."""
    return tuple(tuple(sorted(graph.nodes[node] for node in step)) for step in steps)


def ways_of(graph: Graph, scope: int) -> Mapping[Steps, Way]:
    """Give the ways in which a scope ran, by their steps; empty for what never called anything."""
    return graph.derived("variants.ways", _Ways).of(scope)


class _Ways:
    """The ways of every scope of one version of a graph, each worked out when it is first asked for."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._episodes: dict[int, list[Episode]] = {}
        for episode in graph.episodes():
            if episode.count > 0:
                self._episodes.setdefault(episode.scope, []).append(episode)
        steps = sum(len(episode.steps) for episodes in self._episodes.values() for episode in episodes)
        self._is_complete = (
            graph.episode_count() < _NEVER_FULL * MOST_EPISODES and steps < _NEVER_FULL * MOST_STEPS_KEPT
        )
        self._made: dict[int, dict[Steps, Way]] = {}

    def of(self, scope: int) -> Mapping[Steps, Way]:
        made = self._made.get(scope)
        if made is None:
            made = self._made[scope] = _add_up(self._episodes.get(scope, ()))
            if made and scope != TOP and self._is_complete:
                _add_childless(self._graph, scope, made)
        return made


def _add_up(episodes: Iterable[Episode]) -> dict[Steps, Way]:
    ways: dict[Steps, Way] = {}
    for episode in episodes:
        steps = steps_of((step.node, step.ended_before, step.end_rank + 1) for step in episode.steps)
        way = ways.get(steps)
        if way is None:
            way = ways[steps] = Way(steps)
        way.count += episode.count
        way.failures += episode.failures
        way.duration_ns += episode.duration_ns
        way.exemplars = newest(way.exemplars, episode.exemplars)
    return ways


def _add_childless(graph: Graph, scope: int, ways: dict[Steps, Way]) -> None:
    """Runs that called nothing are no episodes: they are what is left of the node's counts."""
    count = graph.node_count[scope] - sum(way.count for way in ways.values())
    if count > 0:
        failures = graph.node_failures[scope] - sum(way.failures for way in ways.values())
        duration_ns = graph.node_duration_ns[scope] - sum(way.duration_ns for way in ways.values())
        ways[()] = Way((), count, min(count, max(0, failures)), max(0, duration_ns))


def steps_of(calls: Iterable[tuple[int, int, int]]) -> Steps:
    """
    Give the steps of a run from its calls by start: (node, begin, finish), in any numbers that sort.

    A call with *finish* had ended when one with *begin* began if finish <= begin.
    """
    return _once(tuple(sorted(group)) for group in _groups(calls))


def _groups(calls: Iterable[tuple[int, int, int]]) -> Iterator[set[int]]:
    group: set[int] = set()
    latest = 0
    for node, begin, finish in calls:
        if group and latest <= begin:
            yield group
            group = set()
        group.add(node)
        latest = max(latest, finish)
    if group:
        yield group


def _once(steps: Iterable[tuple[int, ...]]) -> Steps:
    """Leave out what only repeats the step, or the two steps, before it."""
    shown: list[tuple[int, ...]] = []
    for step in steps:
        shown.append(step)
        # What is left then was there before, and repeated nothing.
        if (length := _repeated(shown)) > 0:
            del shown[-length:]
    return tuple(shown)


def _repeated(shown: Sequence[tuple[int, ...]]) -> int:
    """How many steps at the end repeat those before them; 0 if they do not."""
    for length in range(1, LONGEST_ROUND + 1):
        if len(shown) >= 2 * length and shown[-length:] == shown[-2 * length : -length]:
            return length
    return 0
