"""What the changes of a project's log add up to: its graph, slices and templates, or its arms. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import msgspec

from clew.graph import Graph
from clew.graph.state import TOP
from clew.store.clickhouse.graph_form import pack, unpack
from clew.store.exemplars import exemplars_of, forget
from clew.store.graph_loading import SliceEdgeRow, SliceNodeRow, sum_of_slices
from clew.store.graph_protocol import MOST_SLICES, Arm
from clew.store.graph_rows import declared_graph

__all__ = ["TOP", "Added", "ArmChange", "Arms", "Learned", "State", "Template"]


class State(Protocol):
    """What changes add up to."""

    def apply(self, body: bytes) -> None:
        """Add one change."""

    def snapshot(self) -> bytes:
        """Give all of it."""

    def nothing(self) -> bytes:
        """Give a change that changes nothing."""


class Template(msgspec.Struct, array_like=True):
    """A declared workflow."""

    name: str
    source_text: str
    declares: str
    at_ns: int


class Added(msgspec.Struct, omit_defaults=True):
    """A change of the graph."""

    graph: bytes = b""
    slices: dict[str, bytes] = {}
    """Empty bytes: the same as `graph`."""
    put_template: Template | None = None
    drop_template: str | None = None
    forget: list[str] = []
    """Ids of traces that are exemplars no longer."""


class _Whole(msgspec.Struct, omit_defaults=True):
    graph: bytes
    slices: dict[str, bytes] = {}
    templates: list[Template] = []


_encode = msgspec.msgpack.Encoder().encode
_read_added = msgspec.msgpack.Decoder(Added).decode
_read_whole = msgspec.msgpack.Decoder(_Whole).decode


def addition(delta: Graph, slices: Mapping[str, Graph]) -> bytes:
    """Give the change that adds *delta*."""
    packed = pack(delta)
    parts = {name: pack(graph) for name, graph in slices.items()}
    return _encode(Added(packed, {name: b"" if part == packed else part for name, part in parts.items()}))


def template_change(template: Template) -> bytes:
    """Give the change that keeps a template, and takes back what one of its name declared."""
    return _encode(Added(put_template=template))


def template_removal(name: str) -> bytes:
    """Give the change that forgets a template."""
    return _encode(Added(drop_template=name))


def forgetting(trace_ids: Iterable[str]) -> bytes:
    """Give the change by which traces are exemplars no longer."""
    return _encode(Added(forget=sorted(trace_ids)))


class Learned:
    """The graph of a project."""

    def __init__(self, snapshot: bytes | None = None) -> None:
        whole = _read_whole(snapshot) if snapshot else _Whole(pack(Graph()))
        self.graph = unpack(whole.graph)
        self.slices = {name: unpack(body) for name, body in whole.slices.items()}
        self.templates = {template.name: template for template in whole.templates}

    def apply(self, body: bytes) -> None:
        """Add one change."""
        added = _read_added(body)
        if added.put_template is not None:
            self._take_back(added.put_template.name)
            self.templates[added.put_template.name] = added.put_template
            self.graph.merge(declared_graph(added.put_template.declares))
        if added.drop_template is not None:
            self._take_back(added.drop_template)
        if added.graph:
            self.graph.merge(unpack(added.graph))
        self.graph.settle()
        for name, part in added.slices.items():
            self.slices.setdefault(name, Graph()).merge(unpack(part or added.graph))
        if added.forget:
            for graph in (self.graph, *self.slices.values()):
                forget(graph, added.forget)
        self._drop_old_slices()

    def _take_back(self, name: str) -> None:
        before = self.templates.pop(name, None)
        if before is not None:
            self.graph.merge(declared_graph(before.declares), times=-1)

    def _drop_old_slices(self) -> None:
        if len(self.slices) > MOST_SLICES:
            newest = sorted(self.slices, key=lambda name: (_last_ns(self.slices[name]), name), reverse=True)
            for name in newest[MOST_SLICES:]:
                del self.slices[name]

    def snapshot(self) -> bytes:
        """Give all of it."""
        slices = {name: pack(graph) for name, graph in self.slices.items()}
        return _encode(_Whole(pack(self.graph), slices, list(self.templates.values())))

    def nothing(self) -> bytes:
        """Give a change that changes nothing."""
        return _encode(Added())

    def named(self, trace_ids: Collection[str]) -> list[str]:
        """Say which of some traces are exemplars."""
        named = {each for graph in (self.graph, *self.slices.values()) for each in exemplars_of(graph)}
        return sorted(named.intersection(trace_ids))

    def copy(self) -> Graph:
        """Give the graph as the caller's own."""
        graph = Graph()
        graph.merge(self.graph)
        return graph

    def sum_of(self, names: list[str]) -> Graph:
        """Give the sum of some slices."""
        slices = [self.slices[name] for name in dict.fromkeys(names) if name in self.slices]
        nodes = [row for slice_ in slices for row in _nodes(slice_)]
        edges = [row for slice_ in slices for row in _edges(slice_)]
        return sum_of_slices(sum(slice_.trace_count for slice_ in slices), nodes, edges)


def _last_ns(graph: Graph) -> int:
    return max(graph.node_last_ns, default=0)


def _nodes(graph: Graph) -> list[SliceNodeRow]:
    columns = graph.nodes, graph.node_count, graph.node_failures, graph.node_ended, graph.node_duration_ns
    return [(*node, *counts) for node, *counts in zip(*columns, strict=True) if counts[0] > 0]  # type: ignore[misc]


def _edges(graph: Graph) -> list[SliceEdgeRow]:
    rows: list[SliceEdgeRow] = []
    for row in graph.rows():
        origin, target, type_ = graph.ends(row)
        if graph.count[row] > 0 or graph.inferred[row] > 0:
            counts = graph.count[row], graph.inferred[row], graph.failures[row], graph.duration_ns[row]
            rows.append((*graph.nodes[origin], *graph.nodes[target], type_, *counts))
    return rows


class ArmChange(msgspec.Struct, omit_defaults=True):
    """A change of the arms: one is added, or some are chosen."""

    question: str
    add: Arm | None = None
    shares: dict[int, float] | None = None


_read_arms = msgspec.msgpack.Decoder(list[Arm]).decode
_read_change = msgspec.msgpack.Decoder(ArmChange).decode
arm_change = _encode


class Arms:
    """The arms of a project."""

    def __init__(self, snapshot: bytes | None = None) -> None:
        self.arms = _read_arms(snapshot) if snapshot else []

    def apply(self, body: bytes) -> None:
        """Add one change."""
        change = _read_change(body)
        if change.add is not None:
            self.arms.append(change.add)
        if change.shares is not None:
            self.arms = [self._chosen(arm, change) for arm in self.arms]

    def _chosen(self, arm: Arm, change: ArmChange) -> Arm:
        if arm.question != change.question or change.shares is None:
            return arm
        share = float(change.shares.get(arm.version, 0))
        return msgspec.structs.replace(arm, chosen=share > 0, share=share)

    def snapshot(self) -> bytes:
        """Give all of it."""
        return _encode(self.arms)

    def nothing(self) -> bytes:
        """Give a change that changes nothing."""
        return _encode(ArmChange(""))

    def of(self, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""
        found = [arm for arm in self.arms if question in (None, arm.question)]
        return sorted(found, key=lambda arm: (arm.question, arm.version))
