"""A store in ClickHouse can be left, and come back to, with all that it knows."""

import itertools
from functools import partialmethod

import clickhouse_server
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moving import everything, export, learn_all, learn_some, move, take, tell_of

from clew.model import Batch
from clew.move import exporting, importing
from clew.move.beyond import beyond
from clew.move.boxes import FolderBox
from clew.move.store_target import StoreTarget
from clew.store import open_store
from clew.store.graph_protocol import DELTAS_KEPT_NS
from clew.testing.store_contract import DAY_NS, START_NS, Score, _stories, a_span, a_trace_id, put


@pytest.fixture
def stores(tmp_path, clickhouse_database, postgres_schema):
    """Give a store of each kind in the order in which things move: SQLite, ClickHouse, PostgreSQL, SQLite."""
    urls = (f"sqlite:///{tmp_path}/first.db", clickhouse_database, postgres_schema, f"sqlite:///{tmp_path}/last.db")
    opened = [open_store(url) for url in urls]
    yield opened
    for store in opened:
        store.close()


@pytest.fixture
def cluster():
    """Give a store on two shards."""
    library = clickhouse_server.library()
    if library is None:
        pytest.skip(clickhouse_server.NO_LIBRARY)
    servers = clickhouse_server.start_cluster(library, 2)
    try:
        places = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        store = open_store(f"clickhouse://default@{places}/default?cluster={clickhouse_server.CLUSTER}")
        yield store
        store.close()
    finally:
        for server in servers:
            server.remove()


def test_any_traces_answer_alike_after_a_round_through_all_backends(stores, tmp_path):
    """Out of order, half learned, partly told of and never sent: nobody who moves to ClickHouse has to stay."""
    projects = (f"project {number}" for number in itertools.count())

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_stories(), st.integers(0, 3), st.integers(0, 2))
    def check(story, learned, told):
        _, _, commits = story
        project = next(projects)
        first = stores[0]
        for at, batches in enumerate(commits):
            first.write([Batch(project=project, spans=each.spans, scores=each.scores) for each in batches])
            if at < learned:
                learn_some(first, learned)
        for number in range(told):
            tell_of(first, project, str(number), a_span(90 + number, 0, kind="tool", name="told"))
        for at, (source, target) in enumerate(itertools.pairwise(stores)):
            move(source, target, tmp_path / f"{project} {at}", project)
        expected = everything(first, project)
        for store in stores[1:]:
            assert everything(store, project) == expected

    check()


def a_trace(trace, *, count=4):
    """Give a few tools that called each other, and a rating."""
    spans = [a_span(trace, number, kind="tool", name=f"tool {(number + trace) % 4}") for number in range(count)]
    return spans, [Score(trace_id=a_trace_id(trace), name="rating", value=trace % 6, at_ns=START_NS)]


def fill(store, traces):
    """Put traces, of which half are learned, what was told of, a score of no trace, and decisions."""
    for trace in range(traces):
        spans, scores = a_trace(trace)
        put(store, *spans, scores=scores)
        if trace == traces // 2:
            learn_all(store)
    put(store, a_span(0, 9, kind="tool", name="late"))
    put(store, scores=[Score(trace_id=a_trace_id(999), name="rating", value=1, at_ns=START_NS)])
    tell_of(store, "default", "one", a_span(90, kind="tool", name="told"), a_span(90, 1, kind="tool", name="told"))
    tell_of(store, "default", "two", a_span(91, kind="tool", name="told"))
    store.add_arm("default", "next", "plain", {"heat": 1.0}, "", START_NS)


def test_a_store_on_two_shards_moves_whole(cluster, tmp_path):
    """The log lies by project and traces by their ids: what is asked of both must find both."""
    fill(cluster, 12)
    target = open_store(f"sqlite:///{tmp_path}/target.db")
    done = move(cluster, target, tmp_path / "out")
    assert (done.traces, done.spans, done.scores, done.beyond) == (12, 49, 13, 1)
    assert everything(target, "default") == everything(cluster, "default")
    target.close()


def test_what_was_learned_of_traces_that_went_moves_too(clickhouse, clickhouse_database, tmp_path):
    """Their days are over: the graph is of all, and so it is where it is moved to."""
    store = open_store(clickhouse_database)
    fill(store, 8)
    learn_all(store)
    database = clickhouse_database.rpartition("/")[2]
    for table in ("clew_traces", "clew_pieces"):
        gone = ", ".join(f"'{a_trace_id(trace)}'" for trace in (1, 2, 5))
        clickhouse.ask(f"DELETE FROM {database}.{table} WHERE lower(hex(trace_id)) IN ({gone})")
    target = open_store(f"sqlite:///{tmp_path}/target.db")
    assert move(store, target, tmp_path / "out").traces == 5
    assert everything(target, "default") == everything(store, "default")
    assert target.graph("default").trace_count == 8 + 2
    for each in (store, target):
        each.close()


def test_a_snapshot_knows_nothing_of_what_is_learned_after_it(clickhouse_database):
    """Or the rest would be what was learned meanwhile, and would be counted twice, or taken away."""
    store, learner = open_store(clickhouse_database), open_store(clickhouse_database)
    for trace in range(6):
        put(store, *a_trace(trace)[0])
        if trace == 2:
            learn_all(learner)
    with store.snapshot() as snapshot:
        assert snapshot.graph("default").trace_count == 3
        put(learner, a_span(0, 9, kind="tool", name="late"))
        put(learner, *a_trace(7)[0])
        learn_all(learner)
        assert snapshot.totals("default").learned == 3
        assert sorted(len(trace.learned) for trace in snapshot.traces("default")) == [0, 0, 0, 0, 4, 4, 4]
        assert list(beyond(snapshot, "default", "an-export")) == []
    with store.snapshot() as snapshot:
        assert snapshot.graph("default").trace_count == 7
    for each in (store, learner):
        each.close()


class Killed(BaseException):
    """What a process that is killed does not live to see."""


def test_a_move_that_was_killed_at_every_step_goes_on_and_counts_once(
    clickhouse_database, clickhouse, tmp_path, monkeypatch
):
    """Before and after each part of the export, and each commit of the import: the same command goes on."""
    monkeypatch.setattr(exporting, "PART_SPANS", 8)
    monkeypatch.setattr(importing, "COMMIT_SPANS", 8)
    clickhouse.ask(f"CREATE DATABASE {clickhouse_database.rpartition('/')[2]}_to")
    source, target = open_store(clickhouse_database), open_store(f"{clickhouse_database}_to")
    fill(source, 5)
    _die_everywhere(lambda: export(source, tmp_path / "out"), monkeypatch, FolderBox, ("put", "finish"))
    steps = ("take_spans", "take_scores", "take_choice", "take_beyond")
    _die_everywhere(lambda: take(tmp_path / "out", target), monkeypatch, StoreTarget, steps)
    done, matches = take(tmp_path / "out", target)
    assert matches
    assert (done.duplicates, done.beyond, done.beyond_before) == (21, 0, 1)
    assert everything(target, "default") == everything(source, "default")
    for each in (source, target):
        each.close()
    clickhouse.ask(f"DROP DATABASE {clickhouse_database.rpartition('/')[2]}_to")


def _die_everywhere(run, monkeypatch, cls, steps):
    """Run again and again; each try dies at the next call of *steps*, in turns before and after it."""
    for deaths in itertools.count():
        calls = itertools.count()

        def dying(self, plain, *args, deaths=deaths, calls=calls):
            turn = next(calls)
            if turn == deaths // 2 and not deaths % 2:
                raise Killed
            done = plain(self, *args)
            if turn == deaths // 2:
                raise Killed
            return done

        with monkeypatch.context() as patched:
            for step in steps:
                patched.setattr(cls, step, partialmethod(dying, getattr(cls, step)))
            try:
                run()
            except Killed:
                continue
        return


def test_an_import_years_later_adds_nothing_twice(clickhouse_database, tmp_path, monkeypatch):
    """Marks of what SDKs report are forgotten after a week; those of exports never."""
    source, target = open_store("memory:"), open_store(clickhouse_database)
    tell_of(source, "default", "one", a_span(90, kind="tool"))
    export(source, tmp_path / "folder")
    take(tmp_path / "folder", target)
    with monkeypatch.context() as later:
        later.setattr("time.time_ns", lambda: START_NS + DELTAS_KEPT_NS * 300)
        tell_of(target, "other", "two", a_span(91, kind="tool"))
        again, _ = take(tmp_path / "folder", target)
    assert (again.beyond, again.beyond_before) == (0, 1)
    [latency] = target.latency("default", since_ns=START_NS - DAY_NS, until_ns=START_NS + DAY_NS)
    assert latency.count == 1
    target.close()
