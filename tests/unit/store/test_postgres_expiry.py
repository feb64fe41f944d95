"""Days that are over are dropped, what must stay longer moves on, and of what was erased no table knows."""

import time

import psycopg
import pytest

from clew.config import AgeRule
from clew.model import Batch, Score
from clew.store import open_store
from clew.store.postgres import commit, expiry_space, partitions
from clew.store.protocol import Policy, TraceFilter, Whom
from clew.testing.store_contract import DAY_NS, SECOND_NS, a_span, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_graph import learn_all
from clew.testing.store_contract_retention import listed

NOW_NS = time.time_ns()
BASE = 0xFEEDFACE_CAFE_F00D
"""Of ids that are in no row by chance."""
POLICY = Policy(keep_ns=30 * DAY_NS, rules=(AgeRule("status", "error", 90 * DAY_NS),))


@pytest.fixture(params=[1, 8], ids=["words in blocks", "words apart"])
def store(request, postgres_schema, monkeypatch):
    monkeypatch.setattr(commit, "FEWEST_IN_BLOCK", request.param)
    store = open_store(postgres_schema)
    yield store
    store.close()


@pytest.fixture
def days_ago(monkeypatch):
    """Have the clock of this process stand so many days ago."""

    def go(days):
        monkeypatch.setattr("time.time_ns", lambda: NOW_NS - round(days * DAY_NS))

    return go


def began(number, days, **fields):
    start_ns = NOW_NS - round(days * DAY_NS)
    return a_span(number, start_ns=start_ns, end_ns=start_ns + SECOND_NS, **fields)


def let_go(store):
    while found := store.expired(POLICY, now_ns=NOW_NS, limit=7):
        assert store.drop_expired(found, learned_only=False).traces
    steps = 0
    while store.give_back():
        steps += 1
        assert steps < 100
    return steps


def days_of(url, table="traces"):
    with psycopg.connect(url) as connection:
        return sorted(day - partitions.day_of(NOW_NS) for day in partitions.days_of(connection, table))


def test_a_day_of_which_all_has_expired_is_dropped(store, postgres_schema, days_ago):
    """That, and not deleted rows, gives space back."""
    days_ago(40)
    put(store, *(began(number, 40) for number in range(10)))
    days_ago(20)
    put(store, began(10, 20))
    days_ago(0)
    put(store, began(11, 0))
    assert -40 in days_of(postgres_schema)
    let_go(store)
    for table in partitions.TABLE_NAMES:
        assert [day for day in days_of(postgres_schema, table) if day < -1] == [-20]
    assert listed(store) == {a_trace_id(10), a_trace_id(11)}


def test_what_stays_longer_than_its_day_moves_on_whole(store, postgres_schema, days_ago):
    """Payloads, words, scores, what waits to be learned: as if it had come today."""
    days_ago(40)
    put(store, *(began(number, 40) for number in range(12)))
    put(store, began(12, 40, status="error", inputs="tapir", user_id="ana"), began(13, 40, status="error", inputs="x"))
    put(store, a_span(13, 1, start_ns=NOW_NS - 40 * DAY_NS, outputs="late tapir"))
    store.write([Batch(project="default", scores=[Score(trace_id=a_trace_id(12), name="rating", value=3, best=5)])])
    learned = learn_all(store)
    before = [store.trace("default", a_trace_id(number)) for number in (12, 13)]
    days_ago(0)
    let_go(store)
    assert learned == 14
    assert [day for day in days_of(postgres_schema) if day < -1] == []
    assert [store.trace("default", a_trace_id(number)) for number in (12, 13)] == before
    found = store.list_traces("default", TraceFilter(text="tapir"), limit=9).traces
    assert {trace.trace_id for trace in found} == {a_trace_id(12), a_trace_id(13)}
    assert [trace.trace_id for trace in store.list_traces("default", TraceFilter(user_id="ana"), limit=9).traces] == [
        a_trace_id(12)
    ]
    put(store, a_span(12, 2, start_ns=NOW_NS))
    assert learn_all(store) == 1
    assert store.stats()["traces"] == 2


def test_a_day_of_which_much_must_stay_is_left_as_it_is(store, postgres_schema, days_ago):
    """Moving it would cost more than it brings."""
    days_ago(40)
    put(store, *(began(number, 40, status="error" if number % 2 else "ok") for number in range(10)))
    days_ago(0)
    let_go(store)
    assert -40 in days_of(postgres_schema)
    assert store.stats()["traces"] == 5


def test_a_score_that_waited_in_a_dropped_day_does_not_break_its_trace(store, postgres_schema, days_ago):
    """The trace had its number from that day; without a partition it could never be stored."""
    days_ago(40)
    store.write([Batch(project="default", scores=[Score(trace_id=a_trace_id(0), name="rating", value=1, best=5)])])
    days_ago(0)
    let_go(store)
    assert -40 not in days_of(postgres_schema)
    assert store.stats()["scores"] == 0
    put(store, began(0, 0))
    assert listed(store) == {a_trace_id(0)}


def test_who_reads_is_not_cut_off_and_holds_up_nobody(store, postgres_schema, days_ago, monkeypatch):
    """Dropping a day waits for a moment only, and is tried again."""
    monkeypatch.setattr(expiry_space, "DROP_WAIT_MS", 20)
    days_ago(40)
    put(store, began(0, 40))
    days_ago(0)
    found = store.expired(POLICY, now_ns=NOW_NS, limit=7)
    store.drop_expired(found, learned_only=False)
    with store._reading() as reader:
        reader.execute("SELECT count(*) FROM traces")
        while store.give_back():
            pass
        assert -40 in days_of(postgres_schema)
        put(store, began(1, 0))
    let_go(store)
    assert -40 not in days_of(postgres_schema)


def test_what_is_too_large_loses_its_oldest_days(store, days_ago):
    """And none of today's, whose space would not come back."""
    days_ago(5)
    put(store, began(0, 5), began(1, 5, status="error"))
    days_ago(0)
    put(store, began(2, 0))
    assert [each.trace_id for each in store.earliest(POLICY, limit=9)] == [a_trace_id(0)]
    assert [each.trace_id for each in store.earliest(POLICY, limit=9, spare=False)] == [a_trace_id(0), a_trace_id(1)]


def test_no_row_of_any_table_knows_what_was_erased(store, postgres_schema):
    """Nor of the columns of bytes, in hex."""
    user, said = "zq-user-marker", "qxzsecretmarker"
    for number in range(BASE, BASE + 30):
        mine = {"user_id": user, "session_id": said, "status_message": said} if number % 3 == BASE % 3 else {}
        put(store, a_span(number, inputs=said if mine else "tapir", **mine))
        put(store, a_span(number, 1, outputs=said if mine else "tapir"))
        store.log_suggestion(a_suggestion(number - BASE, trace_id=a_trace_id(number)))
        comment = said if mine else "good"
        score = Score(trace_id=a_trace_id(number), name="rating", value=1, best=5, comment=comment)
        store.write([Batch(project="default", scores=[score])])
    learn_all(store)
    put(store, a_span(BASE, 2, inputs=said))
    erased = store.erase(Whom(user_id=user))
    assert (erased.traces, len(erased.trace_ids)) == (10, 10)
    assert store.scrub() is True
    assert store.scrub() is False
    markers = [user, said, *(a_trace_id(number) for number in range(BASE, BASE + 30, 3))]
    rows = list(_rows(postgres_schema))
    assert [marker for marker in markers if any(marker in row for row in rows)] == []
    assert any(a_trace_id(BASE + 1) in row for row in rows), "the others are still there"
    found = store.list_traces("default", TraceFilter(text="tapir"), limit=99).traces
    assert len(found) == store.stats()["traces"] == 20


def _rows(url):
    """Every row of every table as text; bytes in hex."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        ).fetchall()
        for (table,) in tables:
            yield from (row for (row,) in connection.execute(f"SELECT t::text FROM {table} AS t"))
