"""
Pictures of a graph as text: DOT for Graphviz, Mermaid for Markdown.

Names are what users and models wrote, so none is taken at its word: ids are made here, and a name
stands only where text stands, escaped as the format wants it. Pure.
"""

from __future__ import annotations

import unicodedata

from clew.graph.render_part import Part
from clew.graph.state import Graph
from clew.model.graph import Edge, EdgeType

MOST_LETTERS = 120
"""Of a name in a drawing."""

_SHAPES = {"tool": "box", "capability": "component", "agent": "house", "root": "cds"}
_STYLES: dict[EdgeType, str] = {
    "contains": "solid",
    "sequence": "dashed",
    "provides": "bold",
    "dependency": "dotted",
}
_ARROWS: dict[EdgeType, str] = {"contains": "-->", "sequence": "-.->", "provides": "==>", "dependency": "--o"}

_PLAIN = frozenset(" ._-/:,")


def dot(graph: Graph, part: Part) -> str:
    """Draw for Graphviz. Edge types have line styles; what fails in a tenth of its runs, or more, is red."""
    lines = ["digraph clew {", "  rankdir=LR;", '  node [fontname="sans-serif"];', '  edge [fontname="sans-serif"];']
    for at in part.nodes:
        node = graph.nodes[at]
        label = f"{_drawn(node.name)}\n{_drawn(node.kind)} {graph.node_count[at]}"
        lines.append(f"  n{at} [label={_dot_text(label)}, shape={_SHAPES.get(node.kind, 'ellipse')}];")
    for row in part.rows:
        origin, target, type_ = graph.ends(row)
        colour = ", color=red" if _often_fails(graph, row) else ""
        label = _dot_text(_edge_label(graph.edge(row)))
        lines.append(f"  n{origin} -> n{target} [label={label}, style={_STYLES[type_]}{colour}];")
    return "\n".join([*lines, "}", ""])


def _dot_text(text: str) -> str:
    """
    Quote a label. In quotes only a quote ends it; backslashes and ampersands begin what Graphviz reads as its own.

    Source: https://graphviz.org/doc/info/lang.html and .../docs/attr-types/escString.
    """
    escaped = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mermaid(graph: Graph, part: Part) -> str:
    """Draw for Mermaid. What contains others has double sides."""
    lines = ["flowchart LR"]
    for at in part.nodes:
        node = graph.nodes[at]
        opening, closing = ("[[", "]]") if node.kind in {"capability", "agent", "root", "chain"} else ("[", "]")
        label = f"{_mermaid_text(node.name)}<br>{_mermaid_text(node.kind)} {graph.node_count[at]}"
        lines.append(f'  n{at}{opening}"{label}"{closing}')
    for row in part.rows:
        origin, target, type_ = graph.ends(row)
        lines.append(f'  n{origin} {_ARROWS[type_]}|"{_edge_label(graph.edge(row))}"| n{target}')
    return "\n".join([*lines, ""])


def _mermaid_text(text: str) -> str:
    """
    Escape a label: all but letters, digits and a few harmless signs become entity codes.

    So there is no quote, no bracket, no `%%{` directive, no tag and no Markdown in it.

    Source: https://mermaid.js.org/syntax/flowchart.html, entity codes to escape characters.
    """
    drawn = _drawn(text).replace("\n", " ")
    return "".join(each if each.isalnum() or each in _PLAIN else f"#{ord(each)};" for each in drawn)


def _edge_label(edge: Edge) -> str:
    """Numbers and our own words only."""
    count = edge.count + edge.inferred
    label = f"{edge.type} {count}" if count else f"{edge.type}, declared"
    return f"{label}, {edge.failures} failed" if edge.failures else label


def _often_fails(graph: Graph, row: int) -> bool:
    return graph.failures[row] * 10 >= max(1, graph.count[row] + graph.inferred[row])


def _drawn(text: str) -> str:
    """Make a name fit to be drawn: cut, and without what steers the text instead of being read."""
    shown = text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
    return "".join(" " if each in "\n\r\t" else each for each in shown if not _steers(each))


def _steers(letter: str) -> bool:
    """Control characters, half surrogates, and the marks that turn the direction of what follows."""
    return letter not in "\n\r\t" and unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
