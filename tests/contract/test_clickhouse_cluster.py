"""What the ClickHouse store promises of a cluster, of a server that dies, and of answers that never come."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import clickhouse_server
import pytest

from clew.errors import ConfigError, SchemaTooNew, StoreUnavailable
from clew.graph import Graph
from clew.model import Batch, Score
from clew.store import Store, open_store
from clew.store.clickhouse.connect import Servers
from clew.store.protocol import TraceFilter, Whom
from clew.testing.store_contract import (
    DAY_NS,
    START_NS,
    a_span,
    a_trace_id,
    answers,
    ids,
    put,
)
from clew.testing.store_contract_deltas import DeltasContract
from clew.testing.store_contract_graph import a_graph, due, learn_all, lesson_of
from clew.testing.store_contract_halves import HalvesContract
from clew.testing.store_contract_retention import DAYS_30, NOW_NS, WINDOW, aged, listed

Shards = list[clickhouse_server.ClickhouseServer]


@pytest.fixture(scope="module")
def shards() -> Iterator[Shards]:
    """Give two servers, the shards of one cluster. Whoever kills one starts it again."""
    library = clickhouse_server.library()
    if library is None:
        pytest.skip(clickhouse_server.NO_LIBRARY)
    servers = clickhouse_server.start_cluster(library, 2)
    yield servers
    for server in servers:
        server.remove()


_databases = itertools.count()


@pytest.fixture
def cluster(shards: Shards) -> Iterator[str]:
    """Give the URL of an empty database on both shards."""
    name = f"sharded_{next(_databases)}"
    for server in shards:
        server.ask(f"CREATE DATABASE {name}")
    places = ",".join(f"127.0.0.1:{server.port}" for server in shards)
    yield f"clickhouse://default@{places}/{name}?cluster={clickhouse_server.CLUSTER}"
    for server in shards:
        server.ask(f"DROP DATABASE {name}")


class TestTwoShards(HalvesContract, DeltasContract):
    """Halves and deltas are the same on a cluster: what a trace is, lies on one shard."""

    @pytest.fixture(autouse=True)
    def _database(self, cluster):
        self._url = cluster

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)


def a_batch(traces: range, per_trace: int = 3) -> Batch:
    """Give some traces of a few spans each."""
    return Batch(spans=[a_span(trace, number) for trace in traces for number in range(per_trace)])


def test_traces_lie_on_both_shards_and_are_listed_as_one(shards, cluster):
    """Sharding that puts all on one server is none."""
    store = open_store(cluster)
    store.write([a_batch(range(40))])
    database = cluster.rpartition("/")[2].partition("?")[0]
    counts = [int(server.ask(f"SELECT count() FROM {database}.clew_traces_local")) for server in shards]
    assert sum(counts) == 40
    assert min(counts) > 0
    assert ids(store) == [a_trace_id(trace) for trace in reversed(range(40))]
    assert store.stats()["spans"] == 120
    assert learn_all(store) == 40
    assert store.graph("default").trace_count == 40
    store.close()


def test_a_shard_that_is_killed_loses_nothing_and_is_missed_meanwhile(shards, cluster):
    """Half of an answer would read as all of it: it is refused until the shard is back."""
    store = open_store(cluster)
    store.write([a_batch(range(30))])
    before = answers(store, "default")
    shards[1].kill()
    try:
        for ask in (
            lambda: ids(store),
            lambda: store.write([a_batch(range(30, 60))]),
            lambda: store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS),
            store.stats,
        ):
            with pytest.raises(StoreUnavailable, match="all its shards"):
                ask()
    finally:
        shards[1].start()
    assert answers(store, "default") == before
    store.write([a_batch(range(30, 60))])
    assert store.stats()["spans"] == 180
    [latency] = store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)
    assert latency.count == 180
    assert len(ids(store)) == 60
    store.close()


def test_a_shard_that_is_away_stops_retention_and_it_goes_on_when_that_is_back(shards, cluster):
    """Half of it would read as all of it."""
    store = open_store(cluster)
    put(store, *(aged(number, 40, user_id="ana" if number < 10 else "ben") for number in range(60)))
    put(store, *(aged(number, 1, user_id="ana" if number < 110 else "ben") for number in range(100, 120)))
    learn_all(store)
    found = store.expired(DAYS_30, now_ns=NOW_NS, limit=100)
    assert len(found) == 60
    assert store.drop_expired(found[:30]).traces == 30
    shards[1].kill()
    try:
        for ask in (
            lambda: store.expired(DAYS_30, now_ns=NOW_NS, limit=100),
            lambda: store.drop_expired(found),
            lambda: store.erase(Whom(user_id="ana")),
            store.give_back,
        ):
            with pytest.raises(StoreUnavailable, match="all its shards"):
                ask()
    finally:
        shards[1].start()
    assert len(listed(store)) == 50
    assert _counted(store) == 80
    assert store.drop_expired(found).traces == 30
    assert store.erase(Whom(user_id="ana")).traces == 10
    assert store.scrub() is True
    while store.give_back():
        pass
    assert listed(store) == {a_trace_id(number) for number in range(110, 120)}
    assert _counted(store) == 80
    assert store.graph("default").trace_count == 80
    left = [_left(server, cluster) for server in shards]
    assert [sum(counts) for counts in zip(*left, strict=True)] == [10, 10, 10]
    store.close()


def _left(server: clickhouse_server.ClickhouseServer, url: str) -> list[int]:
    """Count the traces of which there are pieces, rows, and notes that they were learned."""
    of = f"FROM {url.rpartition('/')[2].partition('?')[0]}."
    counts = (
        f"uniqExact(trace_id) {of}clew_pieces_local",
        f"uniqExact(trace_id) {of}clew_traces_local",
        f"uniqExact(key) {of}clew_log_local WHERE sort = 'trace'",
    )
    return [int(server.ask(f"SELECT {count}")) for count in counts]


def _counted(store: Store) -> int:
    return sum(each.count for each in store.latency("default", **WINDOW))


def test_the_other_host_is_asked_when_the_first_is_away(shards, cluster):
    """The graph of this project lies on one of them; keys and schema, too: what needs both says so."""
    store = open_store(cluster)
    store.write([a_batch(range(3))])
    shards[0].kill()
    try:
        with pytest.raises(StoreUnavailable):
            ids(store)
        with pytest.raises(StoreUnavailable):
            ids(store)
    finally:
        shards[0].start()
    assert len(ids(store)) == 3
    store.close()


def test_what_was_acknowledged_outlives_a_kill(clickhouse, clickhouse_database):
    """Acknowledged means on the disk of the server; the next write needs nobody's help."""
    store = open_store(clickhouse_database)
    for at in range(5):
        put(store, *a_batch(range(at * 10, at * 10 + 10)).spans)
    learn_all(store)
    before = answers(store, "default"), store.graph("default").content()
    clickhouse.kill()
    with pytest.raises(StoreUnavailable):
        ids(store)
    clickhouse.start()
    assert (answers(store, "default"), store.graph("default").content()) == before
    assert put(store, *a_batch(range(60)).spans) == (30, 150)
    store.close()


def _broken_off(monkeypatch: pytest.MonkeyPatch, table: str, *, stored: bool) -> None:
    """The next insert into *table* fails: before the server has it, or after, so that only its answer is lost."""
    whole = Servers.insert
    left = [1]

    def insert(self, to, types, columns, *, token=None):
        if to == table and left:
            left.clear()
            if stored:
                whole(self, to, types, columns, token=token)
            raise StoreUnavailable("the answer never came")
        whole(self, to, types, columns, token=token)

    monkeypatch.setattr(Servers, "insert", insert)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("table", ["clew_pieces", "clew_due", "clew_traces"])
def test_a_write_whose_outcome_is_not_known_is_written_again_and_counts_once(
    clickhouse_database, monkeypatch, table, stored
):
    """Rows, totals, histograms, and what is to be learned; a trace that was broken off is not shown."""
    store, plain = open_store(clickhouse_database), a_batch(range(4))
    put(store, a_span(0), scores=[Score(trace_id=a_trace_id(1), name="rating", value=1, at_ns=7)])
    before = answers(store, "default")
    _broken_off(monkeypatch, table, stored=stored)
    with pytest.raises(StoreUnavailable, match="never came"):
        store.write([plain])
    if not (table == "clew_traces" and stored):
        assert answers(store, "default") == before
    store.write([plain])
    assert store.stats()["spans"] == 12
    [latency] = store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)
    assert latency.count == 12
    assert [summary.span_count for summary in store.list_traces("default", TraceFilter(), limit=9).traces] == [3] * 4
    assert learn_all(store) == 4
    assert store.graph("default").trace_count == 4
    store.close()


@pytest.mark.parametrize("stored", [True, False])
def test_a_delta_whose_outcome_is_not_known_is_sent_again_and_counts_once(clickhouse_database, monkeypatch, stored):
    """Its id is in the same insert as its counts."""
    store = open_store(clickhouse_database)
    _broken_off(monkeypatch, "clew_log", stored=stored)
    with pytest.raises(StoreUnavailable, match="never came"):
        store.apply_delta("default", "one", a_graph(("a", "b")), {})
    assert store.apply_delta("default", "one", a_graph(("a", "b")), {}) is not stored
    [edge] = store.graph("default").edges()
    assert edge.count == 1
    store.close()


@pytest.mark.parametrize("stored", [True, False])
def test_a_lesson_whose_outcome_is_not_known_is_learned_once(clickhouse_database, monkeypatch, stored):
    """It is either still due, or it is learned."""
    store = open_store(clickhouse_database)
    store.write([a_batch(range(3))])
    lesson = lesson_of(due(store))
    _broken_off(monkeypatch, "clew_log", stored=stored)
    with pytest.raises(StoreUnavailable, match="never came"):
        store.save_lesson(lesson)
    assert learn_all(store) == (0 if stored else 3)
    assert store.graph("default").trace_count == 3
    store.close()


def test_several_writers_of_one_trace_lose_nothing(clickhouse_database):
    """Two servers behind one balancer get the halves of one trace at the same moment."""
    writers, each = 4, 6
    stores = [open_store(clickhouse_database) for _ in range(writers)]
    together = threading.Barrier(writers)

    def write(number: int) -> None:
        for at in range(each):
            together.wait(30)
            put(stores[number], a_span(at, number), a_span(at, 10), scores=[a_score(at, number)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reference = [a_span(0, number).span_id for number in (*range(writers), 10)]
    for at in range(each):
        trace = stores[0].trace("default", a_trace_id(at))
        assert trace is not None
        assert sorted(span.span_id for span in trace.spans) == reference
        assert len(trace.scores) == writers
        assert trace.summary.span_count == writers + 1
    assert stores[0].stats()["spans"] == each * (writers + 1)
    [latency] = stores[0].latency("default", since_ns=0, until_ns=START_NS + DAY_NS)
    assert latency.count == each * (writers + 1)
    learn_all(stores[1])
    assert stores[2].graph("default").trace_count == each
    for store in stores:
        store.close()


def a_score(trace: int, number: int) -> Score:
    """Give a score that no other writer gives."""
    return Score(trace_id=a_trace_id(trace), name=f"rating {number}", value=1, at_ns=number + 1)


def test_several_writers_of_one_graph_lose_nothing(clickhouse_database):
    """Each position of the log goes to one; the others try the next."""
    stores = [open_store(clickhouse_database) for _ in range(4)]
    threads = [
        threading.Thread(
            target=lambda number=number, store=store: [
                store.apply_delta("default", f"{number}-{at}", a_graph(("a", "b")), {}) for at in range(5)
            ]
        )
        for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].graph_version("default") == 20
    assert all(next(store.graph("default").edges()).count == 20 for store in stores)
    for store in stores:
        store.close()


def test_a_log_is_read_on_from_what_was_written_down(clickhouse_database, monkeypatch):
    """A new process reads the sum of what was before, and not each change."""
    monkeypatch.setattr("clew.store.clickhouse.log.SNAPSHOT_EVERY", 4)
    store = open_store(clickhouse_database)
    for at in range(6):
        store.apply_delta("default", str(at), a_graph(("a", "b")), {"day:1": a_graph(("a", "b"))})
        store.add_arm("default", "suggest", f"arm {at}", {"w": 1.0}, "", at)
    store.save_template("default", "trip", "a -> b", a_graph(("a", "c"), declared=1), 1)
    store.save_template("default", "trip", "a -> c", a_graph(("a", "d"), declared=1), 2)
    store.choose_arms("default", "suggest", {2: 1.0})
    again = open_store(clickhouse_database)
    assert again.graph("default").content() == store.graph("default").content() != Graph().content()
    assert again.graph_slice("default", ["day:1"]).content() == store.graph_slice("default", ["day:1"]).content()
    assert again.templates("default") == store.templates("default") == [("trip", "a -> c", 2)]
    assert again.arms("default", None) == store.arms("default", None)
    for each in (store, again):
        each.close()


# Opening.


def test_what_will_not_mend_itself_is_said_when_it_is_opened(clickhouse):
    """A database that is not there, a password that is wrong."""
    with pytest.raises(ConfigError, match="CREATE DATABASE"):
        open_store(f"{clickhouse.url}/nowhere")
    with pytest.raises(ConfigError, match="password") as refused:
        open_store(f"clickhouse://default:secret@127.0.0.1:{clickhouse.port}/default")
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_unavailable():
    """It may come back."""
    with pytest.raises(StoreUnavailable, match="running there"):
        open_store(f"clickhouse://127.0.0.1:{clickhouse_server.free_port()}/db")


def test_who_only_reads_makes_nothing_and_writes_nothing(clickhouse_database):
    """`clew doctor` may look at a store that is not there."""
    with pytest.raises(StoreUnavailable, match="no Clew store"):
        open_store(clickhouse_database, read_only=True)
    store = open_store(clickhouse_database)
    put(store, a_span())
    reader = open_store(clickhouse_database, read_only=True)
    assert ids(reader) == [a_trace_id(0)]
    with pytest.raises(StoreUnavailable, match="read only"):
        put(reader, a_span(1))
    for each in (store, reader):
        each.close()


def test_tables_of_a_newer_clew_are_left_alone(clickhouse, clickhouse_database):
    """It may keep there what this one does not know."""
    open_store(clickhouse_database).close()
    clickhouse.ask(f"INSERT INTO {clickhouse_database.rpartition('/')[2]}.clew_facts VALUES ('schema', '99')")
    with pytest.raises(SchemaTooNew):
        open_store(clickhouse_database)


def test_days_that_are_over_go_without_being_asked(clickhouse, clickhouse_database):
    """By the day on which a trace came: ClickHouse drops whole parts."""
    store = open_store(f"{clickhouse_database}?keep_days=1")
    database = clickhouse_database.rpartition("/")[2]
    put(store, a_span())
    for table in ("clew_pieces", "clew_traces"):
        columns = "* REPLACE(toDate('2001-01-01') AS day, unhex(repeat('ab', 16)) AS trace_id)"
        clickhouse.ask(f"INSERT INTO {database}.{table} SELECT {columns} FROM {database}.{table}")
        clickhouse.ask(f"OPTIMIZE TABLE {database}.{table} FINAL")
    assert store.stats()["traces"] == 1
    assert ids(store) == [a_trace_id(0)]
    store.close()
