"""
A graph as bytes, for its journey from an SDK to a server: MessagePack, column by column.

What is unpacked may come from anyone, so its form, its sizes and each id in it are checked before
anything is built of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sized
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from clew.errors import MalformedBody
from clew.graph.calls import MOST_NAME_CHARS, short
from clew.graph.columns import MOST
from clew.graph.episodes import MOST_EPISODES, MOST_STEPS, TOP, Episode, Step
from clew.graph.exemplars import KEPT_TRACES, Exemplars, newest
from clew.graph.state import Graph
from clew.model.graph import EDGE_TYPES, Node

FORM = 1
"""Grows when the bytes mean something else."""

MOST_NODES = 200_000
MOST_EDGES = 2_000_000
MOST_TRACES = 1_000_000
MOST_NAMES = 1_000
"""In one list of arguments or paths."""

Name = Annotated[str, Meta(max_length=MOST_NAME_CHARS)]
Count = Annotated[int, Meta(ge=0, le=MOST)]
Id = Annotated[int, Meta(ge=0, le=max(MOST_EDGES, MOST_TRACES))]
Time = Annotated[int, Meta(ge=-MOST, le=MOST)]
OfNodes = Annotated[list[Count], Meta(max_length=MOST_NODES)]
OfEdges = Annotated[list[Count], Meta(max_length=MOST_EDGES)]
IdsOfEdges = Annotated[list[Id], Meta(max_length=MOST_EDGES)]
Shown = Annotated[list[Id], Meta(max_length=KEPT_TRACES)]


class _Step(NamedTuple):
    """As `Step`, with lists of names by their places."""

    node: Id
    ok: bool
    arguments: Id
    pending: Id
    consumed: Id
    ended_before: Id
    end_rank: Id


class _Way(msgspec.Struct, array_like=True):
    """An episode."""

    scope: Annotated[int, Meta(ge=TOP, le=MOST_NODES)]
    truncated: bool
    count: Count
    failures: Count
    duration_ns: Count
    heat: Count
    last_ns: Count
    shown: Shown
    steps: Annotated[list[_Step], Meta(max_length=MOST_STEPS)]


class _Packed(msgspec.Struct, array_like=True):
    form: int
    trace_count: Count
    nodes: Annotated[list[tuple[Name, Name]], Meta(max_length=MOST_NODES)]
    node_counters: Annotated[list[OfNodes], Meta(min_length=6, max_length=6)]
    origins: IdsOfEdges
    targets: IdsOfEdges
    types: IdsOfEdges
    counters: Annotated[list[OfEdges], Meta(min_length=7, max_length=7)]
    shown: Annotated[list[Shown], Meta(max_length=MOST_EDGES)]
    traces: Annotated[list[tuple[Time, Name]], Meta(max_length=MOST_TRACES)]
    texts: Annotated[list[Name], Meta(max_length=MOST_EDGES)]
    names: Annotated[list[Annotated[list[Id], Meta(max_length=MOST_NAMES)]], Meta(max_length=MOST_EDGES)]
    """Lists of texts, by their places."""
    ways: Annotated[list[_Way], Meta(max_length=MOST_EPISODES)]


Columns = tuple["array[int]", ...]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


class _Table:
    """Things that are named by their places."""

    def __init__(self) -> None:
        self.places: dict[Any, int] = {}

    def place(self, thing: Any) -> int:
        return self.places.setdefault(thing, len(self.places))

    def places_of(self, things: Iterable[Any]) -> list[int]:
        return [self.place(each) for each in things]


def pack(graph: Graph, *, exemplars: bool = True) -> bytes:
    """
    Give *graph* as bytes; unpacked, its `content` is the same.

    Without *exemplars* it names no traces: for those that nobody can look up.

    As if it were settled: of a difference only what is more than nothing. Names of arguments and
    ids of traces are cut if they are very long, as those of nodes always are.
    """
    rows = [row for row in graph.rows() if graph.count[row] > 0 or graph.inferred[row] > 0 or graph.declared[row] > 0]
    ends = [graph.ends(row) for row in rows]
    names, traces = _Table(), _Table()
    shown = [traces.places_of(graph.edge_exemplars(row) if exemplars else ()) for row in rows]
    ways = [
        _packed_way(episode, names, traces.places_of(episode.exemplars if exemplars else ()))
        for episode in graph.episodes()
        if episode.count > 0
    ]
    texts = _Table()
    lists = [texts.places_of(each[:MOST_NAMES]) for each in names.places]
    packed = _Packed(
        form=FORM,
        trace_count=max(0, graph.trace_count),
        nodes=list(graph.nodes),
        node_counters=[[max(0, value) for value in column] for column in _node_columns(graph)],
        origins=[origin for origin, _, _ in ends],
        targets=[target for _, target, _ in ends],
        types=[EDGE_TYPES.index(type_) for _, _, type_ in ends],
        counters=[[max(0, column[row]) for row in rows] for column in _edge_columns(graph)],
        shown=shown,
        traces=[(ended_ns, short(trace_id)) for ended_ns, trace_id in traces.places],
        texts=[short(text) for text in texts.places],
        names=lists,
        ways=ways,
    )
    return _encode(packed)


def _node_columns(graph: Graph) -> Columns:
    return (
        graph.node_count,
        graph.node_failures,
        graph.node_ended,
        graph.node_duration_ns,
        graph.node_heat,
        graph.node_last_ns,
    )


def _edge_columns(graph: Graph) -> Columns:
    return (
        graph.count,
        graph.inferred,
        graph.failures,
        graph.declared,
        graph.duration_ns,
        graph.heat,
        graph.last_ns,
    )


def _packed_way(episode: Episode, names: _Table, shown: list[int]) -> _Way:
    place = names.place
    return _Way(
        scope=episode.scope,
        truncated=episode.truncated,
        count=episode.count,
        failures=max(0, episode.failures),
        duration_ns=max(0, episode.duration_ns),
        heat=max(0, episode.heat),
        last_ns=max(0, episode.last_ns),
        shown=shown,
        steps=[
            _Step(node, ok, place(arguments), place(pending), place(consumed), ended_before, end_rank)
            for node, ok, arguments, pending, consumed, ended_before, end_rank in episode.steps
        ],
    )


def unpack(body: bytes) -> Graph:
    """
    Read a graph that was packed.

    Raises:
        MalformedBody: it is none, is of a newer form, is over a limit, or speaks of what it does not
            have; nothing was built.
    """
    try:
        packed = _decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedBody(f"not a packed graph: {error}") from None
    if packed.form != FORM:
        raise MalformedBody(f"the graph is packed in form {packed.form}, this Clew reads form {FORM}; upgrade it")
    _check(packed)
    graph = Graph()
    for node in packed.nodes:
        graph.node(Node(*node))
    for row, ends in enumerate(zip(packed.origins, packed.targets, packed.types, strict=True)):
        if graph.row(ends[0], ends[1], EDGE_TYPES[ends[2]]) != row:
            raise MalformedBody(f"the packed graph has edge {row} twice")
    if len(graph.nodes) < len(packed.nodes):
        raise MalformedBody("the packed graph has a node twice")
    _fill(_node_columns(graph), packed.node_counters)
    _fill(_edge_columns(graph), packed.counters)
    _show(graph, packed)
    names = [tuple([packed.texts[place] for place in each]) for each in packed.names]
    for way in packed.ways:
        graph.count_episode(_episode(way, names, packed))
    graph.trace_count = packed.trace_count
    return graph


def _check(packed: _Packed) -> None:
    """Check what the types do not say: that columns are equally long, and that there is what an id names."""
    nodes, edges = len(packed.nodes), len(packed.types)
    if any(len(column) != nodes for column in packed.node_counters):
        raise MalformedBody("the packed graph has not one number for each node")
    columns: list[Sized] = [packed.origins, packed.targets, packed.shown, *packed.counters]
    if any(len(column) != edges for column in columns):
        raise MalformedBody("the packed graph has not one number for each edge")
    if not all(map(sum, zip(*packed.counters[:2], packed.counters[3], strict=True))):
        raise MalformedBody("the packed graph has an edge for which nothing speaks")
    steps = [step for way in packed.ways for step in way.steps]
    _check_ids("node", nodes, packed.origins, packed.targets, [step[0] for step in steps])
    _check_ids("node", nodes, [way.scope for way in packed.ways if way.scope != TOP])
    _check_ids("type", len(EDGE_TYPES), packed.types)
    _check_ids("trace", len(packed.traces), *packed.shown, *[way.shown for way in packed.ways])
    _check_ids("text", len(packed.texts), *packed.names)
    _check_ids("list of names", len(packed.names), *[step[2:5] for step in steps])
    _check_ids("place in its episode", MOST_STEPS + 1, *[step[5:] for step in steps])


def _check_ids(what: str, count: int, *columns: Iterable[int]) -> None:
    for column in columns:
        most = max(column, default=-1)
        if most >= count:
            raise MalformedBody(f"the packed graph names {what} {most}, and has {count}")


def _fill(columns: Columns, values: Iterable[list[int]]) -> None:
    for column, each in zip(columns, values, strict=True):
        column[:] = array("q", each)


def _show(graph: Graph, packed: _Packed) -> None:
    """Let the edges name their traces."""
    table = graph._edges.traces
    table.make_room(len(packed.traces))
    places = {trace: table.enter(trace) for trace in packed.traces}
    for row, shown in enumerate(packed.shown):
        if shown:
            table.note(row, [places[trace] for trace in _newest(packed, shown)])


def _newest(packed: _Packed, shown: Iterable[int]) -> Exemplars:
    return newest((), tuple([packed.traces[each] for each in shown]))


def _episode(way: _Way, names: list[tuple[str, ...]], packed: _Packed) -> Episode:
    return Episode(
        scope=way.scope,
        steps=tuple(
            [
                Step(node, ok, names[arguments], names[pending], names[consumed], ended_before, end_rank)
                for node, ok, arguments, pending, consumed, ended_before, end_rank in way.steps
            ]
        ),
        truncated=way.truncated,
        count=way.count,
        failures=way.failures,
        duration_ns=way.duration_ns,
        heat=way.heat,
        last_ns=way.last_ns,
        exemplars=_newest(packed, way.shown),
    )
