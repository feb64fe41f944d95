"""ClickHouse keeps the contract on how traces go; also where it breaks off, and on the disk."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.config import AgeRule
from clew.errors import StoreUnavailable
from clew.jobs.retention import Round
from clew.model import Score
from clew.store import Store, open_store
from clew.store.clickhouse import commit, erasure, expiry_clean, expiry_sums
from clew.store.clickhouse.connect import Servers
from clew.store.protocol import Policy, Whom
from clew.testing.store_contract import DAY_NS, MINUTE_NS, START_NS, a_span, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_deltas import told
from clew.testing.store_contract_graph import a_graph, due, learn_all
from clew.testing.store_contract_retention import (
    DAYS_30,
    NOW_NS,
    WINDOW,
    RetentionContract,
    aged,
    drop,
    listed,
)

HOUR_NS = 60 * MINUTE_NS
KEPT = 100
"""The number of a trace that no rule drops."""


class TestClickhouseRetention(RetentionContract):
    @pytest.fixture(autouse=True)
    def _database(self, clickhouse_database):
        self._url = clickhouse_database

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)


@pytest.fixture
def store(clickhouse_database: str) -> Iterator[Store]:
    """Give an empty store on one server."""
    store = open_store(clickhouse_database)
    yield store
    store.close()


def count(store: Store) -> int:
    """Say how many spans the histograms know."""
    return sum(each.count for each in store.latency("default", **WINDOW))


def clean(store: Store) -> int:
    """Give back all there is to give back; gives in how many steps."""
    return sum(1 for _ in itertools.takewhile(bool, (store.give_back() for _ in range(100))))


def on_disk(ask: Callable[[str], str], database: str, suffix: str = "") -> dict[str, int]:
    """Count the traces that are named by each table, and by each sort of rows of the log."""
    tables = ("clew_pieces", "clew_traces", "clew_due")
    of = {name: f"uniqExact(trace_id) FROM {database}.{name}{suffix}" for name in tables}
    for name, sort in (("learned", "trace"), ("gone", "gone")):
        of[name] = f"uniqExact(key) FROM {database}.clew_log{suffix} WHERE sort = '{sort}'"
    return {name: int(ask(f"SELECT {what}")) for name, what in of.items()}


def database_of(url: str) -> str:
    """Give the name of a URL's database."""
    return url.rpartition("/")[2].partition("?")[0]


def lose_next_insert(monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    """The next insert fails: before the server has it, or after, so that only its answer is lost."""
    whole, left = Servers.insert, [1]

    def insert(self, *given: Any, token: str | None = None) -> None:
        if stored or not left:
            whole(self, *given, token=token)
        if left:
            left.clear()
            raise StoreUnavailable("the answer never came")

    monkeypatch.setattr(Servers, "insert", insert)


# What breaks off.


@pytest.mark.parametrize("stored", [True, False])
def test_a_drop_whose_outcome_is_not_known_is_made_again_and_counts_once(store, monkeypatch, stored):
    """It is one insert, of the traces that go and of what they counted."""
    put(store, *(aged(number, 40) for number in range(5)), aged(KEPT, 1))
    found = store.expired(DAYS_30, now_ns=NOW_NS, limit=10)
    lose_next_insert(monkeypatch, stored=stored)
    with pytest.raises(StoreUnavailable, match="never came"):
        store.drop_expired(found, learned_only=False)
    assert len(listed(store)) == (1 if stored else 6)
    assert count(store) == 6
    assert store.drop_expired(found, learned_only=False).traces == (0 if stored else 5)
    assert listed(store) == {a_trace_id(KEPT)}
    assert count(store) == 6


def test_deleting_may_break_off_anywhere_and_goes_on(clickhouse, clickhouse_database, store, monkeypatch):
    """A statement more each time; what is shown stays the same throughout."""
    put(store, *(aged(number, 40) for number in range(3)), aged(KEPT, 1))
    put(store, *(a_span(number, 1, start_ns=aged(number, 40).start_ns) for number in range(3)))
    learn_all(store)
    drop(store, DAYS_30)
    whole, may_run = Servers.on_each_host, [0]

    def on_each_host(self, statements: list[str], *, timeout_s: int) -> None:
        whole(self, statements[: may_run[0]], timeout_s=timeout_s)
        if len(statements) > may_run[0]:
            raise StoreUnavailable("a shard is away")

    monkeypatch.setattr(Servers, "on_each_host", on_each_host)
    while True:
        try:
            clean(store)
            break
        except StoreUnavailable:
            may_run[0] += 1
        assert listed(store) == {a_trace_id(KEPT)}
        assert count(store) == 7
    assert may_run[0] >= 3, "pieces, traces, what is due, what was learned; what was deleted is not deleted again"
    left = on_disk(clickhouse.ask, database_of(clickhouse_database))
    assert left == {"clew_pieces": 1, "clew_traces": 1, "clew_due": 1, "learned": 1, "gone": 3}
    assert listed(store) == {a_trace_id(KEPT)}
    assert count(store) == 7


# Who writes at the same time.


@pytest.mark.parametrize(
    ("before", "cleaned"), [("_put_pieces", True), ("_catch_up", False), ("_put_rows", True), ("_put_rows", False)]
)
def test_what_comes_while_its_trace_goes_is_kept_without_what_went(
    store, clickhouse_database, monkeypatch, before, cleaned
):
    """The writer read the trace whole: the row that it makes must not bring back what went, nor count it again."""
    put(store, aged(0, 40))
    learn_all(store)
    late, other = a_span(0, 1, start_ns=NOW_NS, end_ns=NOW_NS + 1), open_store(clickhouse_database)
    whole, left = getattr(commit.Commit, before), [1]

    def step(self, *given: Any) -> None:
        if left:
            left.clear()
            assert drop(other, DAYS_30) == 1
            if cleaned:
                clean(other)
        whole(self, *given)

    monkeypatch.setattr(commit.Commit, before, step)
    put(store, late)
    for _ in range(2):
        stored = other.trace("default", a_trace_id(0))
        assert stored is not None
        assert [span.span_id for span in stored.spans] == [late.span_id]
        assert stored.summary.span_count == other.stats()["spans"] == 1
        assert count(other) == 2
        clean(other)
    assert learn_all(store) == 1
    assert other.graph("default").trace_count == 2
    other.close()


def test_two_processes_that_drop_the_same_drop_it_once(store, clickhouse_database):
    """`clew retention` beside a server: what was counted must not be kept twice."""
    put(store, *(aged(number, 40) for number in range(20)))
    stores = [store, *(open_store(clickhouse_database) for _ in range(3))]
    found = store.expired(DAYS_30, now_ns=NOW_NS, limit=20)
    together, gone = threading.Barrier(len(stores)), []

    def run(each: Store) -> None:
        together.wait(30)
        gone.append(each.drop_expired(found, learned_only=False).traces)

    threads = [threading.Thread(target=run, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(gone) == [0, 0, 0, 20]
    assert count(store) == 20
    for each in stores[1:]:
        each.close()


def test_what_went_is_forgotten_when_no_write_can_have_begun_before(
    store, clickhouse, clickhouse_database, monkeypatch
):
    """Or the list of what went would grow for ever; what came late of it meanwhile stays whole."""
    put(store, *(aged(number, 40) for number in range(3)))
    drop(store, DAYS_30)
    put(store, a_span(1, 1, start_ns=NOW_NS), a_span(1, 2, start_ns=NOW_NS))
    clean(store)
    database = database_of(clickhouse_database)
    assert on_disk(clickhouse.ask, database)["gone"] == 3
    monkeypatch.setattr(expiry_clean, "GRACE_NS", 0)
    clean(store)
    assert on_disk(clickhouse.ask, database)["gone"] == 0
    assert listed(store) == {a_trace_id(1)}
    put(store, a_span(1, 3, start_ns=NOW_NS))
    assert store.stats()["spans"] == 3
    assert count(store) == 6
    assert [len(trace.spans) for trace in due(store)] == [3]


# The disk.


def test_nothing_of_who_was_erased_is_left_in_any_file(store, clickhouse, clickhouse_database, monkeypatch):
    """Masked rows are there still; so are changes and sums of the graph that name examples."""
    put(store, a_span(0, user_id="ana"), a_span(1, user_id="ben"))
    put(store, a_span(0, 1), scores=[Score(trace_id=a_trace_id(0), name="rating", value=1, comment="I am Ana")])
    learn_all(store)
    store.log_suggestion(a_suggestion(1, trace_id=a_trace_id(0)))
    database = database_of(clickhouse_database)

    def files_with(trace: int) -> list[str]:
        raw, text = bytes.fromhex(a_trace_id(trace)), a_trace_id(trace).encode()
        paths = clickhouse.ask(f"SELECT path FROM system.parts WHERE active AND database = '{database}'").split()
        files = [file for path in paths for file in Path(path).iterdir() if file.is_file()]
        return [f"{file}" for file in files if raw in file.read_bytes() or text in file.read_bytes()]

    assert files_with(0)
    store.erase(Whom(user_id="ana"))
    assert files_with(0)
    assert store.scrub() is True
    masked = "SETTINGS apply_deleted_mask = 0"
    for table in ("clew_pieces", "clew_traces", "clew_due"):
        assert (
            clickhouse.ask(f"SELECT countIf(_row_exists = 0), count() > 0 FROM {database}.{table} {masked}") == "0\t1\n"
        )
    assert clickhouse.ask(f"SELECT count() FROM {database}.clew_suggestions {masked}") == "0\n"
    left = f"SELECT sort, count() FROM {database}.clew_log WHERE stream = 'graph' GROUP BY sort ORDER BY sort {masked}"
    assert clickhouse.ask(left) == "change\t1\nsnapshot\t1\ntrace\t1\n"
    assert store.scrub() is False, "the log has the ids, for writes that began before"
    monkeypatch.setattr(expiry_clean, "GRACE_NS", 0)
    monkeypatch.setattr(erasure, "time", _LaterBy(erasure.GRACE_NS))
    assert store.scrub() is True
    assert store.scrub() is False
    assert clickhouse.ask(f"SELECT count() FROM {database}.clew_log WHERE sort = 'gone' {masked}") == "0\n"
    assert files_with(0) == []
    assert files_with(1)
    assert count(store) == 3
    again = open_store(clickhouse_database)
    assert again.graph("default").trace_count == 2
    assert {each for row in again.graph("default").rows() for each in again.graph("default").edge_traces(row)} <= {
        a_trace_id(1)
    }
    again.close()


class _LaterBy:
    """A clock that is fast."""

    def __init__(self, by_ns: int) -> None:
        self._by_ns = by_ns

    def time_ns(self) -> int:
        return NOW_NS + 365 * DAY_NS + self._by_ns


def test_room_comes_back_and_a_limit_of_bytes_is_kept(store):
    """Days of which much went are written without it; what came first is what went."""
    for at in range(6):
        inputs = [random.Random(at * 20 + each).randbytes(3_000).hex() for each in range(20)]
        put(store, *(a_span(at * 20 + each, inputs=inputs[each]) for each in range(20)))
    learn_all(store)
    used = store.used_bytes()
    policy = Policy(rules=(AgeRule("status", "error", None),), most_bytes=used // 2)
    this = Round(store, policy, now_ns=NOW_NS, learned_only=True, spare=False)
    for _ in this.steps():
        pass
    assert this.done.crowded_out.traces >= 40
    assert store.used_bytes() < used * 3 // 4
    assert a_trace_id(119) in listed(store)
    assert a_trace_id(0) not in listed(store)
    assert count(store) == 120


# The log.


def test_a_log_is_shortened_under_those_who_read_it(store, clickhouse, clickhouse_database, monkeypatch):
    """What is summed up is not needed, but by who had read half of it: that one begins again."""
    monkeypatch.setattr("clew.store.clickhouse.log.SNAPSHOT_EVERY", 4)
    database = database_of(clickhouse_database)
    other, never = open_store(clickhouse_database), open_store(clickhouse_database)
    for at in range(10):
        store.apply_delta("default", str(at), a_graph(("a", "b")), {"day:1": a_graph(("a", "b"))})
        if at == 1:
            assert next(other.graph("default").edges()).count == 2
    clean(store)
    changes = f"SELECT count() FROM {database}.clew_log WHERE sort IN ('change', 'snapshot')"
    assert clickhouse.ask(changes) == "4\n", "the sum at 8, and the changes from there on"
    for each in (other, never, store):
        assert next(each.graph("default").edges()).count == 10
        assert each.graph_version("default") == 10
    assert other.apply_delta("default", "10", a_graph(("a", "b")), {})
    assert not other.apply_delta("default", "3", a_graph(("a", "b")), {}), "its id is kept for longer"
    assert next(store.graph("default").edges()).count == 11
    for each in (other, never):
        each.close()


def test_ids_of_deltas_that_nobody_sends_again_go(store, clickhouse, clickhouse_database, monkeypatch):
    """They come every few seconds, from every process of every application."""
    monkeypatch.setattr(expiry_clean, "OLD_ROWS", 2)
    deltas = f"SELECT count() FROM {database_of(clickhouse_database)}.clew_log WHERE sort = 'delta'"
    for at in range(3):
        store.apply_delta("default", str(at), a_graph(("a", "b")), {})
    assert (clean(store), clickhouse.ask(deltas)) == (0, "3\n")
    monkeypatch.setattr(expiry_clean, "DELTAS_KEPT_NS", -(10**18))
    clean(store)
    assert clickhouse.ask(deltas) == "0\n"


# Histograms beside traces.


def _told(store: Store) -> dict[str, Any]:
    """Give all that histograms say, by hour and operation."""
    by = {"group_by": ("kind", "name")}
    steps = store.latency_steps("default", step_s=3_600, **_DAYS, **by)
    return {"all": store.latency("default", **_DAYS, **by), "steps": [step for step in steps if step.operations]}


DAY_2_NS = START_NS // DAY_NS * DAY_NS + DAY_NS
_DAYS: dict[str, Any] = {"since_ns": DAY_2_NS, "until_ns": DAY_2_NS + 3 * DAY_NS}


def _tell(store: Store, delta_id: str) -> None:
    """Tell of some calls of two days, in several minutes."""
    spans = [
        a_span(at, name=f"step {at % 2}", start_ns=start_ns, end_ns=start_ns + (at + 1) * 10**6)
        for at, start_ns in enumerate(DAY_2_NS + at * 7 * HOUR_NS + at % 3 * MINUTE_NS for at in range(6))
    ]
    store.apply_delta("default", delta_id, a_graph(("a", "b")), {}, told(*spans))


@pytest.mark.parametrize("outcome", ["known", "lost before", "lost after"])
def test_what_was_told_is_summed_up_and_says_the_same(store, clickhouse, clickhouse_database, monkeypatch, outcome):
    """Deltas come every few seconds: of each day are left as many rows as it has minutes and operations."""
    monkeypatch.setattr(expiry_sums, "MOST_ROWS", 1)
    rows = f"SELECT count() FROM {database_of(clickhouse_database)}.clew_log WHERE sort = 'minute'"
    put(store, *(a_span(number, start_ns=DAY_2_NS) for number in range(4)))
    for at in range(4):
        _tell(store, str(at))
    assert store.drop_expired(store.earliest(Policy(), limit=9), learned_only=False).traces == 4
    before = _told(store)
    assert sum(each.count for each in before["all"]) == 28
    if outcome != "known":
        lose_next_insert(monkeypatch, stored=outcome == "lost after")
        with pytest.raises(StoreUnavailable, match="never came"):
            clean(store)
        assert _told(store) == before
    clean(store)
    assert _told(store) == before
    assert int(clickhouse.ask(rows)) > 25, "whoever reads as of before still needs the rows"
    monkeypatch.setattr(expiry_sums, "GRACE_NS", 0)
    clean(store)
    assert int(clickhouse.ask(rows)) == 6
    assert _told(store) == before
    _tell(store, "late")
    assert sum(each.count for each in _told(store)["all"]) == 34


def test_minutes_of_what_was_told_become_hours_then_days_then_nothing(store):
    """As the setting says; a window is as wide as what is left."""
    for at in range(2):
        _tell(store, str(at))
    narrow = {"since_ns": DAY_2_NS + 7 * HOUR_NS + MINUTE_NS, "until_ns": DAY_2_NS + 7 * HOUR_NS + 2 * MINUTE_NS}
    beside = {"since_ns": narrow["since_ns"] + 10 * MINUTE_NS, "until_ns": narrow["until_ns"] + 20 * MINUTE_NS}

    def counts() -> list[int]:
        return [sum(each.count for each in store.latency("default", **window)) for window in (narrow, beside, _DAYS)]

    found = [counts()]
    for resolution_s in (60, 3_600, 86_400):
        while store.drop_metrics(resolution_s, before_s=(DAY_2_NS + DAY_NS) // 10**9, limit=10):
            pass
        found.append(counts())
    assert found == [[2, 0, 12], [2, 2, 12], [8, 8, 12], [0, 0, 4]]
