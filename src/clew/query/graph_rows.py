"""
Answers of the graph as the bodies of the JSON API. Pure.

As elsewhere in the API: people's units and ISO 8601 only, since JavaScript's numbers end at 2**53.
A node is an object, `{"kind": "tool", "name": "get_user"}`, and a number that JSON cannot say is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from clew.graph.heat import recent_count
from clew.model.graph import Edge, Node
from clew.query.rows import iso, milliseconds
from clew.store.protocol import Arm


class NodeFigures(msgspec.Struct, kw_only=True, frozen=True):
    """All that is known of one node by itself."""

    node: Node
    count: int
    """Calls."""
    failures: int
    ended: int
    """Calls that ended: those whose duration is known."""
    duration_ns: int
    """Sum over those that ended."""
    heat: int
    last_seen_ns: int


def body(answer: Any) -> Any:
    """Give an answer of `clew.model.graph`, or anything made of such, as JSON has it."""
    if isinstance(answer, Node):
        return {"kind": answer.kind, "name": answer.name}
    if isinstance(answer, (list, tuple)):
        return [body(each) for each in answer]
    if isinstance(answer, Mapping):
        return {str(name): body(value) for name, value in answer.items()}
    if isinstance(answer, msgspec.Struct):
        return {name: body(getattr(answer, name)) for name in answer.__struct_fields__}
    if isinstance(answer, float) and not math.isfinite(answer):
        return None
    return answer


def edge_row(edge: Edge, *, now_ns: int) -> dict[str, Any]:
    """One edge."""
    observed = edge.count + edge.inferred
    return {
        "origin": body(edge.origin),
        "target": body(edge.target),
        "type": edge.type,
        "source": edge.source,
        "count": edge.count,
        "inferred": edge.inferred,
        "failures": edge.failures,
        "declared": edge.declared,
        "recent_count": _recent(edge.heat, now_ns),
        "mean_duration_ms": milliseconds(edge.duration_ns // observed) if observed > 0 else None,
        "last_seen_at": iso(edge.last_seen_ns) if edge.last_seen_ns else None,
        "traces": list(edge.traces),
    }


def node_row(figures: NodeFigures, *, now_ns: int) -> dict[str, Any]:
    """One node."""
    return {
        **body(figures.node),
        "count": figures.count,
        "failures": figures.failures,
        "recent_count": _recent(figures.heat, now_ns),
        "mean_duration_ms": milliseconds(figures.duration_ns // figures.ended) if figures.ended > 0 else None,
        "last_seen_at": iso(figures.last_seen_ns) if figures.last_seen_ns else None,
    }


def arm_row(arm: Arm) -> dict[str, Any]:
    """One stored arm."""
    return {
        "question": arm.question,
        "version": arm.version,
        "arm": arm.arm,
        "weights": body(arm.weights),
        "note": arm.note,
        "created_at": iso(arm.created_ns),
        "chosen": arm.chosen,
        "share": arm.share,
    }


def template_row(name: str, source: str, saved_ns: int) -> dict[str, Any]:
    """One declared workflow."""
    return {"name": name, "saved_at": iso(saved_ns), "source": source}


def _recent(heat: int, now_ns: int) -> float:
    return round(recent_count(max(0, heat), now_ns), 3)
