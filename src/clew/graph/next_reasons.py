"""Why a next step is suggested: the contexts that spoke for it, and the edges that lead to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clew.graph import next_contexts as kinds
from clew.graph.next_mixture import Part
from clew.graph.next_place import Place
from clew.graph.next_tables import TOTAL, Tables
from clew.graph.state import TOP, Graph
from clew.model.graph import EdgeType, Reason

_MOST_CONTEXTS = 3
_LEAST_PART = 0.1
"""A context is told if it weighs at least this part of the weightiest."""
_MOST_NAMED = 3
_MOST_CHARS = 80


def reasons_for(graph: Graph, place: Place, node: int, spoke: Sequence[Part], tables: Tables) -> tuple[Reason, ...]:
    """Give what speaks for one suggestion, weightiest contexts first, then edges, then outputs that it could use."""
    found = list(_edges(graph, place, node))
    contexts = sorted([(-_share(part, node), part.kind, part) for part in spoke if node in part.counts])
    told = [part for share, _, part in contexts[:_MOST_CONTEXTS] if share <= contexts[0][0] * _LEAST_PART]
    traces = found[0].traces if found else ()
    return (
        *(_context(place, node, part, traces) for part in told),
        *_again(place, node),
        *found,
        *_feeds(place, node, tables),
    )


def _share(part: Part, node: int) -> float:
    return part.trust * part.counts[node] / part.counts[TOTAL]


def _context(place: Place, node: int, part: Part, traces: tuple[str, ...]) -> Reason:
    count, total = part.counts[node], part.counts[TOTAL]
    after = part.kind in _AFTER_LAST and place.walk.nodes
    if part.kind == kinds.ANYTHING:
        said = f"is {count} of all {total} calls"
    else:
        said = f"came next {count} of {total} times {_where(place, part.kind)}"
    return Reason(
        text=f"{_name(place, node)} {said}",
        type="context",
        origin=place.node(place.walk.nodes[-1]) if after else None,
        target=place.node(node),
        count=count,
        weight=round(_share(part, node), 6),
        traces=traces if after else (),
    )


_AFTER_LAST = frozenset(
    (kinds.LAST, kinds.SCOPE_LAST, kinds.OUTCOME, kinds.FAILURE, kinds.TWO, kinds.THREE, kinds.FOUR, kinds.ORDERED)
)
_ORDERS = {kinds.LAST: 1, kinds.TWO: 2, kinds.THREE: 3, kinds.FOUR: 4}


def _where(place: Place, kind: int) -> str:
    """Say in words which context it was."""
    walk = place.walk
    scope = "at the top of a trace" if walk.scope == TOP else f"inside of {_name(place, walk.scope)}"
    last = _name(place, walk.nodes[-1]) if walk.nodes else ""
    if kind in _ORDERS:
        return "after " + ", ".join(_name(place, node) for node in walk.nodes[-_ORDERS[kind] :])
    pending = ", ".join(path[:_MOST_CHARS] for path in place.pending[:_MOST_NAMED])
    return {
        kinds.SCOPE: f"{scope}",
        kinds.POSITION: f"as call {walk.count + 1} {scope}",
        kinds.SCOPE_LAST: f"after {last} {scope}",
        kinds.OUTCOME: f"after {last}, called like this, {'went well' if walk.last and walk.last.ok else 'failed'}",
        kinds.FAILURE: f"after {last} failed",
        kinds.SKIP: f"one call after {_name(place, walk.nodes[-2])}" if len(walk.nodes) > 1 else "",
        kinds.ORDERED: f"after exactly these {walk.count} calls {scope}",
        kinds.UNORDERED: f"after these {walk.count} calls in any order {scope}",
        kinds.PENDING: f"while nothing had used {pending}",
        kinds.LAST_PENDING: f"after {last} while nothing had used {pending}",
        kinds.GIVERS: f"while nothing had used outputs of {_givers(place)}",
        kinds.LAST_GIVERS: f"after {last} while nothing had used outputs of {_givers(place)}",
    }[kind]


def _again(place: Place, node: int) -> Iterator[Reason]:
    times = place.walk.nodes.count(node)
    if times:
        often = "once" if times == 1 else f"{times} times"
        yield Reason(
            text=f"this run has called {_name(place, node)} {often}",
            type="context",
            target=place.node(node),
            count=times,
        )


def _edges(graph: Graph, place: Place, node: int) -> Iterator[Reason]:
    """The edges from the last call and from the scope to the suggestion."""
    last = place.walk.nodes[-1] if place.walk.nodes else TOP
    ways: tuple[tuple[int, EdgeType, str], ...] = (
        (last, "sequence", "followed"),
        (place.walk.scope, "contains", "was called by"),
        (last, "provides", "used an output of"),
        (last, "dependency", "is declared to depend on"),
    )
    for origin, type_, did in ways:
        row = graph.out(type_).get(origin, {}).get(node)
        if row is not None:
            edge = graph.edge(row)
            count = edge.count + edge.inferred
            times = f" {count} times" if type_ != "dependency" else f" in {edge.declared} templates"
            yield Reason(
                text=f"{_name(place, node)} {did} {_name(place, origin)}{times}",
                type=type_,
                origin=edge.origin,
                target=edge.target,
                count=count,
                source=edge.source,
                traces=edge.traces,
            )


def _feeds(place: Place, node: int, tables: Tables) -> Iterator[Reason]:
    feeds = tables.feeds.get(node)
    if feeds is None:
        return
    there = sorted(((feeds[path], path) for path in place.pending if path in feeds), reverse=True)
    if there:
        paths = ", ".join(path[:_MOST_CHARS] for _, path in there[:_MOST_NAMED])
        yield Reason(
            text=f"{_name(place, node)} uses {paths}, which nothing has used yet",
            type="provides",
            target=place.node(node),
            count=there[0][0],
        )


def _name(place: Place, node: int) -> str:
    name = place.node(node).name
    return name if len(name) <= _MOST_CHARS else name[: _MOST_CHARS - 1] + "…"


def _givers(place: Place) -> str:
    return ", ".join(name[:_MOST_CHARS] for name in kinds.givers_of(place.pending)[:_MOST_NAMED])
