"""What is SQLite's own in keeping the graph: its upgrade, its limits, its plans."""

import os
import random
import signal
import subprocess
import sys

import apsw
import pytest

from clew.errors import StoreUnavailable
from clew.graph import Graph
from clew.graph.state import KEPT_TRACES, TOP, Episode, Step
from clew.model.graph import Node
from clew.store import open_store, sql
from clew.store.exemplars import encode
from clew.store.memory_graph import MemoryGraph
from clew.store.sqlite import file as sqlite_file
from clew.store.sqlite import graph_saving
from clew.store.sqlite.exemplars import NEWEST
from clew.store.sqlite.migrate import migrations
from clew.testing.store_contract import START_NS, a_span, a_trace_id, answers, put
from clew.testing.store_contract_graph import a_graph, due, learn_all, learned_at_once, lesson_of

QUERIES = sql.load("clew.store.sqlite", "graph.sql")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clew.db"


@pytest.fixture
def store(path):
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


# From schema 1.


TRACES = [[a_span(trace, number) for number in range(1 + trace % 3)] for trace in range(7)]


@pytest.fixture
def old(path):
    """The file of a store of schema 1 with traces in it, and what could be asked of it."""
    store = open_store(f"sqlite:///{path}")
    for spans in TRACES:
        put(store, *spans)
    before = answers(store, "default")
    store.close()
    connection = apsw.Connection(str(path))
    [new] = migrations()[1:2]
    for name in [line.split()[2] for line in new.sql.splitlines() if line.startswith("CREATE TABLE")]:
        connection.execute(f"DROP TABLE {name}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return before


def test_what_was_stored_before_the_graph_is_due(path, old):
    """All of it, oldest first, in as small steps as one likes; and nothing else changed."""
    store = open_store(f"sqlite:///{path}")
    assert answers(store, "default") == old
    learned = []
    while traces := due(store, limit=2):
        learned += [trace.trace_id for trace in traces]
        store.save_lesson(lesson_of(traces))
    assert learned == [a_trace_id(trace) for trace in range(7)]
    assert store.graph("default").content() == learned_at_once(TRACES).content()
    store.close()


def test_what_comes_to_an_old_trace_is_learned_with_it(path, old):
    """It was never learned, so nothing of it is late."""
    store = open_store(f"sqlite:///{path}")
    put(store, a_span(0, 1), a_span(0, 2))
    [trace] = [trace for trace in due(store) if trace.trace_id == a_trace_id(0)]
    assert (len(trace.spans), trace.learned) == (3, frozenset())
    store.close()


KILLED = """
import os, signal, sys
from clew.store import open_store
from clew.store.sqlite import connect, file
from clew.store.sqlite.migrate import Migration, migrations

real = connect.open_writer

def open_writer(path):
    connection = real(path)
    connection.create_scalar_function("die", lambda: os.kill(os.getpid(), signal.SIGKILL))
    return connection

connect.open_writer = open_writer
first, second, *later = migrations()
file.migrations = lambda: [first, Migration(2, second.sql + "; SELECT die()"), *later]
open_store("sqlite:///" + sys.argv[1])
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_an_upgrade_that_is_killed_begins_again(path, old):
    """With its last statement done and nothing committed: all or nothing of it is there."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == 1
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'graph%'").get == 0
    connection.close()
    store = open_store(f"sqlite:///{path}")
    assert len(due(store)) == len(TRACES)
    assert answers(store, "default") == old
    store.close()


def test_a_store_without_the_graph_is_not_read_without_upgrading_it(path, old, monkeypatch):
    """Opened to read only, it says what to do."""
    with pytest.raises(StoreUnavailable, match="older"):
        open_store(f"sqlite:///{path}", read_only=True)
    monkeypatch.setattr(sqlite_file, "migrations", lambda: migrations()[:1])
    open_store(f"sqlite:///{path}", read_only=True).close()


# Limits.


def ways(*numbers, last_ns=START_NS):
    """A graph of one episode for each number, each later than the one before."""
    graph = Graph()
    node = graph.node(Node("tool", "search"))
    for number in numbers:
        step = Step(node, ok=True, arguments=(f"a{number}",), pending=(), consumed=(), ended_before=0, end_rank=0)
        graph.count_episode(Episode(scope=TOP, steps=(step,), count=1, heat=1, last_ns=last_ns + number))
    return graph


def test_variants_are_bounded_and_those_unseen_for_longest_go(store, monkeypatch):
    """A capability with many optional steps may never run twice alike."""
    monkeypatch.setattr(graph_saving, "MOST_VARIANTS", 10)
    store.apply_delta("other", "x", ways(*range(9)), {})
    for number in range(40):
        store.apply_delta("default", str(number), ways(number), {})
        kept = [episode.steps[0].arguments[0] for episode in store.graph("default").episodes()]
        assert kept == [f"a{at}" for at in range(number - len(kept) + 1, number + 1)]
        assert min(number + 1, 8) <= len(kept) <= 10
    assert store.graph("other").episode_count() == 9


def test_a_variant_that_went_cannot_be_taken_back_twice(store, monkeypatch):
    """The trace that showed it is corrected after it went: the count of what is kept stays true."""
    monkeypatch.setattr(graph_saving, "MOST_VARIANTS", 10)
    for number in range(11):
        store.apply_delta("default", str(number), ways(number), {})
    gone = Graph()
    gone.merge(ways(0), times=-1)
    for number in range(5):
        store.apply_delta("default", f"back {number}", gone, {})
    assert store.graph("default").episode_count() == 8
    count = apsw.Connection(store._path).execute("SELECT variant_count FROM graph_versions").get
    assert count == 8


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_slices_are_bounded_and_those_whose_traces_are_oldest_go(store, kind, monkeypatch):
    """A service may name a new version with each request."""
    monkeypatch.setattr("clew.store.memory_graph.MOST_SLICES", 3)
    monkeypatch.setattr(graph_saving, "MOST_SLICES", 3)
    if kind == "memory":
        store = open_store("memory:")
        assert isinstance(store, MemoryGraph)
    for at in (5, 9, 1, 7, 3, 8):
        store.apply_delta("default", str(at), Graph(), {f"v{at}": a_graph(("a", "b"), at_ns=START_NS + at)})
    store.apply_delta("other", "0", Graph(), {"v0": a_graph(("a", "b"))})
    assert store.slice_names("default") == ["v7", "v8", "v9"]
    assert store.slice_names("other") == ["v0"]
    assert store.graph_slice("default", ["v1"]).edge_count() == 0


def test_a_delta_is_forgotten_after_some_days(store, monkeypatch):
    """The list of those that were applied must not grow for ever."""
    store.apply_delta("default", "one", Graph(), {})
    monkeypatch.setattr("clew.store.sqlite.graph_store.DELTAS_KEPT_NS", -1)
    store.apply_delta("default", "two", Graph(), {})
    connection = apsw.Connection(store._path)
    assert connection.execute("SELECT group_concat(delta_id) FROM graph_deltas").get == "two"
    connection.close()


# Exemplars.


def test_sql_keeps_the_same_exemplars_as_python_would():
    """In any order, of overlapping lists, with a trace that was learned again: the newest form of the newest few."""
    draw = random.Random(5)
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE e (k INTEGER PRIMARY KEY, exemplars BLOB NOT NULL) STRICT")
    put_row = f"INSERT INTO e VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET exemplars = {NEWEST}"
    trace_ids = [draw.randbytes(16).hex() for _ in range(6)] + ["00" * 16, "00" * 8 + "ff" * 8]
    for key in range(1_500):
        kept = {}
        for _ in range(draw.randrange(1, 5)):
            named = {
                trace_id: draw.choice([0, 1, 2, draw.randrange(1 << 62)])
                for trace_id in draw.sample(trace_ids, draw.randrange(KEPT_TRACES + 1))
            }
            newest = sorted(((ended_ns, trace_id) for trace_id, ended_ns in named.items()), reverse=True)
            connection.execute(put_row, (key, encode(tuple(newest))))
            for ended_ns, trace_id in newest:
                kept[trace_id] = max(ended_ns, kept.get(trace_id, 0))
            newest = sorted(((ended_ns, trace_id) for trace_id, ended_ns in kept.items()), reverse=True)[:KEPT_TRACES]
            kept = {trace_id: ended_ns for ended_ns, trace_id in newest}
        assert connection.execute("SELECT exemplars FROM e WHERE k = ?", (key,)).get == encode(tuple(newest))


def test_the_edges_that_name_a_trace_can_be_found(store):
    """Whoever deletes a trace must find where it is named."""
    put(store, a_span(0, 0), a_span(0, 1))
    learn_all(store)
    connection = apsw.Connection(store._path)
    ask = "SELECT count(*) FROM {} WHERE instr(exemplars, unhex(?))"
    found = [connection.execute(ask.format(table), (a_trace_id(0),)).get for table in ("graph_edges", "graph_variants")]
    assert found == [1, 2]
    connection.close()


# Reading.


@pytest.mark.parametrize(
    ("name", "values", "index"),
    [
        ("due", {"quiet_since_ns": 9, "rootless_quiet_since_ns": 9, "limit": 9}, "graph_due_by_quiet"),
        ("marks", {"trace_ids": '["00"]', "project_id": 1}, "traces_by_id"),
        ("open_suggestions", {"trace_ids": '["00"]', "project_id": 1}, "graph_suggestions_open"),
        ("open_since", {"before_ns": 1}, "graph_suggestions_open_by_time"),
        ("close_suggestions", {"before_ns": 1}, "graph_suggestions_open_by_time"),
        ("forget_deltas", {"before_ns": 1}, "graph_deltas_by_time"),
        ("node_ids", {"project_id": 1, "nodes": "[]"}, "graph_nodes_by_name"),
        ("known_variants", {"project_id": 1, "digests": "[]"}, "graph_variants_by_digest"),
    ],
)
def test_what_is_asked_often_is_read_off_an_index(store, name, values, index):
    """A poll with nothing to do costs next to nothing, however much is stored."""
    connection = apsw.Connection(store._path)
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + QUERIES[name], values)]
    connection.close()
    assert any(f"INDEX {index}" in line for line in plan), plan
    scanned = {line.split()[1] for line in plan if line.startswith("SCAN")}
    assert {each for each in scanned if not each.startswith("(")} <= {"wanted", "json_each", "due"}, plan


def test_a_damaged_chunk_blocks_no_other_trace(store, path):
    """The trace is given without spans, so that whoever learns sets it aside."""
    put(store, a_span(0), a_span(1))
    other = apsw.Connection(str(path))
    other.execute("UPDATE trace_payloads SET spans = x'00112233' WHERE chunk_id = 256")
    other.close()
    assert [(trace.trace_id, len(trace.spans)) for trace in due(store)] == [(a_trace_id(0), 0), (a_trace_id(1), 1)]


def test_a_store_that_is_opened_to_read_only_shows_what_was_learned(store, path):
    """And learns nothing."""
    put(store, a_span(0))
    learn_all(store)
    put(store, a_span(1))
    reader = open_store(f"sqlite:///{path}", read_only=True)
    assert reader.graph("default").content() == store.graph("default").content()
    with pytest.raises(StoreUnavailable, match="read only"):
        reader.save_lesson(lesson_of(due(reader)))
    reader.close()


def test_a_graph_of_many_exemplars_keeps_the_newest(store, monkeypatch):
    """There is room for a million in memory; of more the oldest are not named."""
    monkeypatch.setattr("clew.store.graph_loading.MOST_TRACES", 2)
    for at in range(4):
        graph = a_graph((f"a{at}", "b"), trace=a_trace_id(at), at_ns=START_NS + at)
        store.apply_delta("default", str(at), graph, {})
    named = {edge.origin.name: edge.traces for edge in store.graph("default").edges()}
    assert named == {"a0": (), "a1": (), "a2": (a_trace_id(2),), "a3": (a_trace_id(3),)}


def test_a_lesson_of_all_sizes_is_saved_in_few_steps(store):
    """Statements take many rows each; none is lost between two of them."""
    edges = [(f"n{at % 37}", f"m{at}") for at in range(1_111)]
    store.apply_delta("default", "one", a_graph(*edges), {"day:1": a_graph(*edges)})
    assert store.graph("default").content() == a_graph(*edges).content()
    assert store.graph_slice("default", ["day:1"]).edge_count() == 1_111
