"""A graph as GraphML, for Gephi, yEd, networkx and igraph. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any
from xml.sax.saxutils import escape

from clew.graph.render_part import Part, edge_figures, node_figures
from clew.graph.state import Graph

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 forbids, however it is written: https://www.w3.org/TR/xml/#charsets."""

_NODE_KEYS = {"kind": "string", "name": "string", "count": "long", "failures": "long", "ended": "long"} | {
    "duration_ns": "long",
    "heat": "long",
    "last_seen_ns": "long",
}
_EDGE_KEYS = {"type": "string", "source": "string", "count": "long", "inferred": "long", "failures": "long"} | {
    "declared": "long",
    "duration_ns": "long",
    "heat": "long",
    "last_seen_ns": "long",
    "traces": "string",
}


def graphml(graph: Graph, part: Part) -> str:
    """Write every figure of every node and edge. Control characters go: XML has no way to write them."""
    return "\n".join([*_graphml_lines(graph, part), ""])


def _graphml_lines(graph: Graph, part: Part) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    for for_, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
        for key, type_ in keys.items():
            yield f'  <key id="{for_}_{key}" for="{for_}" attr.name="{key}" attr.type="{type_}"/>'
    yield '  <graph id="clew" edgedefault="directed">'
    for at in part.nodes:
        yield f'    <node id="n{at}">{_data("node", _NODE_KEYS, node_figures(graph, at))}</node>'
    for row in part.rows:
        figures = edge_figures(graph, row)
        figures["traces"] = " ".join(figures["traces"])
        ends = f'source="n{figures["origin"]}" target="n{figures["target"]}"'
        yield f"    <edge {ends}>{_data('edge', _EDGE_KEYS, figures)}</edge>"
    yield "  </graph>"
    yield "</graphml>"


def _data(for_: str, keys: Collection[str], figures: dict[str, Any]) -> str:
    return "".join(f'<data key="{for_}_{key}">{_xml_text(str(figures[key]))}</data>' for key in keys)


def _xml_text(text: str) -> str:
    # A carriage return is allowed, but every reader turns it into a newline unless it is written so.
    return escape(_NOT_XML.sub("", text), {"\r": "&#13;"})
