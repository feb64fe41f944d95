"""
Made-up traces for the graph: RAG requests, a wide service of many tools, and nested work that overlaps.

All are drawn from a seed. Real habits differ from chance: of what may come next some is likelier.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from clew.graph import Call, Graph, TraceCalls, learn_into
from clew.model import Span
from clew.model.graph import Node

MS = 1_000_000
BEGUN_NS = 1_795_163_400_000_000_000
CAPABILITIES = 1_000
TOOLS_OF_ONE = 20
NEXT_OF_ONE = 5
STEPS = 8


def rag_traces(count: int, seed: int = 1) -> list[TraceCalls]:
    """Requests of 8 spans; the retrievers run side by side, now and then one step fails or is left out."""
    draw = random.Random(seed)
    return [TraceCalls(trace_id=f"{number:032x}", calls=list(_rag(draw, number))) for number in range(count)]


def _rag(draw: random.Random, number: int) -> Iterator[Call]:
    at = BEGUN_NS + number * 20 * MS

    def call(name: str, kind: str, parent: str | None, start: int, took_ms: float) -> Call:
        return Call(
            call_id=f"{number:x}.{name}", parent_id=parent, kind=kind, name=name, start_ns=start,
            end_ns=start + int(took_ms * MS), ok=draw.random() > 0.01,
        )  # fmt: skip

    root = f"{number:x}.POST /query"
    yield call("POST /query", "root", None, at, 900)
    yield call("classify", "classification", root, at + MS, draw.uniform(3, 9))
    yield call("embed", "embedding", root, at + 10 * MS, draw.uniform(5, 30))
    retrieval = call("retrieve", "retrieval", root, at + 50 * MS, draw.uniform(60, 90))
    yield retrieval
    for retriever in ("bm25", "dense", "fresh"):
        if draw.random() < 0.95:
            start = at + int((51 + draw.uniform(0, 3)) * MS)
            yield call(retriever, "retrieval", retrieval.call_id, start, draw.uniform(5, 50))
    model = draw.choices(("large model", "small model"), (4, 1))[0]
    yield call(model, "generation", root, at + 150 * MS, draw.uniform(200, 700))


def as_spans(trace: TraceCalls) -> list[Span]:
    """Give a trace as the spans that it was read from."""
    ids = {call.call_id: f"{at:016x}" for at, call in enumerate(trace.calls, start=1)}
    return [
        Span(
            trace_id=trace.trace_id,
            span_id=ids[call.call_id],
            parent_id=ids.get(call.parent_id or ""),
            name=call.name,
            kind=call.kind,
            start_ns=call.start_ns,
            end_ns=call.end_ns,
            status="ok" if call.ok else "error",
        )
        for call in trace.calls
    ]


def tool(name: str) -> Node:
    """The node of a tool."""
    return Node("tool", name)


class Wide:
    """A thousand capabilities with twenty tools each, of nine thousand; who has habits in each."""

    def __init__(self, nodes: int, seed: int = 2) -> None:
        self._draw = random.Random(seed)
        self.capabilities = max(1, nodes * CAPABILITIES // 10_000)
        tools = [f"{verb} {noun} {at}" for at in range(nodes) for verb, noun in [self._words()]]
        self.tools = tools[: nodes - self.capabilities]
        self._habits = [self._habit(at) for at in range(self.capabilities)]
        self._made = 0

    def _words(self) -> tuple[str, str]:
        verbs = ("find", "book", "cancel", "list", "send", "update", "check", "read")
        nouns = ("flight", "order", "invoice", "message", "user", "payment", "file", "report", "ticket", "room")
        return self._draw.choice(verbs), self._draw.choice(nouns)

    def _habit(self, at: int) -> dict[str, list[str]]:
        """For each tool of a capability what may come next. Each tool of all belongs somewhere."""
        whole = len(self.tools) // self.capabilities
        own = self.tools[at * whole : (at + 1) * whole]
        mine = [*own, *self._draw.sample(self.tools, max(0, TOOLS_OF_ONE - len(own)))][:TOOLS_OF_ONE]
        return {tool: self._draw.sample(mine, NEXT_OF_ONE) for tool in mine}

    def tools_of(self, capability: int) -> list[str]:
        """The tools of one capability."""
        return list(self._habits[capability])

    def run(self, capability: int) -> TraceCalls:
        """One run: eight steps, most of them as usual; outputs are now and then used by the next."""
        habit, draw = self._habits[capability], self._draw
        self._made += 1
        at = BEGUN_NS + self._made * 1000 * MS
        root = Call(call_id="0", kind="capability", name=f"capability {capability}", start_ns=at, end_ns=at + 999 * MS)
        calls, tool = [root], draw.choice(list(habit))
        for step in range(1, STEPS + 1):
            start = at + 100 * step * MS
            provided = (str(step - 1),) if step > 1 and draw.random() < 0.2 else ()
            calls.append(
                Call(
                    call_id=str(step),
                    parent_id="0",
                    kind="tool",
                    name=tool,
                    start_ns=start,
                    end_ns=start + draw.randrange(1, 90) * MS,
                    ok=draw.random() > 0.02,
                    provider_ids=provided,
                )
            )
            tool = draw.choices(habit[tool], (8, 4, 2, 1, 1))[0]
        return TraceCalls(trace_id=f"{self._made:032x}", calls=calls)

    def graph(self, edges: int) -> Graph:
        """Learn runs of every capability until there are so many edges."""
        graph = Graph()
        while graph.edge_count() < edges:
            before = graph.edge_count()
            for capability in range(self.capabilities):
                learn_into(graph, self.run(capability))
            if graph.edge_count() - before < edges // 1000:
                break
        return graph


def nested(count: int, seed: int = 4) -> list[TraceCalls]:
    """Traces four levels deep, where what is called together runs side by side more often than not."""
    draw = random.Random(seed)
    return [TraceCalls(trace_id=f"{number:032x}", calls=_nested(draw)) for number in range(count)]


def _nested(draw: random.Random) -> list[Call]:
    calls: list[Call] = []

    def call(name: str, parent: str | None, start: int, depth: int) -> int:
        own = Call(call_id=str(len(calls)), parent_id=parent, kind="capability", name=name, start_ns=start)
        calls.append(own)
        end = start + draw.randrange(2, 9)
        if depth < 4:
            moment = start + 1
            for child in draw.sample(range(6), draw.randrange(1, 4)):
                ended = call(f"{name}/{child}", own.call_id, moment, depth + 1)
                end = max(end, ended + 1)
                if draw.random() < 0.4:  # Otherwise the next one begins beside it.
                    moment = ended
        own.end_ns = end
        return end

    call("entry", None, 0, 1)
    return calls


def edge_list(graph: Graph) -> list[tuple[int, int, int]]:
    """The sequence edges as (origin, target, count): what another library is given."""
    ends = ((*graph.ends(row)[:2], graph.count[row]) for row in graph.rows() if graph.ends(row)[2] == "sequence")
    return [edge for edge in ends if edge[0] != edge[1]]


def sample_pairs(nodes: Sequence[int], count: int, seed: int = 6) -> list[tuple[int, int]]:
    """Two different nodes, again and again."""
    draw = random.Random(seed)
    return [tuple(draw.sample(nodes, 2)) for _ in range(count)]  # type: ignore[misc]
