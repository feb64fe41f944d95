"""
A DAG over a set of tools: which waits for which, and what can run side by side.

What speaks for waiting is the arm's own; from there on all arms go the same way: strongest first,
refusing whatever would close a cycle, then without what other edges imply. So no plan is ever cyclic.

Arms:
    any: a tool waits for those that it ever followed.
    majority: for those that it followed oftener than they followed it.
    fixed: the original design, edges of any type by their fixed weights; of two that lead to each
        other the heavier stays. unweighted: the same with all weights alike.
    trigger: for those that ever were the last to end before it began, and came before it in every
        run with both. Best where the runs are of one workflow: see `workflow`.
    learned: see `clew.graph.waits_learned`. The default.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from clew.errors import BadFilter
from clew.graph.acyclic import Order, levels, reduced
from clew.graph.calls import short
from clew.graph.paths import known_weights
from clew.graph.state import Graph
from clew.graph.waits import Wait, by_weight, follows, trigger_rule
from clew.graph.waits_learned import WEIGHTS as LEARNED
from clew.graph.waits_learned import learned
from clew.model.graph import Node, Plan, PlanEdge
from clew.model.span import KINDS

ARMS: Final = ("any", "majority", "fixed", "unweighted", "trigger", "learned")
WEIGHTS: Final[dict[str, dict[str, float]]] = {"learned": LEARNED}

MOST_TOOLS = 500
MOST_REFUSED = 100
"""Refused edges that are shown: the strongest."""


def plan(
    graph: Graph,
    tools: Sequence[str | Node],
    *,
    arm: str = "learned",
    weights: Mapping[str, float] | None = None,
    version: int = 0,
) -> Plan:
    """
    Plan *tools*; one that is asked for twice is planned once.

    A tool that was never seen stands in the first level, as a node of kind tool if its kind is not
    said, and in `Plan.unknown`. Where a name is that of several nodes, the tool is meant, or else
    the one that was called oftenest.

    Raises:
        BadFilter: too many tools; or *arm* or a weight makes no sense.
    """
    known = known_weights("plan", arm, ARMS, WEIGHTS, weights)
    nodes = _asked(graph, tools)
    return _plan(graph, nodes, _waits(graph, nodes, arm, known), arm=arm, version=version)


def workflow(graph: Graph, capability: str | Node, *, version: int = 0) -> Plan:
    """
    Give the DAG that one capability follows in its runs, by the trigger rule.

    Raises:
        UnknownNode: there is no such capability.
    """
    scope = graph.find(capability)
    children = graph.out("contains").get(scope, {})
    often = sorted(children, key=lambda node: (-graph.count[children[node]], graph.nodes[node]))[:MOST_TOOLS]
    nodes = {node: graph.nodes[node] for node in often}
    return _plan(graph, nodes, trigger_rule(graph, often, within=scope), arm="trigger", version=version)


def _asked(graph: Graph, tools: Sequence[str | Node]) -> dict[int, Node]:
    """What was asked for, once each. What was never seen gets a number of its own, past those of the graph."""
    names = graph.derived("plan.names", _names)
    nodes: dict[int, Node] = {}
    unseen: dict[Node, int] = {}
    for tool in dict.fromkeys(tools):
        found = _find(names, tool)
        if found is None:
            node = _unseen(tool)
            nodes[unseen.setdefault(node, len(graph.nodes) + len(unseen))] = node
        else:
            nodes[found] = graph.nodes[found]
    if len(nodes) > MOST_TOOLS:
        raise BadFilter("tools", f"are {len(nodes)}; ask for at most {MOST_TOOLS} at once")
    return nodes


def _names(graph: Graph) -> dict[Node | str, int]:
    """Nodes by themselves and by their names; the tool of a name, or else what was called oftenest."""
    names: dict[Node | str, int] = {}
    by_rank = sorted(range(len(graph.nodes)), key=lambda at: (graph.nodes[at].kind == "tool", graph.node_count[at]))
    for at in by_rank:
        names[graph.nodes[at].name] = names[graph.nodes[at]] = at
    return names


def _find(names: Mapping[Node | str, int], tool: str | Node) -> int | None:
    if isinstance(tool, str):
        kind, _, name = tool.partition(":")
        found = names.get(Node(short(kind), short(name)))
        return names.get(short(tool)) if found is None else found
    return names.get(Node(short(tool.kind), short(tool.name)))


def _unseen(tool: str | Node) -> Node:
    if isinstance(tool, Node):
        return Node(short(tool.kind), short(tool.name))
    kind, _, name = tool.partition(":")
    return Node(kind, short(name)) if name and kind in KINDS else Node("tool", short(tool))


def _waits(graph: Graph, nodes: Mapping[int, Node], arm: str, weights: Mapping[str, float]) -> Iterable[Wait]:
    if arm == "learned":
        return learned(graph, nodes, weights)
    known = [node for node in nodes if node < len(graph.nodes)]
    if arm == "trigger":
        return trigger_rule(graph, known)
    if arm in ("any", "majority"):
        return follows(graph, known, majority=arm == "majority")
    return by_weight(graph, known, weighted=arm == "fixed")


def _plan(graph: Graph, nodes: Mapping[int, Node], waits: Iterable[Wait], *, arm: str, version: int) -> Plan:
    strongest = sorted(waits, key=lambda wait: (-wait.evidence, nodes[wait.origin], nodes[wait.target]))
    order = Order(nodes)
    kept: list[Wait] = []
    refused: list[Wait] = []
    for wait in strongest:
        (kept if order.add(wait.origin, wait.target) else refused).append(wait)
    in_order = order.sorted()
    needed = reduced(in_order, [(wait.origin, wait.target) for wait in kept])
    return Plan(
        arm=arm,
        arm_version=version,
        levels=tuple(tuple(nodes[node] for node in level) for level in levels(in_order, needed)),
        edges=tuple(_edge(nodes, wait) for wait in kept if (wait.origin, wait.target) in needed),
        refused=tuple(_edge(nodes, wait) for wait in refused[:MOST_REFUSED]),
        unknown=tuple(str(nodes[node]) for node in nodes if node >= len(graph.nodes)),
    )


def _edge(nodes: Mapping[int, Node], wait: Wait) -> PlanEdge:
    return PlanEdge(
        origin=nodes[wait.origin], target=nodes[wait.target], evidence=min(1.0, wait.evidence), reasons=wait.reasons()
    )
