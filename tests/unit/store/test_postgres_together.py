"""Several processes on one database: none loses, doubles or waits for ever."""

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clew.jobs.learn import LearnJob
from clew.model import Batch, Flag, Score
from clew.store import open_store
from clew.store.memory import MemoryStore
from clew.store.postgres.statements import Statements
from clew.store.protocol import TraceFilter
from clew.testing.store_contract import DAY_NS, START_NS, a_span, a_trace_id, answers, ids, put
from clew.testing.store_contract_graph import a_graph, due, learned_at_once

TRACES, SPANS = 40, 4


@pytest.fixture
def stores(postgres_schema):
    """Three, as three servers would open them."""
    opened = [open_store(postgres_schema) for _ in range(3)]
    yield opened
    for store in opened:
        store.close()


def everything():
    return [a_span(trace, number, kind="tool", inputs="Paris") for trace in range(TRACES) for number in range(SPANS)]


def write_shuffled(store, seed):
    """All spans, in an order of its own, a few at a time."""
    spans = everything()
    random.Random(seed).shuffle(spans)
    return [put(store, *spans[at : at + 20]) for at in range(0, len(spans), 20)]


def test_servers_that_write_the_same_at_once_store_it_once(stores):
    """Clients send again elsewhere: the same spans come to two servers in one moment, in other orders."""
    with ThreadPoolExecutor(len(stores)) as pool:
        written = [each for some in pool.map(write_shuffled, stores, range(3)) for each in some]

    assert sum(each.spans for each in written) == TRACES * SPANS
    reference = MemoryStore()
    put(reference, *everything())
    assert answers(stores[0], "default") == answers(reference, "default")
    assert stores[1].stats()["spans"] == TRACES * SPANS
    assert stores[1].stats()["traces"] == TRACES


def test_a_score_and_its_trace_that_come_at_once_find_each_other(stores):
    """Neither sees the other before it commits; whoever is second must see the first."""
    together = threading.Barrier(2)

    def judge():
        for trace in range(TRACES):
            together.wait()
            put(stores[0], scores=[Score(trace_id=a_trace_id(trace), name="rating", value=0, best=5)])

    judging = threading.Thread(target=judge)
    judging.start()
    for trace in range(TRACES):
        together.wait()
        put(stores[1], a_span(trace))
    judging.join()

    assert len(ids(stores[2], TraceFilter(flag=Flag.USER_NEGATIVE))) == TRACES


def test_a_commit_of_new_traces_waits_for_one_answer_and_its_end(stores, monkeypatch):
    """Each wait is a round trip, and lets a thread that prepares the next batch take the interpreter."""
    put(stores[0], a_span(0, kind="tool"))
    waited = []
    for ask in ("rows", "row", "value"):
        monkeypatch.setattr(Statements, ask, _noted(getattr(Statements, ask), waited))
    put(stores[0], *(a_span(trace, kind="tool") for trace in range(1, 20)))
    assert waited == ["claim_traces"]


def _noted(ask, names):
    def noted(self, name, /, **values):
        names.append(name)
        return ask(self, name, **values)

    return noted


def test_each_writer_has_a_part_of_the_counts_to_itself(stores):
    """No row is added to by two, so none waits for another's commit."""
    for number, store in enumerate(stores):
        put(store, a_span(number, kind="tool"))
    assert sorted(store._part for store in stores) == [0, 1, 2]
    [latency] = stores[0].latency("default", since_ns=START_NS, until_ns=START_NS + DAY_NS)
    assert latency.count == 3
    assert stores[0].projects() == ["default"]


def test_a_part_is_free_again_when_its_writer_has_gone(stores, postgres_schema):
    """Also if it was killed: the lock is the connection's."""
    put(stores[0], a_span())
    part = stores[0]._part
    stores[0].close()
    again = open_store(postgres_schema)
    assert again._part == part
    again.close()


def test_one_server_learns_and_the_next_takes_over(stores):
    """Learning the same twice would be refused, and is work for nothing."""
    first, second, _ = stores
    put(second, a_span(0))
    assert [trace.trace_id for trace in due(first)] == [a_trace_id(0)]
    assert due(second) == []
    first.close()
    assert [trace.trace_id for trace in due(second)] == [a_trace_id(0)]


def test_learning_beside_writing_learns_each_trace_once_and_whole(stores):
    """Spans come to one server while another learns what came before them."""
    learner = LearnJob(stores[0], now_ns=lambda: 1 << 62, quiet_s=0.0)
    with ThreadPoolExecutor(2) as pool:
        writing = [pool.submit(write_shuffled, store, seed) for seed, store in enumerate(stores[1:])]
        while not all(each.done() for each in writing):
            learner.learn_once()
        for each in writing:
            each.result()
    while due(stores[0]):
        learner.learn_once()

    graph = stores[2].graph("default")
    traces = [[a_span(trace, number, kind="tool") for number in range(SPANS)] for trace in range(TRACES)]
    assert graph.trace_count == TRACES
    assert _calls_of(graph) == _calls_of(learned_at_once(traces))


def _calls_of(graph):
    return {node: graph.node_count[at] for at, node in enumerate(graph.nodes)}


def test_deltas_from_several_servers_add_up(stores):
    """The same nodes, named in other orders, by many at once."""

    def apply(number):
        names = random.Random(number).sample("abcdef", 6)
        delta = a_graph(*itertools.pairwise(names))
        return stores[number % 3].apply_delta("default", str(number), delta, {"day:1": delta})

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(apply, range(30)))
    graph = stores[0].graph("default")
    assert sum(graph.count) == 30 * 5
    assert stores[0].graph_version("default") == 30


def test_a_new_project_may_be_named_by_several_at_once(stores):
    """Its name is written once."""
    with ThreadPoolExecutor(3) as pool:
        for number in range(5):
            spans = [Batch(project=f"p{number}", spans=[a_span(each)]) for each in range(3)]
            list(pool.map(lambda pair: pair[0].write([pair[1]]), zip(stores, spans, strict=True)))
    assert stores[0].projects() == [f"p{number}" for number in range(5)]
    assert len(ids(stores[0], project="p3")) == 3
