"""What a search for words reads in PostgreSQL. What it finds is in the contract."""

import threading
from functools import partial

import psycopg
import pytest

from clew.model import Batch
from clew.store import open_store
from clew.store.postgres import listing, pending, search
from clew.store.postgres.listing import QUERIES
from clew.store.postgres.words import Block
from clew.store.protocol import TraceFilter
from clew.testing.store_contract import a_span, a_trace_id


@pytest.fixture
def store(postgres_schema):
    """Thirty commits of ten traces: as many blocks, and a common word in each."""
    store = open_store(postgres_schema)
    for first in range(0, 300, 10):
        spans = [a_span(trace, inputs=f"common number{trace}") for trace in range(first, first + 10)]
        store.write([Batch(spans=spans)])
    yield store
    store.close()


def test_a_common_word_is_looked_for_only_where_the_rare_one_is(store, monkeypatch):
    """It is in every block there is: with ten million spans, that is most of a minute."""
    read = []

    def count(packed):
        read.append(1)
        return Block(packed)

    monkeypatch.setattr(search, "Block", count)
    [found] = store.list_traces("default", TraceFilter(text="common number77"), limit=50).traces
    assert found.trace_id == a_trace_id(77)
    assert len(read) == 2


def test_words_are_looked_up_in_their_index(store, postgres_schema):
    """Words lie beside their rows, so to the planner a scan of all rows looks cheap."""
    with psycopg.connect(postgres_schema) as connection:
        explain = partial(connection.execute, b"EXPLAIN " + QUERIES["blocks_with_word"], {"word": "number77"})
        connection.execute(QUERIES["by_index"])
        plan = "\n".join(line for (line,) in explain())
    assert "words_idx" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("rare", [0, 1_000])
def test_blocks_are_unpacked_one_after_the_other(store, monkeypatch, rare):
    """A common word is in all of them, and unpacked they are a hundred times as large."""
    living = []

    class Counted(Block):
        now = 0

        def __init__(self, packed):
            super().__init__(packed)
            Counted.now += 1
            living.append(Counted.now)

        def __del__(self):
            Counted.now -= 1

    monkeypatch.setattr(search, "Block", Counted)
    monkeypatch.setattr(search, "RARE", rare)
    assert len(store.list_traces("default", TraceFilter(text="common"), limit=500).traces) == 300
    assert len(store.list_traces("default", TraceFilter(text="common number7"), limit=500).traces) == 1
    assert max(living) <= 2


@pytest.mark.parametrize(
    "more", [{}, {"name": "step 0"}, {"tags": ["no such tag"]}], ids=["words alone", "name", "tag"]
)
def test_words_that_rarely_meet_end_a_page_unfinished(store, monkeypatch, more):
    """Both are in every block: a page over millions of traces would take seconds. The cursors find what there is."""
    monkeypatch.setattr(search, "RARE", 0)
    monkeypatch.setattr(listing, "WINDOWS", (8, 32))
    expected = store.list_traces("default", TraceFilter(**more), limit=500).traces
    expected = [trace.trace_id for trace in expected if trace.trace_id == a_trace_id(77)]
    where, found, cursor, pages = TraceFilter(text="common number77", **more), [], None, 0
    while pages == 0 or cursor is not None:
        page = store.list_traces("default", where, limit=50, after=cursor)
        assert page.unfinished is (page.next_cursor is not None)
        found += [trace.trace_id for trace in page.traces]
        cursor, pages = page.next_cursor, pages + 1
    assert found == expected
    assert pages == 300 // 40 + 1


def test_words_are_found_before_and_after_they_are_sorted_in_aside(postgres_schema, monkeypatch):
    """A full list of new words is sorted in by the commit that fills it, and takes it a quarter of a second."""
    monkeypatch.setattr(pending, "PAUSE_S", 3_600)
    store = open_store(postgres_schema)
    store.write([Batch(spans=[a_span(trace, inputs=f"tapir number{trace}") for trace in range(20)])])
    where = TraceFilter(text="tapir number7")
    before = store.list_traces("default", where, limit=9).traces
    assert store._pending.clean() > 0
    assert store._pending.clean() == 0
    assert store.list_traces("default", where, limit=9).traces == before
    assert [trace.trace_id for trace in before] == [a_trace_id(7)]
    store.close()


def test_a_commit_has_its_words_sorted_in(postgres_schema, monkeypatch):
    """By a thread that takes no part in writing."""
    monkeypatch.setattr(pending, "PAUSE_S", 0)
    sorted_in = threading.Event()
    clean = pending.PendingWords.clean

    def noticed(self):
        pages = clean(self)
        sorted_in.set()
        return pages

    monkeypatch.setattr(pending.PendingWords, "clean", noticed)
    store = open_store(postgres_schema)
    store.write([Batch(spans=[a_span(0, inputs="tapir")])])
    assert sorted_in.wait(30)
    store.close()
