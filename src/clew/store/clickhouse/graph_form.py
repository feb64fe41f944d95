"""
Graphs as bytes for the log: also differences, whose counts may be below zero. Pure.

`clew.graph.packing` is for graphs that come from anyone, and leaves out what is below zero; these are
the store's own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import zstandard

from clew.errors import StoreUnavailable
from clew.graph import Graph
from clew.graph.state import Episode, Exemplars
from clew.model.graph import EdgeType, Node

_NODE = ("count", "failures", "ended", "duration_ns", "heat", "last_ns")
_EDGE = ("count", "inferred", "failures", "declared", "duration_ns", "heat", "last_ns")


class _Form(msgspec.Struct, array_like=True):
    trace_count: int
    nodes: list[Node]
    node_counts: list[list[int]]
    """By node: as `_NODE` names them."""
    edges: list[tuple[int, int, EdgeType, list[int], Exemplars]]
    """Origin, target, type, counts as `_EDGE` names them, exemplars."""
    episodes: list[Episode]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Form).decode


def pack(graph: Graph) -> bytes:
    """Give *graph* as bytes."""
    columns = [getattr(graph, f"node_{name}") for name in _NODE]
    edges = [
        (*graph.ends(row), [getattr(graph, name)[row] for name in _EDGE], graph.edge_exemplars(row))
        for row in graph.rows()
    ]
    counts = [list(each) for each in zip(*columns, strict=True)]
    form = _Form(graph.trace_count, list(graph.nodes), counts, edges, list(graph.episodes()))
    return zstandard.ZstdCompressor(level=1).compress(_encode(form))


def unpack(body: bytes) -> Graph:
    """
    Read a graph that was packed.

    Raises:
        StoreUnavailable: its bytes are damaged.
    """
    try:
        form = _decode(zstandard.ZstdDecompressor().decompress(body))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise StoreUnavailable(f"a graph is damaged ({error}); restore the store from a copy") from error
    graph = Graph()
    for node, counts in zip(form.nodes, form.node_counts, strict=True):
        graph.count_node(graph.node(node), **_named(_NODE, counts))
    for origin, target, type_, counts, exemplars in form.edges:
        graph.count_edge(graph.row(origin, target, type_), **_named(_EDGE, counts), exemplars=exemplars)
    for episode in form.episodes:
        graph.count_episode(episode)
    graph.trace_count = form.trace_count
    return graph


def _named(names: tuple[str, ...], values: list[int]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))
