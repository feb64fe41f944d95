"""What is told of traces that are not stored is what the server would have learned from them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from sampled_traffic import MINUTE, MS, SECOND, START_NS, Clock, give, give_trace, span, trace_ids

from clew.ingest.deltas import read_delta
from clew.ingest.direct import DirectWriter
from clew.jobs.learn import LearnJob
from clew.model import Score
from clew.sdk import rollup
from clew.sdk.rollup import OTHER, Rollup
from clew.sdk.sampler import Ready, Sampler
from clew.store import Store, open_store
from clew.store.memory import MemoryStore
from clew.store.protocol import TraceFilter
from clew.wire.deltas import DeltaBody
from clew.wire.native import NativeBody, NativeSpan

WORDS = ("lisbon", "porto", "flight TP1234", "order-99812", "ana@example.org", "a long sentence about trains")


class Server:
    """A store that learns, reached without a network."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self._writer = DirectWriter(self.store)

    def take(self, ready: Ready) -> None:
        if ready:
            self._writer.send(NativeBody(spans=[native for native, _ in ready]))

    def tell(self, body: bytes | None) -> None:
        if body is not None:
            self._writer.send_deltas(body)

    def learned(self) -> dict[str, Any]:
        """Everything that the graph and the percentiles say, but for times of last sight and exemplars."""
        job = LearnJob(self.store, now_ns=lambda: 1 << 62)
        while job.learn_once():
            pass
        window = {"since_ns": START_NS - MINUTE, "until_ns": START_NS + 200 * MINUTE}
        figures = self.store.latency("default", **window, group_by=("kind", "name", "model"))
        return {
            "graph": self.store.graph("default").content(when=False),
            "traces": self.store.graph("default").trace_count,
            "slices": {
                name: self.store.graph_slice("default", [name]).content(when=False)
                for name in self.store.slice_names("default")
            },
            "counts": {
                (each.kind, each.name, each.model): (
                    each.count,
                    each.errors,
                    each.input_tokens,
                    round(each.cost_usd, 6),
                    pytest.approx(each.p95_ms, rel=0.01),
                    pytest.approx(each.mean_ms),
                )
                for each in figures
            },
        }


def some_traffic(seed: int, count: int) -> list[list[NativeSpan]]:
    """Requests with parallel, nested, failing, parentless and late steps, and with values that go from step to step."""
    chance = random.Random(seed)
    traffic = []
    for at in range(count):
        trace_id = f"{chance.getrandbits(128):032x}"
        start_ns = START_NS + at * 3 * SECOND
        spans = [span(trace_id, name=chance.choice(("ask", "book")), start_ns=start_ns, end_ns=start_ns + 900 * MS)]
        for number in range(1, chance.randint(2, 8)):
            began = start_ns + chance.randint(1, 800) * MS
            spans.append(
                span(
                    trace_id,
                    number,
                    parent_id=f"{chance.randint(1, number):016x}" if chance.random() < 0.9 else None,
                    name=f"tool {chance.randint(0, 4)}",
                    kind=chance.choice(("tool", "capability", "generation", "retrieval", "other")),
                    start_ns=began,
                    end_ns=began + chance.choice((0, 5, 90)) * MS,
                    status="error" if chance.random() < 0.03 else "ok",
                    inputs={"city": chance.choice(WORDS), "n": number},
                    outputs=[{"id": chance.choice(WORDS)}] if chance.random() < 0.7 else None,
                    attributes={"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 7, "cost_usd": 0.25},
                )
            )
        chance.shuffle(spans)
        traffic.append(spans)
    return traffic


def in_pieces(traffic: Iterable[list[NativeSpan]], sampler: Sampler, server: Server, clock: Clock, seed: int) -> None:
    """Product mode: with late spans, users who complain, and deltas at any moment."""
    chance = random.Random(seed)
    late: list[NativeSpan] = []
    for spans in traffic:
        for each in spans:
            if each.parent_id is not None and chance.random() < 0.05:
                late.append(each)
            else:
                server.take(give(sampler, each))
        clock.pass_(chance.choice((0, 100 * MS, 4 * SECOND)))
        server.take(sampler.tick(clock()))
        server.tell(sampler.deltas(clock()))
        if late and chance.random() < 0.3:
            server.take(give(sampler, late.pop(0)))
        if chance.random() < 0.1:
            server.take(sampler.score(Score(trace_id=spans[0].trace_id, name="rating", value=0))[0])
    for each in late:
        server.take(give(sampler, each))
    server.take(sampler.drain())
    server.tell(sampler.deltas(clock(), force=True))


@pytest.mark.parametrize("url", ["memory:", "sqlite:///{}/clew.db"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_stored_and_what_is_told_together_are_all_traffic(seed, url, tmp_path):
    """The graph, its slices and the percentiles are those of a server that was sent everything."""
    traffic = some_traffic(seed, 120)
    everything, product, clock = Server(), Server(open_store(url.format(tmp_path))), Clock()
    for spans in traffic:
        everything.take([(each, b"") for each in spans])
    in_pieces(traffic, Sampler(0.1, now_ns=clock), product, clock, seed)

    stored = len(product.store.list_traces("default", where=TraceFilter(), limit=1000).traces)
    assert 0 < stored < 100
    assert product.learned() == everything.learned()
    product.store.close()


def test_the_same_delta_sent_twice_counts_once():
    """The writer sends the same bytes again if no answer came."""
    sampler, server = Sampler(0.0, now_ns=Clock()), Server()
    give_trace(sampler, trace_ids(drawn=False, count=1)[0])
    sampler.drain()
    body = sampler.deltas(START_NS, force=True)
    server.tell(body)
    once = server.learned()
    server.tell(body)
    assert server.learned() == once


def test_nothing_is_told_of_nothing():
    sampler = Sampler(0.0, now_ns=Clock())
    assert sampler.deltas(START_NS, force=True) is None


def test_a_delta_is_due_every_ten_seconds_or_when_somebody_flushes():
    clock = Clock()
    sampler = Sampler(0.0, now_ns=clock)
    give_trace(sampler, f"{1:032x}")
    sampler.drain()
    clock.pass_(9 * SECOND)
    assert sampler.deltas(clock()) is None
    clock.pass_(SECOND)
    assert sampler.deltas(clock()) is not None
    assert sampler.deltas(clock(), force=True) is None


def test_a_delta_is_due_early_when_much_was_counted(monkeypatch):
    """So that each has a bounded size."""
    from clew.sdk import sampler as sampling

    monkeypatch.setattr(sampling, "TELL_SPANS", 30)
    sampler = Sampler(0.0, now_ns=Clock())
    for number in range(1, 11):
        give_trace(sampler, f"{number:032x}")
        sampler.drain()
        body = sampler.deltas(START_NS)
        assert (body is not None) is (number == 10)


def test_no_trace_is_named_that_nobody_can_look_up():
    """An exemplar is a link, and these traces are not stored."""
    sampler = Sampler(0.0, now_ns=Clock())
    give_trace(sampler, f"{7:032x}")
    sampler.drain()
    body = sampler.deltas(START_NS, force=True)
    delta = read_delta(body or b"")
    assert delta.graph.edge_count() > 0
    assert not any(edge.traces for edge in delta.graph.edges())
    assert f"{7:032x}".encode() not in (body or b"")


def test_no_payload_is_in_a_delta():
    """Names of arguments are, as in the graph; values never."""
    sampler = Sampler(0.0, now_ns=Clock())
    give(sampler, span(f"{7:032x}", 1, inputs={"city": "Lisbon-SECRET"}, outputs="a secret SECRET answer"))
    give(sampler, span(f"{7:032x}", 2, inputs={"text": "a secret SECRET answer"}, attributes={"key": "SECRET"}))
    give(sampler, span(f"{7:032x}"))
    sampler.drain()
    body = sampler.deltas(START_NS, force=True) or b""
    assert b"city" in body
    assert b"SECRET" not in body


def test_names_beyond_a_limit_are_counted_together(monkeypatch):
    """Whoever puts a user's id into a span's name makes as many operations as there are users."""
    monkeypatch.setattr(rollup, "MOST_NAMES", 20)
    sampler = Sampler(0.0, now_ns=Clock())
    for number in range(1, 101):
        give_trace(sampler, f"{number:032x}", 1, name=f"user {number}", attributes={"model": f"m{number}"})
    sampler.drain()
    delta = msgspec.msgpack.decode(sampler.deltas(START_NS, force=True) or b"", type=DeltaBody)
    assert sum(row.count for row in delta.metrics) == 200
    assert len({row.name for row in delta.metrics}) == 21
    assert len({row.model for row in delta.metrics}) == 22
    [others] = [node for node in read_delta(msgspec.msgpack.encode(delta)).graph.nodes if node.name == OTHER]
    assert others.kind == "root"


def test_names_stay_counted_together_when_they_are_taken_back(monkeypatch):
    monkeypatch.setattr(rollup, "MOST_NAMES", 3)
    sampler, server = Sampler(0.0, now_ns=Clock()), Server()
    for number in range(1, 11):
        give_trace(sampler, f"{number:032x}", 0, name=f"user {number}")
    sampler.drain()
    server.tell(sampler.deltas(START_NS, force=True))
    for number in range(1, 11):
        sampler.score(Score(trace_id=f"{number:032x}", name="rating", value=0))
    server.tell(sampler.deltas(START_NS, force=True))
    assert server.learned()["counts"] == {}
    assert server.learned()["graph"] == MemoryStore().graph("default").content(when=False)


def test_under_load_the_dataflow_is_looked_at_for_some_and_the_edges_count_for_all(monkeypatch):
    """With large prompts it costs twice as much as all the rest."""
    monkeypatch.setattr(rollup, "FLOWS_OF_AN_OPERATION", 5)
    sampler, server = Sampler(0.0, now_ns=Clock()), Server()
    for number in range(1, 21):
        trace_id = f"{number:032x}"
        give(sampler, span(trace_id, 1, outputs={"id": "order-99812"}))
        give(
            sampler,
            span(trace_id, 2, start_ns=START_NS + 20 * MS, end_ns=START_NS + 21 * MS, inputs={"id": "order-99812"}),
        )
        give(sampler, span(trace_id))
    sampler.drain()
    server.tell(sampler.deltas(START_NS, force=True))
    graph = server.store.graph("default")
    counts = {(edge.origin.name, edge.target.name, edge.type): edge.count for edge in graph.edges()}
    assert counts == {
        ("ask", "step 1", "contains"): 20,
        ("ask", "step 2", "contains"): 20,
        ("step 1", "step 2", "sequence"): 20,
        ("step 1", "step 2", "provides"): 5,
    }
    assert {episode.count for episode in graph.episodes()} == {5}
    for number in range(1, 21):
        sampler.score(Score(trace_id=f"{number:032x}", name="rating", value=0))
    server.tell(sampler.deltas(START_NS, force=True))
    assert server.store.graph("default").content(when=False) == MemoryStore().graph("default").content(when=False)


def test_a_trace_that_trips_the_learner_still_counts_in_the_percentiles(monkeypatch):
    from clew.graph import reading
    from clew.sdk.outbox import outbox

    outbox.forget_complaints()
    monkeypatch.setattr(reading, "calls_of", lambda *_, **__: 1 / 0)
    sums = Rollup()
    packed = [msgspec.msgpack.encode(span(f"{1:032x}"))]
    sums.add(sums.read(packed, at_ns=START_NS))
    delta = read_delta(sums.take() or b"")
    assert [tally.count for tally in delta.minutes.values()] == [1]
    assert not delta.graph.nodes
    [complaint] = outbox.complaints
    assert "left out of the graph" in complaint
    outbox.forget_complaints()


def test_the_graph_needs_nothing_but_msgspec_and_is_loaded_when_it_is_needed():
    """The SDK has one dependency, and `import clew` is quick."""
    code = """
import sys
class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("clew", "msgspec"):
            raise ImportError(f"{name} is not to be loaded")
sys.meta_path.insert(0, Only())
import clew, clew.sdk.setup
assert not any(name.startswith(("clew.graph", "clew.wire.conventions", "clew.wire.deltas")) for name in sys.modules)
from clew.sdk.sampler import Sampler
from clew.wire.native import NativeSpan
import msgspec
span = NativeSpan(trace_id="1" * 32, span_id="1" * 16, name="ask", start_ns=10**18, end_ns=10**18 + 5)
sampler = Sampler(0.0)
sampler.take(span, msgspec.msgpack.encode(span), is_root=True, kept=False)
sampler.drain()
assert sampler.deltas(0, force=True)
assert "clew.graph" in sys.modules
assert not any(name.startswith(("clew.store", "clew.server", "clew.ingest", "clew.query")) for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
