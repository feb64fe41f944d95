"""
Nodes, edges and variants as rows, and what is added to a row. Pure.

Steps and what a template declares are JSON, so that whole tables are read in one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from clew.graph import Graph
from clew.graph.state import TOP, Episode, Exemplars
from clew.model.graph import EdgeType, Node
from clew.store.exemplars import encode

TOP_ID = 0
"""Stands for the top of a trace in `graph_variants.scope_id`."""

_json = msgspec.json.Encoder()
_declarations = msgspec.json.Decoder(tuple[list[Node], list[tuple[int, int, EdgeType, int]]])


Ids = Sequence[int]
"""By a graph's own node ids: those of the rows."""

EdgeKey = tuple[int, int, EdgeType]


def node_values(graph: Graph) -> Iterator[tuple[Any, ...]]:
    """Rows of nodes, after the project."""
    return zip(
        [node.kind for node in graph.nodes],
        [node.name for node in graph.nodes],
        graph.node_count,
        graph.node_failures,
        graph.node_ended,
        graph.node_duration_ns,
        graph.node_heat,
        graph.node_last_ns,
        strict=True,
    )


EdgeRow = tuple[EdgeKey, tuple[int, ...], bytes]
"""Key; count, inferred, failures, declared, duration, heat and last seen; exemplars."""


def edge_rows(graph: Graph, ids: Ids) -> list[EdgeRow]:
    """Give a row for each edge, in the order of the tables."""
    columns = graph.count, graph.inferred, graph.failures, graph.declared, graph.duration_ns, graph.heat, graph.last_ns
    counts = list(zip(*columns, strict=True))
    written: dict[Exemplars, bytes] = {}
    rows: list[EdgeRow] = []
    for row in graph.rows():
        origin, target, type_ = graph.ends(row)
        exemplars = graph.edge_exemplars(row)
        packed = written.get(exemplars)
        if packed is None:
            packed = written[exemplars] = encode(exemplars)
        rows.append(((ids[origin], ids[target], type_), counts[row], packed))
    rows.sort()
    return rows


class Variant(NamedTuple):
    """What makes an episode this one and no other, in ids of rows."""

    scope_id: int
    truncated: bool
    steps: str

    @property
    def digest(self) -> bytes:
        """Short, and the same for the same."""
        text = f"{self.scope_id} {self.truncated:d} {self.steps}"
        return blake2b(text.encode(), digest_size=16).digest()


def variant_rows(graph: Graph, ids: Ids) -> list[tuple[Variant, tuple[int, ...], bytes]]:
    """Give each variant, its counts (count, failures, duration, heat, last seen) and exemplars."""
    return [
        (
            _variant(episode, ids),
            (episode.count, episode.failures, episode.duration_ns, episode.heat, episode.last_ns),
            encode(episode.exemplars),
        )
        for episode in graph.episodes()
    ]


def _variant(episode: Episode, ids: Ids) -> Variant:
    steps = [(ids[step.node], *step[1:]) for step in episode.steps]
    scope_id = TOP_ID if episode.scope == TOP else ids[episode.scope]
    return Variant(scope_id, episode.truncated, _json.encode(steps).decode())


def slice_node_values(graph: Graph, slice_id: int, ids: Ids) -> tuple[list[Any], int]:
    """Flat rows of a slice's nodes, and how many."""
    columns = graph.node_count, graph.node_failures, graph.node_ended, graph.node_duration_ns
    rows: list[Any] = []
    for at, counts in enumerate(zip(*columns, strict=True)):
        if any(counts):
            rows += (slice_id, ids[at], *counts)
    return rows, len(rows) // 6


def slice_edge_values(edges: Iterable[EdgeRow], slice_id: int) -> tuple[list[Any], int]:
    """Flat rows of a slice's edges, and how many; declared ones belong to no slice."""
    rows: list[Any] = []
    for key, (count, inferred, failures, _, duration_ns, _, _), _ in edges:
        if count or inferred or failures or duration_ns:
            rows += (slice_id, *key, count, inferred, failures, duration_ns)
    return rows, len(rows) // 8


def declarations_text(graph: Graph) -> str:
    """Write down what a template declares: its nodes, and its edges by the places of these."""
    edges = [(*graph.ends(row), graph.declared[row]) for row in graph.rows() if graph.declared[row]]
    return _json.encode((graph.nodes, edges)).decode()


def declared_graph(text: str | None, *, times: int = 1) -> Graph:
    """Read what `declarations_text` wrote; with *times* -1, as what takes it back. Nothing for None."""
    graph = Graph()
    nodes, edges = _declarations.decode(text) if text else ([], [])
    ids = [graph.node(node) for node in nodes]
    for origin, target, type_, declared in edges:
        graph.count_edge(graph.row(ids[origin], ids[target], type_), declared=times * declared)
    return graph
