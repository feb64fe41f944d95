"""
The same questions to another graph library. Runs in that library's own environment.

`python graph_peers.py networkx|rustworkx FILE`: FILE holds the edges with their counts, those to
be added, and what is asked, as JSON. Prints milliseconds of processor time as JSON.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from pathlib import Path


def main() -> None:
    task = json.loads(Path(sys.argv[2]).read_text())
    totals: dict[int, int] = {}
    for origin, _, count in task["edges"]:
        totals[origin] = totals.get(origin, 0) + count
    # The way that is asked for is the likeliest one: costs are -log P.
    costs = [(origin, target, math.log(totals[origin] / count)) for origin, target, count in task["edges"]]
    print(json.dumps({"networkx": networkx, "rustworkx": rustworkx}[sys.argv[1]](task, costs)))


def networkx(task, costs):
    import networkx as nx

    graph = nx.DiGraph()
    begun = time.thread_time()
    for (origin, target, cost), (_, _, count) in zip(costs, task["edges"], strict=True):
        graph.add_edge(origin, target, weight=cost, count=count)
    build_ms = (time.thread_time() - begun) * 1e3
    around = graph.to_undirected()

    def upsert(added):
        for origin, target, count in added:
            if graph.has_edge(origin, target):
                graph[origin][target]["count"] += count
            else:
                graph.add_edge(origin, target, count=count, weight=1.0)

    def path(pair):
        with contextlib.suppress(nx.NetworkXNoPath):
            nx.bidirectional_dijkstra(graph, *pair, weight="weight")

    def similar(node):
        two_away = {far for near in around[node] for far in around[near]} - set(around[node]) - {node}
        scored = nx.adamic_adar_index(around, ((node, far) for far in two_away))
        sorted(scored, key=lambda each: -each[2])[:10]

    ways, alike = each_ms(path, task["pairs"]), each_ms(similar, task["nodes"])
    return {"build": build_ms, "path": ways, "similar": alike, "upsert": each_ms(upsert, task["added"])}


def rustworkx(task, costs):
    import rustworkx as rx

    graph = rx.PyDiGraph(multigraph=False)
    begun = time.thread_time()
    graph.add_nodes_from(range(1 + max(max(origin, target) for origin, target, _ in costs)))
    graph.add_edges_from(costs)
    build_ms = (time.thread_time() - begun) * 1e3

    def path(pair):
        rx.dijkstra_shortest_paths(graph, pair[0], target=pair[1], weight_fn=float)

    def upsert(added):
        for origin, target, count in added:
            if graph.has_edge(origin, target):
                graph.update_edge(origin, target, graph.get_edge_data(origin, target) + count)
            else:
                graph.add_edge(origin, target, float(count))

    # It has no Adamic-Adar.
    return {
        "build": build_ms,
        "path": each_ms(path, task["pairs"]),
        "similar": [],
        "upsert": each_ms(upsert, task["added"]),
    }


def each_ms(ask, questions):
    took = []
    for question in questions:
        begun = time.thread_time()
        ask(question)
        took.append((time.thread_time() - begun) * 1e3)
    return took


if __name__ == "__main__":
    main()
