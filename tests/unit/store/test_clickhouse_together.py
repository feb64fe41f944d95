"""Several processes on one ClickHouse store: one learns, and if two do, it counts once all the same."""

import random
import threading
import time

import pytest

from clew.errors import StoreUnavailable
from clew.jobs.learn import LearnJob
from clew.store import open_store
from clew.store.clickhouse.connect import Servers
from clew.store.clickhouse.graph_lead import LEASE_S, RENEW_S, Lead
from clew.testing.store_contract import a_span, a_trace_id, put
from clew.testing.store_contract_graph import due, learn_all, learned_at_once

TRACES, SPANS = 12, 4


@pytest.fixture
def stores(clickhouse_database):
    """Three, as three servers would open them."""
    opened = [open_store(clickhouse_database) for _ in range(3)]
    yield opened
    for store in opened:
        store.close()


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_one_server_learns_and_the_next_takes_over(stores):
    """Nobody has to say which one: learning the same twice would be refused, and is work for nothing."""
    first, second, _ = stores
    put(second, a_span(0))
    assert [trace.trace_id for trace in due(first)] == [a_trace_id(0)]
    assert due(second) == []
    first.close()
    second._lead._ask_at_s = 0
    assert [trace.trace_id for trace in due(second)] == [a_trace_id(0)]


def test_a_leader_that_was_killed_is_followed_and_one_that_lives_is_not(stores):
    """By the follower's own clock: those of two machines may differ by hours."""
    clocks = [Clock(), Clock()]
    clocks[1].now_s = 1e9
    leader, follower = (Lead(store._servers, clock=clock) for store, clock in zip(stores, clocks, strict=False))
    assert (leader.leads(), follower.leads()) == (True, False)
    for _ in range(int(3 * LEASE_S / RENEW_S)):
        for clock in clocks:
            clock.now_s += RENEW_S
        assert (leader.leads(), follower.leads()) == (True, False)
    clocks[1].now_s += LEASE_S - RENEW_S
    assert follower.leads() is False
    clocks[1].now_s += RENEW_S
    assert follower.leads() is True
    clocks[0].now_s += LEASE_S
    assert (leader.leads(), follower.leads()) == (False, True)


def test_of_many_that_would_lead_at_once_one_does(stores):
    """All see that nobody leads, and all take the same term."""
    leads = [Lead(store._servers) for store in stores for _ in range(3)]
    together, found = threading.Barrier(len(leads)), []

    def ask(lead):
        together.wait(30)
        found.append(lead.leads())

    threads = [threading.Thread(target=ask, args=(lead,)) for lead in leads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * (len(leads) - 1) + [True]


def test_a_learner_that_looks_into_the_middle_of_a_write_leaves_the_trace_due(stores, monkeypatch):
    """What is due is told first, then shown: who looks between must not take it for nothing new."""
    writer, learner, _ = stores
    put(writer, a_span(0))
    assert learn_all(learner) == 1
    plain, between = Servers.insert, []

    def insert(self, table, *args, **named):
        if table == "clew_traces":
            between.append(due(learner))
        plain(self, table, *args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Servers, "insert", insert)
        put(writer, a_span(0, 1))
    assert between == [[]]
    [trace] = due(learner)
    assert len(trace.finished) == 2


def test_a_write_that_was_broken_off_hides_nothing_and_is_learned_when_it_is_sent_again(stores, monkeypatch):
    """Its sender may never come again; all that came after it is due all the same."""
    writer, learner, _ = stores
    put(writer, a_span(0))
    learn_all(learner)
    plain = Servers.insert

    def insert(self, table, *args, **named):
        if table == "clew_traces":
            raise StoreUnavailable("the answer never came")
        plain(self, table, *args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Servers, "insert", insert)
        with pytest.raises(StoreUnavailable):
            put(writer, a_span(0, 1))
        with pytest.raises(StoreUnavailable):
            put(writer, a_span(1))
    put(writer, a_span(2))
    now_ns = time.time_ns()
    bounds = {"quiet_since_ns": now_ns, "rootless_quiet_since_ns": now_ns}
    found = [due(learner, limit=1, **bounds) for _ in range(3)]
    assert [[trace.trace_id for trace in each] for each in found] == [[], [], [a_trace_id(2)]]
    put(writer, a_span(0, 1), a_span(1))
    assert sorted(trace.trace_id for trace in due(learner)) == sorted(map(a_trace_id, range(3)))


def test_learners_at_once_count_each_trace_once(stores, monkeypatch):
    """No truth stands on who leads: all three learn, in other groups, while spans still come and are taken back."""
    monkeypatch.setattr(Lead, "leads", lambda _: True)
    monkeypatch.setattr("clew.jobs.learn.ROUND_TRACES", 5)
    jobs = [LearnJob(store, now_ns=lambda: 1 << 62, quiet_s=0.0, on_learned=None) for store in stores]
    written = threading.Event()
    learned = []

    def learn(job):
        while not written.is_set() or due(stores[0]):
            learned.append(job.learn_once())

    threads = [threading.Thread(target=learn, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    spans = [a_span(trace, number, kind="tool") for trace in range(TRACES) for number in range(SPANS)]
    random.Random(1).shuffle(spans)
    for at in range(0, len(spans), 8):
        put(stores[at // 8 % 3], *spans[at : at + 8])
    written.set()
    for thread in threads:
        thread.join()

    graph = stores[2].graph("default")
    traces = [[a_span(trace, number, kind="tool") for number in range(SPANS)] for trace in range(TRACES)]
    assert graph.trace_count == TRACES
    assert sum(learned) >= TRACES
    expected = learned_at_once(traces)
    assert {node: graph.node_count[at] for at, node in enumerate(graph.nodes)} == {
        node: expected.node_count[at] for at, node in enumerate(expected.nodes)
    }
    assert [job._failures for job in jobs] == [0, 0, 0]
