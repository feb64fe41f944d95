"""
The graph in memory: counters, from which every weight is derived when it is asked for.

Graphs add up: a trace gives a small one (`clew.graph.learn`), and merging small ones in any order
gives the same big one; merging with a minus takes a trace back. That is also how a graph travels
(from an SDK that stores a tenth of its traffic) and how it is saved. Pure: no clock, no I/O.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

import msgspec

from clew.errors import UnknownNode
from clew.model.graph import EDGE_TYPES, Edge, EdgeType, Node

T = TypeVar("T")

KEPT_TRACES = 3
"""Exemplars of an edge or a variant: the newest."""

TOP = -1
"""The scope of a trace's topmost calls."""

Exemplars = tuple[tuple[int, str], ...]
"""(when the trace ended, trace id), newest first."""


class Step(NamedTuple):
    """One call of an episode. Ranks say the order exactly: see `ran_before`."""

    node: int
    ok: bool
    arguments: tuple[str, ...]
    pending: tuple[str, ...]
    consumed: tuple[str, ...]
    ended_before: int
    """How many siblings had ended when it began."""
    end_rank: int
    """Its place among the siblings by end."""


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


class Graph:
    """
    Nodes, edges and episodes of one project. Ids are positions, and mean nothing elsewhere.

    Columns of counters, one entry a node (`node_…`) or an edge (by row). Not for two threads at once.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._ids: dict[Node, int] = {}
        self.node_count = array("q")
        self.node_failures = array("q")
        self.node_ended = array("q")
        """Calls that ended: what node_duration_ns is the sum over."""
        self.node_duration_ns = array("q")
        self.node_heat = array("q")
        self.node_last_ns = array("q")

        self._out: dict[EdgeType, dict[int, dict[int, int]]] = {type_: {} for type_ in EDGE_TYPES}
        self._ends: list[tuple[int, int, EdgeType]] = []
        self.count = array("q")
        self.inferred = array("q")
        self.failures = array("q")
        self.declared = array("q")
        self.duration_ns = array("q")
        self.heat = array("q")
        self.last_ns = array("q")
        self._exemplars: list[Exemplars] = []

        self._episodes: dict[tuple[Any, ...], Episode] = {}
        self.trace_count = 0
        self.version = 0
        """Grows with every change; what is derived of the graph holds for one version."""
        self._derived: dict[str, tuple[int, Any]] = {}

    # Nodes.

    def node(self, node: Node) -> int:
        """Give the id of *node*, which is added if it is new."""
        found = self._ids.get(node)
        if found is None:
            found = self._ids[node] = len(self.nodes)
            self.nodes.append(node)
            for column in self._node_columns():
                column.append(0)
            self.version += 1
        return found

    def find(self, asked: Node | str) -> int:
        """
        Give the id of a node by itself, by 'kind:name', or by its name where that is enough.

        Raises:
            UnknownNode: there is none, or several of that name; says what is near.
        """
        if isinstance(asked, Node):
            if asked in self._ids:
                return self._ids[asked]
            asked = str(asked)
        kind, _, name = asked.partition(":")
        found = self._ids.get(Node(kind, name))
        if found is not None:
            return found
        named = [each for each in self.nodes if each.name == asked]
        if len(named) == 1:
            return self._ids[named[0]]
        if named:
            raise UnknownNode(asked, near=tuple(str(each) for each in named), ambiguous=True)
        names = [each.name[:200] for each in self.nodes[:20_000]]
        raise UnknownNode(asked, near=tuple(get_close_matches(asked[:200], names, n=3)))

    def _node_columns(self) -> tuple[array[int], ...]:
        return (
            self.node_count,
            self.node_failures,
            self.node_ended,
            self.node_duration_ns,
            self.node_heat,
            self.node_last_ns,
        )

    def count_node(
        self, node: int, *, count: int, failures: int, ended: int, duration_ns: int, heat: int, last_ns: int
    ) -> None:
        """Add observations to a node."""
        self.node_count[node] += count
        self.node_failures[node] += failures
        self.node_ended[node] += ended
        self.node_duration_ns[node] += duration_ns
        self.node_heat[node] += heat
        self.node_last_ns[node] = max(self.node_last_ns[node], last_ns)
        self.version += 1

    # Edges.

    def out(self, type_: EdgeType) -> Mapping[int, Mapping[int, int]]:
        """Give the edges of one type: origin -> target -> row."""
        return self._out[type_]

    def edge_count(self) -> int:
        """How many edges there are, of all types."""
        return sum(len(targets) for origins in self._out.values() for targets in origins.values())

    def row(self, origin: int, target: int, type_: EdgeType) -> int:
        """Give the row of an edge, which is added if it is new."""
        targets = self._out[type_].setdefault(origin, {})
        row = targets.get(target)
        if row is None:
            row = targets[target] = len(self._ends)
            self._ends.append((origin, target, type_))
            self._exemplars.append(())
            for column in self._edge_columns():
                column.append(0)
        return row

    def ends(self, row: int) -> tuple[int, int, EdgeType]:
        """Give an edge's origin, target and type."""
        return self._ends[row]

    def edge(self, row: int) -> Edge:
        """Give all that is known of one edge."""
        origin, target, type_ = self._ends[row]
        return Edge(
            origin=self.nodes[origin],
            target=self.nodes[target],
            type=type_,
            count=self.count[row],
            inferred=self.inferred[row],
            failures=self.failures[row],
            declared=self.declared[row],
            duration_ns=self.duration_ns[row],
            heat=self.heat[row],
            last_seen_ns=self.last_ns[row],
            traces=self.edge_traces(row),
        )

    def edges(self) -> Iterator[Edge]:
        """Every edge; those taken back to nothing are not there."""
        for row in self.rows():
            yield self.edge(row)

    def rows(self) -> Iterator[int]:
        """The row of every edge."""
        for origins in self._out.values():
            for targets in origins.values():
                yield from targets.values()

    def edge_traces(self, row: int) -> tuple[str, ...]:
        """The newest few traces in which an edge was observed."""
        return tuple(trace_id for _, trace_id in self._exemplars[row])

    def _edge_columns(self) -> tuple[array[int], ...]:
        return (self.count, self.inferred, self.failures, self.declared, self.duration_ns, self.heat, self.last_ns)

    def count_edge(
        self,
        row: int,
        *,
        count: int = 0,
        inferred: int = 0,
        failures: int = 0,
        declared: int = 0,
        duration_ns: int = 0,
        heat: int = 0,
        last_ns: int = 0,
        exemplars: Exemplars = (),
    ) -> None:
        """Add observations to an edge. Negative ones take back; what is left with nothing goes."""
        self.count[row] += count
        self.inferred[row] += inferred
        self.failures[row] += failures
        self.declared[row] += declared
        self.duration_ns[row] += duration_ns
        self.heat[row] += heat
        self.last_ns[row] = max(self.last_ns[row], last_ns)
        if exemplars:
            self._exemplars[row] = newest(self._exemplars[row], exemplars)
        self.version += 1
        if self.count[row] <= 0 and self.inferred[row] <= 0 and self.declared[row] <= 0:
            self._drop(row)

    def _drop(self, row: int) -> None:
        origin, target, type_ = self._ends[row]
        targets = self._out[type_].get(origin, {})
        if targets.get(target) == row:
            del targets[target]
            if not targets:
                del self._out[type_][origin]

    # Episodes.

    def episodes(self) -> Iterator[Episode]:
        """Every way in which a scope ran, oldest known first."""
        return iter(self._episodes.values())

    def episode_count(self) -> int:
        """How many different ones are kept."""
        return len(self._episodes)

    def count_episode(self, episode: Episode, *, times: int = 1) -> None:
        """Add an episode's counts to what is kept of the same; with *times* -1 take them back."""
        key = episode.key
        kept = self._episodes.get(key)
        if kept is None:
            if times < 0:
                return
            kept = self._episodes[key] = Episode(scope=episode.scope, steps=episode.steps, truncated=episode.truncated)
        kept.count += times * episode.count
        kept.failures += times * episode.failures
        kept.duration_ns += times * episode.duration_ns
        kept.heat += times * episode.heat
        kept.last_ns = max(kept.last_ns, episode.last_ns)
        if times > 0:
            kept.exemplars = newest(kept.exemplars, episode.exemplars)
        else:
            kept.exemplars = without(kept.exemplars, episode.exemplars)
        if kept.count <= 0:
            del self._episodes[key]
        self.version += 1

    # The whole.

    def merge(self, other: Graph, *, times: int = 1) -> None:
        """
        Add all of *other*; with *times* -1 take it back.

        What is taken back exactly: counts, failures, durations, heat, and exemplars that *other*
        names. `last_ns` stays: the trace that is taken back is learned again in its new form.
        """
        ids = [self.node(node) for node in other.nodes]
        for at, node in enumerate(ids):
            self.count_node(
                node,
                count=times * other.node_count[at],
                failures=times * other.node_failures[at],
                ended=times * other.node_ended[at],
                duration_ns=times * other.node_duration_ns[at],
                heat=times * other.node_heat[at],
                last_ns=other.node_last_ns[at],
            )
        for row in list(other.rows()):
            origin, target, type_ = other.ends(row)
            self._merge_edge(self.row(ids[origin], ids[target], type_), other, row, times)
        for episode in other.episodes():
            moved = [step._replace(node=ids[step.node]) for step in episode.steps]
            scope = episode.scope if episode.scope == TOP else ids[episode.scope]
            self.count_episode(msgspec.structs.replace(episode, scope=scope, steps=tuple(moved)), times=times)
        self.trace_count += times * other.trace_count
        self.version += 1

    def _merge_edge(self, row: int, other: Graph, from_row: int, times: int) -> None:
        exemplars = other._exemplars[from_row]
        if times < 0:
            self._exemplars[row] = without(self._exemplars[row], exemplars)
            exemplars = ()
        self.count_edge(
            row,
            count=times * other.count[from_row],
            inferred=times * other.inferred[from_row],
            failures=times * other.failures[from_row],
            declared=times * other.declared[from_row],
            duration_ns=times * other.duration_ns[from_row],
            heat=times * other.heat[from_row],
            last_ns=other.last_ns[from_row],
            exemplars=exemplars,
        )

    def derived(self, name: str, build: Callable[[Graph], T]) -> T:
        """Give what *build* makes of the graph; made anew only after a change."""
        have = self._derived.get(name)
        if have is None or have[0] != self.version:
            have = self._derived[name] = (self.version, build(self))
        made: T = have[1]
        return made


def newest(kept: Exemplars, more: Exemplars) -> Exemplars:
    """The newest few of both; ties by id, so that any order gives the same."""
    return tuple(sorted({*kept, *more}, reverse=True)[:KEPT_TRACES])


def without(kept: Exemplars, gone: Exemplars) -> Exemplars:
    """*kept* without the traces of *gone*."""
    names = {trace_id for _, trace_id in gone}
    return tuple(each for each in kept if each[1] not in names)
