"""
The newest few traces that show an edge or a variant, as bytes: of each 8 of when it ended and 16 of its id. Pure.

So written the newer is the greater, and SQL can keep the newest of two such lists without reading
a row first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from clew.graph import Graph
from clew.graph import exemplars as of_graphs
from clew.graph.state import Exemplars

ENTRY_BYTES = 24
_ENTRY_CHARS = 2 * ENTRY_BYTES

_is_trace_id = re.compile("[0-9a-f]{32}").fullmatch


def encode(exemplars: Exemplars) -> bytes:
    """Write exemplars, newest first. What is no trace id, which only a strange SDK sends, is left out."""
    entries = [f"{max(0, ended_ns):016x}{trace_id}" for ended_ns, trace_id in exemplars if _is_trace_id(trace_id)]
    return bytes.fromhex("".join(entries))


def entries_of(text: str) -> list[str]:
    """Split hex into exemplars."""
    return [text[at : at + _ENTRY_CHARS] for at in range(0, len(text), _ENTRY_CHARS)]


def read_entry(entry: str) -> tuple[int, str]:
    """Read one exemplar from hex."""
    return int(entry[:16], 16), entry[16:]


def decode(text: str) -> Exemplars:
    """Read hex."""
    return tuple([read_entry(entry) for entry in entries_of(text)])


def without(text: str, trace_ids: Collection[str]) -> str:
    """Leave certain traces out of hex."""
    return "".join([entry for entry in entries_of(text) if entry[16:] not in trace_ids])


def exemplars_of(graph: Graph) -> set[str]:
    """Give the ids of all traces that a graph names."""
    of_edges = [graph.edge_exemplars(row) for row in graph.rows()]
    of_variants = [episode.exemplars for episode in graph.episodes()]
    return {trace_id for exemplars in (*of_edges, *of_variants) for _, trace_id in exemplars}


def forget(graph: Graph, trace_ids: Iterable[str]) -> None:
    """Let a graph name certain traces no longer."""
    gone = tuple((0, trace_id) for trace_id in trace_ids)
    for row in graph.rows():
        graph._edges.traces.forget(row, gone)
    for episode in graph.episodes():
        episode.exemplars = of_graphs.without(episode.exemplars, gone)
    graph.version += 1


def newest_entries(lists: Iterable[list[str]], *, most: int) -> Collection[str]:
    """Give the exemplars of all *lists*, each once; if there are very many, only the newest."""
    found = {entry for entries in lists for entry in entries}
    return found if len(found) <= most else sorted(found, reverse=True)[:most]
