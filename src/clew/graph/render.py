"""Draw a graph, or hand it to another program: JSON, DOT (Graphviz), Mermaid, GraphML. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import msgspec

from clew.errors import BadFilter
from clew.graph.render_drawings import dot, mermaid
from clew.graph.render_graphml import graphml
from clew.graph.render_part import Part, edge_figures, node_figures, part_of
from clew.graph.state import Graph
from clew.model.graph import EDGE_TYPES, EdgeType

Format = Literal["json", "dot", "mermaid", "graphml"]
FORMATS: tuple[Format, ...] = get_args(Format)


def render(
    graph: Graph,
    *,
    format: Format | str,  # noqa: A002 - the word that users type
    types: Collection[EdgeType] | None = None,
    least_count: int = 1,
) -> str:
    """
    Give the graph as text.

    *types* are the edge types that are wanted, None all of them. Edges seen fewer than *least_count*
    times are left out, unless a template declares them; nodes too, unless an edge needs them.
    Mermaid draws some hundred edges and refuses more, as Graphviz takes its time: raise *least_count*.

    Raises:
        BadFilter: no such format, or no such type of edge.
    """
    if format not in _WRITERS:
        raise BadFilter("format", f"{format[:80]!r} is none of {', '.join(FORMATS)}")
    if unknown := sorted(set(types or ()) - set(EDGE_TYPES)):
        raise BadFilter("types", f"{unknown[0][:80]!r} is none of {', '.join(EDGE_TYPES)}")
    return _WRITERS[format](graph, part_of(graph, EDGE_TYPES if types is None else types, least_count))


def _json(graph: Graph, part: Part) -> str:
    whole = {
        "traces": graph.trace_count,
        "nodes": [node_figures(graph, at) for at in part.nodes],
        "edges": [edge_figures(graph, row) for row in part.rows],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1).decode()


_WRITERS = {"json": _json, "dot": dot, "mermaid": mermaid, "graphml": graphml}
