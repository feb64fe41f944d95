"""The shape of a trace: names, kinds, parents and statuses, nothing else. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Node(NamedTuple):
    """One span as a trace must have it."""

    name: str
    kind: str
    failed: bool = False
    children: tuple[Node, ...] = ()


def lines_of(node: Node, depth: int = 0) -> list[str]:
    """Write a shape down, a line for each span; siblings by name, since some run side by side."""
    line = f"{'   ' * depth}{node.name} {node.kind.upper()}{' failed' if node.failed else ''}"
    children = sorted(node.children, key=lambda child: (child.name, child.kind, child.failed))
    return [line, *(below for child in children for below in lines_of(child, depth + 1))]


def seen_in(spans: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Read the shape of stored spans by their parents: one node for each top, orphans among them."""
    rows = list(spans)
    known = {row["span_id"] for row in rows}

    def node(row: Mapping[str, Any]) -> Node:
        below = tuple(node(child) for child in rows if child["parent_id"] == row["span_id"])
        return Node(row["name"], row["kind"], row["status"] == "error", below)

    return [node(row) for row in rows if row["parent_id"] not in known]


def differences(expected: Node, seen: Sequence[Node]) -> list[str]:
    """Give what is missing (-) and what is too much (+), among what is as it must be; [] if all is."""
    want = lines_of(expected)
    have = [line for top in seen for line in lines_of(top)]
    return [] if want == have else [line for line in difflib.ndiff(want, have) if not line.startswith("?")]
