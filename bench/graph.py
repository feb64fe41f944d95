"""
Measure the execution graph: how fast it learns, answers and is saved, and how large it is.

On one core and in this process, beside networkx and rustworkx in processes of their own. The graph
that is asked was learned from made-up runs (`graph_made`); CLEW_BENCH_DATA may name a folder of
recorded traces whose learning is measured too.
"""

from __future__ import annotations

import gc
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import graph_made, peers
from bench.graph_made import Wide, as_spans, edge_list, nested, rag_traces, sample_pairs
from bench.places import scratch
from bench.report import Figure, Section, percentile
from clew.graph import Context, Graph, TraceCalls, learn, learn_into
from clew.graph.evaluate_order import FalseEdges, false_edges
from clew.graph.paths import path
from clew.graph.plan import plan
from clew.graph.reading import calls_of
from clew.graph.recorded import read_data
from clew.graph.search import search
from clew.graph.similarity import similar
from clew.graph.suggest import suggest
from clew.store import open_store
from clew.store.protocol import Lesson

PEERS = ("networkx", "rustworkx")
LEARN_WANTED = 200_000
UPSERT_WANTED_MS = 10
WANTED_MS = {"suggest": 2, "path": 10, "similar": 5, "plan of 20 tools": 50}
EDGE_WANTED_BYTES = 100
UPSERTED = 1_000
ROUNDS = 5


def measure(*, nodes: int, edges: int, asks: int, traces: int) -> Section:
    """Learn, ask, upsert, weigh; then the peers."""
    figures, raw = learning(traces)
    wide = Wide(nodes)
    say(f"learning {edges:,} edges")
    graph = wide.graph(edges)
    took, first_ms = asking(graph, wide, asks)
    figures += [answered(name, took[name], wanted) for name, wanted in WANTED_MS.items()]
    figures += [afresh(graph, wide), saving(wide), weight(graph)]
    figures += beside(graph, asks, raw)
    figures += false_share(nested(300))
    columns = ("question, ms", "first", "p50", "p95", "max")
    rows = [
        (name, *(f"{value:.2f}" for value in (first_ms[name], percentile(ms, 0.5), percentile(ms, 0.95), max(ms))))
        for name, ms in took.items()
    ]
    title = (
        f"The execution graph: {len(graph.nodes):,} nodes, {graph.edge_count():,} edges, "
        f"{graph.episode_count():,} ways, from {graph.trace_count:,} traces"
    )
    return Section(title, figures, columns, rows, {**raw, "took_ms": took})


def say(what: str) -> None:
    print(f"graph: {what}", file=sys.stderr, flush=True)


# --- learning ------------------------------------------------------------------------------------


def learning(count: int) -> tuple[list[Figure], dict[str, Any]]:
    """Spans learned a second: from calls, from spans, and of recorded traces if there are any."""
    made = rag_traces(count)
    spans = [(trace.trace_id, as_spans(trace)) for trace in made[: count // 4]]
    sets: dict[str, Callable[[], tuple[int, Graph]]] = {
        "learned from calls, RAG requests": lambda: _learn(made),
        "learned from spans, RAG requests": lambda: _learn([calls_of(*each) for each in spans]),
    }
    folder = os.environ.get("CLEW_BENCH_DATA")
    for file in sorted(Path(folder).glob("*.jsonl*")) if folder else ():
        recorded = [trace.calls for trace in read_data(file.read_bytes())]
        sets[f"learned from calls, {file.name.partition('.')[0]}"] = lambda recorded=recorded: _learn(recorded)
    figures, raw = [], {}
    for name, work in sets.items():
        say(name)
        raw[name] = [_rate(work) for _ in range(ROUNDS)]
        best = percentile(raw[name], 0.5)
        met = best >= LEARN_WANTED if "RAG" in name else None
        target = f"at least {LEARN_WANTED:,}" if "RAG" in name else ""
        figures.append(Figure(name, f"{best:,.0f} spans/s", target=target, met=met))
    return figures, raw


def _learn(traces: Sequence[TraceCalls]) -> tuple[int, Graph]:
    graph = Graph()
    for trace in traces:
        learn_into(graph, trace)
    return sum(len(trace.calls) for trace in traces), graph


def _rate(work: Callable[[], tuple[int, Graph]]) -> float:
    gc.collect()
    begun = time.thread_time()
    count, _ = work()
    return count / (time.thread_time() - begun)


# --- asking --------------------------------------------------------------------------------------


def asking(graph: Graph, wide: Wide, asks: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds of each ask, and of the very first of each question, which derives what it needs."""
    draw = random.Random(5)
    contexts = [_context(wide.run(draw.randrange(wide.capabilities)), draw) for _ in range(asks)]
    nodes = [graph.nodes[at] for at in draw.choices(range(len(graph.nodes)), k=asks)]
    ways = [[graph.nodes[end] for end in pair] for pair in sample_pairs(_walked(graph), asks)]
    sets = [_tools(graph, wide, draw) for _ in range(asks)]
    texts = [" ".join(draw.choice(nodes).name.split()[:2]) for _ in range(asks)]
    questions: dict[str, list[Callable[[], Any]]] = {
        "suggest": [lambda context=context: suggest(graph, context, k=5) for context in contexts],
        "path": [lambda way=way: path(graph, *way, k=3) for way in ways],
        "similar": [lambda node=node: similar(graph, node, k=5) for node in nodes],
        "plan of 20 tools": [lambda tools=tools: plan(graph, tools) for tools in sets],
        "search": [lambda text=text: search(graph, text, k=5) for text in texts],
    }
    took, first_ms = {}, {}
    for name, each in questions.items():
        say(name)
        gc.collect()
        first_ms[name] = _ms(each[0])
        took[name] = [_ms(ask) for ask in each]
    return took, first_ms


def _context(trace: TraceCalls, draw: random.Random) -> Context:
    """A run of which a part has come."""
    return Context(calls=trace.calls[: draw.randrange(1, len(trace.calls))], parent_id=trace.calls[0].call_id)


def _walked(graph: Graph) -> list[int]:
    """Nodes that something follows: from the others no way leads."""
    return [node for node in graph.out("sequence") if graph.out("sequence")[node]]


def _tools(graph: Graph, wide: Wide, draw: random.Random) -> list[str]:
    """Half of one capability's tools and half of another's, as many as there are of 20."""
    known = {node.name for node in graph.nodes}
    two = draw.sample(range(wide.capabilities), 2)
    tools = [tool for capability in two for tool in wide.tools_of(capability) if tool in known]
    return [f"tool:{tool}" for tool in draw.sample(sorted(set(tools)), min(20, len(set(tools))))]


def _ms(work: Callable[[], Any], clock: Callable[[], float] = time.thread_time) -> float:
    """Milliseconds of this thread's processor time: what it takes where nothing else runs."""
    begun = clock()
    work()
    return (clock() - begun) * 1e3


def answered(name: str, took_ms: list[float], wanted: int) -> Figure:
    """One question, at p95."""
    p95 = percentile(took_ms, 0.95)
    return Figure(f"{name}, p95", f"{p95:.2f} ms", target=f"under {wanted} ms", met=p95 < wanted)


def afresh(graph: Graph, wide: Wide) -> Figure:
    """A suggestion right after a trace was learned: what was derived of the graph may have to be derived anew."""
    draw, took = random.Random(8), []
    for _ in range(20):
        graph.merge(learn(wide.run(draw.randrange(wide.capabilities))))
        context = _context(wide.run(draw.randrange(wide.capabilities)), draw)
        took.append(_ms(lambda context=context: suggest(graph, context, k=5)))
    return Figure("suggest right after a trace was learned, p95", f"{percentile(took, 0.95):.2f} ms")


# --- saving, weighing ----------------------------------------------------------------------------


def saving(wide: Wide) -> Figure:
    """Upsert 1,000 edges in SQLite, durably: first new, then known ones; the median of all."""
    say(f"saving {UPSERTED:,} edges")
    took = []
    with scratch("graph") as directory:
        store = open_store(f"sqlite:///{directory}/graph.db")
        try:
            for _ in range(2 * ROUNDS):
                lesson = Lesson(project="bench", delta=_delta(wide), traces=[])
                took.append(_ms(lambda lesson=lesson: store.save_lesson(lesson), time.perf_counter))
        finally:
            store.close()
    middle = percentile(took, 0.5)
    what = f"{UPSERTED:,} edges upserted in SQLite, durably"
    return Figure(what, f"{middle:.1f} ms", target=f"under {UPSERT_WANTED_MS} ms", met=middle < UPSERT_WANTED_MS)


def _delta(wide: Wide) -> Graph:
    """A thousand different edges and nothing else."""
    draw, graph = random.Random(len(wide.tools)), Graph()
    ids = [graph.node(graph_made.tool(name)) for name in wide.tools[:500]]
    while graph.edge_count() < UPSERTED:
        row = graph.row(*draw.sample(ids, 2), "sequence")
        graph.count_edge(row, count=1, heat=1, last_ns=graph_made.BEGUN_NS)
    return graph


def weight(graph: Graph) -> Figure:
    """Bytes of an edge with its counters and exemplars, beyond a dict of dicts with a number for each edge."""
    say("weighing")

    def whole() -> Graph:
        copy = Graph()
        copy.merge(graph)
        return copy

    def without_edges() -> Graph:
        copy = Graph()
        for node in graph.nodes:
            copy.node(node)
        for episode in graph.episodes():
            copy.count_episode(episode)
        return copy

    def bare() -> Any:
        out: dict[str, dict[int, dict[int, int]]] = {}
        for row in graph.rows():
            origin, target, type_ = graph.ends(row)
            out.setdefault(type_, {}).setdefault(origin, {})[target] = row
        return out

    edges, bare_bytes = graph.edge_count(), _weigh(bare)
    each = (_weigh(whole) - _weigh(without_edges) - bare_bytes) / edges
    return Figure(
        "memory of an edge beyond a dict of dicts",
        f"{each:.0f} bytes",
        f"dict of dicts {bare_bytes / edges:.0f} bytes",
        target=f"under {EDGE_WANTED_BYTES} bytes",
        met=each < EDGE_WANTED_BYTES,
    )


def _weigh(make: Callable[[], Any]) -> int:
    gc.collect()
    tracemalloc.start()
    kept = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return size


# --- the peers -----------------------------------------------------------------------------------


def beside(graph: Graph, asks: int, raw: dict[str, Any]) -> list[Figure]:
    """Path, Adamic-Adar and upserts on the same sequence edges, each library in its own process."""
    pairs, nodes = sample_pairs(_walked(graph), asks), random.Random(5).choices(_walked(graph), k=asks)
    edges = edge_list(graph)
    added = [
        [(origin, target, 1) for origin, target in sample_pairs(_walked(graph), UPSERTED, seed=seed)]
        for seed in range(ROUNDS)
    ]
    alone = _alone(graph, edges)
    own = {
        "path": [_ms(lambda way=way: _way(alone, way)) for way in pairs],
        "similar": [_ms(lambda node=node: similar(alone, alone.nodes[node], k=10, arm="adamic")) for node in nodes],
        "upsert": [_ms(lambda batch=batch: _upsert(alone, batch)) for batch in added],
    }
    theirs = {peer: _ask_peer(peer, {"edges": edges, "added": added, "pairs": pairs, "nodes": nodes}) for peer in PEERS}
    raw["beside"] = {"clew": own, **theirs}
    names = {
        "path": "likeliest way of one pair, p50",
        "similar": "Adamic-Adar, the 10 best, p50",
        "upsert": f"{UPSERTED:,} edges upserted in memory",
    }
    return [compared(names[question], percentile(own[question], 0.5), theirs, question) for question in names]


def _alone(graph: Graph, edges: Sequence[tuple[int, int, int]]) -> Graph:
    """The graph with those edges alone, its nodes numbered as before."""
    alone = Graph()
    for node in graph.nodes:
        alone.node(node)
    for origin, target, count in edges:
        alone.count_edge(alone.row(origin, target, "sequence"), count=count, heat=count)
    path(alone, alone.nodes[edges[0][0]], alone.nodes[edges[0][1]], k=1, arm="likely")
    return alone


def _way(graph: Graph, pair: tuple[int, int]) -> Any:
    return path(graph, graph.nodes[pair[0]], graph.nodes[pair[1]], k=1, arm="likely")


def _upsert(graph: Graph, added: Sequence[tuple[int, int, int]]) -> None:
    for origin, target, count in added:
        graph.count_edge(graph.row(origin, target, "sequence"), count=count)


def _ask_peer(peer: str, task: dict[str, Any]) -> dict[str, Any]:
    say(peer)
    script = Path(__file__).with_name("graph_peers.py")
    with scratch("peer") as directory:
        file = directory / "task.json"
        file.write_text(json.dumps(task))
        done = subprocess.run(
            [str(peers.python(peer)), str(script), peer, str(file)], check=True, stdout=subprocess.PIPE
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def compared(what: str, own_ms: float, theirs: dict[str, dict[str, Any]], question: str) -> Figure:
    """One figure beside each peer that has the question; the ratio is the peer's time over Clew's."""
    shown, ratios = [], []
    for peer, answer in theirs.items():
        took = percentile(answer[question], 0.5)
        if answer[question]:
            shown.append(f"{peer} {took:.2f} ms")
            ratios.append(f"{took / own_ms:.1f}x")
    return Figure(what, f"{own_ms:.2f} ms", ", ".join(shown), ", ".join(ratios))


# --- false edges ---------------------------------------------------------------------------------


def false_share(traces: Sequence[TraceCalls]) -> list[Figure]:
    """Of nested traces: how much of a chronological graph is false, and how much of Clew's."""
    found: FalseEdges = false_edges(traces)
    wrong = 1 - found.relations.get("in sequence", 0.0)
    own = found.clew_false / found.clew
    figures = [
        Figure(
            "false edges, nested traces",
            f"{100 * own:.1f} %",
            f"chronological {100 * wrong:.1f} %",
            target="0 %",
            met=own == 0,
        )
    ]
    return figures + [
        Figure(f"    chronological edges: {relation}", "", f"{100 * share:.1f} %")
        for relation, share in found.relations.items()
    ]
