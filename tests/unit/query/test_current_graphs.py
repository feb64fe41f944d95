"""A graph in memory is as current as its store, counts nothing twice, and is never seen half changed."""

from __future__ import annotations

import threading

import pytest

from clew.graph import Graph
from clew.model.graph import Node
from clew.query.graph_current import FREE_S, MOST_GRAPHS, PATIENCE_S, REST, CurrentGraphs


def delta(name="a", count=1):
    graph = Graph()
    node = graph.node(Node("tool", name))
    graph.count_node(node, count=count, failures=0, ended=count, duration_ns=0, heat=1, last_ns=1)
    return graph


class Store:
    """Keeps graphs as a store does, and counts how often one is read."""

    def __init__(self, clock):
        self.saved = {}
        self.reads = 0
        self.clock = clock
        self.reading_takes_s = 0.0
        self.while_reading = lambda: None

    def save(self, project, graph):
        self.saved.setdefault(project, []).append(graph)
        return len(self.saved[project])

    def graph(self, project):
        self.reads += 1
        whole = Graph()
        for each in self.saved.get(project, []):
            whole.merge(each)
        self.clock.now_s += self.reading_takes_s
        self.while_reading()
        return whole

    def graph_version(self, project):
        return len(self.saved.get(project, []))


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return Store(clock)


@pytest.fixture
def graphs(store, clock):
    return CurrentGraphs(store, clock_s=clock)


def count(graphs, project="p", name="a"):
    with graphs.of(project) as graph:
        return graph.node_count[graph.find(name)] if graph.nodes else 0


def test_what_this_process_saves_is_added_and_nothing_is_read_again(store, graphs):
    """A big graph takes a second to read; a trace is learned every second."""
    store.save("p", delta())
    assert count(graphs) == 1
    for _ in range(5):
        one = delta()
        graphs.learned("p", one, store.save("p", one))

    assert count(graphs) == 6
    assert store.reads == 1


def test_what_was_read_already_is_not_added_once_more(store, graphs):
    """It was saved, then somebody asked for the first time, and only then was it told."""
    one = delta()
    version = store.save("p", one)
    assert count(graphs) == 1

    graphs.learned("p", one, version)

    assert count(graphs) == 1


def test_what_was_saved_and_will_be_told_in_a_moment_is_waited_for(store, graphs, clock):
    """Between the save and the telling is a moment in which the graph looks old."""
    store.save("p", delta())
    count(graphs)
    told = delta()
    graphs.learned("p", told, store.save("p", told))
    later = delta()
    version = store.save("p", later)

    assert count(graphs) == 2
    graphs.learned("p", later, version)
    clock.now_s += 2 * PATIENCE_S
    assert count(graphs) == 3
    assert store.reads == 1


def test_what_another_process_saves_is_read(store, graphs, clock):
    store.save("p", delta())
    count(graphs)
    store.save("p", delta())

    assert count(graphs) == 2
    assert store.reads == 2


def test_what_another_process_saves_is_read_where_this_one_learns_too(store, graphs, clock):
    """After a moment: it could have been this one's."""
    store.save("p", delta())
    count(graphs)
    told = delta()
    graphs.learned("p", told, store.save("p", told))
    store.save("p", delta())
    count(graphs)
    clock.now_s += PATIENCE_S

    assert count(graphs) == 3


def test_a_save_that_was_missed_is_made_good_by_reading(store, graphs):
    """Another process saved in between; adding alone would leave its part out for ever."""
    store.save("p", delta())
    count(graphs)
    store.save("p", delta())
    mine = delta()
    graphs.learned("p", mine, store.save("p", mine))

    assert count(graphs) == 3


def test_a_save_while_the_graph_is_read_is_neither_lost_nor_counted_twice(store, graphs):
    """Reading and the version are two questions; whatever happens between them, the sum is right."""
    store.save("p", delta())
    saved = []

    def save_once():
        if not saved:
            saved.append(delta())
            graphs.learned("p", saved[0], store.save("p", saved[0]))

    store.while_reading = save_once

    assert count(graphs) == 2
    graphs.learned("p", saved[0], 2)
    assert count(graphs) == 2


def test_a_store_that_never_rests_is_answered_all_the_same(store, graphs, clock):
    """The answer is a little old, holds nothing twice, and is read anew when it rests."""
    store.save("p", delta())
    store.while_reading = lambda: store.save("p", delta())
    old = count(graphs)
    store.while_reading = lambda: None

    assert 1 <= old <= store.graph_version("p")
    assert count(graphs) == store.graph_version("p")


def test_a_large_graph_that_others_keep_changing_is_read_seldom(store, graphs, clock):
    """Reading takes at most a part of the time, however often it is asked."""
    store.reading_takes_s = 2.0
    store.save("p", delta())
    for _ in range(100):
        store.save("p", delta())
        count(graphs)
        clock.now_s += 0.5

    assert store.reads <= 2 + 100 * 0.5 / (2.0 * REST - FREE_S)
    clock.now_s += 2.0 * REST
    assert count(graphs) == 101


def test_what_takes_long_to_answer_from_is_changed_seldom(store, graphs, clock, monkeypatch):
    """Some answers rest on the whole graph; working that out anew for every trace would leave no time for others."""
    monkeypatch.setattr("clew.query.graph_current.MOST_WAITING", 1_000)
    store.save("p", delta())
    seen = []
    for _ in range(100):
        one = delta()
        graphs.learned("p", one, store.save("p", one))
        with graphs.of("p") as graph:
            if graph.node_count[0] not in seen:
                seen.append(graph.node_count[0])
                clock.now_s += 2.0  # An answer is worked out.
        clock.now_s += 0.5

    assert 2 <= len(seen) <= 2 + (100 * 0.5 + len(seen) * 2.0) / (2.0 * REST - FREE_S)
    clock.now_s += 2.0 * REST
    assert count(graphs) == 101
    assert store.reads == 1


def test_no_more_changes_wait_than_agreed(store, graphs, clock, monkeypatch):
    """They take memory, and nobody may ever ask again."""
    monkeypatch.setattr("clew.query.graph_current.MOST_WAITING", 5)
    with graphs.of("p") as graph:
        clock.now_s += 1_000.0
    for _ in range(6):
        one = delta()
        graphs.learned("p", one, store.save("p", one))

    assert graph.node_count[0] == 6


def test_a_store_that_was_replaced_by_an_older_one_is_read(store, graphs):
    """Somebody restored a backup."""
    store.save("p", delta())
    store.save("p", delta())
    count(graphs)
    store.saved["p"].pop()

    assert count(graphs) == 1


def test_a_change_that_cannot_be_added_is_seen_by_the_next_question(store, graphs, clock):
    """Whoever saves a template asks next whether it is there, however long reading takes."""
    store.reading_takes_s = 60.0
    store.save("p", delta())
    count(graphs)
    store.save("p", delta())
    graphs.changed("p")

    assert count(graphs) == 2


def test_a_graph_that_outgrew_its_store_is_read(store, graphs, monkeypatch):
    """The store forgets the oldest ways of running; in memory they would stay for ever."""
    monkeypatch.setattr("clew.query.graph_current.MOST_EPISODES", -1)
    count(graphs)
    one = delta()
    graphs.learned("p", one, store.save("p", one))
    count(graphs)

    assert count(graphs) == 1
    assert store.reads > 1


def test_projects_do_not_see_each_other(store, graphs):
    one, other = delta(count=1), delta(count=10)
    count(graphs, "p"), count(graphs, "q")
    graphs.learned("p", one, store.save("p", one))
    graphs.learned("q", other, store.save("q", other))

    assert (count(graphs, "p"), count(graphs, "q")) == (1, 10)


def test_not_more_graphs_are_kept_than_agreed(store, graphs):
    """An admin can ask for any name, and each would stay for ever."""
    for number in range(MOST_GRAPHS + 10):
        count(graphs, f"project {number}")

    assert graphs.sizes().graphs == MOST_GRAPHS


def test_who_asks_sees_no_graph_that_changes(store, graphs):
    """Two figures of one answer must agree with each other."""
    one = delta()
    one.count_edge(one.row(0, one.node(Node("tool", "b")), "sequence"), count=1)
    store.save("p", one)
    count(graphs)
    stop = threading.Event()

    def learn():
        while not stop.is_set():
            graphs.learned("p", one, store.save("p", one))

    learner = threading.Thread(target=learn)
    learner.start()
    try:
        for _ in range(200):
            with graphs.of("p") as graph:
                edge = next(graph.edges())
                assert edge.count == graph.node_count[graph.find("a")]
    finally:
        stop.set()
        learner.join()
