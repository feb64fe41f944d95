"""What an SDK learned by itself, from bytes to what a store adds up. Pure."""

from __future__ import annotations

from typing import NamedTuple

from clew.graph import Graph
from clew.graph.packing import unpack
from clew.model.tally import Minutes, Tally
from clew.wire import deltas
from clew.wire.deltas import Learned


class Delta(NamedTuple):
    """As `clew.store.protocol.GraphStore.apply_delta` takes it. Counts may be below zero."""

    delta_id: str
    graph: Graph
    slices: dict[str, Graph]
    minutes: Minutes


def read_delta(raw: bytes) -> Delta:
    """
    Read a body of `POST /api/v1/graph/deltas`.

    Raises:
        MalformedBody: some part of it cannot be read, or contradicts itself.
    """
    body = deltas.decode(raw)
    # One object for a slice that is all of the graph, so that it is made into rows once.
    graph = unpack(body.graph)
    slices = {name: unpack(packed) if packed else graph for name, packed in body.slices.items()}
    delta = Delta(body.delta_id, graph, slices, deltas.minutes_of(body.metrics))
    return delta if body.less is None else _less(delta, body.less)


def _less(delta: Delta, gone: Learned) -> Delta:
    graph, whole = unpack(gone.graph), _copy(delta.graph)
    whole.merge(graph, times=-1)
    slices = {name: _copy(each) for name, each in delta.slices.items()}
    for name, packed in gone.slices.items():
        slices.setdefault(name, Graph()).merge(unpack(packed) if packed else graph, times=-1)
    for key, tally in deltas.minutes_of(gone.metrics).items():
        delta.minutes.setdefault(key, Tally()).merge(tally.negative())
    return Delta(delta.delta_id, whole, slices, delta.minutes)


def _copy(graph: Graph) -> Graph:
    copy = Graph()
    copy.merge(graph)
    return copy
